"""Nodes taken out of work, restarted and preempted; quotas and timeouts; as pure steps at chosen instants."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from batchctl.server.batch import scheduler
from batchctl.server.batch.lifecycle.node import NODE, NodeEvent, NodeState
from batchctl.server.batch.quota import Quota, read_quota, write_quota
from batchctl.server.batch.resources.pool import pool_document
from batchctl.server.batch.resources.task import task_document
from batchctl.server.batch.resources.usage_metrics import Life, metrics_views
from batchctl.server.batch.resources.vm_size import cores, known_cores
from batchctl.server.batch.scheduler import jobs, pools, runs
from batchctl.server.batch.scheduler.additions import add_tasks
from batchctl.server.batch.scheduler.effects import Effect, Ending, KillRun, MakeNode, RemoveFolder, StartRun
from batchctl.server.batch.scheduler.node_lives import dedicated_core_time
from batchctl.server.batch.scheduler.nodes import preempt_node, restart
from batchctl.server.batch.store import Row, Store

START = datetime(2026, 1, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


@pytest.fixture
def store() -> Iterator[Store]:
    opened = Store(":memory:")
    yield opened
    opened.close()


def tick(store: Store, now: datetime = START) -> list[Effect]:
    with store.transaction():
        return scheduler.tick(store, now)


def add_pool(store: Store, name: str = "p", **more: Any) -> Row:
    with store.transaction():
        return store.pools.add(pool_document(name, {"vmSize": "standard_d2s_v5"} | more, START))


def add_job(store: Store, *names: str) -> None:
    with store.transaction():
        job = jobs.create_job(store, "j", {"poolInfo": {"poolId": "p"}}, START)
        documents = [task_document({"id": name, "commandLine": "true"}, job.doc) for name in names]
        add_tasks(store, job, documents, START)


def resize(store: Store, now: datetime, **targets: Any) -> None:
    with store.transaction():
        pools.resize(store, pool(store), targets, now)


def pool(store: Store, name: str = "p") -> Row:
    found = store.pools.get(name)
    assert found is not None
    return found


def states(store: Store) -> list[str]:
    return [state for (state,) in store.all("SELECT state FROM nodes ORDER BY seq")]


def kinds(effects: list[Effect]) -> list[type]:
    return [type(effect) for effect in effects]


def end(store: Store, run: int, now: datetime, ending: Ending | None = None) -> list[StartRun]:
    with store.transaction():
        return runs.end_run(store, run, ending or Ending(exit_code=0), now)


def error_codes(store: Store, name: str = "p") -> list[str]:
    return [error["code"] for error in pool(store, name).doc.get("resizeErrors", [])]


def test_a_preempted_node_loses_its_task_and_files_and_comes_back(store: Store) -> None:
    add_pool(store, targetLowPriorityNodes=1)
    add_job(store, "a")
    start = tick(store)[-1]
    assert isinstance(start, StartRun)
    (node,) = store.nodes.all()
    with store.transaction():
        assert preempt_node(store, node, START + MINUTE)
    assert kinds(tick(store, START + MINUTE)) == [KillRun]
    assert states(store) == ["preempted"]
    end(store, start.run, START + MINUTE, Ending(exit_code=137))
    tick(store, START + MINUTE)
    assert store.one("SELECT state FROM tasks")[0] == "active"
    assert b'"requeueCount":1' in store.one("SELECT execution FROM tasks")[0]
    assert scheduler.next_wake(store, START) == START + 2 * MINUTE
    effects = tick(store, START + 2 * MINUTE)
    assert kinds(effects) == [RemoveFolder, MakeNode, StartRun]
    assert (states(store), store.nodes.all()[0].doc["id"]) == (["running"], node.doc["id"])


def test_a_preempted_node_whose_processes_still_end_comes_back_later_without_spinning(store: Store) -> None:
    add_pool(store, targetLowPriorityNodes=1)
    add_job(store, "a")
    start = tick(store)[-1]
    assert isinstance(start, StartRun)
    with store.transaction():
        preempt_node(store, store.nodes.all()[0], START)
    tick(store, START + 2 * MINUTE)
    assert (states(store), scheduler.next_wake(store, START)) == (["creating"], None)
    end(store, start.run, START + 2 * MINUTE)
    assert kinds(tick(store, START + 2 * MINUTE)) == [RemoveFolder, MakeNode, StartRun]


def test_what_cannot_be_preempted(store: Store) -> None:
    add_pool(store, targetDedicatedNodes=1, targetLowPriorityNodes=1)
    tick(store)
    dedicated, low = store.nodes.all()
    with store.transaction():
        with pytest.raises(ValueError, match="only low-priority"):
            preempt_node(store, dedicated, START)
        assert preempt_node(store, low, START, back_after=None)
        assert not preempt_node(store, low, START), "it is gone already"
    tick(store, START + timedelta(days=1))
    assert states(store) == ["idle", "preempted"], "it was never to be given back"
    resize(store, START, targetDedicatedNodes=1)
    tick(store)
    assert states(store) == ["idle"]


@pytest.mark.parametrize(
    ("option", "killed"), [("requeue", 1), ("terminate", 1), ("taskcompletion", 0), ("retaineddata", 0)]
)
def test_a_reboot_waits_for_the_tasks_or_kills_them(store: Store, option: str, killed: int) -> None:
    add_pool(store, targetDedicatedNodes=1, startTask={"commandLine": "true"})
    (_, boot) = tick(store)
    assert isinstance(boot, StartRun)
    end(store, boot.run, START)
    add_job(store, "a", "b")
    (start,) = tick(store)
    assert isinstance(start, StartRun)
    with store.transaction():
        restart(store, store.nodes.all()[0], NodeEvent.REBOOT, option, START)
    assert kinds(tick(store)) == [KillRun] * killed
    assert states(store) == ["rebooting"]
    end(store, start.run, START)
    effects = tick(store, START + MINUTE)
    assert kinds(effects) == [StartRun], "the start task again, and no task before it has ended"
    assert states(store) == ["waitingforstarttask"]
    expected = {"requeue": "active", "terminate": "completed"}.get(option, "completed")
    assert store.one("SELECT state FROM tasks WHERE key = 'a'")[0] == expected
    (node,) = store.nodes.all()
    assert node.doc["lastBootTime"].startswith("2026-01-01T00:01")
    assert node.doc["startTaskInfo"]["startTime"].startswith("2026-01-01T00:01")
    assert isinstance(effects[0], StartRun)
    end(store, effects[0].run, START + MINUTE)
    assert kinds(tick(store, START + MINUTE)) == [StartRun]
    assert states(store) == ["running"]


def test_a_start_task_that_hangs_ends_with_the_reboot(store: Store) -> None:
    add_pool(store, targetDedicatedNodes=1, startTask={"commandLine": "sleep 9"})
    boot = tick(store)[-1]
    assert isinstance(boot, StartRun)
    with store.transaction():
        pool_row = pool(store)
        del pool_row.doc["startTask"]
        store.pools.save(pool_row)
        restart(store, store.nodes.all()[0], NodeEvent.REBOOT, "requeue", START)
    assert kinds(tick(store)) == [KillRun]
    assert end(store, boot.run, START, Ending(exit_code=143)) == []
    assert tick(store) == []
    assert states(store) == ["idle"], "the pool has no start task any more"


def test_a_lost_start_task_of_a_changed_pool_runs_again_as_it_was(store: Store) -> None:
    add_pool(store, targetDedicatedNodes=1, startTask={"commandLine": "first", "maxTaskRetryCount": 1})
    boot = tick(store)[-1]
    assert isinstance(boot, StartRun)
    with store.transaction():
        pool_row = pool(store)
        del pool_row.doc["startTask"]
        store.pools.save(pool_row)
    (again,) = end(store, boot.run, START, Ending(exit_code=1))
    assert again.command_line == "first"


def test_cores_beyond_the_quota_are_a_resize_error(store: Store) -> None:
    with store.transaction():
        write_quota(store, Quota(dedicated_cores=5, low_priority_cores=0))
    assert read_quota(store).dedicated_cores == 5
    add_pool(store, "other", targetDedicatedNodes=1)
    tick(store)
    add_pool(store, targetDedicatedNodes=3, targetLowPriorityNodes=1)
    tick(store)
    assert (pool(store).doc["allocationState"], len(states(store))) == ("steady", 2)
    assert error_codes(store) == ["AccountCoreQuotaReached", "AccountCoreQuotaReached"]
    before = store.changes
    tick(store)
    assert store.changes == before
    resize(store, START, targetDedicatedNodes=1)
    tick(store)
    assert error_codes(store) == []


def test_a_shrinking_pool_over_its_quota_settles(store: Store) -> None:
    add_pool(store, targetDedicatedNodes=2)
    add_job(store, "a", "b")
    started = [effect for effect in tick(store) if isinstance(effect, StartRun)]
    with store.transaction():
        write_quota(store, Quota(low_priority_cores=0))
    options = {"nodeDeallocationOption": "taskcompletion"}
    resize(store, START, targetLowPriorityNodes=1, **options)
    tick(store)
    assert pool(store).doc["allocationState"] == "resizing"
    for start in started:
        end(store, start.run, START)
    tick(store)
    assert (pool(store).doc["allocationState"], states(store)) == ("steady", [])
    assert error_codes(store) == ["AccountCoreQuotaReached"]


def test_nodes_that_are_not_to_be_had_are_waited_for_until_the_timeout(store: Store) -> None:
    with store.transaction():
        write_quota(store, Quota(nodes=1))
    add_pool(store, targetDedicatedNodes=2, resizeTimeout="PT5M")
    tick(store)
    assert (pool(store).doc["allocationState"], states(store)) == ("resizing", ["idle"])
    assert scheduler.next_wake(store, START) == START + 5 * MINUTE
    tick(store, START + 5 * MINUTE)
    assert (pool(store).doc["allocationState"], states(store)) == ("steady", ["idle"])
    assert error_codes(store) == ["AllocationTimedout"]
    assert pool(store).doc["targetDedicatedNodes"] == 2
    assert scheduler.next_wake(store, START) is None
    resize(store, START + 6 * MINUTE, targetDedicatedNodes=2)
    with store.transaction():
        write_quota(store, Quota())
    tick(store, START + 6 * MINUTE)
    assert (pool(store).doc["allocationState"], states(store)) == ("steady", ["idle", "idle"])


def test_a_shrink_that_waits_for_tasks_too_long_stops_resizing(store: Store) -> None:
    add_pool(store, targetDedicatedNodes=1, resizeTimeout="PT5M")
    add_job(store, "a")
    start = tick(store)[-1]
    assert isinstance(start, StartRun)
    resize(store, START, nodeDeallocationOption="taskcompletion")
    tick(store, START + 5 * MINUTE)
    assert (pool(store).doc["allocationState"], states(store)) == ("stopping", ["leavingpool"])
    assert error_codes(store) == ["AllocationTimedout"]
    end(store, start.run, START + 6 * MINUTE)
    tick(store, START + 6 * MINUTE)
    assert (pool(store).doc["allocationState"], states(store)) == ("steady", [])


def test_an_auto_pool_over_the_quota_ends_its_job(store: Store) -> None:
    with store.transaction():
        write_quota(store, Quota(pools=0))
        auto = {"poolLifetimeOption": "job", "pool": {"vmSize": "x", "targetDedicatedNodes": 1}}
        job = jobs.create_job(store, "j", {"poolInfo": {"autoPoolSpecification": auto}}, START)
    tick(store)
    found = store.jobs.at(job.seq)
    assert found is not None
    assert found.doc["state"] == "completed"
    error = found.doc["executionInfo"]["schedulingError"]
    assert (error["category"], error["code"]) == ("UserError", "AutoPoolCreationFailedWithQuotaReached")
    assert "poolId" not in found.doc["executionInfo"]


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ("Standard_D2s_v5", 2), ("standard_d11_v2", 2), ("STANDARD_D5_V2", 16), ("standard_ds3_v2", 4),
        ("Standard_NC24ads_A100_v4", 24), ("standard_f16s_v2", 16), ("standard_a1_v2", 1), ("standard_a4", 8),
        ("Standard_E8-4ds_v5", 8), ("standard_m128ms", 128), ("x", None), ("", None),
    ],
)  # fmt: skip
def test_the_cores_of_a_size(size: str, expected: int | None) -> None:
    assert known_cores(size) == expected
    assert cores(size) == (expected or 1)


def test_core_time_counts_nodes_that_went_and_nodes_that_are_there(store: Store) -> None:
    add_pool(store, targetDedicatedNodes=2, targetLowPriorityNodes=1)
    tick(store)
    resize(store, START + timedelta(hours=1), targetDedicatedNodes=1)
    tick(store, START + timedelta(hours=1))
    assert dedicated_core_time(store, pool(store), START + timedelta(hours=3)) == timedelta(hours=2 + 6)


def test_usage_metrics_are_cut_at_half_hours() -> None:
    hour = timedelta(hours=1)
    lives = [
        Life("p", "s", 2, START + hour / 4, START + hour),
        Life("p", "s", 2, START + hour / 2, None),
        Life("q", "s", 1, START - hour, START + hour / 2),
    ]
    views = metrics_views(lives, START, START + hour, START + hour * 9)
    found = [(view["startTime"][11:16], view["poolId"], view["totalCoreHours"]) for view in views]
    assert found == [("00:00", "p", 0.5), ("00:00", "q", 0.5), ("00:30", "p", 2.0)]
    assert views[0]["endTime"][11:16] == "00:30"


def test_every_node_state_that_occurs_has_a_way_out() -> None:
    occurring = {state for state, _ in NODE.table} | set(NODE.table.values())
    assert set(NodeState) - occurring == {NodeState.UNKNOWN, NodeState.UPGRADING_OS}
    stuck = {state for state in occurring if not any(before is state for before, _ in NODE.table)}
    assert stuck == {NodeState.LEAVING_POOL}
