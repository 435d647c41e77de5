"""The settings of registries: where a password may come from, and where not."""

from pathlib import Path

import pytest

from batchctl.errors import UsageError
from batchctl.targets.settings import Settings, read_settings
from batchctl.workflows.images import wanted_conductor

FILE = """\
[targets.local]
kind = "local"
registry = "localhost:5000"
registry_username = "me"
"""


def read(folder: Path, more: str = "", **environ: str) -> Settings:
    (folder / "batchctl.toml").write_text(FILE + more)
    return read_settings(None, cwd=folder, environ=environ)


def test_the_environment_goes_before_the_file(tmp_path: Path) -> None:
    assert read(tmp_path).target.registry == "localhost:5000"
    found = read(tmp_path, BATCHCTL_REGISTRY="localhost:6000", BATCHCTL_REGISTRY_PASSWORD="hidden").target
    assert (found.registry, found.registry_username, found.registry_password) == (
        "localhost:6000",
        "me",
        "hidden",
    )
    assert "hidden" not in repr(found)


def test_a_reference_may_be_in_the_file_and_a_password_not(tmp_path: Path) -> None:
    assert (
        read(tmp_path, 'registry_password = "kv://vault/name"').target.registry_password == "kv://vault/name"
    )
    with pytest.raises(UsageError, match="a password does not belong in a file that is committed") as failed:
        read(tmp_path, 'registry_password = "hidden"')
    assert "hidden" not in str(failed.value)


def test_the_conductor_has_build_arguments_too(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("ARG BASE_IMAGE\nFROM ${BASE_IMAGE}\n")
    table = (
        '[targets.local]\nkind = "local"\nconductor_context = "."\nconductor_build_args = {BASE_IMAGE = %s}\n'
    )
    file = tmp_path / "batchctl.toml"
    tags = set()
    for base in ('"a:1"', '"b:1"'):
        file.write_text(table % base)
        image = wanted_conductor(read_settings(None, cwd=tmp_path, environ={}))
        assert image is not None
        assert image.context.build_args == {"BASE_IMAGE": base.strip('"')}
        tags.add(image.tag)
    assert len(tags) == 2
    file.write_text(table % "3.12")
    with pytest.raises(UsageError, match="conductor_build_args: a wrong type"):
        read_settings(None, cwd=tmp_path, environ={})
