"""The scheduler as a pure step: chosen instants, no clock, no process."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from batchctl.server.batch import scheduler
from batchctl.server.batch.resources.job_schedule import schedule_document
from batchctl.server.batch.resources.pool import pool_document
from batchctl.server.batch.resources.task import task_document
from batchctl.server.batch.scheduler import jobs, runs, schedules
from batchctl.server.batch.scheduler.additions import add_tasks
from batchctl.server.batch.scheduler.effects import Effect, Ending, KillRun, MakeNode, StartRun
from batchctl.server.batch.store import Row, Store

START = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def store() -> Iterator[Store]:
    opened = Store(":memory:")
    yield opened
    opened.close()


def tick(store: Store, now: datetime) -> list[Effect]:
    with store.transaction():
        return scheduler.tick(store, now)


def add_schedule(store: Store, **plan: str) -> Row:
    body = {"id": "s", "schedule": plan, "jobSpecification": {"poolInfo": {"poolId": "p"}}}
    with store.transaction():
        row = store.schedules.add(schedule_document(body, START))
        schedules.advance(store, row, START)
    return row


def add_pool(store: Store, **more: Any) -> None:
    with store.transaction():
        store.pools.add(pool_document("p", {"vmSize": "x", "targetDedicatedNodes": 1} | more, START))


def add_job(store: Store, *names: str, **more: Any) -> Row:
    with store.transaction():
        job = jobs.create_job(store, "j", {"poolInfo": {"poolId": "p"}, **more}, START)
        if names:
            add_tasks(
                store, job, [task_document({"id": n, "commandLine": "true"}, job.doc) for n in names], START
            )
    return job


def counts(store: Store) -> tuple[int, ...]:
    row: tuple[int, ...] = store.one("SELECT ready, active, running, succeeded, failed FROM job_counts")
    return row


def end_active_job(store: Store, now: datetime) -> None:
    with store.transaction():
        job = store.jobs.find("state = 'active'")
        assert job is not None
        jobs.terminate(store, job, "done", now)


def test_a_year_of_days(store: Store) -> None:
    add_schedule(store, recurrenceInterval="P1D")
    now, made = START, [START]
    for _ in range(364):
        end_active_job(store, now)
        tick(store, now)
        wake = scheduler.next_wake(store, now)
        assert wake is not None
        now = wake
        tick(store, now)
        made.append(now)
    assert made == [START + timedelta(days=day) for day in range(365)]
    assert store.one("SELECT count(*) FROM jobs")[0] == 365
    assert store.jobs.get("s:job-365") is not None


def test_a_sleep_of_a_week_makes_one_job(store: Store) -> None:
    add_schedule(store, recurrenceInterval="P1D", doNotRunUntil="2026-01-02T00:00:00Z")
    tick(store, START + timedelta(days=8, hours=5))
    assert [row.doc["id"] for row in store.jobs.all()] == ["s:job-1"]
    end_active_job(store, START + timedelta(days=8, hours=6))
    tick(store, START + timedelta(days=8, hours=6))
    assert scheduler.next_wake(store, START) == START + timedelta(days=9)


def test_what_falls_due_while_a_job_is_active_waits_for_its_end(store: Store) -> None:
    add_schedule(store, recurrenceInterval="P1D")
    tick(store, START)
    tick(store, START + timedelta(days=1))
    assert scheduler.next_wake(store, START) is None, "its job is active: nothing to do before that ends"
    tick(store, START + timedelta(days=3, hours=1))
    assert [row.doc["id"] for row in store.jobs.all()] == ["s:job-1"]
    end_active_job(store, START + timedelta(days=3, hours=1))
    tick(store, START + timedelta(days=3, hours=1))
    assert [row.doc["id"] for row in store.jobs.all()] == ["s:job-1", "s:job-2"]
    assert scheduler.next_wake(store, START) == START + timedelta(days=4)


@pytest.mark.parametrize(
    ("recurrence", "minutes", "due", "following"),
    [
        (None, 90, 0, None),
        ("PT1H", 0, 0, 60),
        ("PT1H", 59, 0, 60),
        ("PT1H", 60, 60, 120),
        ("PT1H", 200, 180, 240),
    ],
)
def test_latest_occurrence(recurrence: str | None, minutes: int, due: int, following: int | None) -> None:
    def text(after: int | None) -> str | None:
        if after is None:
            return None
        return (START + timedelta(minutes=after)).strftime("%Y-%m-%dT%H:%M:%S.0000000Z")

    first = text(0)
    assert first is not None
    found = schedules.latest_occurrence(first, recurrence, START + timedelta(minutes=minutes))
    assert found == (text(due), text(following))


def test_a_tick_is_done_once(store: Store) -> None:
    add_pool(store, taskSlotsPerNode=2)
    add_job(store, "a", "b", "c")
    effects = tick(store, START)
    assert [type(effect) for effect in effects] == [MakeNode, StartRun, StartRun]
    assert counts(store) == (1, 1, 2, 0, 0)
    changes = store.changes
    assert tick(store, START + timedelta(hours=1)) == []
    assert store.changes == changes


def test_an_exit_makes_room_for_the_next(store: Store) -> None:
    add_pool(store)
    add_job(store, "a", "b")
    first = next(effect for effect in tick(store, START) if isinstance(effect, StartRun))
    with store.transaction():
        runs.end_run(store, first.run, Ending(exit_code=0), START)
    second = next(effect for effect in tick(store, START) if isinstance(effect, StartRun))
    assert (first.task, second.task) == ("a", "b")
    assert counts(store) == (0, 0, 1, 1, 0)
    with store.transaction():
        assert runs.end_run(store, first.run, Ending(exit_code=0), START) == [], "an end is told once"


def test_a_deadline_is_a_wake_and_a_kill(store: Store) -> None:
    add_pool(store)
    job = add_job(store)
    limited = {"id": "a", "commandLine": "x", "constraints": {"maxWallClockTime": "PT5M"}}
    with store.transaction():
        add_tasks(store, job, [task_document(limited, job.doc)], START)
    tick(store, START)
    assert scheduler.next_wake(store, START) == START + timedelta(minutes=5)
    assert tick(store, START + timedelta(minutes=4)) == []
    kills = tick(store, START + timedelta(minutes=5))
    assert [type(effect) for effect in kills] == [KillRun]
    assert tick(store, START + timedelta(minutes=6)) == [], "told once"
    assert scheduler.next_wake(store, START) is None


def test_spread_and_pack(store: Store) -> None:
    for fill, nodes_used in (("Spread", 2), ("Pack", 1)):
        other = Store(":memory:")
        add_pool(
            other, targetDedicatedNodes=2, taskSlotsPerNode=2, taskSchedulingPolicy={"nodeFillType": fill}
        )
        add_job(other, "a", "b")
        starts = [effect for effect in tick(other, START) if isinstance(effect, StartRun)]
        assert len({start.node for start in starts}) == nodes_used
        other.close()


def test_a_large_task_in_front_holds_nobody_up(store: Store) -> None:
    add_pool(store)
    job = add_job(store)
    large = [{"id": f"l{n}", "commandLine": "x", "requiredSlots": 9} for n in range(50)]
    with store.transaction():
        add_tasks(store, job, [task_document(body, job.doc) for body in large], START)
        add_tasks(store, job, [task_document({"id": "small", "commandLine": "x"}, job.doc)], START)
    assert [effect.task for effect in tick(store, START) if isinstance(effect, StartRun)] == ["small"]


def test_jobs_of_one_priority_take_turns(store: Store) -> None:
    add_pool(store, targetDedicatedNodes=4)
    with store.transaction():
        for name in ("one", "two"):
            job = jobs.create_job(store, name, {"poolInfo": {"poolId": "P"}}, START)
            tasks = [task_document({"id": str(n), "commandLine": "x"}, job.doc) for n in range(4)]
            add_tasks(store, job, tasks, START)
    started = [effect.job for effect in tick(store, START) if isinstance(effect, StartRun)]
    assert started == ["one", "two", "one", "two"]


def test_deleting_a_large_job_takes_several_ticks(store: Store) -> None:
    job = add_job(store)
    with store.transaction():
        documents = [task_document({"id": str(n), "commandLine": "x"}, job.doc) for n in range(12_000)]
        add_tasks(store, job, documents, START)
        jobs.delete(store, job, START)
    rounds = 0
    while store.jobs.get("j") is not None:
        assert rounds == 0 or scheduler.next_wake(store, START) == START
        tick(store, START)
        rounds += 1
    assert rounds == 3
    assert store.one("SELECT count(*) FROM tasks")[0] == 0


def test_a_rolled_back_change_is_gone(store: Store) -> None:
    def fail() -> None:
        with store.transaction():
            store.do("INSERT INTO chores (folder, everywhere) VALUES ('x', 0)")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert store.one("SELECT count(*) FROM chores")[0] == 0
