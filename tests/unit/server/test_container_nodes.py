"""Nodes of pools with containers, as pure steps: prepared, broken, tried again, back with the engine."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from batchctl.server.batch import scheduler
from batchctl.server.batch.resources.pool import pool_document
from batchctl.server.batch.resources.task import task_document
from batchctl.server.batch.scheduler import container_nodes, jobs, nodes, runs
from batchctl.server.batch.scheduler.additions import add_tasks
from batchctl.server.batch.scheduler.containers import mismatch
from batchctl.server.batch.scheduler.effects import (
    Effect,
    Ending,
    KillRun,
    MakeNode,
    NodeProblem,
    PrepareNode,
    StartRun,
)
from batchctl.server.batch.store import Row, Store

START = datetime(2026, 1, 1, tzinfo=UTC)
SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)
IMAGE = {"imageName": "etl:1"}
REGISTRY = {"registryServer": "r", "username": "u", "password": "hidden"}
CONFIGURATION = {
    "type": "dockerCompatible",
    "containerImageNames": ["etl:1"],
    "containerRegistries": [REGISTRY],
}
BAD_IMAGE = NodeProblem(code="ContainerInvalidImage", message="no such image")


@pytest.fixture
def store() -> Iterator[Store]:
    opened = Store(":memory:")
    yield opened
    opened.close()


def tick(store: Store, now: datetime = START) -> list[Effect]:
    with store.transaction():
        return scheduler.tick(store, now)


def add_pool(store: Store, name: str = "p", **more: Any) -> None:
    machine = {"imageReference": {"offer": "x"}, "containerConfiguration": CONFIGURATION}
    body = {"vmSize": "standard_d2s_v5", "targetDedicatedNodes": 1, "virtualMachineConfiguration": machine}
    with store.transaction():
        store.pools.add(pool_document(name, body | more, START))


def add_job(store: Store, *names: str, settings: dict[str, Any] | None = None, **more: Any) -> None:
    with store.transaction():
        job = jobs.create_job(store, "j", {"poolInfo": {"poolId": "p"}} | more, START)
        work = {"commandLine": "true", "containerSettings": settings or IMAGE}
        add_tasks(store, job, [task_document({"id": name, **work}, job.doc) for name in names], START)


def node(store: Store) -> Row:
    (found,) = store.nodes.all()
    return found


def prepared(store: Store, problem: NodeProblem | None = None, now: datetime = START) -> list[Effect]:
    effects: list[Effect] = []
    with store.transaction():
        container_nodes.prepared(store, [node(store).doc["id"]], problem, now, effects)
        return [*effects, *scheduler.tick(store, now)]


def lose(store: Store, now: datetime = START) -> list[Effect]:
    with store.transaction():
        container_nodes.lose_engine(store, "No Docker Engine answers", now)
        return scheduler.tick(store, now)


def only(effects: list[Effect], kind: type) -> Any:
    (found,) = (effect for effect in effects if isinstance(effect, kind))
    return found


def test_a_node_takes_work_when_its_images_are_there(store: Store) -> None:
    add_pool(store)
    add_job(store, "a")
    effects = tick(store)
    wanted = only(effects, PrepareNode)
    assert (wanted.images, wanted.registries) == (("etl:1",), (REGISTRY,))
    assert [type(effect) for effect in effects] == [MakeNode, PrepareNode]
    assert node(store).doc["state"] == "starting"
    assert tick(store, START + MINUTE) == [], "it is asked for once"
    start = only(prepared(store), StartRun)
    assert start.container is not None
    assert (start.container.settings, start.container.registries) == (IMAGE, (REGISTRY,))
    assert start.container.vm_size == "standard_d2s_v5"
    assert node(store).doc["state"] == "running"
    assert prepared(store, BAD_IMAGE) == [], "news that nobody waits for any more"


def test_a_service_that_died_asks_again_for_what_nodes_wait_for(store: Store) -> None:
    add_pool(store)
    wanted = only(tick(store), PrepareNode)
    assert container_nodes.preparations(store) == [wanted]
    prepared(store)
    assert container_nodes.preparations(store) == []


def test_an_image_that_cannot_be_had_is_tried_again_while_work_waits_for_it(store: Store) -> None:
    add_pool(store)
    tick(store)
    assert prepared(store, BAD_IMAGE) == []
    assert node(store).doc["state"] == "unusable"
    assert node(store).doc["errors"] == [{"code": "ContainerInvalidImage", "message": "no such image"}]
    assert tick(store, START + MINUTE) == [], "nobody wants it"
    add_job(store, "a")
    assert tick(store, START + MINUTE) == []
    assert scheduler.next_wake(store, START + MINUTE) == START + 2 * MINUTE
    assert isinstance(only(tick(store, START + 2 * MINUTE), PrepareNode), PrepareNode)
    assert "errors" not in node(store).doc
    only(prepared(store, None, START + 2 * MINUTE), StartRun)


def test_without_an_engine_what_runs_is_given_back(store: Store) -> None:
    add_pool(store)
    add_job(store, "a")
    tick(store)
    start = only(prepared(store), StartRun)
    assert lose(store) == [KillRun(run=start.run)]
    (error,) = node(store).doc["errors"]
    assert (node(store).doc["state"], error["code"]) == ("unusable", "NodePreparationError")
    with store.transaction():
        runs.end_run(store, start.run, Ending(lost="gone"), START, lost=True)
    assert tick(store) == []
    assert store.one("SELECT state FROM tasks")[0] == "active"
    assert b'"requeueCount":1' in store.one("SELECT execution FROM tasks")[0]
    assert container_nodes.has_lost_engine(store)
    assert container_nodes.waits_for_engine(store)
    assert scheduler.next_wake(store, START) is None, "whether it is back is not asked by the clock"
    with store.transaction():
        container_nodes.engine_is_back(store, START)
    only(tick(store), PrepareNode)
    assert not container_nodes.has_lost_engine(store)
    only(prepared(store), StartRun)


def test_a_node_starts_again_when_nothing_of_it_is_left(store: Store) -> None:
    add_pool(store)
    add_job(store, "a")
    tick(store)
    start = only(prepared(store), StartRun)
    lose(store)
    with store.transaction():
        container_nodes.engine_is_back(store, START)
    assert tick(store) == []
    assert scheduler.next_wake(store, START) == START + SECOND
    with store.transaction():
        runs.end_run(store, start.run, Ending(), START)
    only(tick(store, START + SECOND), PrepareNode)


def test_work_that_waits_for_other_pools_does_not_want_the_engine(store: Store) -> None:
    add_pool(store)
    tick(store)
    prepared(store)
    lose(store)
    assert not container_nodes.waits_for_engine(store)


def test_a_start_task_of_a_node_that_broke_does_not_run_again_by_itself(store: Store) -> None:
    add_pool(store, startTask={"commandLine": "true", "containerSettings": IMAGE})
    tick(store)
    start = only(prepared(store), StartRun)
    assert (start.task, start.container is not None) == (None, True)
    assert node(store).doc["state"] == "waitingforstarttask"
    assert lose(store) == [KillRun(run=start.run)]
    with store.transaction():
        assert runs.end_run(store, start.run, Ending(lost="gone"), START, lost=True) == []


def test_pools_without_containers_do_not_mind(store: Store) -> None:
    add_pool(store, virtualMachineConfiguration={"imageReference": {"offer": "x"}})
    assert not [effect for effect in tick(store) if isinstance(effect, PrepareNode)]
    lose(store)
    assert node(store).doc["state"] == "idle"


def test_a_node_that_leaves_while_it_waits_is_gone(store: Store) -> None:
    add_pool(store)
    tick(store)
    with store.transaction():
        nodes.leave(store, node(store), None, START)
    assert prepared(store) == []
    assert node(store).doc["state"] == "leavingpool"


def test_the_container_of_a_run_is_shown(store: Store) -> None:
    add_pool(store, startTask={"commandLine": "true", "containerSettings": IMAGE})
    preparation = {"commandLine": "true", "containerSettings": IMAGE}
    add_job(store, "a", jobPreparationTask=preparation)
    tick(store)
    running = {"containerId": "c1", "state": "running", "error": ""}
    over = {"containerId": "c1", "state": "exited", "error": ""}

    def started(run: StartRun) -> None:
        with store.transaction():
            runs.container_started(store, run.run, "c1")

    def ended(run: StartRun) -> Any:
        with store.transaction():
            effects: list[Effect] = [
                *runs.end_run(store, run.run, Ending(exit_code=0, container=over), START)
            ]
            effects += scheduler.tick(store, START)
        return only(effects, StartRun) if any(isinstance(one, StartRun) for one in effects) else None

    start = only(prepared(store), StartRun)
    started(start)
    assert node(store).doc["startTaskInfo"]["containerInfo"] == running
    prep = ended(start)
    assert node(store).doc["startTaskInfo"]["containerInfo"] == over
    started(prep)
    assert (
        b'"containerInfo":{"containerId":"c1","state":"running"'
        in store.one("SELECT doc FROM preparations")[0]
    )
    task = ended(prep)
    assert b'"state":"exited"' in store.one("SELECT doc FROM preparations")[0]
    started(task)
    assert (
        b'"containerInfo":{"containerId":"c1","state":"running"'
        in store.one("SELECT execution FROM tasks")[0]
    )
    ended(task)
    assert (
        b'"containerInfo":{"containerId":"c1","state":"exited"' in store.one("SELECT execution FROM tasks")[0]
    )
    started(task)  # late news of a run that is over


def test_which_tasks_fit_which_pools() -> None:
    plain: dict[str, Any] = {}
    with_containers = {"virtualMachineConfiguration": {"containerConfiguration": CONFIGURATION}}
    task, container = {"commandLine": "x"}, {"commandLine": "x", "containerSettings": IMAGE}

    def code(pool: dict[str, Any], work: dict[str, Any], *, is_optional: bool = False) -> str | None:
        found = mismatch(pool, work, is_optional=is_optional)
        return found.failure if found else None

    assert code(plain, task) is None
    assert code(plain, container) == "ContainerPoolNotSupported"
    assert code(plain, container, is_optional=True) == "ContainerPoolNotSupported"
    assert code(with_containers, container) is None
    assert code(with_containers, task) == "ContainerInvalidSettings"
    assert code(with_containers, task, is_optional=True) is None
