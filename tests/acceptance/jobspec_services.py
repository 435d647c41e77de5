"""For the tests of jobspecs/: a lake in Azurite, the samples' own programs. Taken as a plug-in (`pytest_plugins`).

PYTEST_DONT_REWRITE: tests import it as well, which pytest minds otherwise.
"""

import runpy
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from azure.storage.blob import BlobServiceClient, ContainerClient

from tests.acceptance.conftest import ROOT, Project


@dataclass(frozen=True)
class BlobLake:
    """A lake zone or more in Azure."""

    container: ContainerClient
    connection: str

    @property
    def url(self) -> str:
        return f"az://{self.container.account_name}/{self.container.container_name}"

    def names(self, begin: str) -> list[str]:
        return sorted(self.container.list_blob_names(name_starts_with=begin))

    def use_in(self, project: Project, jobspec: str, *zones: str) -> None:
        """Let the project's `zones` be in here, and the tasks of a jobspec, which has `environment`, sign in."""
        self.hold(project, *zones)
        text = (project.folder / jobspec).read_text()
        assert text.count("\nenvironment:\n") == 1
        variable = f'  AZURE_STORAGE_CONNECTION_STRING: "{self.connection}"\n'
        project.write(jobspec, text.replace("\nenvironment:\n", f"\nenvironment:\n{variable}"))

    def hold(self, project: Project, *zones: str) -> None:
        """Let the project's `zones` be in here."""
        places = ", ".join(f'{zone} = "{self.url}/{zone}/"' for zone in zones)
        project.write("batchctl.toml", f'[targets.local]\nkind = "local"\nzones = {{{places}}}\n')


@pytest.fixture
def blob_lake(azurite: str) -> Iterator[BlobLake]:
    """A container of its own."""
    with BlobServiceClient.from_connection_string(azurite) as service:
        container = service.create_container(f"lake-{uuid.uuid4().hex}")
        yield BlobLake(container, azurite)
        container.delete_container()


@pytest.fixture
def prices_api() -> Iterator[str]:
    """The address of the samples' API."""
    program = [sys.executable, str(ROOT / "jobspecs/samples/prices_api.py"), "0"]
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.terminate()


@pytest.fixture(scope="session")
def samples() -> dict[str, Any]:
    """The functions of the program that makes samples."""
    return runpy.run_path(str(ROOT / "jobspecs/samples/make.py"))
