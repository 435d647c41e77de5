"""`stage-run` as a process: output, signals and exit codes, as CONTRACT.md promises them."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

STAGE_RUN = Path(sys.executable).with_name("stage-run")


@pytest.mark.parametrize("exit_code", [0, 1, 3, 255])
def test_ends_with_the_commands_exit_code(stage_run, exit_code):
    assert stage_run.shell(f"exit {exit_code}").returncode == exit_code
    assert stage_run.record()["exit_code"] == exit_code
    assert stage_run.record()["signal"] is None


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV])
def test_a_signal_that_kills_the_command_is_128_plus_n(stage_run, number):
    assert stage_run.shell(f"kill -{int(number)} $$").returncode == 128 + number
    assert stage_run.record()["exit_code"] == 128 + number
    assert stage_run.record()["signal"] == number


def test_a_command_that_does_not_exist_is_127_and_says_so_everywhere(stage_run):
    done = stage_run.run("no-such-program-here")
    assert done.returncode == 127
    assert b"no-such-program-here: command not found" in done.stderr
    assert (stage_run.attempts()[-1] / "stderr.txt").read_bytes() == done.stderr
    assert stage_run.record()["exit_code"] == 127


def test_a_file_that_may_not_be_run_is_126(stage_run, tmp_path):
    script = tmp_path / "script"
    script.write_text("#!/bin/sh\n")
    done = stage_run.run(str(script))
    assert done.returncode == 126
    assert b"cannot be run: Permission denied" in done.stderr
    assert stage_run.record()["exit_code"] == 126


def test_a_file_in_no_executable_format_is_126(stage_run, tmp_path):
    script = tmp_path / "script"
    script.write_bytes(b"\x00\x01garbage")
    script.chmod(0o755)
    assert stage_run.run(str(script)).returncode == 126


@pytest.mark.parametrize("arguments", [[], ["--"], ["echo", "hi"], ["--", ""], ["--nope"]])
def test_wrong_usage_is_125_with_the_right_usage(arguments):
    done = subprocess.run([STAGE_RUN, *arguments], capture_output=True, env={}, timeout=120, check=False)
    assert done.returncode == 125
    assert b"stage-run -- COMMAND" in done.stderr


def test_help_and_version_need_no_environment():
    assert b"Usage: stage-run -- COMMAND" in subprocess.check_output([STAGE_RUN, "--help"], env={})
    assert subprocess.check_output([STAGE_RUN, "--version"], env={}).startswith(b"stage-run 0.")


def test_there_is_no_shell(stage_run):
    assert stage_run.run("echo", "$HOME", "|", "cat", "&&").stdout == b"$HOME | cat &&\n"


def test_bytes_pass_through_unchanged_whatever_their_encoding(stage_run):
    everything = bytes(range(256)) * 4096
    program = (
        "import os,sys; d=bytes(range(256))*4096; [sys.stdout.buffer.write(d), sys.stderr.buffer.write(d)]"
    )
    done = stage_run.run(sys.executable, "-c", program)
    assert done.stdout == everything
    assert done.stderr == everything
    assert (stage_run.attempts()[-1] / "stdout.txt").read_bytes() == everything
    assert (stage_run.attempts()[-1] / "stderr.txt").read_bytes() == everything


def test_output_is_in_the_lake_while_the_command_runs(stage_run, eventually):
    process = stage_run.start("/bin/sh", "-c", "printf early; printf oops >&2; exec sleep 30")
    try:
        assert eventually(lambda: any(stage_run.attempts()))
        folder = stage_run.attempts()[0]
        assert eventually(lambda: (folder / "stdout.txt").read_bytes() == b"early")
        assert eventually(lambda: (folder / "stderr.txt").read_bytes() == b"oops")
        record = stage_run.record()
        assert record["task"] == "extract"
        assert "exit_code" not in record
        assert process.poll() is None
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=120)
    assert process.returncode == 128 + signal.SIGTERM


@pytest.mark.parametrize(
    "number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2]
)
def test_signals_reach_the_whole_process_group(stage_run, number):
    child = "import signal, sys; signal.signal({n}, lambda *_: (print('child'), sys.exit())); print('ready', flush=True)"
    parent = "import signal, subprocess, sys; signal.signal({n}, lambda *_: (p.wait(), print('parent'), sys.exit(42)))"
    pause = "; signal.pause()"
    parent += "; p = subprocess.Popen([sys.executable, '-c', sys.argv[1]])" + pause
    process = stage_run.start(
        sys.executable, "-c", parent.format(n=int(number)), child.format(n=int(number)) + pause
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    process.send_signal(number)
    stdout, _ = process.communicate(timeout=120)
    assert stdout.split() == [b"child", b"parent"]
    assert process.returncode == 42


def test_the_command_has_a_process_group_of_its_own(stage_run):
    done = stage_run.run(sys.executable, "-c", "import os; print(os.getpid() == os.getpgid(0))")
    assert done.stdout == b"True\n"


def test_sighup_stays_ignored_under_nohup(stage_run):
    program = "import signal; print(signal.getsignal(signal.SIGHUP) is signal.SIG_IGN)"
    done = subprocess.run(
        ["nohup", STAGE_RUN, "--", sys.executable, "-c", program],
        env=stage_run.environ,
        capture_output=True,
        stdin=subprocess.DEVNULL,
        timeout=120,
        check=False,
    )
    assert done.stdout == b"True\n"


def test_a_grandchild_that_keeps_the_pipe_open_does_not_hold_the_task(stage_run):
    started = time.monotonic()
    done = stage_run.shell("(sleep 60; echo late) & echo $!; exit 5")
    assert time.monotonic() - started < 50
    assert done.returncode == 5
    assert (stage_run.attempts()[-1] / "stdout.txt").read_bytes() == done.stdout
    os.kill(int(done.stdout), signal.SIGKILL)


def test_nothing_the_command_wrote_is_lost_when_a_grandchild_keeps_the_pipe_and_the_reader_is_slow(
    stage_run, eventually
):
    script = "sleep 60 & echo $! >&2; head -c 300000 /dev/zero; exit 0"
    process = stage_run.start("/bin/sh", "-c", script)
    assert process.stdout is not None
    assert process.stderr is not None
    # Nobody reads our stdout until the command has had to wait for us.
    assert eventually(lambda: any(path.stat().st_size > 65536 for path in stage_run.lake.rglob("stdout.txt")))
    stdout, stderr = process.communicate(timeout=120)
    os.kill(int(stderr), signal.SIGKILL)
    assert len(stdout) == 300000
    assert (stage_run.attempts()[-1] / "stdout.txt").stat().st_size == 300000


def test_a_command_that_closes_its_output_is_waited_for(stage_run):
    assert stage_run.shell("exec >&- 2>&-; sleep 0.2; exit 9").returncode == 9


def test_a_reader_that_goes_away_costs_the_command_nothing(stage_run):
    process = stage_run.start(
        "/bin/sh", "-c", "read go < $FIFO; seq 1 50000; exit 6", FIFO=str(_fifo(stage_run))
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    process.stderr.close()
    _fifo(stage_run).write_text("go\n")
    assert process.wait(timeout=120) == 6
    assert (stage_run.attempts()[-1] / "stdout.txt").read_bytes().endswith(b"\n50000\n")


def _fifo(stage_run) -> Path:
    path: Path = stage_run.temporary / "fifo"
    if not path.exists():
        os.mkfifo(path)
    return path


def test_outside_batchctl_it_simply_runs_the_command(stage_run):
    bare = {"PATH": os.environ["PATH"]}
    done = subprocess.run(
        [STAGE_RUN, "--", "/bin/sh", "-c", "cat; echo ${BATCHCTL_REPORT-none}; exit 4"],
        env=bare,
        input=b"stdin is there\n",
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (4, b"stdin is there\nnone\n", b"")
    killed = subprocess.run(
        [STAGE_RUN, "--", "/bin/sh", "-c", "kill -9 $$"], env=bare, timeout=120, check=False
    )
    assert killed.returncode == 137
    missing = subprocess.run(
        [STAGE_RUN, "--", "no-such"], env=bare, capture_output=True, timeout=120, check=False
    )
    assert missing.returncode == 127


def test_the_hot_path_imports_only_the_standard_library(stage_run):
    program = (
        "import sys; before = set(sys.modules); import batchctl_runtime.main, batchctl_runtime.file_lake;"
        "names = {name.partition('.')[0] for name in set(sys.modules) - before};"
        "print(sorted(names - sys.stdlib_module_names), 'dataclasses' in names, 'asyncio' in names)"
    )
    output = subprocess.check_output([sys.executable, "-c", program], text=True)
    assert output == "['batchctl_runtime'] False False\n"
