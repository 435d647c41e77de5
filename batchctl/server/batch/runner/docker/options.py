"""containerRunOptions: the words of `docker create`, as the body of the Engine API. Pure.

Source: Azure Batch REST, TaskContainerSettings.containerRunOptions ("additional options to the container create command");
`docker create --help` for what they mean. An option that is not listed here is refused by its name, never ignored.
"""

import shlex
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from batchctl.server.batch.runner.docker.option_values import (
    byte_count,
    mount,
    nano_cpus,
    pair,
    ulimit,
    whole_number,
)
from batchctl.server.batch.wire import Doc


class OptionError(ValueError):
    """The options cannot be used; the message names the option."""


@dataclass(kw_only=True)
class RunOptions:
    """What the options ask for: parts of the Engine API's `ContainerConfig` and `HostConfig`.

    `pull` is `missing`, `always` or `never`.
    """

    config: Doc = field(default_factory=dict)
    host: Doc = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    pull: str = "missing"
    platform: str | None = None


Apply = Callable[[RunOptions, str], None]


def _set(part: str, name: str, convert: Callable[[str], object] = str) -> Apply:
    def apply(options: RunOptions, value: str) -> None:
        getattr(options, part)[name] = convert(value)

    return apply


def _add(part: str, name: str, convert: Callable[[str], object] = str) -> Apply:
    def apply(options: RunOptions, value: str) -> None:
        getattr(options, part).setdefault(name, []).append(convert(value))

    return apply


def _put(part: str, name: str, separator: str) -> Apply:
    def apply(options: RunOptions, value: str) -> None:
        key, _, rest = value.partition(separator)
        getattr(options, part).setdefault(name, {})[key] = rest

    return apply


def _variable(options: RunOptions, value: str) -> None:
    # `-e NAME` takes the value of whoever calls docker, and that is the task's own environment.
    if "=" in value:
        name, text = pair(value)
        options.environment[name] = text


def _volume(options: RunOptions, value: str) -> None:
    if ":" in value:
        options.host.setdefault("Binds", []).append(value)
    else:
        options.config.setdefault("Volumes", {})[value] = {}


def _pull(options: RunOptions, value: str) -> None:
    if value not in ("always", "missing", "never"):
        raise ValueError("it is always, missing or never")
    options.pull = value


def _platform(options: RunOptions, value: str) -> None:
    options.platform = value


def _nothing(_options: RunOptions, _value: str) -> None:
    """The service removes its containers itself."""


def _refused(reason: str) -> Apply:
    def apply(_options: RunOptions, _value: str) -> None:
        raise ValueError(reason)

    return apply


_WITH_VALUE: Mapping[str, Apply] = {
    "--add-host": _add("host", "ExtraHosts"),
    "--cap-add": _add("host", "CapAdd"),
    "--cap-drop": _add("host", "CapDrop"),
    "--cpu-shares": _set("host", "CpuShares", whole_number),
    "--cpus": _set("host", "NanoCpus", nano_cpus),
    "--cpuset-cpus": _set("host", "CpusetCpus"),
    "--dns": _add("host", "Dns"),
    "--dns-option": _add("host", "DnsOptions"),
    "--dns-search": _add("host", "DnsSearch"),
    "--entrypoint": _set("config", "Entrypoint", lambda value: [value]),
    "--env": _variable,
    "--gpus": _refused("the local service gives no GPU to containers"),
    "--group-add": _add("host", "GroupAdd"),
    "--hostname": _set("config", "Hostname"),
    "--ipc": _set("host", "IpcMode"),
    "--label": _put("config", "Labels", "="),
    "--memory": _set("host", "Memory", byte_count),
    "--memory-reservation": _set("host", "MemoryReservation", byte_count),
    "--memory-swap": _set("host", "MemorySwap", byte_count),
    "--mount": _add("host", "Mounts", mount),
    "--name": _refused("the service names its containers itself, so that a task can run again"),
    "--network": _set("host", "NetworkMode"),
    "--pid": _set("host", "PidMode"),
    "--pids-limit": _set("host", "PidsLimit", whole_number),
    "--platform": _platform,
    "--pull": _pull,
    "--security-opt": _add("host", "SecurityOpt"),
    "--shm-size": _set("host", "ShmSize", byte_count),
    "--stop-signal": _set("config", "StopSignal"),
    "--storage-opt": _put("host", "StorageOpt", "="),
    "--sysctl": _put("host", "Sysctls", "="),
    "--tmpfs": _put("host", "Tmpfs", ":"),
    "--ulimit": _add("host", "Ulimits", ulimit),
    "--user": _set("config", "User"),
    "--uts": _set("host", "UTSMode"),
    "--volume": _volume,
    "--workdir": _set("config", "WorkingDir"),
}

_FLAGS: Mapping[str, Apply] = {
    "--init": _set("host", "Init", lambda value: value == "true"),
    "--privileged": _set("host", "Privileged", lambda value: value == "true"),
    "--read-only": _set("host", "ReadonlyRootfs", lambda value: value == "true"),
    "--rm": _nothing,
}

_OTHER_NAMES = {
    "--net": "--network",
    "-c": "--cpu-shares",
    "-e": "--env",
    "-h": "--hostname",
    "-l": "--label",
    "-m": "--memory",
    "-u": "--user",
    "-v": "--volume",
    "-w": "--workdir",
}


def parse(text: str) -> RunOptions:
    """The options in `text`, split as a shell splits words. Raises OptionError."""
    options = RunOptions()
    try:
        words = iter(shlex.split(text))
    except ValueError as problem:
        raise OptionError(f"containerRunOptions cannot be split: {problem}") from None
    for word in words:
        _apply(options, word, words)
    return options


def _apply(options: RunOptions, word: str, rest: Iterator[str]) -> None:
    given, value = _name_and_value(word)
    name = _OTHER_NAMES.get(given, given)
    apply = _WITH_VALUE.get(name) or _FLAGS.get(name)
    if apply is None:
        what = f"the option {given}" if given.startswith("-") else f"{given!r}, which is no option"
        raise OptionError(f"containerRunOptions: the local service does not know {what}")
    if name in _FLAGS:
        value = "true" if value is None else value
        if value not in ("true", "false"):
            raise OptionError(f"containerRunOptions: {given}: {value!r} is neither true nor false")
    elif value is None and (value := next(rest, None)) is None:
        raise OptionError(f"containerRunOptions: {given} needs a value")
    try:
        apply(options, value)
    except ValueError as problem:
        raise OptionError(f"containerRunOptions: {given} {value}: {problem}") from None


def _name_and_value(word: str) -> tuple[str, str | None]:
    """`--name=value`, `-nvalue` and `-n=value` as name and value; None when the value is the next word."""
    if word.startswith("--"):
        name, found, value = word.partition("=")
        return name, value if found else None
    if word.startswith("-") and word[:2] in _OTHER_NAMES:
        return word[:2], word[2:].removeprefix("=") if len(word) > 2 else None
    return word, None
