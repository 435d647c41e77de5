"""An account that takes its time: no job schedule is created with a beginning that is past by then, for Batch would fire at once."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from batchctl.errors import Refused, StalePlan
from batchctl.plan import Pipeline, Site
from batchctl.plan.pipeline import METADATA_PIPELINE, metadata_items, metadata_of
from batchctl.report.occurrences import pauses_of
from batchctl.server.batch.handlers import pools
from batchctl.server.batch.wire import parse_instant
from batchctl.spec import loads
from batchctl.workflows.keeper import KEEPER, make_keeper
from batchctl.workflows.plan import can_fire
from batchctl.workflows.schedules import apply_pipeline, deployed, pause, sync
from tests.acceptance.virtual_service import VirtualBatch, VirtualService

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
SITE = Site(target="local", zones={}, runs_url="file:///runs/", autoscale=False, containers=False)


class SlowBatch(VirtualBatch):
    """`creating` passes at each job schedule, `deleting` at a pool."""

    def __init__(self, creating: timedelta = timedelta(0), deleting: timedelta = timedelta(0)) -> None:
        super().__init__(VirtualService(NOON))
        self.creating, self.deleting = creating, deleting

    def nodes(self, pool: str) -> list[dict[str, Any]]:
        return []

    def delete_pool(self, id: str, *, wait: bool = False) -> None:
        self._do(pools.delete, poolId=id)
        self.service.run_until(self.service.now + self.deleting)

    def create_job_schedule(self, body: Mapping[str, Any]) -> None:
        assert parse_instant(body["schedule"]["doNotRunUntil"]) > self.service.now
        super().create_job_schedule(body)
        self.service.run_until(self.service.now + self.creating)

    def job_schedules(self, pipeline: str | None = None) -> list[dict[str, Any]]:
        if pipeline is not None:
            return super().job_schedules(pipeline)
        return [*super().job_schedules("p"), *super().job_schedules("q"), *super().job_schedules("r")]


def pipeline(name: str, cron: str, pool: str, timezone: str = "UTC") -> Pipeline:
    text = f'name: {name}\nschedule: {{cron: "{cron}", timezone: {timezone}}}\npool: {pool}\ntasks: [{{id: a, command: "true"}}]\n'
    return Pipeline(spec=loads(text.encode()), site=SITE)


def apply_to(batch: SlowBatch, wanted: Pipeline) -> list[str]:
    def clock() -> datetime:
        return batch.service.now

    plan = apply_pipeline(batch, wanted, clock=clock, replace_pool=False, quota=None, story=lambda _: None)
    return [f"{change.action} {change.kind}" for change in plan.changes]


def test_schedules_are_planned_when_the_pool_has_been_replaced() -> None:
    batch = SlowBatch(deleting=timedelta(minutes=6))
    apply_to(batch, pipeline("p", "* * * * *", "{target_dedicated_nodes: 1}"))
    done = apply_to(
        batch, pipeline("p", "*/2 * * * *", "{target_dedicated_nodes: 1, vm_size: standard_d4s_v5}")
    )
    assert done == ["replace pool", "create job_schedule", "delete job_schedule"]
    assert (
        apply_to(batch, pipeline("p", "*/2 * * * *", "{target_dedicated_nodes: 1, vm_size: standard_d4s_v5}"))
        == []
    )


def test_a_schedule_that_would_begin_in_the_past_is_refused_and_what_was_there_stays() -> None:
    batch = SlowBatch(creating=timedelta(minutes=2))
    batch.create_pool({"id": "own", "vmSize": "x", "targetDedicatedNodes": 1})
    apply_to(batch, pipeline("p", "0 0 1 1 *", "{id: own}"))
    thirds = pipeline("p", "0,1,3 12 * * *", "{id: own}")  # begins with 12:03, 12:01 and 12:00 tomorrow
    batch.service.run_until(NOON.replace(hour=11, minute=59) + timedelta(days=1))
    with pytest.raises(StalePlan, match="took until after that"):
        apply_to(batch, thirds)
    assert any(
        "batchctl:retired" not in str(body) and "0 0 1 1 *" in str(body) for body in batch.job_schedules("p")
    )
    batch.creating = timedelta(0)
    assert "delete job_schedule" in apply_to(batch, thirds)


def test_each_pipeline_that_is_renewed_has_its_own_present() -> None:
    batch = SlowBatch()
    batch.create_pool({"id": "own", "vmSize": "x", "targetDedicatedNodes": 1})
    for name in ("p", "q"):
        apply_to(batch, pipeline(name, "0 0 * * 1", "{id: own}", "Europe/Berlin"))
    batch.service.run_until(datetime(2027, 1, 31, 22, 58, 40, tzinfo=UTC))  # a minute before both fire
    batch.creating = timedelta(minutes=2)
    plans = sync(batch, None, clock=lambda: batch.service.now, story=lambda _: None)
    assert len(plans) == 2


def test_a_paused_pipeline_stays_paused_although_its_apply_was_interrupted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    batch = SlowBatch()
    batch.create_pool({"id": "own", "vmSize": "x", "targetDedicatedNodes": 1})
    apply_to(batch, pipeline("p", "0 6 * * *", "{id: own}"))
    (found,) = deployed(batch, "p", now=NOON)
    assert pause(batch, found, now=NOON) == 1
    with monkeypatch.context() as patch:
        patch.setattr("batchctl.workflows.apply.end_job_schedule", interrupted)
        with pytest.raises(KeyboardInterrupt):
            apply_to(batch, pipeline("p", "0 7 * * *", "{id: own}"))
    assert apply_to(batch, pipeline("p", "0 7 * * *", "{id: own}")) == ["delete job_schedule"]
    (found,) = deployed(batch, "p", now=NOON)
    assert found.is_paused
    assert [body["schedule"]["doNotRunUntil"][11:13] for body in found.live] == ["07"]


def interrupted(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


def test_one_keeper_is_enough() -> None:
    batch = SlowBatch()

    def made(pool: str) -> bool:
        batch.service.run_until(batch.service.now + timedelta(minutes=10))
        return make_keeper(batch, now=batch.service.now, runs_url="file:///runs/", pool=pool, image="")

    assert [made("own"), made("own"), made("other"), made("other")] == [True, False, True, False]
    assert len([body for body in batch.job_schedules(KEEPER) if can_fire(body, batch.service.now)]) == 1


def test_a_pipeline_that_cannot_be_renewed_does_not_keep_the_others() -> None:
    batch = SlowBatch()
    batch.create_pool({"id": "own", "vmSize": "x", "targetDedicatedNodes": 1})
    apply_to(batch, pipeline("p", "0 0 * * 1", "{target_dedicated_nodes: 1}", "Europe/Berlin"))
    apply_to(batch, pipeline("q", "0 0 * * 1", "{id: own}", "Europe/Berlin"))
    batch._do(pools.delete, poolId="p")
    batch.create_pool({"id": "p", "vmSize": "x", "targetDedicatedNodes": 1})  # not ours: its metadata is gone
    batch.service.run_until(NOON + timedelta(days=300))
    told: list[str] = []
    body = batch.job_schedules("q")[0]
    unknown = json.loads(json.dumps(body).replace('\\"cron\\"', '\\"crontab\\"'))
    metadata = metadata_items({**metadata_of(body), METADATA_PIPELINE: "r"})
    super(SlowBatch, batch).create_job_schedule(
        {**{key: unknown[key] for key in ("schedule", "jobSpecification")}, "id": "r-1", "metadata": metadata}
    )
    with pytest.raises(Refused, match="not renewed: p, r"):
        sync(batch, None, clock=lambda: batch.service.now, story=told.append)
    assert told[0].startswith("p is not renewed: the pool p is there already")
    assert any(line.startswith("create job_schedule q-") for line in told)
    assert told[-1].startswith("r is not renewed: what r runs was written by another version")


def test_a_pause_that_was_interrupted_gets_on_record() -> None:
    batch = SlowBatch()
    batch.create_pool({"id": "own", "vmSize": "x", "targetDedicatedNodes": 1})
    apply_to(batch, pipeline("p", "0 6 * * *", "{id: own}"))
    (found,) = deployed(batch, "p", now=NOON)
    batch.disable_job_schedule(found.live[0]["id"])  # and then the connection was gone
    for _ in range(2):
        (found,) = deployed(batch, "p", now=NOON)
        assert pause(batch, found, now=NOON) == 0
    (found,) = deployed(batch, "p", now=NOON)
    assert pauses_of(found.live[0]) == [(NOON, None)]
