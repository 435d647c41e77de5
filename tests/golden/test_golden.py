"""Plans and runs, one folder a case: read the folder to see the behaviour.

    spec.yaml      what the user wrote
    case.toml      optional: now, site = a key of SITES, parameters, at
    observed.json  optional: what is on the target; without it, nothing
    plan.txt       expected: what `batchctl plan` prints, or the refusal
    plan.json      expected, where it is there: the wire bodies
    run.json       expected, where it is there: the job and the tasks of one run
    NAME.mmd       expected, for each `[graphs.NAME]` of case.toml: what `batchctl plan --graph` prints with its parameters

`pytest tests/golden --update-golden` writes what the code now says; review the difference.
"""

import json
import tomllib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from batchctl.errors import BatchctlError
from batchctl.plan import Observed, Pipeline, Site, expand, graph, make_plan, render
from batchctl.spec import Lifetime, load

HERE = Path(__file__).parent
CASES = sorted(path.parent.name for path in HERE.glob("*/spec.yaml"))
NOW = datetime(2026, 1, 15, 12, 0, tzinfo=UTC)
SITES = {
    "azure": Site(
        target="prod",
        zones={zone: f"az://lake/etl/{zone}/" for zone in ("raw", "staging", "curated")},
        runs_url="az://lake/etl/runs/",
        images={"etl": "acr.example/etl@sha256:" + "a" * 64},
        conductor_image="acr.example/conductor@sha256:" + "c" * 64,
    ),
    "azure-with-identity": Site(
        target="prod",
        zones={zone: f"az://lake/etl/{zone}/" for zone in ("raw", "staging", "curated")},
        runs_url="az://lake/etl/runs/",
        images={"etl": "acr.example/etl@sha256:" + "a" * 64, "tool": "acr.example/tool@sha256:" + "b" * 64},
        conductor_image="acr.example/conductor@sha256:" + "c" * 64,
        node_identity="/subscriptions/s/resourceGroups/g/providers/Microsoft.ManagedIdentity/userAssignedIdentities/nodes",
        registry_server="acr.example",
    ),
    "azure-with-password": Site(
        target="prod",
        zones={zone: f"az://lake/etl/{zone}/" for zone in ("raw", "staging", "curated")},
        runs_url="az://lake/etl/runs/",
        images={"etl": "registry.example/etl@sha256:" + "a" * 64},
        conductor_image="registry.example/conductor@sha256:" + "c" * 64,
        registry_server="registry.example",
        registry_username="ci",
    ),
    "docker": Site(
        target="local",
        zones={
            zone: f"file:///p/.batchctl/lake/{zone}/" for zone in ("raw", "staging", "curated", "jobspec")
        },
        runs_url="file:///p/.batchctl/lake/runs/",
        lifetime=Lifetime.AUTO,
        images={"etl": "sha256:" + "a" * 64, "tool": "localhost:5000/tool@sha256:" + "b" * 64},
        conductor_image="sha256:" + "c" * 64,
        run_options="--user 1000:1000 --volume /p/.batchctl/lake:/p/.batchctl/lake --volume /p/jobspecs:/p/jobspecs:ro",
    ),
    "local": Site(
        target="local",
        zones={
            zone: f"file:///p/.batchctl/lake/{zone}/" for zone in ("raw", "staging", "curated", "jobspec")
        },
        runs_url="file:///p/.batchctl/lake/runs/",
        lifetime=Lifetime.AUTO,
        autoscale=False,
        containers=False,
    ),
}


@pytest.fixture(autouse=True)
def same_tzdata(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plans name the version they were made with; a newer one is no other plan."""
    monkeypatch.setattr("batchctl.schedule.decomposition.TZDATA_VERSION", "2026f")


class Case:
    def __init__(self, name: str) -> None:
        self.folder = HERE / name
        settings = self.folder / "case.toml"
        self.settings: dict[str, Any] = tomllib.loads(settings.read_text()) if settings.exists() else {}
        self.now: datetime = self.settings.get("now", NOW)
        self.pipeline = Pipeline(
            spec=load(self.folder / "spec.yaml"), site=SITES[self.settings.get("site", "azure")]
        )

    def observed(self) -> Observed:
        path = self.folder / "observed.json"
        found = json.loads(path.read_text()) if path.exists() else {}
        return Observed(
            pool=found.get("pool"),
            job_schedules=tuple(found.get("job_schedules", ())),
            ended=frozenset(found.get("ended", ())),
        )


def compare(path: Path, text: str, request: pytest.FixtureRequest) -> None:
    if request.config.getoption("--update-golden"):
        path.write_text(text)
    assert text == path.read_text()


@pytest.mark.parametrize("name", CASES)
def test_plan(name: str, request: pytest.FixtureRequest) -> None:
    case = Case(name)
    try:
        plan = make_plan(case.pipeline, case.observed(), now=case.now)
    except BatchctlError as error:
        text = f"exit {error.exit_code}\nerror: {error.message}\nhint: {error.hint}\n"
        compare(case.folder / "plan.txt", text, request)
        return
    compare(case.folder / "plan.txt", render(plan) + "\n", request)
    if (case.folder / "plan.json").exists():
        compare(case.folder / "plan.json", json.dumps(plan.as_json(), indent=1) + "\n", request)


@pytest.mark.parametrize("name", [name for name in CASES if (HERE / name / "run.json").exists()])
def test_run(name: str, request: pytest.FixtureRequest) -> None:
    case = Case(name)
    at = case.settings.get("at", NOW)
    run = expand(case.pipeline, case.settings.get("parameters", {}), at, run="the-run")
    text = json.dumps({"job": run.job, "tasks": run.tasks}, indent=1) + "\n"
    compare(case.folder / "run.json", text, request)


GRAPHS = [
    (path.parent.name, drawing)
    for path in sorted(HERE.glob("*/case.toml"))
    for drawing in tomllib.loads(path.read_text()).get("graphs", {})
]


@pytest.mark.parametrize(("name", "drawing"), GRAPHS)
def test_graph(name: str, drawing: str, request: pytest.FixtureRequest) -> None:
    case = Case(name)
    given = case.settings["graphs"][drawing].get("parameters", {})
    text = graph(case.pipeline.spec, given, case.settings.get("at", NOW), run="the-run") + "\n"
    compare(case.folder / f"{drawing}.mmd", text, request)


def test_every_drawing_is_of_a_case() -> None:
    assert {(path.parent.name, path.stem) for path in HERE.glob("*/*.mmd")} == set(GRAPHS)


@pytest.mark.parametrize("name", CASES)
def test_a_second_plan_after_apply_is_empty(name: str) -> None:
    """What a plan creates is what the next plan wants to see."""
    case = Case(name)
    try:
        plan = make_plan(case.pipeline, case.observed(), now=case.now)
    except BatchctlError:
        return
    observed = case.observed()
    pool = next((c.body for c in plan.changes if c.kind == "pool" and c.body), observed.pool)
    if any(c.kind == "pool" and c.action == "delete" for c in plan.changes):
        pool = None
    gone = {c.id for c in plan.changes if c.kind == "job_schedule" and c.action == "delete"}
    made = [c.body for c in plan.changes if c.kind == "job_schedule" and c.body]
    kept = [s for s in observed.job_schedules if s["id"] not in gone]
    after = Observed(pool=pool, job_schedules=(*kept, *made), ended=observed.ended | gone)
    again = make_plan(case.pipeline, after, now=case.now)
    assert render(again).endswith("No changes.")
