"""What the ETL benchmark is compared with: the seeds' methods and other engines, each a program of its own.

`{…}` are places of files; `DSN` is in the environment.
"""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PLACE = ROOT / ".services" / "bench-peers"

POSTGRES_TO_PARQUET = {
    "cursor + pandas": """
import os, pandas, psycopg, pyarrow as pa, pyarrow.parquet as pq
with psycopg.connect(os.environ["DSN"]) as c, c.cursor("s") as cursor:
    cursor.itersize = 50000
    cursor.execute("SELECT * FROM lineitem")
    names = [d.name for d in cursor.description]
    writer = None
    while rows := cursor.fetchmany(50000):
        table = pa.Table.from_pandas(pandas.DataFrame(rows, columns=names).astype({n: str for n in names[4:8]}))
        writer = writer or pq.ParquetWriter("{out}", table.schema)
        writer.write_table(table.cast(writer.schema))
    writer.close()
""",
    "duckdb, one thread": """
import glob, os, duckdb, duckdb_extension_postgres_scanner as e
c = duckdb.connect(config={"threads": 1})
[file] = glob.glob(os.path.dirname(e.__file__) + "/extensions/*/postgres_scanner.duckdb_extension")
c.execute(f"LOAD '{file}'; ATTACH '{os.environ['DSN']}' AS p (TYPE postgres)")
c.execute("COPY (SELECT * FROM p.lineitem) TO '{out}' (FORMAT parquet, COMPRESSION zstd)")
""",
    "duckdb, two threads": """
import glob, os, duckdb, duckdb_extension_postgres_scanner as e
c = duckdb.connect(config={"threads": 2})
[file] = glob.glob(os.path.dirname(e.__file__) + "/extensions/*/postgres_scanner.duckdb_extension")
c.execute(f"LOAD '{file}'; ATTACH '{os.environ['DSN']}' AS p (TYPE postgres)")
c.execute("COPY (SELECT * FROM p.lineitem) TO '{out}' (FORMAT parquet, COMPRESSION zstd)")
""",
}
PARQUET_TO_POSTGRES = {
    "single INSERTs (as pyodbc's executemany sends) of 100,000 rows, times n": """
import os, psycopg, pyarrow.parquet as pq
rows = next(pq.ParquetFile("{source}").iter_batches(100000))
with psycopg.connect(os.environ["DSN"]) as c, c.cursor() as cursor:
    cursor.execute("CREATE TEMP TABLE seed (LIKE lineitem)")
    insertion = "INSERT INTO seed VALUES (" + ",".join(["%s"] * rows.num_columns) + ")"
    for row in zip(*(column.to_pylist() for column in rows.columns)):
        cursor.execute(insertion, row)
""",
    "executemany (psycopg, pipelined) of 100,000 rows, times n": """
import os, psycopg, pyarrow.parquet as pq
rows = next(pq.ParquetFile("{source}").iter_batches(100000))
with psycopg.connect(os.environ["DSN"]) as c, c.cursor() as cursor:
    cursor.execute("CREATE TEMP TABLE seed (LIKE lineitem)")
    insertion = "INSERT INTO seed VALUES (" + ",".join(["%s"] * rows.num_columns) + ")"
    cursor.executemany(insertion, zip(*(column.to_pylist() for column in rows.columns)))
""",
    "duckdb": """
import glob, os, duckdb, duckdb_extension_postgres_scanner as e
c = duckdb.connect()
[file] = glob.glob(os.path.dirname(e.__file__) + "/extensions/*/postgres_scanner.duckdb_extension")
c.execute(f"LOAD '{file}'; ATTACH '{os.environ['DSN']}' AS p (TYPE postgres)")
c.execute("CREATE TABLE p.peer AS FROM '{source}'")
""",
}
ZIP_TO_CSV = {
    "json.loads line by line": """
import csv, io, json, zipfile
with zipfile.ZipFile("{source}") as z, z.open("rows.jsonl") as f, open("{out}", "w", newline="") as o:
    w = None
    for line in f:
        row = json.loads(line)
        w = w or csv.DictWriter(o, row)
        if o.tell() == 0: w.writeheader()
        w.writerow(row)
""",
    "pyarrow": """
import zipfile, pyarrow.json as j, pyarrow.csv as c
with zipfile.ZipFile("{source}") as z, z.open("rows.jsonl") as f:
    reader = j.open_json(f)
    with c.CSVWriter("{out}", reader.schema) as w:
        for batch in reader: w.write_batch(batch)
""",
    "duckdb, of unzip -p": """
import os, subprocess, duckdb
with subprocess.Popen(["unzip", "-p", "{source}", "rows.jsonl"], stdout=subprocess.PIPE) as p:
    duckdb.execute(f"COPY (FROM read_json('/dev/fd/{p.stdout.fileno()}', format='newline_delimited')) TO '{out}' (FORMAT csv)")
""",
}
ZIP_TO_PARQUET = {
    "pyarrow": """
import zipfile, pyarrow.json as j, pyarrow.parquet as pq
with zipfile.ZipFile("{source}") as z, z.open("rows.jsonl") as f:
    reader = j.open_json(f)
    with pq.ParquetWriter("{out}", reader.schema, compression="zstd") as w:
        for batch in reader: w.write_batch(batch)
""",
    "duckdb, of unzip -p": """
import os, subprocess, duckdb
with subprocess.Popen(["unzip", "-p", "{source}", "rows.jsonl"], stdout=subprocess.PIPE) as p:
    duckdb.execute(f"COPY (FROM read_json('/dev/fd/{p.stdout.fileno()}', format='newline_delimited')) TO '{out}' (FORMAT parquet, COMPRESSION zstd)")
""",
}
MELT = {
    "pandas": """
import pandas
wide = pandas.read_csv("{source}")
long = wide.melt("key", var_name="week", value_name="v")
long[long.week.isin(wide.columns[-10:])].groupby("key").v.mean().reset_index().to_csv("{out}", index=False)
""",
    "polars": """
import polars as p
lazy = p.scan_csv("{source}")
last = lazy.collect_schema().names()[-10:]
lazy.select("key", p.mean_horizontal(last).alias("m")).collect().write_csv("{out}")
""",
    "duckdb": """
import duckdb
c = duckdb.connect()
names = [r[0] for r in c.execute("DESCRIBE FROM read_csv('{source}')").fetchall()]
last = ", ".join(names[-10:])
c.execute(f"COPY (SELECT key, avg(v) FROM (SELECT key, {last} FROM read_csv('{source}')) UNPIVOT (v FOR w IN ({last})) "
          "GROUP BY key) TO '{out}' (FORMAT csv)")
""",
}
_STORE = """
import os, obstore
from concurrent.futures import ThreadPoolExecutor
parts = dict(part.split("=", 1) for part in os.environ["AZURE_STORAGE_CONNECTION_STRING"].split(";") if part)
store = obstore.store.AzureStore("bench", account_name=parts["AccountName"], account_key=parts["AccountKey"],
                                 endpoint=parts["BlobEndpoint"], client_options={"allow_http": True})
"""
_SDK = """
import os
from azure.storage.blob import BlobServiceClient
blobs = BlobServiceClient.from_connection_string(os.environ["AZURE_STORAGE_CONNECTION_STRING"], max_block_size=1 << 24,
                                                 max_chunk_get_size=1 << 24, max_single_get_size=1 << 24)
"""
TO_BLOB = {
    "azure-storage-blob 8 x 16 MB": f"""{_SDK}
with open("{{source}}", "rb") as f:
    blobs.get_blob_client("bench", "peer.bin").upload_blob(f, overwrite=True, max_concurrency=8)
""",
    "obstore 8 x 16 MB": f"""{_STORE}
with open("{{source}}", "rb") as f:
    obstore.put(store, "peer.bin", f, chunk_size=1 << 24, max_concurrency=8, use_multipart=True)
""",
}
FROM_BLOB = {
    "azure-storage-blob 8 x 16 MB": f"""{_SDK}
with open("{{out}}", "wb") as f:
    blobs.get_blob_client("bench", "blob.bin").download_blob(max_concurrency=8).readinto(f)
""",
    "obstore 8 x 16 MB": f"""{_STORE}
size = obstore.head(store, "blob.bin")["size"]
with open("{{out}}", "wb") as f, ThreadPoolExecutor(8) as pool:
    def part(at):
        os.pwrite(f.fileno(), obstore.get_range(store, "blob.bin", start=at, end=min(at + (1 << 24), size)), at)
    list(pool.map(part, range(0, size, 1 << 24)))
""",
}


def peers_python() -> Path | None:
    """The interpreter of the peers' environment, made if need be; `None`, and a line, if it cannot be made."""
    python = PLACE / "bin" / "python"
    try:
        wanted, ready = Path(__file__).with_name("etl_requirements.txt"), PLACE / "ready"
        if not ready.exists() or ready.read_text() != wanted.read_text():
            subprocess.run([sys.executable, "-m", "venv", PLACE], check=True)
            subprocess.run([python, "-m", "pip", "install", "--quiet", "-r", wanted], check=True)
            ready.write_text(wanted.read_text())
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"peers not measured: {error}", file=sys.stderr)
        return None
    return python if os.access(python, os.X_OK) else None
