"""containerRunOptions, word by word; names of images."""

import re
import shlex
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchctl.server.batch.runner.docker import options
from batchctl.server.batch.runner.docker.option_values import byte_count
from batchctl.server.batch.runner.docker.options import OptionError, parse
from batchctl.server.batch.runner.docker.references import registry_for, registry_of, split_name


@pytest.mark.parametrize(
    ("text", "part", "expected"),
    [
        ("--rm", "host", {}),
        ("--init --read-only --privileged", "host", {"Init": True, "ReadonlyRootfs": True, "Privileged": True}),
        ("--init=false", "host", {"Init": False}),
        ("--network bridge", "host", {"NetworkMode": "bridge"}),
        ("--net=none", "host", {"NetworkMode": "none"}),
        ("-m 512m --memory-swap -1", "host", {"Memory": 512 * 2**20, "MemorySwap": -1}),
        ("-m512m", "host", {"Memory": 512 * 2**20}),
        ("--memory=1.5g --shm-size 64k", "host", {"Memory": 3 * 2**29, "ShmSize": 2**16}),
        ("--cpus 1.5", "host", {"NanoCpus": 1_500_000_000}),
        ("-v /a:/b:ro -v '/c d:/e'", "host", {"Binds": ["/a:/b:ro", "/c d:/e"]}),
        ("-v /only/inside", "config", {"Volumes": {"/only/inside": {}}}),
        (
            "--mount type=bind,src=/a,dst=/b,readonly --mount target=/v,source=name",
            "host",
            {
                "Mounts": [
                    {"Type": "bind", "Source": "/a", "Target": "/b", "ReadOnly": True},
                    {"Type": "volume", "Source": "name", "Target": "/v"},
                ]
            },
        ),
        ("--tmpfs /t:size=1m --tmpfs /u", "host", {"Tmpfs": {"/t": "size=1m", "/u": ""}}),
        ("--ulimit nofile=10:20 --ulimit core=0", "host",
         {"Ulimits": [{"Name": "nofile", "Soft": 10, "Hard": 20}, {"Name": "core", "Soft": 0, "Hard": 0}]}),
        ("--cap-add SYS_PTRACE --cap-drop=ALL", "host", {"CapAdd": ["SYS_PTRACE"], "CapDrop": ["ALL"]}),
        ("--add-host a:1.2.3.4 --dns 1.1.1.1 --ipc host", "host",
         {"ExtraHosts": ["a:1.2.3.4"], "Dns": ["1.1.1.1"], "IpcMode": "host"}),
        ("-u 1:2 -w /x -h name", "config", {"User": "1:2", "WorkingDir": "/x", "Hostname": "name"}),
        ("--entrypoint '' -l a=b --label c", "config", {"Entrypoint": [""], "Labels": {"a": "b", "c": ""}}),
        ("-e A=1 --env 'B=two words' -eC=x=y -e GIVEN", "environment", {"A": "1", "B": "two words", "C": "x=y"}),
        ("", "host", {}),
    ],
)  # fmt: skip
def test_what_people_write(text: str, part: str, expected: dict[str, Any]) -> None:
    assert getattr(parse(text), part) == expected


def test_pulling_and_platform() -> None:
    assert parse("").pull == "missing"
    assert parse("--pull=always --platform linux/arm64").pull == "always"
    assert parse("--platform linux/arm64").platform == "linux/arm64"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("--rm --frobnicate 3", "--frobnicate"),
        ("-it", "-it"),
        ("-p 80:80", "-p"),
        ("--gpus all", "--gpus"),
        ("--name mine", "--name"),
        ("-m", "-m needs a value"),
        ("-m lots", "it is no size"),
        ("--cpus two", "it is no number"),
        ("--pull sometimes", "always, missing or never"),
        ("--ulimit nofile", "name=value"),
        ("--mount type=bind,bind-propagation=shared,target=/x", "bind-propagation"),
        ("--mount source=/x", "target"),
        ("--init=perhaps", "neither true nor false"),
        ("image", "no option"),
        ("-e =x", "name=value"),
        ("--label 'open", "cannot be split"),
    ],
)
def test_what_is_not_known_is_refused_by_its_name(text: str, said: str) -> None:
    with pytest.raises(OptionError, match="containerRunOptions") as caught:
        parse(text)
    assert said in str(caught.value)


@given(st.dictionaries(st.from_regex(r"[A-Z_]{1,9}", fullmatch=True), st.text(), max_size=5))
def test_variables_come_through_whatever_they_hold(variables: dict[str, str]) -> None:
    text = " ".join(f"-e {shlex.quote(f'{name}={value}')}" for name, value in variables.items())
    assert parse(text).environment == variables


@given(st.text(max_size=40))
def test_no_text_does_anything_but_parse_or_be_refused(text: str) -> None:
    with suppress(OptionError):
        parse(text)


@pytest.mark.parametrize(
    ("text", "bytes_"), [("10", 10), ("1b", 1), ("2KB", 2048), ("1GiB", 2**30), ("0.5m", 2**19)]
)
def test_sizes(text: str, bytes_: int) -> None:
    assert byte_count(text) == bytes_


@pytest.mark.parametrize(
    ("name", "repository", "tag", "registry"),
    [
        ("etl", "etl", "latest", "docker.io"),
        ("etl:1", "etl", "1", "docker.io"),
        ("team/etl:1", "team/etl", "1", "docker.io"),
        ("localhost:5000/etl", "localhost:5000/etl", "latest", "localhost:5000"),
        ("localhost/etl", "localhost/etl", "latest", "localhost"),
        ("x.azurecr.io/a/b@sha256:ab", "x.azurecr.io/a/b", "sha256:ab", "x.azurecr.io"),
        ("localhost:5000/etl:1@sha256:ab", "localhost:5000/etl", "sha256:ab", "localhost:5000"),
        ("docker.io/library/etl:1", "docker.io/library/etl", "1", "docker.io"),
    ],
)
def test_names_of_images(name: str, repository: str, tag: str, registry: str) -> None:
    assert split_name(name) == (repository, tag)
    assert registry_of(name) == registry


def test_which_registry_s_sign_in_is_used() -> None:
    mine = {"registryServer": "https://X.azurecr.io", "username": "mine"}
    other, hub = {"registryServer": "y.azurecr.io"}, {"username": "hub"}
    assert registry_for("x.azurecr.io/a", mine, [{"registryServer": "x.azurecr.io"}]) == mine
    assert registry_for("y.azurecr.io/a:1", mine, [hub, other]) == other
    assert registry_for("a:1", mine, [other, hub]) == hub
    assert registry_for("z.azurecr.io/a", mine, [other, hub]) is None
    assert registry_for("a", None, [{"registryServer": "https://index.docker.io/v1/"}]) is not None


def test_every_option_is_in_the_documentation() -> None:
    text = (Path(__file__).parents[3] / "docs" / "local-containers.md").read_text()
    known = {*options._WITH_VALUE, *options._FLAGS, *options._OTHER_NAMES}
    assert [
        name for name in sorted(known) if not re.search(rf"[ `]{name}[ `]", text.replace("\n", " "))
    ] == []
