"""A jobspec at a target: what the target adds to it."""

from pathlib import Path

import pytest

from batchctl.spec import Lifetime, loads
from batchctl.targets.settings import read_settings
from batchctl.workflows import images
from batchctl.workflows.target import pipeline

SPEC = loads(
    b"name: p\npool: {target_dedicated_nodes: 1}\nimages: {etl: {context: .}}\ntasks: [{id: a, command: c, image: etl}]\n"
)
DAILY = loads(
    b"name: p\npool: {target_dedicated_nodes: 1}\nimages: {etl: {context: .}}\nschedule: {cron: '0 6 * * *'}\n"
    b"tasks: [{id: a, command: c, image: etl}]\n"
)
TOML = '[targets.prod]\nendpoint = "https://a.r.batch.azure.com"\nlake = "az://s/c/"\n'


def test_this_machine_runs_processes_in_auto_pools(tmp_path: Path) -> None:
    site = pipeline(SPEC, tmp_path / "p.yaml", read_settings(None, cwd=tmp_path, environ={})).site
    assert (site.containers, site.lifetime, site.images) == (False, Lifetime.AUTO, {})
    assert site.zones["jobspec"] == tmp_path.as_uri() + "/"


def test_azure_without_a_registry_has_no_digests(tmp_path: Path) -> None:
    (tmp_path / "batchctl.toml").write_text(TOML)
    site = pipeline(SPEC, tmp_path / "p.yaml", read_settings("prod", cwd=tmp_path, environ={})).site
    assert (site.containers, site.lifetime, site.images) == (True, Lifetime.IDLE, {})
    assert "jobspec" not in site.zones


def test_azure_with_a_registry_names_the_digests_it_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "batchctl.toml").write_text(TOML + 'registry = "r.example"\n')
    monkeypatch.setattr(images, "pinned_images", lambda *_, how: {"etl": "r.example/etl@sha256:1"})
    monkeypatch.setattr(images, "pinned_conductor", lambda *_, how: "r.example/conductor@sha256:2")
    site = pipeline(DAILY, tmp_path / "p.yaml", read_settings("prod", cwd=tmp_path, environ={})).site
    assert site.images == {"etl": "r.example/etl@sha256:1"}
    assert site.conductor_image == "r.example/conductor@sha256:2"
