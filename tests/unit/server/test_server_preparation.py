"""Preparation, dependencies on ranges and retention as pure steps: chosen instants, no clock, no process."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from batchctl.server.batch import scheduler
from batchctl.server.batch.resources.pool import pool_document
from batchctl.server.batch.resources.task import task_document
from batchctl.server.batch.scheduler import jobs, preparation, runs
from batchctl.server.batch.scheduler.additions import add_tasks
from batchctl.server.batch.scheduler.dependencies import settle_wishes
from batchctl.server.batch.scheduler.effects import Effect, Ending, KillRun, RemoveFolder, StartRun
from batchctl.server.batch.store import Row, Store

START = datetime(2026, 1, 1, tzinfo=UTC)
DONE = Ending(exit_code=0)


@pytest.fixture
def store() -> Iterator[Store]:
    opened = Store(":memory:")
    yield opened
    opened.close()


def tick(store: Store, now: datetime = START) -> list[StartRun]:
    with store.transaction():
        return starts(scheduler.tick(store, now))


def starts(effects: list[Effect] | list[StartRun]) -> list[StartRun]:
    return [effect for effect in effects if isinstance(effect, StartRun)]


def end(store: Store, run: int, ending: Ending = DONE, now: datetime = START, **more: Any) -> list[StartRun]:
    with store.transaction():
        return runs.end_run(store, run, ending, now, **more)


def prepared_job(store: Store, *names: str, nodes: int = 1, slots: int = 1, **more: Any) -> Row:
    body = {"poolInfo": {"poolId": "p"}, "jobPreparationTask": {"commandLine": "prep"}, **more}
    with store.transaction():
        pool = {"vmSize": "x", "targetDedicatedNodes": nodes, "taskSlotsPerNode": slots}
        store.pools.add(pool_document("p", pool, START))
        job = jobs.create_job(store, "j", body, START)
        add_tasks(store, job, documents(job, *names), START)
    return job


def documents(job: Row, *names: str, **more: Any) -> list[dict[str, Any]]:
    return [task_document({"id": name, "commandLine": "true", **more}, job.doc) for name in names]


def states(store: Store) -> list[str]:
    return [state for (state,) in store.all("SELECT state FROM tasks ORDER BY seq")]


def free(store: Store) -> list[int]:
    return [free for (free,) in store.all("SELECT free FROM nodes ORDER BY seq")]


def test_tasks_wait_and_start_together(store: Store) -> None:
    prepared_job(store, "a", "b", "c", slots=2)
    (prep,) = tick(store)
    assert (prep.task, prep.leaves_services, prep.preparation) == ("jobpreparation", True, None)
    assert (states(store), free(store)) == (["preparing", "preparing", "active"], [0])
    assert tick(store) == []
    begun = end(store, prep.run)
    assert [start.task for start in begun] == ["a", "b"]
    assert begun[0].preparation == prep.folder
    assert states(store) == ["running", "running", "active"]
    end(store, begun[0].run)
    assert [start.task for start in tick(store)] == ["c"], "no second preparation"


def test_a_failure_frees_the_node_and_bars_it(store: Store) -> None:
    prepared_job(store, "a", nodes=2)
    (prep,) = tick(store)
    assert end(store, prep.run, Ending(exit_code=1)) == []
    assert (states(store), free(store)) == (["active"], [1, 1])
    (second,) = tick(store)
    assert second.node != prep.node
    end(store, second.run, Ending(exit_code=1))
    assert tick(store) == []


def test_the_death_of_the_service_begins_everything_again(store: Store) -> None:
    prepared_job(store, "a")
    (prep,) = tick(store)
    for run in runs.open_runs(store):
        end(store, run.seq, Ending(), lost=True)
    assert (states(store), free(store)) == (["active"], [1])
    (again,) = tick(store)
    assert (again.task, again.run != prep.run) == ("jobpreparation", True)


def test_wall_clock_of_a_preparation(store: Store) -> None:
    constraints = {"maxWallClockTime": "PT1M"}
    prepared_job(store, "a", jobPreparationTask={"commandLine": "prep", "constraints": constraints})
    (prep,) = tick(store)
    later = START + timedelta(minutes=1)
    assert scheduler.next_wake(store, START) == later
    with store.transaction():
        assert scheduler.tick(store, later) == [KillRun(run=prep.run)]
    end(store, prep.run, Ending(exit_code=143), later)
    (view,) = preparation.status_views(store, _job(store), 0, 10, "")
    assert view[1]["jobPreparationTaskExecutionInfo"]["failureInfo"]["code"] == "TaskEnded"


def _job(store: Store) -> Row:
    job = store.jobs.get("j")
    assert job is not None
    return job


def test_a_lost_release_runs_again(store: Store) -> None:
    prepared_job(store, "a", jobReleaseTask={"commandLine": "release"})
    (prep,) = tick(store)
    (task,) = end(store, prep.run)
    end(store, task.run)
    with store.transaction():
        jobs.terminate(store, _job(store), "x", START)
    (release,) = tick(store)
    assert release.command_line == "release"
    (again,) = end(store, release.run, Ending(), lost=True)
    assert _job(store).doc["state"] == "terminating"
    end(store, again.run, Ending(exit_code=9))
    tick(store)
    assert _job(store).doc["state"] == "completed"


@pytest.mark.parametrize(("reimaged", "runs_release"), [(False, True), (True, False)])
def test_after_a_reimage_there_is_nothing_to_release(
    store: Store, *, reimaged: bool, runs_release: bool
) -> None:
    prepared_job(store, "a", jobReleaseTask={"commandLine": "release"})
    (prep,) = tick(store)
    (task,) = end(store, prep.run)
    end(store, task.run)
    with store.transaction():
        (node,) = store.one("SELECT seq FROM nodes")
        preparation.node_restarted(store, node, reimaged=reimaged)
        jobs.terminate(store, _job(store), "x", START)
    assert bool(tick(store)) is runs_release


def test_retention(store: Store) -> None:
    job = prepared_job(store)
    with store.transaction():
        short = documents(job, "a", constraints={"retentionTime": "PT1H"})
        add_tasks(store, job, short, START)
    (prep,) = tick(store)
    (task,) = end(store, prep.run)
    end(store, task.run)
    tick(store)
    assert scheduler.next_wake(store, START) == START + timedelta(hours=1)
    with store.transaction():
        effects = scheduler.tick(store, START + timedelta(hours=1))
    assert effects == [RemoveFolder(folder=task.folder)]
    assert scheduler.next_wake(store, START) is None


def test_thousands_may_wait_for_one_range(store: Store) -> None:
    """The cost is the sum of both, not the product: 2,000 by 2,000 would take minutes."""
    many = 2000
    with store.transaction():
        job = jobs.create_job(store, "j", {"poolInfo": {"poolId": "p"}, "usesTaskDependencies": True}, START)
        depends = {"taskIdRanges": [{"start": 1, "end": many}]}
        add_tasks(store, job, documents(job, *(f"w{n}" for n in range(many)), dependsOn=depends), START)
        add_tasks(store, job, documents(job, *map(str, range(1, many + 1))), START)
    begun = time.process_time()
    with store.transaction():
        rows = store.all("SELECT seq FROM tasks WHERE number IS NOT NULL ORDER BY seq")
        for place, (seq,) in enumerate(rows):
            waiting = (
                store.one("SELECT count(*) FROM tasks WHERE unmet > 0")[0] if place == many - 1 else None
            )
            task = runs.task_at(store, seq)
            assert task is not None
            satisfy(store, job, task)
            assert waiting in (None, many), "not before the last"
    assert store.one("SELECT count(*) FROM tasks WHERE unmet > 0")[0] == 0
    assert store.one("SELECT (SELECT count(*) FROM ranges) + (SELECT count(*) FROM range_waiters)")[0] == 0
    assert time.process_time() - begun < 10


def satisfy(store: Store, job: Row, task: Any) -> None:
    store.do(
        "UPDATE tasks SET state = 'completed', result = 'success', satisfied = 1 WHERE seq = ?", (task.seq,)
    )
    settle_wishes(store, job.seq, task.seq, task.key)


def test_a_removed_waiter_is_not_waited_for(store: Store) -> None:
    with store.transaction():
        job = jobs.create_job(store, "j", {"poolInfo": {"poolId": "p"}, "usesTaskDependencies": True}, START)
        depends = {"taskIdRanges": [{"start": 1, "end": 2}, {"start": 1, "end": 2}]}
        add_tasks(store, job, documents(job, "a", "b", dependsOn=depends), START)
        store.do("DELETE FROM tasks WHERE key = 'a'")
        add_tasks(store, job, documents(job, "1", "2"), START)
        for (seq,) in store.all("SELECT seq FROM tasks WHERE number IS NOT NULL"):
            satisfy(store, job, runs.task_at(store, seq))
    assert store.one("SELECT unmet FROM tasks WHERE key = 'b'")[0] == 0
