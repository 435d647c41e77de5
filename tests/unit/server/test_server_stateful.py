"""Random stories of requests, ends of processes and time, each step checked against the drawings in docs/states.md.

The store and the scheduler are the real ones; nothing is started, so processes end when the story says so.
"""

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from batchctl.server.batch import scheduler
from batchctl.server.batch.call import CURRENT_API, Call
from batchctl.server.batch.errors import ServiceError
from batchctl.server.batch.routes import OPERATIONS
from batchctl.server.batch.scheduler import runs
from batchctl.server.batch.scheduler.effects import Effect, Ending, KillRun, StartRun
from batchctl.server.batch.scheduler.jobs import TO_REMOVE
from batchctl.server.batch.scheduler.nodes import preempt_node
from batchctl.server.batch.store import Store

START = datetime(2026, 1, 1, tzinfo=UTC)
HANDLERS = {operation.name: (operation.method, operation.handler) for operation in OPERATIONS}
NAMES = st.sampled_from(["a", "b"])
TASKS = st.sampled_from(["1", "2", "3", "4"])
OPTIONS = st.sampled_from(["requeue", "terminate", "taskcompletion"])


def _drawings() -> dict[str, set[tuple[str, str]]]:
    text = (Path(__file__).parents[3] / "docs" / "states.md").read_text()
    sections = re.split(r"^## ", text, flags=re.MULTILINE)[1:]
    arrow = re.compile(r"^ +(\w+) --> (\w+): ", flags=re.MULTILINE)
    return {section.partition("\n")[0]: set(arrow.findall(section)) for section in sections}


DRAWN = _drawings()


def _reachable(arrows: set[tuple[str, str]], start: str) -> set[str]:
    found, fresh = {start}, {start}
    while fresh:
        fresh = {after for before, after in arrows if before in fresh} - found
        found |= fresh
    return found


class Story(RuleBasedStateMachine):
    """A service without processes: requests, ticks, ends of runs, and the clock."""

    @initialize()
    def begin(self) -> None:
        self.store = Store(":memory:")
        self.now = START
        self.live: dict[int, StartRun] = {}
        self.dying: set[int] = set()
        self.seen: dict[tuple[str, Any], str] = {}
        self.request("create_pool", {"id": "a", "vmSize": "x", "targetDedicatedNodes": 1, "targetLowPriorityNodes": 1,
                                     "taskSlotsPerNode": 2})  # fmt: skip
        self.request("create_job", {"id": "c", "poolInfo": {"poolId": "a"}, "usesTaskDependencies": True})
        self.tick()

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.store.close()

    def request(self, name: str, body: Any = None, **ids: str) -> bool:
        """One request; False if it was refused (a 4xx; anything else fails the test)."""
        method, handler = HANDLERS[name]
        assert handler is not None
        call = Call(
            method=method, operation=name, path="/", raw_query="", params=ids, query={}, headers={}, body=body,
            api_version=CURRENT_API, request_id="r", now=self.now, store=self.store, endpoint="http://here",
            nodes=Path("/nowhere"),
        )  # fmt: skip
        try:
            with self.store.transaction():
                handler(call)
        except ServiceError as error:
            refused = error
        else:
            return True
        assert 400 <= refused.status < 500, refused
        return False

    def tick(self) -> None:
        """What the engine does in a round, without the processes."""
        with self.store.transaction():
            effects = scheduler.tick(self.store, self.now)
        self.perform(effects)
        changes = self.store.changes
        with self.store.transaction():
            again = scheduler.tick(self.store, self.now)
        assert (again, self.store.changes) == ([], changes), "a tick is done once"
        wake = scheduler.next_wake(self.store, self.now)
        assert wake is None or wake > self.now or self.store.one(TO_REMOVE), "the engine would spin"

    def perform(self, effects: list[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, StartRun):
                assert effect.run not in self.live, "a run starts once"
                self.live[effect.run] = effect
            elif isinstance(effect, KillRun):
                self.dying.add(effect.run)

    def end(self, run: int, ending: Ending) -> None:
        del self.live[run]
        self.dying.discard(run)
        with self.store.transaction():
            starts = runs.end_run(self.store, run, ending, self.now)
        self.perform(list(starts))
        self.tick()

    @rule(name=NAMES, low=st.integers(0, 2), slots=st.integers(1, 3), start=st.booleans())
    def create_pool(self, name: str, low: int, slots: int, start: bool) -> None:
        body = {
            "id": name,
            "vmSize": "x",
            "targetDedicatedNodes": 1,
            "targetLowPriorityNodes": low,
            "taskSlotsPerNode": slots,
        }
        task = (
            {"startTask": {"commandLine": "x", "waitForSuccess": True, "maxTaskRetryCount": 1}}
            if start
            else {}
        )
        self.request("create_pool", {**body, **task})
        self.tick()

    @rule(name=NAMES, wanted=st.integers(0, 3), low=st.integers(0, 2), option=OPTIONS)
    def resize_pool(self, name: str, wanted: int, low: int, option: str) -> None:
        body = {
            "targetDedicatedNodes": wanted,
            "targetLowPriorityNodes": low,
            "nodeDeallocationOption": option,
        }
        self.request("resize_pool", body, poolId=name)
        self.tick()

    @rule(name=NAMES, verb=st.sampled_from(["stop_pool_resize", "delete_pool"]))
    def end_pool(self, name: str, verb: str) -> None:
        self.request(verb, poolId=name)
        self.tick()

    @rule(
        data=st.data(),
        verb=st.sampled_from(["reboot_node", "reimage_node", "deallocate_node", "start_node", "disable_node_scheduling",
                              "enable_node_scheduling"]),
    )  # fmt: skip
    def change_node(self, data: st.DataObject, verb: str) -> None:
        nodes = self.store.nodes.all()
        if nodes:
            node = data.draw(st.sampled_from(nodes))
            pool = self.store.pools.at(node.doc["_pool"])
            assert pool is not None
            self.request(verb, poolId=pool.doc["id"], nodeId=node.doc["id"])
            self.tick()

    @rule(data=st.data())
    def preempt(self, data: st.DataObject) -> None:
        nodes = self.store.nodes.all("NOT dedicated")
        if nodes:
            with self.store.transaction():
                preempt_node(self.store, data.draw(st.sampled_from(nodes)), self.now)
            self.tick()

    @rule(name=NAMES, pool=NAMES, prepared=st.booleans(), ends=st.booleans(), acts=st.booleans())
    def create_job(self, name: str, pool: str, prepared: bool, ends: bool, acts: bool) -> None:
        body: dict[str, Any] = {"id": name, "poolInfo": {"poolId": pool}, "usesTaskDependencies": True}
        body |= (
            {"jobPreparationTask": {"commandLine": "x"}, "jobReleaseTask": {"commandLine": "x"}}
            if prepared
            else {}
        )
        body |= {"onAllTasksComplete": "terminatejob"} if ends else {}
        body |= {"onTaskFailure": "performexitoptionsjobaction"} if acts else {}
        self.request("create_job", body)
        self.tick()

    @rule(name=NAMES, option=st.sampled_from(["requeue", "terminate", "wait"]))
    def disable_job(self, name: str, option: str) -> None:
        self.request("disable_job", {"disableTasks": option}, jobId=name)
        self.tick()

    @rule(name=NAMES, verb=st.sampled_from(["enable_job", "terminate_job", "delete_job"]))
    def change_job(self, name: str, verb: str) -> None:
        self.request(verb, jobId=name)
        self.tick()

    @rule(
        data=st.data(),
        names=st.sets(TASKS, min_size=1),
        after=st.sets(TASKS, max_size=2),
        retries=st.integers(0, 2),
    )
    def create_tasks(self, data: st.DataObject, names: set[str], after: set[str], retries: int) -> None:
        jobs = self.store.jobs.all("state NOT IN ('completed', 'deleting')")
        if not jobs:
            return
        doc = data.draw(st.sampled_from(jobs)).doc
        constraints = {"maxTaskRetryCount": retries, "maxWallClockTime": "PT10M"}
        for name in sorted(names):
            body: dict[str, Any] = {"id": name, "commandLine": "x", "constraints": constraints}
            if doc["usesTaskDependencies"] and after - {name}:
                body["dependsOn"] = {"taskIds": sorted(after - {name})}
            self.request("create_task", body, jobId=doc["id"])
        self.tick()

    @rule(data=st.data(), verb=st.sampled_from(["terminate_task", "delete_task", "reactivate_task"]))
    def change_task(self, data: st.DataObject, verb: str) -> None:
        ended = int(verb == "reactivate_task")
        tasks = self.store.all(
            "SELECT j.key, t.key FROM tasks t JOIN jobs j ON j.seq = t.job "
            "WHERE NOT ? OR (t.state = 'completed' AND j.state = 'active') ORDER BY t.seq",
            (ended,),
        )
        if tasks:
            job, name = data.draw(st.sampled_from(tasks))
            self.request(verb, jobId=job, taskId=name)
            self.tick()

    @rule(name=NAMES, pool=NAMES, every=st.sampled_from([None, "PT1M", "P1D"]), ends=st.booleans())
    def create_schedule(self, name: str, pool: str, every: str | None, ends: bool) -> None:
        job: dict[str, Any] = {
            "poolInfo": {"poolId": pool},
            "onAllTasksComplete": "terminatejob" if ends else "noaction",
        }
        body = {
            "id": f"s{name}",
            "schedule": {"recurrenceInterval": every} if every else {},
            "jobSpecification": job,
        }
        self.request("create_job_schedule", body)
        self.tick()

    @rule(
        name=NAMES,
        verb=st.sampled_from(["disable_job_schedule", "enable_job_schedule", "terminate_job_schedule", "delete_job_schedule"]),
    )  # fmt: skip
    def change_schedule(self, name: str, verb: str) -> None:
        self.request(verb, jobScheduleId=f"s{name}")
        self.tick()

    @rule(data=st.data(), code=st.sampled_from([0, 0, 1]))
    def a_process_ends(self, data: st.DataObject, code: int) -> None:
        if self.live:
            self.end(data.draw(st.sampled_from(sorted(self.live))), Ending(exit_code=code))

    @rule(data=st.data())
    def a_process_cannot_start(self, data: st.DataObject) -> None:
        if self.live:
            self.end(data.draw(st.sampled_from(sorted(self.live))), Ending(failure="CommandProgramNotFound"))

    @rule()
    def what_is_killed_dies(self) -> None:
        while self.dying & self.live.keys():
            self.end(min(self.dying & self.live.keys()), Ending(exit_code=137))

    @rule()
    def the_service_restarts(self) -> None:
        self.live.clear()
        self.dying.clear()
        with self.store.transaction():
            starts = [
                start
                for run in runs.open_runs(self.store)
                for start in runs.end_run(self.store, run.seq, Ending(), self.now, lost=True)
            ]
        self.perform(list(starts))
        self.tick()

    @rule(minutes=st.sampled_from([1, 5, 61, 1500, 20_000]))
    def time_passes(self, minutes: int) -> None:
        self.now += timedelta(minutes=minutes)
        self.tick()

    @invariant()
    def what_is_remembered_is_stored(self) -> None:
        for table in ("pools", "nodes", "jobs", "schedules"):
            stored = dict(self.store.all(f"SELECT seq, doc FROM {table}"))
            for seq, row in getattr(self.store, table).known.items():
                assert orjson.loads(stored[seq]) == orjson.loads(orjson.dumps(row.doc)), (
                    table,
                    row.doc["id"],
                )

    @invariant()
    def states_follow_the_arrows(self) -> None:
        found: dict[tuple[str, Any], str] = {}
        for kind, key, state, previous in self._states():
            arrows = DRAWN[kind]
            assert previous is None or (previous, state) in arrows, (kind, key, previous, state)
            found[kind, key] = state
            if (before := self.seen.get((kind, key))) is not None:
                assert state in _reachable(arrows, before), (kind, key, before, state)
        self.seen = found

    def _states(self) -> Iterator[tuple[str, Any, str, str | None]]:
        for kind, collection in (
            ("Pool", self.store.pools),
            ("Node", self.store.nodes),
            ("Job", self.store.jobs),
            ("Job schedule", self.store.schedules),
        ):
            for row in collection.all():
                yield kind, row.seq, row.doc["state"], row.doc.get("previousState")
        for row in self.store.pools.all():
            yield "Pool allocation", row.seq, row.doc["allocationState"], None
        for seq, state, previous in self.store.all("SELECT seq, state, previous FROM tasks"):
            yield "Task", seq, state, previous

    @invariant()
    def counts_are_right(self) -> None:
        sql = (
            "SELECT job, sum(state = 'active' AND unmet = 0), sum(state = 'active'), sum(state IN ('running', 'preparing')), "
            "sum(result = 'success'), sum(result = 'failure') FROM tasks GROUP BY job ORDER BY job"
        )
        kept = "SELECT job, ready, active, running, succeeded, failed FROM job_counts ORDER BY job"
        counted = {row[0]: tuple(value or 0 for value in row[1:]) for row in self.store.all(sql)}
        for job, *counts in self.store.all(kept):
            assert tuple(counts) == counted.get(job, (0,) * 5)

    @invariant()
    def a_task_runs_exactly_when_a_run_of_it_does(self) -> None:
        running = [
            seq
            for (seq,) in self.store.all(
                "SELECT seq FROM tasks WHERE state IN ('running', 'preparing') ORDER BY seq"
            )
        ]
        sql = "SELECT task FROM runs WHERE kind = 'task' AND task IN (SELECT seq FROM tasks) ORDER BY task"
        assert [task for (task,) in self.store.all(sql)] == running
        sql = "SELECT count(*) FROM tasks WHERE state IN ('running', 'preparing') AND unmet > 0"
        assert self.store.one(sql) == (0,), "nothing runs before what it waits for"

    @invariant()
    def every_live_process_is_known(self) -> None:
        known = {run.seq for run in runs.open_runs(self.store)}
        assert self.live.keys() <= known

    @invariant()
    def nodes_have_the_slots_they_say(self) -> None:
        sql = (
            "SELECT n.slots, n.free, n.open, coalesce(sum(r.slots), 0) FROM nodes n "
            "LEFT JOIN runs r ON r.node = n.seq GROUP BY n.seq"
        )
        for slots, free, is_open, taken in self.store.all(sql):
            assert taken <= slots
            assert not is_open or free == slots - taken

    @invariant()
    def a_schedule_has_one_active_job(self) -> None:
        sql = "SELECT count(*) FROM jobs WHERE schedule IS NOT NULL AND state NOT IN ('completed', 'deleting') GROUP BY schedule"
        assert all(count == 1 for (count,) in self.store.all(sql))

    @invariant()
    def what_is_over_is_quiet(self) -> None:
        sql = "SELECT count(*) FROM runs JOIN jobs ON jobs.seq = runs.job WHERE jobs.state IN ('completed', 'disabled')"
        assert self.store.one(sql) == (0,)

    @invariant()
    def times_are_in_order(self) -> None:
        for (execution,) in self.store.all("SELECT execution FROM tasks WHERE execution IS NOT NULL"):
            info = orjson.loads(execution)
            assert info.get("startTime", "") <= info.get("endTime", "9")
            assert ("result" in info) == ("endTime" in info)


Story.TestCase.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)
TestStory: Callable[..., Any] = Story.TestCase
