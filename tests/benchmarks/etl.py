"""The ETL stages beside the physical limit, the seeds' methods and other engines, on the same data in the same run.

python -m tests.benchmarks.etl [--scale 1] [--runs 5] [NAME...]     scale 1 is 6,000,000 rows; default 1/6

Every path asserts a checksum of what arrived; ours with NULL, '', NaN, infinity and line breaks among the values.
"""

import argparse
import json
import os
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import psycopg
from azure.storage.blob import BlobServiceClient

from tests.benchmarks import etl_data, etl_peers
from tests.benchmarks.etl_measure import Measured, measured, medians
from tests.benchmarks.table import Row, print_table
from tests.services.data_services import ACCOUNT, ServiceMissing, running_azurite, running_postgres
from tests.services.docker_services import free_port
from tests.services.long_link import ROUND_TRIP, WINDOW, far_away

SCALE = 1 / 6
RUNS = 3


@dataclass(kw_only=True)
class Bench:
    """One run of the benchmark: where it works, how much data, and how often."""

    folder: Path
    scale: float
    runs: int
    environ: dict[str, str] = field(default_factory=dict)
    peers: Path | None = None

    def etl(self, stage: str, config: Mapping[str, Any]) -> Callable[[], Measured]:
        command = [sys.executable, "-m", "batchctl_etl.main", stage, "--config-json", json.dumps(config)]
        return lambda: measured(command, self.environ, self.folder)

    def program(
        self, text: str, python: Path | str = sys.executable, **places: str
    ) -> Callable[[], Measured]:
        for name, place in places.items():
            text = text.replace("{" + name + "}", place)
        return lambda: measured([python, "-c", text], self.environ, self.folder)

    def others(self, programs: Mapping[str, str], **places: str) -> dict[str, Callable[[], Measured]]:
        if self.peers is None:
            return {}
        return {name: self.program(text, self.peers, **places) for name, text in programs.items()}

    def row(
        self,
        what: str,
        goal: str,
        limit: str,
        programs: Mapping[str, Callable[[], Measured]],
        check: Callable[[], None],
        note: str = "",
        *,
        rivals: Sequence[str] = (),
    ) -> Row:
        """`programs` begins with ours and the limit; `check` asserts what ours made.

        The reference is the fastest of `rivals`, if the peers were measured, else the limit.
        """
        found = medians(programs, self.runs)
        programs[next(iter(programs))]()
        check()
        (_, ours), *rest = found.items()
        names = {"limit": limit}
        rival = min(
            (name for name in rivals if name in found), key=lambda name: found[name].seconds, default="limit"
        )
        reference = found[rival]
        others = [
            f"{names.get(name, name)} {item.seconds:.2f} s, {item.megabytes:.0f} MB"
            for name, item in rest
            if name != rival
        ]
        named = f"reference: {names.get(rival, rival)}, {reference.megabytes:.0f} MB"
        parts = [f"{ours.megabytes:.0f} MB, {ours.cpu:.1f} s of CPU", named, *others, note]
        return Row(
            what=what, ours=ours.seconds, reference=reference.seconds, unit="s", goal=goal,
            ratio=ours.seconds / reference.seconds, note="; ".join(part for part in parts if part),
        )  # fmt: skip


def rows(scale: float = SCALE, runs: int = RUNS, names: list[str] | None = None) -> Iterator[Row]:
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        bench = Bench(folder=Path(folder), scale=scale, runs=runs, peers=etl_peers.peers_python())
        for name in names or PATHS:
            try:
                yield from PATHS[name](bench)
            except ServiceMissing as error:
                print(f"not measured: {error}")


def _postgres(bench: Bench) -> Iterator[Row]:
    settings = ("shared_buffers=1GB", "max_wal_size=8GB", "wal_level=minimal", "max_wal_senders=0")
    with running_postgres(free_port(), settings) as dsn:
        bench.environ["DSN"] = dsn
        etl_data.make_lineitem(dsn, bench.scale)
        with psycopg.connect(dsn) as connection:
            expected = connection.execute(etl_data.SUMS.format("lineitem").encode()).fetchone()
        count = int(etl_data.ROWS * bench.scale)

        def arrived() -> None:
            found = duckdb.execute(etl_data.SUMS.format(f"'{bench.folder}/li.parquet'")).fetchone()
            assert found == expected, (found, expected)

        source = {"type": "postgres", "dsn_env": "DSN", "query": "SELECT * FROM lineitem"}
        thrown = "import os, subprocess; subprocess.run(['psql', os.environ['DSN'], '-qc', {}], check=True, stdout=subprocess.DEVNULL)"
        programs = {
            "ours": bench.etl(
                "transform", {"input": source, "sql": "FROM input", "sink": {"url": "li.parquet"}}
            ),
            "limit": bench.program(thrown.format("'COPY lineitem TO STDOUT (FORMAT binary)'")),
        } | bench.others(etl_peers.POSTGRES_TO_PARQUET, out="peer.parquet")
        yield bench.row(
            f"PostgreSQL -> Parquet, {count:,} rows",
            "<= 1.15",
            "COPY … BINARY thrown away",
            programs,
            arrived,
        )

        def loaded() -> None:
            with psycopg.connect(dsn) as connection:
                found = connection.execute(etl_data.SUMS.format("loaded").encode()).fetchone()
            assert found == expected, (found, expected)

        copy = f"\\copy lineitem to '{bench.folder}/li.bin' (format binary)"
        bench.program(thrown.format(repr(copy)))()
        back = (
            "import os, subprocess; subprocess.run(['psql', os.environ['DSN'], '-q1', '-c', 'CREATE TABLE limit_ (LIKE lineitem)', "
            "'-c', \"\\\\copy limit_ from 'li.bin' (format binary)\"], check=True)"
        )
        sink = {"type": "postgres", "dsn_env": "DSN", "table": "loaded", "mode": "replace"}
        programs = {
            "ours": bench.etl("load", {"source": {"url": "li.parquet"}, "sink": sink}),
            "limit": bench.program(back),
        } | bench.others(etl_peers.PARQUET_TO_POSTGRES, source="li.parquet")
        programs = {name: _into_nothing(dsn, program) for name, program in programs.items()}
        note = f"n = {count / min(count, 100_000):.0f}"
        yield bench.row(
            f"Parquet -> PostgreSQL, {count:,} rows",
            "<= 1.05",
            "COPY FROM a ready binary file",
            programs,
            loaded,
            note,
        )


def _into_nothing(dsn: str, program: Callable[[], Measured]) -> Callable[[], Measured]:
    """`program`, which loads into a table that is not there; what it made before is dropped outside of its time."""

    def dropped_first() -> Measured:
        with psycopg.connect(dsn) as connection:
            connection.execute("DROP TABLE IF EXISTS loaded, limit_, peer")
        return program()

    return dropped_first


def _zip(bench: Bench) -> Iterator[Row]:
    count = etl_data.make_json_lines(bench.folder / "in.zip", bench.scale)
    with zipfile.ZipFile(bench.folder / "in.zip") as archive:
        size = archive.getinfo("rows.jsonl").file_size / 1e6
    inflate = "import zipfile\nwith zipfile.ZipFile('in.zip').open('rows.jsonl') as f:\n  while f.read(1 << 20): pass"
    source = {"url": "in.zip", "unpack": {"members": "rows.jsonl"}}
    for kind, peers in (("csv", etl_peers.ZIP_TO_CSV), ("parquet", etl_peers.ZIP_TO_PARQUET)):
        out = f"out.{kind}"

        def arrived(out: str = out) -> None:
            asked = f"SELECT count(*), sum(id)::bigint, round(sum(price), 2), sum(length(text))::bigint, count(missing) FROM '{bench.folder}/{out}'"
            found = duckdb.execute(asked).fetchone()
            length = sum(len(f'line {i}, "quoted", ') + i % 60 for i in range(count))
            price = sum(i % 10_000 for i in range(count)) / 100
            assert found is not None
            assert found[:2] == (count, count * (count - 1) // 2)
            assert (abs(found[2] - price) < 1, found[3:]) == (True, (length, (count + 1) // 2))

        config = {"input": source, "sql": "FROM input", "sink": {"url": out}}
        programs = {"ours": bench.etl("transform", config), "limit": bench.program(inflate)}
        programs |= bench.others(peers, source="in.zip", out=f"peer.{kind}")
        yield bench.row(
            f"zip of JSON lines -> {kind}, {size:,.0f} MB",
            "<= 1",
            "inflating (zlib)",
            programs,
            arrived,
            rivals=tuple(peers),
        )


def _melt(bench: Bench) -> Iterator[Row]:
    source = bench.folder / "wide.csv"
    etl_data.make_wide_csv(source, bench.scale)
    steps = [
        {"type": "melt", "columns": r"w\d+", "name": "week", "value": "v", "last": 10},
        {"type": "aggregate", "by": ["key"], "values": {"m": "avg(v)"}},
    ]
    config = {"input": {"url": "wide.csv"}, "steps": steps, "sink": {"url": "melted.csv"}}

    def arrived() -> None:
        found = dict(duckdb.execute(f"SELECT key, m FROM '{bench.folder}/melted.csv'").fetchall())
        columns = range(etl_data.WIDE_COLUMNS - 10, etl_data.WIDE_COLUMNS)
        for row in range(0, int(etl_data.WIDE_ROWS * bench.scale), 997):
            expected = sum((row * 31 + column * 17) % 10_007 / 100 for column in columns) / 10
            assert abs(found[f"k{row}"] - expected) < 1e-6

    read = "f = open('wide.csv', 'rb')\nwhile f.read(1 << 20): pass"
    programs = {"ours": bench.etl("transform", config), "limit": bench.program(read)}
    programs |= bench.others(etl_peers.MELT, source="wide.csv", out="peer.csv")
    cells = int(etl_data.WIDE_ROWS * bench.scale) * etl_data.WIDE_COLUMNS
    yield bench.row(
        f"wide CSV -> melt, mean of ten, {cells:,} cells",
        "<= 1.2",
        "reading the bytes",
        programs,
        arrived,
        rivals=tuple(etl_peers.MELT),
    )


def _blob(bench: Bench) -> Iterator[Row]:
    size = int(2**30 * bench.scale)
    with running_azurite(free_port()) as connection:
        bench.environ["AZURE_STORAGE_CONNECTION_STRING"] = connection
        with (bench.folder / "blob.bin").open("wb") as file:
            for _ in range(size >> 20):
                file.write(bytes(range(256)) * 4096)
        with BlobServiceClient.from_connection_string(connection) as service:
            service.create_container("bench").close()
        sdk = (
            "import os\nfrom azure.storage.blob import BlobServiceClient\n"
            "s = BlobServiceClient.from_connection_string(os.environ['AZURE_STORAGE_CONNECTION_STRING'])\n"
            "b = s.get_blob_client('bench', '{blob}')\n"
        )
        url = f"az://{ACCOUNT}/bench/blob.bin"

        def sent() -> None:
            with BlobServiceClient.from_connection_string(connection) as service:
                found = service.get_blob_client("bench", "blob.bin").download_blob().readall()
            assert found == (bench.folder / "blob.bin").read_bytes()

        def same() -> None:
            assert (bench.folder / "back.bin").read_bytes() == (bench.folder / "blob.bin").read_bytes()

        up = bench.etl("extract", {"source": {"type": "file", "url": "blob.bin"}, "sink": {"url": url}})
        down = bench.etl("extract", {"source": {"type": "file", "url": url}, "sink": {"url": "back.bin"}})
        limit = "Azure SDK's defaults"
        programs = {
            "ours": up,
            "limit": bench.program(
                sdk + "b.upload_blob(open('blob.bin', 'rb'), overwrite=True)", blob="sdk.bin"
            ),
        } | bench.others(etl_peers.TO_BLOB, source="blob.bin")
        rivals = tuple(etl_peers.TO_BLOB)
        yield bench.row(f"file -> Blob, {size >> 20} MB", "<= 1.1", limit, programs, sent, rivals=rivals)
        programs = {
            "ours": down,
            "limit": bench.program(
                sdk + "open('sdk.bin', 'wb').write(b.download_blob().readall())", blob="blob.bin"
            ),
        } | bench.others(etl_peers.FROM_BLOB, out="peer.bin")
        rivals = tuple(etl_peers.FROM_BLOB)
        yield bench.row(f"Blob -> file, {size >> 20} MB", "<= 1.1", limit, programs, same, rivals=rivals)
        del bench.environ["AZURE_STORAGE_CONNECTION_STRING"]


def _web(bench: Bench) -> Iterator[Row]:
    megabytes = max(int(128 * bench.scale), 64)  # Below that, most of our time is the start of the process.
    content, here = os.urandom(megabytes << 20), bench.folder / "far.bin"
    here.write_bytes(content)
    with running_azurite(free_port()) as connection, far_away(here) as far:
        bench.environ["AZURE_STORAGE_CONNECTION_STRING"] = connection
        with BlobServiceClient.from_connection_string(connection) as service:
            service.create_container("bench").close()

        def copy(blob: str, **more: int) -> Callable[[], Measured]:
            source = {"type": "http", "url": far, **more}
            return bench.etl("extract", {"source": source, "sink": {"url": f"az://{ACCOUNT}/bench/{blob}"}})

        def arrived() -> None:
            with BlobServiceClient.from_connection_string(connection) as service:
                assert service.get_blob_client("bench", "ours.bin").download_blob().readall() == content

        link = f"a link of {ROUND_TRIP * 1000:.0f} ms"
        yield bench.row(
            f"web -> Blob over {link}, {megabytes} MB",
            "<= 0.2",
            "the same over one connection",
            {"ours": copy("ours.bin"), "limit": copy("one.bin", connections=1)},
            arrived,
            f"emulated, {WINDOW >> 10} kB under way per connection",
        )
        memory = copy("ours.bin")().megabytes
        yield Row(
            what=f"web -> Blob over {link}, memory for {megabytes} MB", ours=memory, reference=150, unit="MB",
            goal="<= 1", ratio=memory / 150,
        )  # fmt: skip
        del bench.environ["AZURE_STORAGE_CONNECTION_STRING"]


def _memory(bench: Bench) -> Iterator[Row]:
    found = []
    for rows in (int(24_000_000 * bench.scale), int(72_000_000 * bench.scale)):
        path = bench.folder / "long.csv"
        etl_data.make_long_csv(path, rows)
        config = {"input": {"url": "long.csv"}, "sql": "FROM input", "sink": {"url": "long.parquet"}}
        found.append((path.stat().st_size / 1e6, bench.etl("transform", config)().megabytes))
        asked = duckdb.execute(
            f"SELECT count(*), sum(id)::bigint FROM '{bench.folder}/long.parquet'"
        ).fetchone()
        assert asked == (rows, rows * (rows - 1) // 2)
        path.unlink()
    (small, before), (large, after) = found
    yield Row(
        what=f"CSV -> Parquet, memory for {large:,.0f} MB", ours=after, reference=before, unit="MB", goal="<= 1.1",
        ratio=after / before, note=f"reference: for {small:,.0f} MB",
    )  # fmt: skip


PATHS: dict[str, Callable[[Bench], Iterator[Row]]] = {
    "postgres": _postgres,
    "zip": _zip,
    "melt": _melt,
    "blob": _blob,
    "web": _web,
    "memory": _memory,
}


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the ETL stages.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(PATHS)}")
    parser.add_argument("--scale", type=float, default=SCALE)
    parser.add_argument("--runs", type=int, default=RUNS)
    options = parser.parse_args()
    print_table(rows(options.scale, options.runs, options.names))


if __name__ == "__main__":
    main()
