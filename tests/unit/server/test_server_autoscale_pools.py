"""Pools that size themselves, as pure steps of the scheduler at chosen instants."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from batchctl.plan.pool_bodies import autoscale_formula
from batchctl.server.batch import scheduler
from batchctl.server.batch.resources.pool import pool_document
from batchctl.server.batch.resources.task import task_document
from batchctl.server.batch.scheduler import jobs, runs
from batchctl.server.batch.scheduler.additions import add_tasks
from batchctl.server.batch.scheduler.effects import Effect, Ending, StartRun
from batchctl.server.batch.store import Row, Store
from batchctl.spec import Pool

START = datetime(2026, 1, 1, tzinfo=UTC)
SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)


@pytest.fixture
def store() -> Iterator[Store]:
    opened = Store(":memory:")
    yield opened
    opened.close()


def tick(store: Store, now: datetime) -> list[Effect]:
    with store.transaction():
        return scheduler.tick(store, now)


def add_pool(store: Store, formula: str, **more: Any) -> None:
    body = {"vmSize": "x", "enableAutoScale": True, "autoScaleFormula": formula} | more
    with store.transaction():
        store.pools.add(pool_document("p", body, START))


def add_tasks_now(store: Store, now: datetime, *names: str) -> None:
    with store.transaction():
        job = store.jobs.get("j") or jobs.create_job(store, "j", {"poolInfo": {"poolId": "p"}}, now)
        documents = [task_document({"id": name, "commandLine": "true"}, job.doc) for name in names]
        add_tasks(store, job, documents, now)


def end_all(store: Store, effects: list[Effect], now: datetime) -> None:
    with store.transaction():
        for effect in effects:
            if isinstance(effect, StartRun):
                runs.end_run(store, effect.run, Ending(exit_code=0), now)


def pool(store: Store) -> Row:
    found = store.pools.get("p")
    assert found is not None
    return found


def nodes(store: Store) -> int:
    count: int = store.one("SELECT count(*) FROM nodes")[0]
    return count


def go(store: Store, now: datetime, until: datetime) -> datetime:
    """Tick at every instant the scheduler asks for, as the engine does; the last one before `until`."""
    while (wake := scheduler.next_wake(store, now)) is not None and wake < until:
        assert wake > now, "the scheduler would spin"
        now = wake
        tick(store, now)
    return now


def test_the_first_evaluation_is_at_once(store: Store) -> None:
    add_pool(store, "$TargetDedicatedNodes = 2; $TargetLowPriorityNodes = 1;")
    tick(store, START)
    assert nodes(store) == 3
    doc = pool(store).doc
    assert (doc["allocationState"], doc["targetDedicatedNodes"]) == ("steady", 2)
    assert doc["autoScaleRun"]["timestamp"] == doc["creationTime"]
    assert doc["autoScaleRun"]["results"].startswith("$TargetDedicatedNodes=2;$TargetLowPriorityNodes=1;")
    assert "error" not in doc["autoScaleRun"]
    assert scheduler.next_wake(store, START) == START + 30 * SECOND, "the next sample"


def test_evaluations_follow_the_interval(store: Store) -> None:
    add_pool(store, "$TargetDedicatedNodes = $TargetDedicatedNodes + 1;", autoScaleEvaluationInterval="PT5M")
    tick(store, START)
    go(store, START, START + 16 * MINUTE)
    assert nodes(store) == 4, "at 0, 5, 10 and 15 minutes"


def test_our_own_formula_brings_nodes_when_tasks_wait_and_takes_them_after_ten_idle_minutes(
    store: Store,
) -> None:
    formula = autoscale_formula(Pool(target_dedicated_nodes=2, target_low_priority_nodes=1))
    add_pool(store, formula, autoScaleEvaluationInterval="PT5M")
    tick(store, START)
    now = go(store, START, START + 7 * MINUTE)
    assert nodes(store) == 0
    add_tasks_now(store, now, "a", "b", "c", "d")
    effects = tick(store, now)
    assert nodes(store) == 3, "nobody waits for the next evaluation when there is no node at all"
    end_all(store, effects, now + MINUTE)
    end_all(store, tick(store, now + MINUTE), now + MINUTE)
    ended = go(store, now, now + MINUTE + SECOND)
    now = go(store, ended, ended + 9 * MINUTE)
    assert nodes(store) == 3, "the last samples of work are younger than ten minutes"
    go(store, now, ended + 16 * MINUTE)
    assert nodes(store) == 0
    assert (
        pool(store).doc["autoScaleRun"]["results"].endswith("$NodeDeallocationOption=taskcompletion;busy=0")
    )


def test_a_task_that_runs_keeps_its_node(store: Store) -> None:
    add_pool(
        store, "$TargetDedicatedNodes = $ActiveTasks > 0 ? 1 : 0; $NodeDeallocationOption = taskcompletion;"
    )
    tick(store, START)
    add_tasks_now(store, START + MINUTE, "long")
    effects = tick(store, START + MINUTE)
    assert [type(effect).__name__ for effect in effects] == ["MakeNode", "StartRun"]
    go(store, START + MINUTE, START + 40 * MINUTE)
    doc = pool(store).doc
    assert (doc["targetDedicatedNodes"], doc["allocationState"], nodes(store)) == (0, "resizing", 1)
    end_all(store, effects, START + 40 * MINUTE)
    tick(store, START + 40 * MINUTE)
    assert nodes(store) == 0


def test_early_evaluations_are_half_a_minute_apart(store: Store) -> None:
    add_pool(store, "$TargetDedicatedNodes = 0;", autoScaleEvaluationInterval="PT1H")
    tick(store, START)
    add_tasks_now(store, START + MINUTE, "a")
    stamps = set()
    for step in range(0, 120, 5):
        tick(store, START + MINUTE + step * SECOND)
        stamps.add(pool(store).doc["autoScaleRun"]["timestamp"][14:19])
    assert stamps == {"01:00", "01:30", "02:00", "02:30"}


def test_a_wrong_formula_changes_nothing_and_says_so(store: Store) -> None:
    add_pool(store, "$TargetDedicatedNodes = avg($PendingTasks.GetSample(TimeInterval_Hour, 90));")
    tick(store, START)
    run = pool(store).doc["autoScaleRun"]
    assert run["error"]["code"] == "AutoScalingFormulaEvaluationError"
    message = "Line 1, Col 43: GetSample: fewer than 90 percent of the samples are available"
    assert run["error"]["values"] == [{"name": "Message", "value": message}]
    assert (nodes(store), pool(store).doc["allocationState"]) == (0, "steady")


def test_samples_lie_on_the_grid_and_are_kept_for_a_day(store: Store) -> None:
    add_pool(store, "x = $PendingTasks.Count();", autoScaleEvaluationInterval="PT1H")
    tick(store, START + 7 * SECOND)
    assert scheduler.next_wake(store, START) == START + 30 * SECOND
    now = START + 7 * SECOND
    for _ in range(3):
        now += timedelta(hours=12)
        tick(store, now)
        tick(store, now + 30 * SECOND)
    stamps = [at[8:19] for (at,) in store.all("SELECT at FROM samples ORDER BY at")]
    assert stamps == ["01T12:00:30", "02T00:00:00", "02T00:00:30", "02T12:00:00", "02T12:00:30"]


def test_a_sleep_of_hours_is_a_hole_in_the_samples(store: Store) -> None:
    add_pool(
        store, "x = $PendingTasks.GetSamplePercent(TimeInterval_Hour);", autoScaleEvaluationInterval="PT5M"
    )
    tick(store, START)
    tick(store, START + timedelta(hours=2))
    assert store.one("SELECT count(*) FROM samples")[0] == 2
    assert pool(store).doc["autoScaleRun"]["results"].endswith(f"x={1 / 120 * 100:.15g}")


def test_the_metrics_of_a_busy_pool(store: Store) -> None:
    names = ("Active", "Running", "Pending", "Succeeded", "Failed")
    formula = "".join(f"{name} = ${name}Tasks;" for name in names)
    formula += (
        "cpu = $CPUPercent; n = $SampleNodeCount; d = $CurrentDedicatedNodes; $TargetDedicatedNodes = 1;"
    )
    add_pool(store, formula, taskSlotsPerNode=2, autoScaleEvaluationInterval="PT5M")
    tick(store, START)
    add_tasks_now(store, START, "a", "b", "c", "d")
    started = [effect for effect in tick(store, START) if isinstance(effect, StartRun)]
    with store.transaction():
        runs.end_run(store, started[0].run, Ending(exit_code=1), START)
    tick(store, START)
    tick(store, START + 5 * MINUTE)
    results = pool(store).doc["autoScaleRun"]["results"]
    shown = "Active=1;Failed=1;Pending=3;Running=2;Succeeded=0;cpu=100;d=1;n=1"
    assert results.endswith(f"$NodeDeallocationOption=requeue;{shown}")


def test_an_idle_pool_costs_nothing_between_samples(store: Store) -> None:
    add_pool(store, "$TargetDedicatedNodes = 1;")
    tick(store, START)
    before = store.changes
    tick(store, START + 10 * SECOND)
    assert store.changes == before


def test_a_pool_that_goes_is_sampled_no_more(store: Store) -> None:
    add_pool(store, "$TargetDedicatedNodes = 1;")
    tick(store, START)
    with store.transaction():
        scheduler.pools.delete(store, pool(store), START)
    tick(store, START + MINUTE)
    assert store.pools.get("p") is None
    assert store.one("SELECT count(*) FROM samples")[0] == 0
    assert scheduler.next_wake(store, START) is None
