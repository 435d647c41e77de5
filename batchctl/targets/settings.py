"""Where a command runs: the project's folder, `batchctl.toml`, `.env` and the environment -> one Settings value.

Precedence: flag > BATCHCTL_* > .env > batchctl.toml > default. The target `local` needs none of them.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from batchctl.errors import UsageError

FILE = "batchctl.toml"
STATE = ".batchctl"
RUNTIMES = ("process", "docker", "auto")


@dataclass(frozen=True, kw_only=True)
class TargetSettings:
    """One target of `batchctl.toml`. The names are the keys of its table."""

    kind: str = "azure"
    """`local` or `azure`."""
    endpoint: str = ""
    """URL of the Batch account."""
    account: str = ""
    """Name of the account; default: the first word of the endpoint's host."""
    key: str = field(default="", repr=False)
    """Shared key. Only from the environment (BATCHCTL_KEY) or `.env`, never from batchctl.toml."""
    lake: str = ""
    """URL of the folder that holds the zones and the runs: `az://account/container/`."""
    zones: Mapping[str, str] = field(default_factory=dict)
    """Zone -> URL, where it is not `<lake>/<zone>/`."""
    active_job_quota: int | None = None
    """How many active jobs and job schedules the account holds; `schedule apply` refuses before it would be exceeded."""
    subscription: str = ""
    """Id of the account's subscription: with `resource_group`, Azure is asked for that quota."""
    resource_group: str = ""
    """The account's resource group."""
    conductor_image: str = ""
    """Reference of the conductor's image, with its digest."""
    conductor_context: str = ""
    """Folder to build the conductor's image from, relative to batchctl.toml; `conductor_image` is then not needed."""
    conductor_dockerfile: str = "Dockerfile"
    """Dockerfile in `conductor_context`."""
    conductor_build_args: Mapping[str, str] = field(default_factory=dict)
    """Build arguments of the conductor's image, `BASE_IMAGE` for example. Never secret: an image tells them."""
    registry: str = ""
    """Where images are pushed to, and pulled from: `localhost:5000`, `NAME.azurecr.io`, perhaps with a path after it."""
    registry_username: str = ""
    """User of the registry, where neither Azure's sign-in nor Docker's credential store knows one."""
    registry_password: str = field(default="", repr=False)
    """Password of `registry_username`: `kv://vault/name` here; itself only from BATCHCTL_REGISTRY_PASSWORD or `.env`."""
    runtime: str = ""
    """`docker`: tasks run in their images; `process`: as plain processes; `auto`: in images where an engine can run them.
    Default: docker on Azure, process on this machine."""
    node_identity: str = ""
    """Resource id of the user-assigned identity of the nodes of existing pools: pulls images, uploads logs of foreign ones."""

    @property
    def is_local(self) -> bool:
        """Whether this is a service on this machine."""
        return self.kind == "local"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The target of a command, and the folder of the project."""

    name: str
    target: TargetSettings
    project: Path

    @property
    def state(self) -> Path:
        """Folder of everything that lives on this machine: the local service's store and the local lake."""
        return self.project / STATE

    @property
    def lake(self) -> str:
        """URL of the lake, ending in `/`."""
        if self.target.lake:
            return self.target.lake.rstrip("/") + "/"
        if self.target.kind == "local":
            return (self.state / "lake").as_uri() + "/"
        raise UsageError(
            f"the target {self.name} has no lake, so logs and data have no place",
            hint=f'add lake = "az://…" to {FILE}',
        )

    @property
    def zones(self) -> dict[str, str]:
        """Every lake zone's URL, ending in `/`."""
        base = {zone: f"{self.lake}{zone}/" for zone in ("raw", "staging", "curated")}
        return base | {zone: url.rstrip("/") + "/" for zone, url in self.target.zones.items()}


def project_folder(start: Path) -> Path:
    """The nearest folder from `start` upwards that has a batchctl.toml or a .batchctl; else `start`.

    A `.batchctl` in the home folder or at the root was left there by accident, and does not count from below.
    """
    too_high = {Path.home(), Path("/")}
    for folder in (start, *start.parents):
        if (folder / FILE).is_file():
            return folder
        if (folder / STATE).is_dir() and (folder == start or folder not in too_high):
            return folder
    return start


def read_settings(target: str | None, *, cwd: Path, environ: Mapping[str, str]) -> Settings:
    """The settings for the target named by the flag `target`, or by what is set. Raises UsageError.

    BATCHCTL_ENDPOINT without a name means a target of its own, `environment`, an Azure Batch account.
    """
    project = project_folder(cwd.resolve())
    environ = {**_dotenv(project), **environ}
    document = _document(project / FILE)
    tables = _tables(document)
    unnamed = "environment" if environ.get("BATCHCTL_ENDPOINT") else "local"
    name = target or environ.get("BATCHCTL_TARGET") or document.get("target") or unnamed
    table = dict(tables.get(name, {"kind": "local"} if name == "local" else {}))
    if name not in tables and name not in ("local", unnamed):
        known = ", ".join(sorted({"local", *tables}))
        raise UsageError(
            f"there is no target {name}; there is {known}", hint=f"add [targets.{name}] to {project / FILE}"
        )
    if "key" in table:
        raise UsageError(
            f"{FILE}: targets.{name}.key: a key does not belong in a file that is committed",
            hint="BATCHCTL_KEY",
        )
    if not str(table.get("registry_password", "kv://")).startswith("kv://"):
        raise UsageError(
            f"{FILE}: targets.{name}.registry_password: a password does not belong in a file that is committed",
            hint="kv://VAULT/NAME, or BATCHCTL_REGISTRY_PASSWORD",
        )
    known_keys = {f.name for f in fields(TargetSettings)} - {"key"}
    for key in table:
        if key not in known_keys:
            raise UsageError(
                f"{FILE}: targets.{name}.{key}: there is no such setting",
                hint=f"there is {', '.join(sorted(known_keys))}",
            )
    registry = ("registry", "registry_username", "registry_password")
    for key in ("endpoint", "account", "key", "lake", *registry, "runtime"):
        if environ.get(f"BATCHCTL_{key.upper()}"):
            table[key] = environ[f"BATCHCTL_{key.upper()}"]
    settings = TargetSettings(**table)
    if settings.kind not in ("local", "azure"):
        raise UsageError(f"{FILE}: targets.{name}.kind: {settings.kind!r} is not local or azure")
    for field_ in fields(TargetSettings):
        expected = {"zones": dict, "conductor_build_args": dict, "active_job_quota": int | None}.get(
            field_.name, str
        )
        value = getattr(settings, field_.name)
        if not isinstance(value, expected) or (
            isinstance(value, dict) and not all(isinstance(one, str) for one in value.values())
        ):
            raise UsageError(
                f"{FILE}: targets.{name}.{field_.name}: a wrong type of value",
                hint="see docs/configuration.md",
            )
    if settings.runtime not in ("", *RUNTIMES):
        raise UsageError(
            f"targets.{name}.runtime: {settings.runtime!r} is none", hint=f"there is {', '.join(RUNTIMES)}"
        )
    for url in (settings.lake, *settings.zones.values()):
        if url and not url.startswith(("az://", "file:///")):
            raise UsageError(
                f"{url!r} is no place for a lake", hint="az://ACCOUNT/CONTAINER/FOLDER/ or file:///FOLDER/"
            )
    if bool(settings.subscription) != bool(settings.resource_group):
        raise UsageError(
            f"{FILE}: targets.{name}: subscription and resource_group belong together",
            hint="name both, or none",
        )
    if settings.kind == "azure" and not settings.endpoint:
        raise UsageError(
            f"the target {name} has no endpoint", hint=f"set BATCHCTL_ENDPOINT, or endpoint in {FILE}"
        )
    return Settings(name=name, target=settings, project=project)


def _tables(document: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The targets of batchctl.toml. Raises UsageError for what has no meaning there."""
    for key in document:
        if key not in ("target", "targets"):
            raise UsageError(f"{FILE}: {key}: there is no such setting", hint="there is target, targets")
    tables = document.get("targets", {})
    if not isinstance(document.get("target", ""), str) or not isinstance(tables, dict):
        raise UsageError(f"{FILE}: target is a name, and targets are tables", hint="[targets.prod]")
    for name, table in tables.items():
        if not isinstance(table, dict):
            raise UsageError(f"{FILE}: targets.{name} is not a table", hint=f"[targets.{name}]")
    return tables


def _document(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: {error}", hint="see docs/configuration.md") from None
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}", hint="it is a file that you may read") from None


def _dotenv(project: Path) -> dict[str, str]:
    path = project / ".env"
    if not path.is_file():
        return {}
    from dotenv import dotenv_values

    try:
        return {key: value for key, value in dotenv_values(path).items() if value is not None}
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}", hint=f"chmod u+r {path}") from None
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: {error}", hint="NAME=value, in UTF-8") from None
