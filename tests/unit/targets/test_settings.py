"""flag > BATCHCTL_* > .env > batchctl.toml > default."""

from pathlib import Path

import pytest

from batchctl.errors import UsageError
from batchctl.targets.settings import read_settings

TOML = """\
target = "prod"
[targets.prod]
endpoint = "https://a.region.batch.azure.com"
lake = "az://store/etl"
zones = {curated = "az://other/c"}
[targets.test]
endpoint = "https://b.region.batch.azure.com"
lake = "az://store/test/"
"""


def test_local_needs_nothing(tmp_path: Path) -> None:
    found = read_settings(None, cwd=tmp_path, environ={})
    assert (found.name, found.target.kind, found.project) == ("local", "local", tmp_path)
    assert found.zones["raw"] == (tmp_path / ".batchctl" / "lake").as_uri() + "/raw/"


def test_precedence(tmp_path: Path) -> None:
    (tmp_path / "batchctl.toml").write_text(TOML)
    assert read_settings(None, cwd=tmp_path, environ={}).name == "prod"
    (tmp_path / ".env").write_text("BATCHCTL_TARGET=test\nBATCHCTL_KEY=fromfile\n")
    found = read_settings(None, cwd=tmp_path, environ={})
    assert (found.name, found.target.key) == ("test", "fromfile")
    found = read_settings(None, cwd=tmp_path, environ={"BATCHCTL_TARGET": "prod", "BATCHCTL_KEY": "fromenv"})
    assert (found.name, found.target.key) == ("prod", "fromenv")
    assert read_settings("local", cwd=tmp_path, environ={"BATCHCTL_TARGET": "prod"}).name == "local"


def test_zones(tmp_path: Path) -> None:
    (tmp_path / "batchctl.toml").write_text(TOML)
    found = read_settings("prod", cwd=tmp_path, environ={})
    assert found.zones == {
        "raw": "az://store/etl/raw/", "staging": "az://store/etl/staging/", "curated": "az://other/c/",
    }  # fmt: skip


def test_the_project_is_the_nearest_folder_with_a_sign_of_one(tmp_path: Path) -> None:
    (tmp_path / "batchctl.toml").touch()
    below = tmp_path / "jobspecs" / "deep"
    below.mkdir(parents=True)
    assert read_settings(None, cwd=below, environ={}).project == tmp_path


def test_a_key_is_never_shown(tmp_path: Path) -> None:
    found = read_settings(None, cwd=tmp_path, environ={"BATCHCTL_KEY": "hunter2"})
    assert "hunter2" not in repr(found)


def test_an_unknown_target_names_the_known(tmp_path: Path) -> None:
    (tmp_path / "batchctl.toml").write_text(TOML)
    with pytest.raises(UsageError, match="there is local, prod, test"):
        read_settings("prd", cwd=tmp_path, environ={})


def test_the_environment_holds_for_a_local_target_too(tmp_path: Path) -> None:
    environ = {
        "BATCHCTL_LAKE": "file:///elsewhere",
        "BATCHCTL_ENDPOINT": "http://127.0.0.1:9",
        "BATCHCTL_ACCOUNT": "a",
        "BATCHCTL_KEY": "a2V5",
    }
    found = read_settings("local", cwd=tmp_path, environ=environ)
    assert (found.target.kind, found.lake, found.target.endpoint) == (
        "local",
        "file:///elsewhere/",
        "http://127.0.0.1:9",
    )
    assert (found.target.account, found.target.key) == ("a", "a2V5")
    (tmp_path / "batchctl.toml").write_text('[targets.lap]\nkind = "local"\nlake = "file:///here/"\n')
    assert read_settings("lap", cwd=tmp_path, environ={}).lake == "file:///here/"
    assert read_settings("lap", cwd=tmp_path, environ=environ).lake == "file:///elsewhere/"
