"""A Docker Engine and a registry for tests: the machine's engine if it runs, else one of our own, shared by the test processes.

Our own keeps its layers between test runs, in the user's cache folder, and ends with the last process that uses it.
"""

import fcntl
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import docker
from docker.errors import DockerException, ImageNotFound

ROOT = Path(__file__).parents[2]
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "batchctl-tests"
DEADLINE = 180.0
AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt"


class EngineMissing(Exception):
    """Why there is no engine or no base image."""


def answers(host: str) -> bool:
    """Whether an engine answers at `host`."""
    try:
        if host.startswith("unix://"):  # the SDK leaves a socket open that it cannot connect
            with socket.socket(socket.AF_UNIX) as probe:
                probe.connect(host.removeprefix("unix://"))
        client = docker.DockerClient(host)
    except (DockerException, OSError):
        return False
    client.close()
    return True


@contextmanager
def shared_engine() -> Iterator[str]:
    """The address of an engine. Raises EngineMissing."""
    for host in (os.environ.get("DOCKER_HOST", ""), "unix:///var/run/docker.sock"):
        if host and answers(host):
            yield host
            return
    if os.geteuid() != 0 or not Path("/usr/sbin/dockerd").exists():
        raise EngineMissing(
            "no Docker Engine runs, and none is installed to start: tests/services/install-docker.sh"
        )
    host = f"unix://{CACHE}/docker.sock"
    users = CACHE / "users"
    mine = users / str(os.getpid())
    with _locked():
        users.mkdir(parents=True, exist_ok=True)
        if not answers(host):
            _start_engine(host)
        mine.touch()
    try:
        yield host
    finally:
        with _locked():
            mine.unlink()
            if not any(_is_alive(int(other.name)) or other.unlink() for other in users.iterdir()):
                _stop_engine()


@contextmanager
def _locked() -> Iterator[None]:
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def engine_command(folder: Path, host: str, *options: str) -> list[str]:
    """The command line of an engine with all its state in `folder`."""
    return [
        "/usr/sbin/dockerd", "-H", host, "--data-root", f"{folder}/docker", "--exec-root", f"{folder}/run",
        "--pidfile", f"{folder}/docker.pid", *options,
    ]  # fmt: skip


def wait_for_engine(process: "subprocess.Popen[bytes]", host: str, log: Path) -> None:
    """Wait until the engine answers. Raises EngineMissing with its last words if it does not."""
    deadline = time.monotonic() + DEADLINE
    while not answers(host):
        if process.poll() is not None or time.monotonic() > deadline:
            raise EngineMissing("dockerd does not start: " + log.read_text()[-2000:])
        time.sleep(0.05)


def _start_engine(host: str) -> None:
    (CACHE / "docker.pid").unlink(missing_ok=True)
    log = CACHE / "dockerd.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            engine_command(CACHE, host), stdout=out, stderr=out, start_new_session=True
        )
    wait_for_engine(process, host, log)
    process.returncode = 0  # it outlives this process, if another still uses it


def _stop_engine() -> None:
    try:
        pid = int((CACHE / "docker.pid").read_text())
        name = Path(f"/proc/{pid}/comm").read_text().strip()
    except FileNotFoundError:
        return
    if name == "dockerd":
        os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + DEADLINE
    while (CACHE / "docker.pid").exists() and time.monotonic() < deadline:
        time.sleep(0.05)


def _is_alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def base_reference() -> str:
    """The base image that the Dockerfiles name."""
    found = re.search(r"^ARG BASE_IMAGE=(\S+)$", (ROOT / "images/etl/Dockerfile").read_text(), re.M)
    assert found
    return found[1]


def provide_base_image(client: docker.DockerClient) -> str:
    """See that the engine has the base image: its own, one from Debian's packages, or Docker Hub's. Raises EngineMissing."""
    reference = base_reference()
    try:
        client.images.get(reference)
        return reference
    except ImageNotFound:
        pass
    tars = sorted(CACHE.glob("base-*.tar"), key=lambda path: path.stat().st_mtime)
    repository, tag = reference.split(":")
    if tars:
        changes = [f"ENV PIP_CERT={AUTHORITIES} SSL_CERT_FILE={AUTHORITIES}", 'CMD ["python"]']
        client.api.import_image_from_file(str(tars[-1]), repository=repository, tag=tag, changes=changes)
        return reference
    try:
        client.images.pull(repository, tag)
    except DockerException as error:
        raise EngineMissing(f"no base image: {error}; tests/services/install-docker.sh makes one") from error
    return reference


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running_registry(
    folder: Path, port: int, htpasswd: Path | None = None
) -> "Iterator[subprocess.Popen[bytes]]":
    """A registry on 127.0.0.1 with its images in `folder`. Raises EngineMissing."""
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "config.yml"
    sign_in = f"auth: {{htpasswd: {{realm: tests, path: {htpasswd}}}}}\n" if htpasswd else ""
    config.write_text(
        "version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\n"
        f"storage: {{filesystem: {{rootdirectory: {folder}/images}}, delete: {{enabled: true}}}}\n"
        f'http: {{addr: "127.0.0.1:{port}"}}\n{sign_in}'
    )
    if not Path("/usr/bin/docker-registry").exists():
        raise EngineMissing("no registry is installed: tests/services/install-docker.sh")
    process = subprocess.Popen(
        ["/usr/bin/docker-registry", "serve", config], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + DEADLINE
        while not _listens(port):
            if process.poll() is not None or time.monotonic() > deadline:
                raise EngineMissing(f"docker-registry does not start (exit code {process.poll()})")
            time.sleep(0.02)
        yield process
    finally:
        process.kill()
        process.wait()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
