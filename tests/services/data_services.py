"""PostgreSQL and Azurite, started and stopped. Whoever starts one says at which port."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

SERVICES = Path(__file__).parents[2] / ".services"
ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""Azurite's own account, documented and the same everywhere."""
POSTGRES = Path("/usr/lib/postgresql")
"""Where Debian keeps every installed version."""


class ServiceMissing(Exception):
    """It is not installed, or does not start; the message says what to do."""


@contextmanager
def running_azurite(port: int) -> Iterator[str]:
    """The connection string of an Azurite blob service. Raises `ServiceMissing`."""
    program = SERVICES / "node_modules" / ".bin" / "azurite-blob"
    if not program.exists():
        raise ServiceMissing("Azurite is not installed: make .services/ready")
    arguments = ["--silent", "--skipApiVersionCheck", "--disableTelemetry", "--blobPort", str(port)]
    with tempfile.TemporaryDirectory() as folder:
        process = subprocess.Popen(
            ["node", str(program.resolve()), *arguments, "--location", folder],
            stdout=subprocess.DEVNULL,
            start_new_session=True,
            env={**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"},
        )
        try:
            _wait_for(port, process)
            yield (
                f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={KEY};"
                f"BlobEndpoint=http://127.0.0.1:{port}/{ACCOUNT};"
            )
        finally:
            _end_session(process)


@contextmanager
def running_postgres(port: int, settings: Sequence[str] = ()) -> Iterator[str]:
    """The connection string of a PostgreSQL server with one empty database. Raises `ServiceMissing`."""
    programs = sorted(POSTGRES.glob("*/bin/postgres"), key=lambda path: float(path.parts[-3]))
    if not programs:
        raise ServiceMissing("PostgreSQL is not installed: apt-get install postgresql")
    folder = programs[-1].parent
    # PostgreSQL refuses to run as root; Debian's package makes a user for it.
    as_user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    with tempfile.TemporaryDirectory(prefix="pg") as place:
        if as_user:
            shutil.chown(place, "postgres")
        data = Path(place) / "data"
        initdb = [folder / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync"]
        subprocess.run([*as_user, *initdb, "--locale=C.UTF-8"], check=True, stdout=subprocess.DEVNULL)
        named = ("fsync=off", "full_page_writes=off", "listen_addresses=127.0.0.1", *settings)
        process = subprocess.Popen(
            [
                *as_user,
                folder / "postgres",
                "-D",
                data,
                "-p",
                str(port),
                "-k",
                place,
                *(f"-c{name}" for name in named),
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            _wait_for_query(folder / "psql", place, port, process)
            yield f"postgresql://postgres@127.0.0.1:{port}/postgres"
        finally:
            # As its own user: `runuser` does not pass the signal on.
            stop = [folder / "pg_ctl", "-D", data, "-m", "immediate", "stop"]
            subprocess.run([*as_user, *stop], check=False, stdout=subprocess.DEVNULL)
            process.wait()


def _wait_for_query(psql: Path, place: str, port: int, process: "subprocess.Popen[bytes]") -> None:
    arguments = [psql, "-h", place, "-p", str(port), "-U", "postgres", "-Atc", "SELECT 1"]
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        if subprocess.run(arguments, capture_output=True, check=False).returncode == 0:
            return
        time.sleep(0.05)
    raise ServiceMissing(f"PostgreSQL did not start (exit code {process.poll()})")


def _end_session(process: "subprocess.Popen[bytes]") -> None:
    """End all of its session, and wait for all of it: `node` may be a script that starts the real one."""
    os.killpg(process.pid, signal.SIGTERM)
    process.wait()
    deadline = time.monotonic() + 120
    with suppress(ProcessLookupError):
        while time.monotonic() < deadline:
            os.killpg(process.pid, 0)
            time.sleep(0.02)


def _wait_for(port: int, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise ServiceMissing(f"a service did not start at port {port} (exit code {process.poll()})")
