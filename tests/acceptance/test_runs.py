"""Runs from the first command to the last line of a log."""

import csv
import os
import signal
from collections import defaultdict
from datetime import date, timedelta
from pathlib import Path

import duckdb
import pytest

from batchctl.server import daemon
from tests.acceptance.conftest import DEADLINE, ROOT, Project, interrupt, wait_until

SAMPLE = ROOT / "jobspecs" / "samples" / "seattle-weather.csv"


def expected_averages() -> dict[tuple[str, str, str, date], tuple[float, int]]:
    """The weather job's result, worked out another way: by hand, in plain Python."""
    daily: dict[str, dict[date, float]] = defaultdict(dict)
    with SAMPLE.open() as file:
        for row in csv.DictReader(file):
            for measure in ("precipitation", "temp_max", "temp_min", "wind"):
                daily[measure][date.fromisoformat(row["date"])] = float(row[measure])
    found = {}
    for measure, days in daily.items():
        months: dict[date, list[float]] = defaultdict(list)
        weeks: dict[date, list[float]] = defaultdict(list)
        for day, value in days.items():
            months[day.replace(day=1)].append(value)
            weeks[day - timedelta(days=day.weekday())].append(value)
        for start, values in months.items():
            found["seattle", measure, "month", start] = (sum(values) / len(values), len(values))
        starts = sorted(weeks)
        for i in range(9, len(starts)):
            values = [v for start in starts[i - 9 : i + 1] for v in weeks[start]]
            found["seattle", measure, "10 weeks", starts[i]] = (sum(values) / len(values), len(values))
    return found


def test_the_weather_job_twice_loads_the_same_rows_once(project: Project) -> None:
    project.copy("jobspecs")
    expected = expected_averages()
    for _ in range(2):
        done = project("run", "jobspecs/weather.yaml")
        assert "succeeded" in done.out
        with duckdb.connect(
            str(project.folder / ".batchctl/lake/curated/weather.duckdb"), read_only=True
        ) as db:
            rows = db.execute(
                "SELECT station, measure, period, starts, average, days FROM averages"
            ).fetchall()
        assert len(rows) == len(expected)
        for *key, average, days in rows:
            mean, count = expected[tuple(key)]
            assert average == pytest.approx(mean, abs=0.0006)
            assert days == count
    report = project("status", "weather", "-o", "json").json
    assert [task["rows"] for task in report["tasks"] if task["id"] == "load"] == [len(expected)]


def test_five_hundred_items(project: Project) -> None:
    spec = project.spec(
        '  - {id: each, command: "/bin/echo {{ item }}", for_each: 500}\n'
        "  - {id: join, command: /bin/true, depends_on: [each]}\n",
        pool="{target_dedicated_nodes: 4, task_slots_per_node: 4}",
    )
    report = project("run", spec, "-o", "json").json
    assert [t["state"] for t in report["tasks"]] == ["succeeded"] * 501
    assert project("logs", report["run"], "each-499", "--stream", "stdout").out == "499\n"


def test_a_failing_stage_blocks_its_dependants_and_shows_its_last_lines(project: Project) -> None:
    spec = project.spec(
        "  - {id: good, command: /bin/true}\n"
        """  - {id: bad, command: "/bin/sh -c 'for i in $(seq 50); do echo line $i; done; echo oh no >&2; exit 3'", depends_on: [good]}\n"""
        "  - {id: after, command: /bin/true, depends_on: [bad]}\n"
    )
    done = project("run", spec, code=6)
    assert "bad failed: exit code 3" in done.err
    assert "line 50\noh no\n" in done.err
    assert "line 10\n" not in done.err
    run = done.err.split("run ")[1].split(":")[0]
    assert project.states(run) == {"good": "succeeded", "bad": "failed", "after": "not run"}
    assert project("wait", run, code=6).err.count("oh no") == 1
    assert project("logs", run, "--failed", "--stream", "stderr").out == "bad   | oh no\n"


def test_a_task_that_fails_while_others_are_being_added_shows_its_last_lines(project: Project) -> None:
    spec = project.spec(
        """  - {id: bad, command: "/bin/sh -c 'echo oh no; exit 3'"}\n"""
        "  - {id: many, command: /bin/true, for_each: 10000}\n"
    )
    done = project("run", spec, code=6)
    assert "bad failed: exit code 3" in done.err
    assert "oh no\n" in done.err


def test_a_task_is_tried_again(project: Project) -> None:
    marker = project.folder / "tried"
    spec = project.spec(
        f"""  - {{id: flaky, command: "/bin/sh -c 'if test -e {marker}; then echo second; else touch {marker}; exit 1; fi'", max_task_retry_count: 1}}\n"""
    )
    report = project("run", spec, "-o", "json").json
    assert (report["state"], report["tasks"][0]["retries"]) == ("succeeded", 1)
    assert project("logs", report["run"]).out == "second\n"


def test_no_wait_prints_the_run_and_nothing_else(project: Project) -> None:
    spec = project.spec("  - {id: a, command: /bin/echo done}\n")
    run = project("run", spec, "--no-wait").out.strip()
    assert run.startswith("p-")
    project("wait", run)
    assert [line["run"] for line in project("runs", "-o", "json").json] == [run]
    assert project("runs", "-o", "json").json[0]["state"] == "succeeded"


def test_logs_outlive_the_pool_and_are_byte_exact(project: Project) -> None:
    spec = project.spec(
        """  - id: a\n    command: >-\n      /bin/sh -c 'printf "\\377\\376plain"; printf err >&2'\n"""
    )
    run = project("run", spec, "-o", "json").json["run"]
    nodes = project.folder / ".batchctl/local/nodes"
    wait_until(lambda: not list(nodes.glob("*")), "the auto pool's nodes are gone")
    process = project.start("logs", run, "--stream", "stdout")
    assert process.communicate()[0] == b"\xff\xfeplain"
    project("local", "down")
    project("local", "reset")
    assert project("logs", run, "--stream", "stderr").out == "err"  # even the service has forgotten the run


def test_logs_of_what_failed_outlive_the_service(project: Project) -> None:
    spec = project.spec(
        """  - {id: good, command: /bin/echo fine}\n"""
        """  - {id: bad, command: "/bin/sh -c 'echo oh no; exit 3'", depends_on: [good]}\n"""
    )
    run = project("run", spec, "--no-wait").out.strip()
    project("wait", run, code=6)
    project("local", "down")
    project("local", "reset")
    assert project("logs", run, "--failed").out == "oh no\n"
    assert project("logs", "p", "bad").out == "oh no\n"
    found = project("status", "p", "-o", "json").json
    assert (found["run"], found["pipeline"], found["state"]) == (run, "p", "failed")
    assert found["why"].startswith("bad failed: exit code 3; the service has forgotten this run")
    assert [(t["id"], t["state"], t["exit_code"]) for t in found["tasks"]] == [
        ("good", "succeeded", 0),
        ("bad", "failed", 3),
    ]
    assert "the service has forgotten this run" in project("status", run).out
    assert "--- last lines of bad\noh no\n" in project("wait", run, code=6).err
    assert "there is no run or pipeline p-x" in project("status", "p-x", code=2).err


def test_a_lake_that_is_lost_meanwhile_is_told_by_the_node(project: Project) -> None:
    lake = project.folder / ".batchctl/lake"
    spec = project.spec(
        f"""  - {{id: a, command: "/bin/sh -c 'mv {lake} {lake}.away && touch {lake}'"}}\n"""
        "  - {id: b, command: /bin/true, depends_on: [a]}\n",
        pool="{target_dedicated_nodes: 1, lifetime: run}",
    )
    done = project("run", spec, code=6)
    assert f"--- last lines of b\nstage-run: {lake}/runs/" in done.err
    assert "cannot write to the lake" in done.err


def test_logs_follow_to_the_end(project: Project) -> None:
    gate = project.folder / "gate"
    spec = project.spec(
        f"""  - {{id: a, command: "/bin/sh -c 'echo first; until test -e {gate}; do sleep 0.05; done; echo last'"}}\n"""
    )
    run = project("run", spec, "--no-wait").out.strip()
    process = project.start("logs", run, "-f")
    assert process.stdout is not None
    assert process.stdout.readline() == b"first\n"
    gate.touch()
    assert process.stdout.read() == b"last\n"
    assert process.wait() == 0
    assert process.stderr is not None
    process.stderr.close()
    process.stdout.close()


def test_killing_the_command_loses_nothing(project: Project) -> None:
    gate = project.folder / "gate"
    spec = project.spec(
        f"""  - {{id: a, command: "/bin/sh -c 'until test -e {gate}; do sleep 0.05; done'"}}\n  - {{id: b, command: /bin/true, depends_on: [a]}}\n"""
    )
    process = project.start("run", spec)
    wait_until(
        lambda: bool(project("runs", "-o", "json").json) and "running" in project.states("p").values(),
        "a runs",
    )
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    gate.touch()
    project("wait", "p")
    assert project.states("p") == {"a": "succeeded", "b": "succeeded"}


def test_killing_the_service_is_survived_by_run_and_its_tasks(project: Project) -> None:
    gate, begun = project.folder / "gate", project.folder / "begun"
    wait = f"/bin/sh -c 'touch {begun}; while ! test -e {gate}; do sleep 0.05; done'"
    spec = project.spec(
        f"""  - {{id: a, command: "{wait}"}}\n  - {{id: b, command: /bin/true, depends_on: [a]}}\n"""
    )
    process = project.start("run", spec)
    wait_until(begun.exists, "the first task runs")
    service = daemon.find(project.folder / ".batchctl" / "local")
    assert service is not None
    os.kill(service.pid, signal.SIGKILL)
    gate.touch()
    out, err = process.communicate(timeout=DEADLINE)
    assert process.returncode == 0, err.decode()
    assert "starting the local Batch service" in err.decode().rpartition("tasks on local")[2]
    assert "succeeded" in out.decode()


def test_ctrl_c_leaves_the_run_going_and_cancel_ends_it(project: Project) -> None:
    spec = project.spec("  - {id: a, command: sleep 600}\n  - {id: b, command: /bin/true, depends_on: [a]}\n")
    process = project.start("run", spec)
    wait_until(
        lambda: bool(project("runs", "-o", "json").json) and "running" in project.states("p").values(),
        "a runs",
    )
    done = interrupt(process)
    assert done.code == 130
    assert "goes on without you" in done.err
    assert "\ninterrupted: run p-" in done.err
    assert "error:" not in done.err
    project("cancel", "p")
    assert "cancelled" in project("wait", "p", code=6).out
    assert project("runs", "-o", "json").json[0]["state"] == "cancelled"
    assert project.states("p") == {"a": "stopped", "b": "not run"}
    again = project("cancel", "p")  # twice is fine
    assert (again.out, again.err.splitlines()[-1].split(": ")[1]) == ("", "cancelled")
    assert "has failed" in project("logs", "p", "--failed").err


def test_a_task_that_ignores_sigterm_is_ended(project: Project) -> None:
    pid_file = project.folder / "pid"
    spec = project.spec(
        f"""  - {{id: a, command: "/bin/sh -c 'trap : TERM; echo $$ > {pid_file}; while :; do sleep 1; done'"}}\n"""
    )
    run = project("run", spec, "--no-wait").out.strip()
    wait_until(lambda: pid_file.exists() and bool(pid_file.read_text().strip()), "the task runs")
    pid = int(pid_file.read_text())
    project("cancel", run)
    project("wait", run, code=6)
    wait_until(lambda: not Path(f"/proc/{pid}").exists(), "the process is gone")


def test_a_command_that_does_not_exist(project: Project) -> None:
    spec = project.spec("  - {id: a, command: no-such-program --now}\n")
    done = project("run", spec, code=6)
    assert "no-such-program" in done.err
    assert "a failed: exit code 127" in done.err


def test_parameters_reach_the_task(project: Project) -> None:
    spec = project.write(
        "p.yaml",
        "name: p\nparameters: {who: {default: world}, n: {type: integer, default: 1}}\npool: {target_dedicated_nodes: 1}\n"
        'tasks:\n  - {id: a, command: "/bin/echo {{ params.who }} {{ params.n + 1 }} {{ interval_end | date }}"}\n',
    )
    project("run", spec, "-p", "who=you", "-p", "n=41", "--at", "2024-02-29T00:00:00Z")
    assert project("logs", "p").out == "you 42 2024-02-29\n"
    assert "-p n: 'x' is not an integer" in project("run", spec, "-p", "n=x", code=2).err
    assert "did you mean who?" in project("run", spec, "-p", "woh=x", code=2).err


def test_the_pool_of_a_run_goes_with_it(project: Project) -> None:
    spec = project.spec(
        "  - {id: a, command: /bin/true}\n", pool="{lifetime: run, target_dedicated_nodes: 1}"
    )
    project("run", spec)
    nodes = project.folder / ".batchctl/local/nodes"
    wait_until(lambda: not list(nodes.glob("*")), "the run's nodes are gone")
    assert "somebody must delete the pool" in project("run", spec, "--no-wait", code=2).err


def test_an_idle_pool_serves_run_after_run(project: Project) -> None:
    spec = project.spec(
        "  - {id: a, command: /bin/true}\n", pool="{lifetime: idle, target_dedicated_nodes: 1}"
    )
    for _ in range(2):
        project("run", spec)
    assert len(list((project.folder / ".batchctl/local/nodes").glob("*"))) == 1


def test_a_run_that_takes_too_long_is_told_as_that(project: Project) -> None:
    spec = project.write(
        "p.yaml",
        "name: p\npool: {target_dedicated_nodes: 1}\nmax_wall_clock_time: PT1S\ntasks: [{id: a, command: sleep 600}]\n",
    )
    assert "it took longer than max_wall_clock_time" in project("run", spec, code=6).err


def test_a_reader_that_leaves_does_not_harm_the_run(project: Project) -> None:
    spec = project.spec("  - {id: a, command: /bin/true, for_each: 2500}\n", pool="{id: nowhere}")
    process = project.start("run", spec, "--no-wait")
    assert process.stderr is not None
    process.stderr.close()
    assert process.stdout is not None
    run = process.stdout.read().decode().strip()
    process.stdout.close()
    assert process.wait() == 0
    assert project("runs", "-o", "json").json[0]["tasks"] == 2500
    project("cancel", run)
