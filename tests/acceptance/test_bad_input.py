"""What goes wrong at the user's side: a clear message, a hint, the right exit code, no traceback, nothing half-applied."""

import ctypes
import socket
import subprocess

import pytest

from tests.acceptance.conftest import PROGRAM, Project, interrupt, wait_until

TASK = "  - {id: a, command: /bin/true}\n"


def test_wrong_jobspecs(project: Project) -> None:
    project.spec(TASK)
    for name, content in {
        "tabs.yaml": b"name: x\npool:\n\tid: y\n",
        "malformed.yaml": b"name: [",
        "binary.yaml": bytes(range(256)),
        "huge.yaml": b"a: b\n" * (2 << 20),
        "types.yaml": b"name: 1\npool: 2\ntasks: 3\n",
    }.items():
        (project.folder / name).write_bytes(content)
        for verb in ("validate", "plan", "run"):
            done = project(verb, name, code=2)
            assert name in done.err
            assert done.out == ""
    assert "did you mean p.yaml?" in project("validate", "q.yaml", code=2).err
    assert not (project.folder / ".batchctl" / "local").exists(), (
        "nothing was started for a jobspec that is wrong"
    )


def test_a_file_that_may_not_be_read(project: Project) -> None:
    spec = project.folder / project.spec(TASK)
    spec.chmod(0)
    done = subprocess.run(
        [PROGRAM, "validate", str(spec)],
        cwd=project.folder,
        capture_output=True,
        text=True,
        preexec_fn=_no_privileges,
    )
    assert done.returncode == 2
    assert "not allowed to read it" in done.stderr


@pytest.mark.parametrize(
    "arguments", [["local", "up"], ["local", "up", "--foreground"], ["local", "reset"], ["runs"]]
)
def test_a_folder_that_may_not_be_written(project: Project, arguments: list[str]) -> None:
    state = project.folder / ".batchctl"
    state.chmod(0o555 if arguments[-1] != "reset" else 0)
    done = subprocess.run(
        [PROGRAM, *arguments],
        cwd=project.folder,
        env=project.environment({}),
        capture_output=True,
        text=True,
        preexec_fn=_no_privileges,
    )
    state.chmod(0o755)
    assert done.returncode == 5
    assert "Permission denied\nhint: go to a folder" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("arguments", [["run", "p.yaml"], ["backfill", "p.yaml", "--for", "n=1..2"]])
def test_a_lake_that_cannot_be_written_is_told_before_a_run_is_made(
    project: Project, arguments: list[str]
) -> None:
    project.write(
        "p.yaml",
        f"name: p\npool: {{target_dedicated_nodes: 1}}\nparameters: {{n: {{type: integer, default: 1}}}}\ntasks:\n{TASK}",
    )
    lake = project.folder / ".batchctl" / "lake"
    lake.write_text("")
    assert f"the lake cannot be written: {lake}" in project(*arguments, code=5).err
    lake.unlink()
    (lake / "runs").mkdir(parents=True)
    (lake / "runs").chmod(0o555)
    done = subprocess.run(
        [PROGRAM, *arguments],
        cwd=project.folder,
        env=project.environment({}),
        capture_output=True,
        text=True,
        preexec_fn=_no_privileges,
    )
    assert done.returncode == 5
    assert f"{lake}/runs: Permission denied\nhint: make it a folder that you may write to" in done.stderr
    assert not (project.folder / ".batchctl" / "local").exists(), "no service was started for it"


def _no_privileges() -> None:
    """Even root may not read what its mode forbids without these (prctl PR_CAPBSET_DROP); others never may."""
    for capability in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
        ctypes.CDLL(None).prctl(24, capability, 0, 0, 0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nonsense"], "No such command"),
        (["run"], "Missing argument"),
        (["run", "p.yaml", "-p", "x"], "this is not name=value"),
        (["run", "p.yaml", "-p", "x=1", "-p", "x=2"], "given twice"),
        (["run", "p.yaml", "--at", "yesterday"], "this is not ISO 8601"),
        (["run", "p.yaml", "--target", "prod"], "there is no target prod"),
        (["schedule", "apply", "p.yaml"], "p has no schedule"),
        (["status", "nothing"], "there is no run or pipeline nothing"),
        (["logs", "nothing"], "there is no run or pipeline nothing"),
        (["cancel", "nothing"], "there is no run or pipeline nothing"),
    ],
)
def test_wrong_command_lines(project: Project, arguments: list[str], message: str) -> None:
    project.spec(TASK)
    done = project(*arguments, code=2)
    assert message in done.err
    assert "hint: " in done.err or "--help" in done.err


@pytest.mark.parametrize("arguments", [[], ["local"], ["local", "chaos"], ["image"]])
def test_a_group_alone_shows_its_help(project: Project, arguments: list[str]) -> None:
    done = project(*arguments, code=2)
    assert done.err.startswith(f"Usage: {' '.join(['batchctl', *arguments])} [OPTIONS] COMMAND")
    assert "hint:" not in done.err


def test_wrong_configuration(project: Project) -> None:
    spec = project.spec(TASK)
    for text, message in {
        "[targets.prod\n": "batchctl.toml",
        '[targets.prod]\nkey = "x"\n': "a key does not belong",
        '[targets.prod]\nendpont = "x"\n': "there is no such setting",
        "[targets.prod]\n": "has no endpoint",
        '[targets.prod]\nkind = "aws"\n': "is not local or azure",
        '[targets.prod]\nendpoint = "acct.batch"\nlake = "az://a/b"\n': "is not a Batch endpoint",
        '[targets.prod]\nendpoint = "http://example.org"\nlake = "az://a/b"\n': "not encrypted",
        '[targets.prod]\nendpoint = "https://x.y.batch.azure.com"\n': "has no lake",
    }.items():
        project.write("batchctl.toml", text)
        assert message in project("run", spec, "--target", "prod", code=2).err


def test_nobody_answers(project: Project) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: refused at once
        port = taken.getsockname()[1]
        done = project("runs", code=5, BATCHCTL_ENDPOINT=f"http://127.0.0.1:{port}", BATCHCTL_KEY="a2V5")
    assert "nobody answers" in done.err
    assert "hint: " in done.err


def test_a_wrong_key(project: Project) -> None:
    project("local", "up")
    endpoint = project("local", "status", "-o", "json").json["endpoint"]
    lake = (project.folder / "lake").as_uri()
    other = f'[targets.other]\nendpoint = "{endpoint}"\naccount = "devaccount"\nlake = "{lake}"\n'
    project.write("batchctl.toml", other)
    done = project("run", project.spec(TASK), "--target", "other", code=5, BATCHCTL_KEY="a2V5")
    assert "AuthenticationFailed" in done.err
    assert project("runs", "-o", "json").json == []


def test_the_environment_and_a_local_target(project: Project) -> None:
    lake = project.folder / "elsewhere"
    spec = project.spec("  - {id: a, command: /bin/echo hello}\n")
    mine = {"BATCHCTL_LAKE": lake.as_uri(), "BATCHCTL_KEY": "a2V5", "BATCHCTL_ACCOUNT": "prod"}
    project("run", spec, **mine)  # its own service has its own key
    assert len(list(lake.glob("runs/p-*/a/*/record.json"))) == 1
    assert project("logs", "p", "--stream", "stdout", **mine).out == "hello\n"
    done = project("runs", "-t", "local", code=2, BATCHCTL_ENDPOINT="https://a.r.batch.azure.com")
    assert "https://a.r.batch.azure.com is not a local service" in done.err
    done = project("runs", "-t", "local", code=5, BATCHCTL_ENDPOINT="http://127.0.0.1:9")
    assert "nobody answers" in done.err


def test_a_port_that_is_taken(project: Project) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        for arguments in (
            ["local", "up", "--port", str(port)],
            ["local", "up", "--foreground", "--port", str(port)],
        ):
            done = project(*arguments, code=5)
            assert str(port) in done.err
            assert "hint: choose another --port" in done.err


def test_up_status_down_reset(project: Project) -> None:
    assert project("local", "status").out == "not running\n"
    assert not project("local", "status", "-o", "json").json["running"]
    up = project("local", "up", "-o", "json").json
    assert up["account"] == "devaccount"
    assert project("local", "up", "-o", "json").json["pid"] == up["pid"]
    assert "in use" in project("local", "reset", code=5).err
    assert project("local", "down").out == "stopped\n"
    assert "not running" in project("local", "down").err
    assert project("local", "reset").out == "reset\n"


def test_foreground_ends_with_ctrl_c(project: Project) -> None:
    process = project.start("local", "up", "--foreground")
    wait_until(lambda: bool(project("local", "status", "-o", "json").json["running"]), "it is up")
    assert interrupt(process).code in (0, 130)
    assert project("local", "status").out == "not running\n"


def test_ctrl_c_while_submitting_takes_the_run_back(project: Project) -> None:
    spec = project.spec("  - {id: a, command: sleep 600, for_each: 50000}\n")
    process = project.start("run", spec)
    wait_until(lambda: bool(project("runs", "-o", "json").json), "the job is there")
    done = interrupt(process)
    assert done.code == 130
    wait_until(lambda: project("runs", "-o", "json").json[0]["state"] != "running", "it is taken back")
    assert project("runs", "-o", "json").json[0]["state"] in ("failed", "cancelled")


def test_a_full_pipe_and_a_reader_that_leaves(project: Project) -> None:
    spec = project.spec("""  - {id: a, command: "/bin/sh -c 'seq 200000'"}\n""")
    run = project("run", spec, "--no-wait").out.strip()
    project("wait", run)
    line = f"{PROGRAM} logs {run} | head -n 1"
    done = subprocess.run(["/bin/sh", "-c", line], cwd=project.folder, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("1\n", "")
