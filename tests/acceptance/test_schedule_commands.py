"""`batchctl schedule …` and `backfill`, as an operator uses them."""

import json
import os
import signal
import subprocess
from datetime import datetime, timedelta

import pytest
from ruamel.yaml import YAML

from batchctl.server import daemon
from tests.acceptance.conftest import DEADLINE, PROGRAM, Project, wait_until
from tests.acceptance.test_schedules import SPEC, Scheduled, scheduled  # noqa: F401  the fixture

DAILY = SPEC.replace("* * * * *", "0 6 * * *")


def going(gate: object, overlap: str) -> str:
    """A minutely pipeline whose run lasts until the file `gate` is there."""
    text = SPEC.replace(
        "/bin/echo {{ scheduled_at | iso }} {{ interval_start | iso }}",
        f"/bin/sh -c 'until test -e {gate}; do sleep 0.05; done'",
    )
    return text.replace('"* * * * *"', f'"* * * * *", overlap: {overlap}')


def states(at: Scheduled) -> list[str]:
    return sorted(run["state"] for run in at.runs())


def test_next_and_explain_need_no_target(project: Project) -> None:
    line = ["--cron", "30 2 * * *", "--timezone", "Europe/Berlin", "--after", "2026-10-24T12:00:00Z"]
    assert project("schedule", "next", *line, "-n", "2", "-o", "json").json == [
        {"utc": "2026-10-25T00:30:00Z", "local": "2026-10-25T02:30:00+02:00"},
        {"utc": "2026-10-26T01:30:00Z", "local": "2026-10-26T02:30:00+01:00"},
    ]
    shown = project("schedule", "next", *line, "-n", "2").out.splitlines()
    assert shown[1].endswith("clocks change")
    assert not shown[2].endswith("clocks change")
    found = project("schedule", "explain", *line, "-o", "json").json
    assert sorted(found) == ["horizon_end", "recurrences", "tzdata"]
    assert found["recurrences"][0] == {"start": "2026-10-25T00:30:00Z", "interval": None, "end": None}
    assert project("schedule", "explain", "--cron", "0 6 * * *", "-o", "json").json["horizon_end"] is None
    for after, first in (("12:00:00", "12:15"), ("12:00:30", "12:15"), ("11:59:59", "12:00")):
        quarters = ["--cron", "*/15 * * * *", "--after", f"2026-01-05T{after}Z", "-o", "json"]
        (named,) = project("schedule", "next", *quarters, "-n", "1").json
        (recurrence,) = project("schedule", "explain", *quarters).json["recurrences"]
        assert named["utc"] == recurrence["start"] == f"2026-01-05T{first}:00Z"
    over = project("schedule", "explain", "--cron", "*/7 * * * *", code=4)
    assert "9 for ever" in over.err
    assert "raise the budget to 9" in over.err
    assert "for ever" in project("schedule", "explain", "--cron", "*/7 * * * *", "--budget", "9").out
    project("schedule", "next", code=2)
    spec = project.write("p.yaml", DAILY)
    assert len(project("schedule", "next", spec, "-o", "json").json) == 10
    assert not (project.folder / ".batchctl" / "local").exists()


def test_the_life_of_a_schedule(scheduled: Scheduled) -> None:  # noqa: F811
    project = scheduled.project
    spec = project.write("p.yaml", SPEC)
    project("schedule", "apply", spec)
    scheduled.advance(91)
    wait_until(lambda: "succeeded" in states(scheduled), "it fires")
    (row,) = project("schedule", "list", "-o", "json").json
    assert (row["pipeline"], row["cron"], row["state"], row["verdict"]) == (
        "p",
        "* * * * *",
        "active",
        "succeeded",
    )
    shown = project("schedule", "show", "p", "-o", "json").json
    assert [part["interval"] for part in shown["schedules"]] == ["PT1M"]
    assert project("schedule").out.startswith("PIPELINE")
    assert (
        project("schedule", "-o", "json", "--target", "local").json
        == project("schedule", "list", "-o", "json").json
    )
    assert "options go behind show" in project("schedule", "-o", "json", "show", "p", code=2).err

    assert project("schedule", "pause", "p").out == "p is paused\n"
    assert project("schedule", "pause", "p").out == "p was paused already\n"
    project.write("p.yaml", SPEC.replace("{{ item }}", "{{ item }}!"))
    assert "p stays paused" in project("schedule", "apply", spec).err
    assert project("schedule", "list", "-o", "json").json[0]["state"] == "paused"
    assert project("plan", spec).out == "No changes.\n"
    fired = len(scheduled.runs())
    scheduled.advance(180)
    assert len(scheduled.runs()) == fired
    assert project("schedule", "resume", "p").out == "p is active\n"

    # The schedule may have fired as it was resumed.
    run = project("schedule", "trigger", "p", "--no-wait", "--force").out.strip()
    project("wait", run)
    assert project.states(run) == {"a": "succeeded", "b-x": "succeeded", "b-y": "succeeded"}

    assert project("schedule", "delete", "p").out == "p is no longer scheduled\n"
    assert project("schedule", "list", "-o", "json").json[0]["state"] == "ended"
    assert "did you mean p?" in project("schedule", "pause", "pp", code=2).err
    assert "have ended" in project("schedule", "pause", "p", code=2).err
    assert "1 created" in project("schedule", "apply", spec).out, "what was ended can be had again"
    assert project("schedule", "list", "-o", "json").json[0]["state"] == "active"
    project("schedule", "delete", "p")
    assert "no pipeline is scheduled" in project("schedule", "check", code=6).out
    wait_until(lambda: "running" not in states(scheduled), "nothing is going")
    project("schedule", "delete", "p", "--history")
    wait_until(lambda: project("schedule", "list", "-o", "json").json == [], "the history is gone")


def test_forbid_skips_and_names_what_was_in_the_way(scheduled: Scheduled) -> None:  # noqa: F811
    project, gate = scheduled.project, scheduled.project.folder / "gate"
    spec = project.write("p.yaml", going(gate, "forbid"))
    by_hand = project("run", spec, "--no-wait").out.strip()
    project("schedule", "apply", spec)
    scheduled.advance(91)
    wait_until(lambda: "skipped" in states(scheduled), "the firing is skipped")
    skipped = next(run for run in scheduled.runs() if run["state"] == "skipped")
    assert f"{by_hand} was still going" in project("status", skipped["run"]).out
    project("wait", skipped["run"])
    gate.touch()
    project("wait", by_hand)


def test_allow_runs_beside_and_replace_ends_the_other(scheduled: Scheduled) -> None:  # noqa: F811
    project, gate = scheduled.project, scheduled.project.folder / "gate"
    spec = project.write("p.yaml", going(gate, "allow"))
    project("schedule", "apply", spec)
    scheduled.advance(91)
    wait_until(lambda: "running" in states(scheduled), "the first run")
    scheduled.advance(60)
    wait_until(lambda: states(scheduled).count("running") >= 2, "the second runs beside it")
    project.write("p.yaml", going(gate, "replace"))
    project("schedule", "apply", spec)
    scheduled.advance(91)
    wait_until(lambda: states(scheduled).count("cancelled") >= 2, "the third ends both")
    gate.touch()
    wait_until(lambda: "running" not in states(scheduled), "it succeeds")
    assert states(scheduled).count("succeeded") >= 1


def test_check_is_a_dead_man_s_switch(scheduled: Scheduled) -> None:  # noqa: F811
    project = scheduled.project
    spec = project.write("p.yaml", SPEC.replace("* * * * *", "*/2 * * * *"))
    project("schedule", "apply", spec)
    assert "1 pipeline checked, nothing missed" in project("schedule", "check").out
    scheduled.advance(211)
    wait_until(lambda: len(scheduled.runs()) >= 1, "it fires")
    # Somebody deletes a run: its occurrence has none any more. (Our own clock is not ahead: so everything is expected later.)
    found = project("schedule", "check", "--horizon", "4000d", "-o", "json", code=None)
    assert found.code == 0, "a schedule without an end has no horizon"
    project.write(
        "q.yaml", DAILY.replace("name: p", "name: q").replace('*"}', '*", timezone: Europe/Berlin}')
    )
    project("schedule", "apply", "q.yaml")
    found = project("schedule", "check", "--horizon", "4000d", "-o", "json", code=6)
    assert [(p["pipeline"], p["problem"]) for p in found.json["problems"]] == [("q", "horizon")]
    assert project("schedule", "check", "p").code == 0
    office = DAILY.replace("name: p", "name: r").replace("0 6 * * *", "0 9-17 * * 1-5")
    project(
        "schedule", "apply", project.write("r.yaml", office)
    )  # good for seven days, and renewed after half of them
    assert project("schedule", "check", "r").code == 0
    assert "schedules end at" in project("schedule", "check", "r", "--horizon", "8d", code=6).out
    assert "this is not a duration" in project("schedule", "check", "--max-late", "soon", code=2).err


def test_sync_and_keeper(scheduled: Scheduled) -> None:  # noqa: F811
    project = scheduled.project
    spec = project.write("p.yaml", DAILY.replace('*"}', '*", timezone: Europe/Berlin}'))
    project("schedule", "apply", spec)
    assert project("schedule", "sync", "--all").out == "No changes.\n"
    assert "batchctl schedule sync --all" in project("schedule", "keeper", "--github").out
    assert "renews every schedule" in project("schedule", "keeper").out
    scheduled.advance(91)
    wait_until(
        lambda: "succeeded" in [r["state"] for r in project("runs", "batchctl-keeper", "-o", "json").json],
        "the keeper runs",
    )
    assert "0 pipelines renewed" in project("logs", "batchctl-keeper").out
    later = (datetime.now().astimezone() + timedelta(days=300)).isoformat()
    assert " created" in project("schedule", "sync", "p", "--now", later).out
    assert project("schedule", "sync", "--all", "--now", later).out == "No changes.\n"
    project("schedule", "sync", code=2)


def test_several_jobspecs_and_a_full_account(scheduled: Scheduled) -> None:  # noqa: F811
    project = scheduled.project
    specs = [
        project.write(f"{name}.yaml", DAILY.replace("name: p", f"name: {name}")) for name in ("one", "two")
    ]
    project.write("bad.yaml", "name: bad\n")
    again = project.write("again.yaml", DAILY.replace("name: p", "name: one"))
    assert "one.yaml, too" in project("schedule", "apply", *specs, again, code=2).err
    project("schedule", "apply", *specs, "bad.yaml", code=2)
    assert project("schedule", "list", "-o", "json").json == [], "nothing is applied if one of them is wrong"
    toml = project.folder / "batchctl.toml"
    toml.write_text(toml.read_text() + "active_job_quota = 1\n")
    done = project("schedule", "apply", *specs, code=5)
    assert "the account holds 1" in done.err
    assert [row["pipeline"] for row in project("schedule", "list", "-o", "json").json] == ["one"]


def test_two_operators_at_once_do_no_harm(scheduled: Scheduled) -> None:  # noqa: F811
    project = scheduled.project
    spec = project.write("p.yaml", SPEC)
    at = scheduled.clock().replace(microsecond=0)
    for seconds in (0, 60):  # two plans made from nothing, a minute apart
        plan = project(
            "plan", spec, "--now", (at + timedelta(seconds=seconds)).isoformat(), "-o", "json"
        ).json
        assert plan["changes"] or seconds
    commands = [
        [PROGRAM, "schedule", "apply", spec, "--now", (at + timedelta(seconds=60 * i)).isoformat()]
        for i in range(2)
    ]
    running = [
        subprocess.Popen(
            c,
            cwd=project.folder,
            env=project.environment({}),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for c in commands
    ]
    assert [process.wait() for process in running] == [0, 0]
    scheduled.advance(151)
    wait_until(lambda: "succeeded" in states(scheduled) and "running" not in states(scheduled), "it fires")
    told = [run["scheduled_at"] for run in scheduled.runs() if run["state"] == "succeeded"]
    assert len(told) == len(set(told)), "an occurrence is run once"
    project("schedule", "apply", spec, "--now", (at + timedelta(seconds=180)).isoformat())
    assert project("plan", spec, "--now", (at + timedelta(seconds=180)).isoformat()).out == "No changes.\n"


def test_backfill_fills_resumes_and_reprocesses(project: Project) -> None:
    marker = project.folder / "broken"
    spec = project.write(
        "p.yaml",
        DAILY.replace(
            "/bin/echo {{ scheduled_at | iso }} {{ interval_start | iso }}",
            f"/bin/sh -c 'test ! -e {marker}-{{{{ scheduled_at | date }}}}'",
        ),
    )
    (project.folder / "broken-2026-01-03").touch()
    days = ["--from", "2026-01-01", "--to", "2026-01-05"]
    dry = project("backfill", spec, *days, "--dry-run", "-o", "json").json
    assert [(row["occurrence"], row["state"], row["action"]) for row in dry] == [
        (f"2026-01-0{n}T06:00:00Z", None, "run") for n in range(1, 6)
    ]
    done = project("backfill", spec, *days, "--max-active", "2", "-o", "json", code=6).json
    assert [row["state"] for row in done] == ["succeeded", "succeeded", "failed", "succeeded", "succeeded"]
    refilled = project("backfill", spec, *days, "-o", "json", code=6)
    assert "1 of 5 runs did not succeed" in refilled.err
    assert "batchctl logs p-20260103T060000Z-b1 --failed" in refilled.err
    again = refilled.json
    assert [row["run"] for row in again] == [row["run"] for row in done], "what has a run keeps it"
    (project.folder / "broken-2026-01-03").unlink()
    dry = project("backfill", spec, *days, "--reprocess", "failed", "--dry-run", "-o", "json").json
    assert [row["action"] for row in dry] == ["keep", "keep", "run", "keep", "keep"]
    done = project("backfill", spec, *days, "--reprocess", "failed", "-o", "json").json
    assert {row["state"] for row in done} == {"succeeded"}
    assert done[2]["run"] == "p-20260103T060000Z-b2"
    assert (
        "in the future" in project("backfill", spec, "--from", "2026-01-01", "--to", "2199-01-01", code=2).err
    )
    project("backfill", spec, code=2)


def test_backfill_over_a_parameter_and_an_interruption(project: Project) -> None:
    spec = project.write(
        "p.yaml",
        'name: p\nparameters: {month: {default: "2026-01"}}\npool: {target_dedicated_nodes: 1}\n'
        'tasks:\n  - {id: a, command: "/bin/echo {{ params.month }}"}\n',
    )
    over = ["--for", "month=2025-11..2026-01"]
    done = project("backfill", spec, *over, "--max-active", "1", "-o", "json").json
    assert [row["parameters"] for row in done] == ["month=2025-11", "month=2025-12", "month=2026-01"]
    assert [project("logs", row["run"]).out for row in done] == ["2025-11\n", "2025-12\n", "2026-01\n"]
    assert project("backfill", spec, *over, "-o", "json").json == done
    assert "in the future" in project("backfill", spec, "--for", "month=2199-01", code=2).err
    assert "there is no parameter" not in project("backfill", spec, "--for", "month=2026-02", "--dry-run").err
    assert "no such parameter" in project("backfill", spec, "--for", "moth=2026-02", "--dry-run", code=2).err


@pytest.mark.parametrize("form", ["json"])
def test_a_backfill_goes_on_after_kill_9(project: Project, form: str) -> None:
    gate = project.folder / "gate"
    spec = project.write(
        "p.yaml",
        DAILY.replace(
            "/bin/echo {{ scheduled_at | iso }} {{ interval_start | iso }}",
            f"/bin/sh -c 'until test -e {gate}; do sleep 0.05; done'",
        ),
    )
    days = ["--from", "2026-01-01", "--to", "2026-01-03"]
    process = project.start("backfill", spec, *days, "--max-active", "1")
    wait_until(lambda: len(json.loads(project("runs", "-o", form).out)) == 1, "the first run begins")
    process.kill()
    process.communicate()
    gate.touch()
    done = project("backfill", spec, *days, "-o", form).json
    assert [row["state"] for row in done] == ["succeeded"] * 3
    assert [row["run"] for row in done] == [f"p-2026010{n}T060000Z-b1" for n in (1, 2, 3)]


def test_delete_does_not_take_the_pool_from_a_run(scheduled: Scheduled) -> None:  # noqa: F811
    project, gate = scheduled.project, scheduled.project.folder / "gate"
    text = going(gate, "forbid").replace("* * * * *", "0 6 * * *")
    spec = project.write("p.yaml", text.replace("pool: {", "pool: {lifetime: idle, resize_timeout: PT5M, "))
    project("schedule", "apply", spec)
    run = project("schedule", "trigger", "p").out.strip()
    refused = project("schedule", "delete", "p", code=4)
    assert f"{run} is going, and would lose its pool p" in refused.err
    assert project("schedule", "list", "-o", "json").json[0]["state"] == "active"
    gate.touch()
    project("wait", run)
    project("schedule", "delete", "p")
    assert project("schedule", "list", "-o", "json").json[0]["state"] == "ended"


def test_trigger_heeds_overlap(scheduled: Scheduled) -> None:  # noqa: F811
    project, gate = scheduled.project, scheduled.project.folder / "gate"
    text = going(gate, "forbid").replace("* * * * *", "0 6 * * *")
    spec = project.write("p.yaml", text)
    project("schedule", "apply", spec)
    first = project("schedule", "trigger", "p").out.strip()
    refused = project("schedule", "trigger", "p", code=4)
    assert f"{first} is going" in refused.err
    assert f"batchctl wait {first}" in refused.err
    second = project("schedule", "trigger", "p", "--force").out.strip()
    assert states(scheduled) == ["running", "running"]

    project.write("p.yaml", text.replace("forbid", "replace"))
    project("schedule", "apply", spec)
    project("schedule", "trigger", "p", "-p", "no=such", code=2)
    assert states(scheduled) == ["running", "running"], "nothing is ended for a run that cannot be"
    ended = project("schedule", "trigger", "p")
    third = ended.out.strip()
    assert [line for line in ended.err.splitlines() if line.startswith("end ")] == [
        f"end {first}",
        f"end {second}",
    ]
    wait_until(lambda: states(scheduled) == ["cancelled", "cancelled", "running"], "two are ended")

    project.write("p.yaml", text.replace("forbid", "allow"))
    project("schedule", "apply", spec)
    fourth = project("schedule", "trigger", "p").out.strip()
    assert states(scheduled).count("running") == 2
    gate.touch()
    project("wait", third)
    project("wait", fourth)
    project.write("p.yaml", text)
    project("schedule", "apply", spec)
    project("schedule", "trigger", "p", "--wait")  # what is over is in nobody's way


def test_a_leap_day_s_schedule_is_there(scheduled: Scheduled) -> None:  # noqa: F811
    project = scheduled.project
    spec = project.write("p.yaml", SPEC.replace("* * * * *", "0 0 29 2 *"))
    assert "1 schedule, exact until" in project("schedule", "explain", spec).out
    assert "0 0 29 2 * UTC" in project("plan", spec).out
    project("schedule", "apply", spec)
    (row,) = project("schedule", "list", "-o", "json").json
    (upcoming,) = project("schedule", "next", spec, "-n", "1", "-o", "json").json
    assert (row["state"], row["next"]) == ("active", upcoming["utc"])
    assert project("schedule", "check").out == "1 pipeline checked, nothing missed\n"
    assert project("schedule", "sync", "--all").out == "No changes.\n"
    after = (datetime.fromisoformat(upcoming["utc"]) + timedelta(days=1)).isoformat()
    assert "1 created" in project("schedule", "sync", "p", "--now", after).out, "it is over, and renewed"


def test_a_keeper_that_is_paused_says_so(scheduled: Scheduled) -> None:  # noqa: F811
    project = scheduled.project
    assert "renews every schedule" in project("schedule", "keeper").out
    assert project("schedule", "keeper").out == "batchctl-keeper is there already\n"
    project("schedule", "pause", "batchctl-keeper")
    said = project("schedule", "keeper").out
    assert (
        said == "batchctl-keeper is there already, and is paused: batchctl schedule resume batchctl-keeper\n"
    )


def test_a_keeper_on_azure_needs_a_pool_with_an_identity(project: Project) -> None:
    endpoint = 'endpoint = "https://acct.westeurope.batch.azure.com"'
    project.write("batchctl.toml", f'[targets.prod]\nkind = "azure"\n{endpoint}\nlake = "az://acct/etl/"\n')
    assert "--pool ID" in project("schedule", "keeper", "--target", "prod", code=2).err
    workflow = YAML(typ="safe").load(project("schedule", "keeper", "--github").out)
    steps = workflow["jobs"]["sync"]["steps"]
    assert [step["run"].split()[2] for step in steps[-2:]] == ["sync", "check"]
    assert steps[-1]["if"] == "${{ !cancelled() }}", (
        "what could not be renewed does not keep the rest from being checked"
    )


def test_a_backfill_survives_the_death_of_the_local_service(project: Project) -> None:
    gate, begun = project.folder / "gate", project.folder / "begun"
    waiting = f"/bin/sh -c 'touch {begun}; until test -e {gate}; do sleep 0.05; done'"
    spec = project.write(
        "p.yaml", DAILY.replace("/bin/echo {{ scheduled_at | iso }} {{ interval_start | iso }}", waiting)
    )
    process = project.start("backfill", spec, "--from", "2026-01-01", "--to", "2026-01-02", "-o", "json")
    wait_until(begun.exists, "the first run begins")
    service = daemon.find(project.folder / ".batchctl" / "local")
    assert service is not None
    os.kill(service.pid, signal.SIGKILL)
    gate.touch()
    out, err = process.communicate(timeout=DEADLINE)
    assert process.returncode == 0, err.decode()
    assert [row["state"] for row in json.loads(out)] == ["succeeded", "succeeded"]
