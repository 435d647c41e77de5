"""Real services, started for the tests and stopped after them. `make test` installs what they are.

A service that is not installed skips its tests, with the reason; in CI (CI=true) it fails them.
"""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from tests.services.data_services import SERVICES, ServiceMissing, running_azurite, running_postgres
from tests.services.docker_services import (
    EngineMissing,
    free_port,
    provide_base_image,
    running_registry,
    shared_engine,
)

__all__ = ["SERVICES"]


def missing(reason: str) -> None:
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def azurite() -> Iterator[str]:
    """The connection string of an Azurite blob service."""
    try:
        with running_azurite(free_port()) as connection:
            yield connection
    except ServiceMissing as error:
        missing(str(error))


@pytest.fixture(scope="session")
def odbc_drivers() -> None:
    """Two ODBC drivers, PostgreSQL's and SQLite's."""
    subprocess.run([Path(__file__).parent / "install-odbc.sh"], check=True)
    known = Path("/etc/odbcinst.ini")
    text = known.read_text() if known.exists() else ""
    if "[PostgreSQL Unicode]" not in text or "[SQLite3]" not in text:
        missing("ODBC drivers are not installed: apt-get install unixodbc odbc-postgresql libsqliteodbc")


@pytest.fixture(scope="session")
def engine() -> Iterator[docker.DockerClient]:
    """A Docker Engine, also DOCKER_HOST of every program that the tests start."""
    try:
        with shared_engine() as host, pytest.MonkeyPatch.context() as patch:
            patch.setenv("DOCKER_HOST", host)
            client = docker.DockerClient(host, timeout=300)
            yield client
            client.close()
    except EngineMissing as error:
        missing(str(error))


@pytest.fixture(scope="session")
def base_image(engine: docker.DockerClient) -> str:
    """The base image that the Dockerfiles name: the engine has it."""
    try:
        return provide_base_image(engine)
    except EngineMissing as error:
        missing(str(error))
        raise


@pytest.fixture(scope="session")
def image_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """`localhost:PORT` of an empty registry that needs no sign-in."""
    port = free_port()
    try:
        with running_registry(tmp_path_factory.mktemp("registry"), port):
            yield f"localhost:{port}"
    except EngineMissing as error:
        missing(str(error))


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The connection string of a PostgreSQL server with one empty database."""
    try:
        with running_postgres(free_port()) as dsn:
            yield dsn
    except ServiceMissing as error:
        missing(str(error))
