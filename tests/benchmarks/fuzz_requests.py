"""Random requests of the Batch API, made from the shapes of its bodies: half of them right, half wrong in one way or more.

The same chance makes the same requests. No value is a program, a host or a file that could do harm: command lines come
from a list, and whatever may be an address points to nobody.
"""

import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import azure.batch.models

from batchctl.server.batch.routes import OPERATIONS, Operation

MODELS: Mapping[str, Mapping[str, str]] = json.loads(
    Path(__file__).with_name("request_models.json").read_text()
)
"""Per model of a request's body: property -> type; `!` required, `[` list of, `M:` model, `E:` enum."""

BODIES = {
    "create_pool": "BatchPoolCreateOptions",
    "update_pool": "BatchPoolUpdateOptions",
    "replace_pool_properties": "BatchPoolReplaceOptions",
    "resize_pool": "BatchPoolResizeOptions",
    "enable_pool_auto_scale": "BatchPoolEnableAutoScaleOptions",
    "evaluate_pool_auto_scale": "BatchPoolEvaluateAutoScaleOptions",
    "remove_nodes": "BatchNodeRemoveOptions",
    "create_job": "BatchJobCreateOptions",
    "update_job": "BatchJobUpdateOptions",
    "replace_job": "BatchJob",
    "terminate_job": "BatchJobTerminateOptions",
    "disable_job": "BatchJobDisableOptions",
    "create_job_schedule": "BatchJobScheduleCreateOptions",
    "update_job_schedule": "BatchJobScheduleUpdateOptions",
    "replace_job_schedule": "BatchJobSchedule",
    "create_task": "BatchTaskCreateOptions",
    "create_task_collection": "BatchTaskGroup",
    "replace_task": "BatchTask",
    "reboot_node": "BatchNodeRebootOptions",
    "reimage_node": "BatchNodeReimageOptions",
    "deallocate_node": "BatchNodeDeallocateOptions",
    "disable_node_scheduling": "BatchNodeDisableSchedulingOptions",
    "create_node_user": "BatchNodeUserCreateOptions",
    "replace_node_user": "BatchNodeUserReplaceOptions",
    "upload_node_logs": "UploadBatchServiceLogsOptions",
}
_WEIGHTS = {
    "create_pool": 6,
    "create_job": 8,
    "create_task": 20,
    "create_task_collection": 6,
    "create_job_schedule": 4,
    "download_task_file": 6,
    "download_node_file": 6,
    "terminate_job": 1,
    "disable_job": 1,
    "deallocate_node": 1,
    "resize_pool": 1,
}
_IDS = (
    "a",
    "b",
    "c",
    "A",
    "s",
    "t-1",
    "x_y",
    "0",
    "1",
    "007",
    "a:job-1",
    "s:job-1",
    "é",
    "a b",
    "x" * 65,
    "",
)
_STRINGS = (
    "",
    "a",
    "b",
    "0",
    "1",
    "true",
    "é☃",
    "\x00",
    "%",
    "'",
    "../x",
    "a/b",
    "x" * 3000,
    "stdout.txt",
    "P1D",
    "*",
)
_COMMANDS = (
    "true",
    "false",
    "sleep 0.01",
    "/bin/sh -c 'exit 3'",
    "no-such-program",
    "'open",
    "",
    "   ",
    "true \x00",
)
_NUMBERS = (0, 1, 1, 2, 3, 5, 100, -1, -1000, 1001, 2**31 - 1, 2**31, -(2**63), 10**30)
_DURATIONS = (
    "PT1M",
    "PT0S",
    "PT0.01S",
    "P1D",
    "PT5M",
    "P10675199DT2H48M5.4775807S",
    "-PT1S",
    "P",
    "PT1H1",
    "P9999999D",
    "P5000000D",
)
_INSTANTS = (
    "2026-01-01T00:00:00Z",
    "2099-01-01T00:00:00+01:00",
    "0001-01-01T00:00:00Z",
    "9999-12-31T23:59:59.9999999Z",
    "0001-01-01T00:00:00+23:59",
    "now",
)
_FORMULAS = (
    "$TargetDedicatedNodes=1;",
    "$TargetDedicatedNodes=avg($PendingTasks.GetSample(1));",
    "x",
    "1/0",
    "((((",
    "a=b=;",
)
_ADDRESSES = ("http://127.0.0.1:9/c", "http://127.0.0.1:9/c?sv=x&sig=y", "ftp://x", "http://[", "", "x")
_FILTERS = (
    "id eq 'a'", "state eq 'active'", "startswith(id,'a')", "creationTime gt DateTime'2020-01-01T00:00:00Z'",
    "(state eq 'active' or state eq 'completed') and id ne 'x'", "executionInfo/exitCode eq 0", "id eq", "((", "colour eq 'x'",
    "id eq 'a' and", "executionInfo/exitCode gt 'x'", "state eq null", "not", "'" * 50, "(" * 300 + ")" * 300,
    "creationTime gt DateTime'0001-01-01T00:00:00+23:59'", "priority eq " + "9" * 5000, "startswith(id,1)",
)  # fmt: skip
_SELECTS = ("id", "id,state", "id, url", "executionInfo/exitCode", "colour", ",", "*")
_DEEPEST = 5


@dataclass(frozen=True, kw_only=True)
class Request:
    """One request; `path` and `query` are percent-encoded."""

    operation: str
    method: str
    path: str
    query: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None


def _weight(operation: Operation) -> int:
    return 1 if operation.method == "DELETE" else _WEIGHTS.get(operation.name, 3)


class Requests:
    """An endless supply: `next()` them. `nodes` are the ids of nodes that exist, which the caller keeps."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)
        self._operations = [each for each in OPERATIONS for _ in range(_weight(each))]
        self.nodes: list[str] = []

    def next(self) -> Request:
        """The next request."""
        operation = self._chance.choice(self._operations)
        body = self._body(operation)
        return Request(
            operation=operation.name,
            method=operation.method,
            path=self._path(operation),
            query=self._query(),
            headers=self._headers(),
            body=body,
        )

    def _rarely(self, one_in: int) -> bool:
        return self._chance.randrange(one_in) == 0

    def _path(self, operation: Operation) -> str:
        parts = []
        for part in operation.path.split("/"):
            if not part.startswith("{"):
                parts.append(part)
            elif part.startswith("{nodeId") and self.nodes and not self._rarely(5):
                parts.append(self._chance.choice(self.nodes))
            elif part.startswith("{filePath"):
                names = (
                    "stdout.txt",
                    "wd",
                    "wd/x",
                    "..",
                    "../..",
                    "shared",
                    "%2e%2e/%2e%2e",
                    "x" * 300,
                    "startup",
                    "\x00",
                )
                parts.append(quote(self._chance.choice(names), safe="/%"))
            else:
                parts.append(quote(self._id() or "-"))
        return "/".join(parts)

    def _id(self) -> str:
        """Mostly one that is there: `a`, the pool, job and task that are made again and again."""
        return self._chance.choice(("a", "a", "a", "s", "b") if not self._rarely(5) else _IDS)

    def _query(self) -> str:
        pairs = {"api-version": "2025-06-01"}
        if self._rarely(40):
            pairs["api-version"] = self._chance.choice(["", "x", "2022-10-01.16.0", "2024-02-01.19.0"])
        for name, values in (
            ("maxresults", ("1", "2", "1000", "0", "-1", "1001", "x", "9" * 30)),
            ("$filter", _FILTERS),
            ("$select", _SELECTS),
            ("$expand", ("stats", "x", "stats,x")),
            ("$skiptoken", ("MQ", "x", "é", "=", "LTE", "OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTk5")),
            ("recursive", ("true", "false", "x")),
            ("timeOut", ("30", "x")),
            ("force", ("true", "x")),
        ):
            if self._rarely(15):
                pairs[name] = self._chance.choice(values)
        return "&".join(f"{name}={quote(value)}" for name, value in pairs.items() if value)

    def _headers(self) -> dict[str, str]:
        choices = {
            "If-Match": ("*", "0x8D", '"0x8D"', "x,y"),
            "If-None-Match": ("*", "0x8D"),
            "If-Modified-Since": (
                "Thu, 01 Jan 2026 00:00:00 GMT",
                "Fri, 01 Jan 2100 00:00:00 GMT",
                "yesterday",
            ),
            "If-Unmodified-Since": ("Thu, 01 Jan 2026 00:00:00 GMT", "0"),
            "ocp-range": (
                "bytes=0-3",
                "bytes=5-",
                "bytes=-1",
                "bytes=9-1",
                "x",
                "bytes=0-99999999999999999999",
            ),
            "client-request-id": ("c0ffee", "é"),
            "return-client-request-id": ("true", "x"),
        }
        return {
            name: self._chance.choice(values).encode("ascii", "replace").decode()
            for name, values in choices.items()
            if self._rarely(40)
        }

    def _body(self, operation: Operation) -> bytes | None:
        model = BODIES.get(operation.name)
        if model is None:
            return (
                self._chance.choice([b"{}", b"x"])
                if operation.method == "POST" and self._rarely(10)
                else None
            )
        if self._rarely(30):
            return self._chance.choice(
                [None, b"", b"{", b"[]", b"null", b'"x"', b"1e999", b"\xff", b"[" * 2000]
            )
        # A quarter of the bodies is right, so that something comes of them; the others have a mistake here and there.
        wrong = 0 if self._rarely(2) else self._chance.choice([10, 30, 100])
        return json.dumps(self._model(model, wrong, 0)).encode()

    def _model(self, name: str, wrong: int, depth: int) -> Any:
        made: dict[str, Any] = {}
        for field_name, kind in MODELS[name].items():
            likely = 1 if kind.endswith("!") else 3 + 3 * depth
            if self._rarely(likely) and not (wrong and self._rarely(wrong)):
                made[field_name] = self._value(field_name, kind.rstrip("!"), wrong, depth)
        if wrong and self._rarely(wrong):
            made[self._chance.choice(["colour", "odata.type", "authenticationTokenSettings", ""])] = 1
        if not wrong:
            self._make_plausible(name, made)
        return made

    @staticmethod
    def _make_plausible(name: str, made: dict[str, Any]) -> None:
        """Take out what a shape cannot say: of two properties only one, nothing that only a user's own account has."""
        for unlikely in (
            "networkConfiguration",
            "mountConfiguration",
            "applicationPackageReferences",
            "multiInstanceSettings",
        ):
            made.pop(unlikely, None)
        if name in ("BatchPoolCreateOptions", "BatchPoolSpecification"):
            for autoscale in ("enableAutoScale", "autoScaleFormula", "autoScaleEvaluationInterval"):
                made.pop(autoscale, None)
            made["virtualMachineConfiguration"] = {
                "imageReference": {"publisher": "canonical", "offer": "o", "sku": "s"},
                "nodeAgentSKUId": "batch.node.ubuntu 24.04",
            }
            made["targetDedicatedNodes"] = 1
        if name == "BatchPoolInfo":
            made.pop("autoPoolSpecification", None)
            made["poolId"] = "a"
        if name == "BatchJobScheduleConfiguration":
            made.clear()
        made.pop("exitConditions", None)
        made.pop("dependsOn", None)

    def _value(self, name: str, kind: str, wrong: int, depth: int) -> Any:
        if wrong and self._rarely(wrong):
            return self._chance.choice([None, [], {}, "x", 1, True, 1.5, [[]], [None], {"x": 1}])
        if depth >= _DEEPEST:
            return None
        if kind.startswith("["):
            return [
                self._value(name, kind[1:], wrong, depth + 1)
                for _ in range(self._chance.choice([0, 1, 1, 2, 3]))
            ]
        if kind.startswith("M:"):
            return self._model(kind[2:], wrong, depth + 1)
        if kind.startswith("E:"):
            enum = getattr(azure.batch.models, kind[2:], azure.batch.models.BatchNodeDeallocationOption)
            return self._chance.choice([item.value for item in enum])
        return self._scalar(name, kind, wrong)

    def _scalar(self, name: str, kind: str, wrong: int) -> Any:
        makers: dict[str, Callable[[], Any]] = {
            "str": lambda: self._string(name, wrong),
            "int": lambda: self._number(name, wrong),
            "bool": lambda: self._chance.choice([True, False]),
            "duration": lambda: self._chance.choice(_DURATIONS if wrong else _DURATIONS[:1]),
            "datetime": lambda: self._chance.choice(_INSTANTS if wrong else _INSTANTS[:2]),
            "dict": lambda: {self._string(name, wrong): 1},
        }
        return makers[kind]()

    def _string(self, name: str, wrong: int) -> str:
        lower = name.lower()
        if name == "nodeList" and self.nodes:
            return self._chance.choice(self.nodes)
        if lower in ("id", "poolid"):
            return self._id() if wrong else self._chance.choice(_IDS[:8])
        if "commandline" in lower:
            return self._chance.choice(_COMMANDS if wrong else _COMMANDS[:6])
        if "url" in lower or "uri" in lower:
            return self._chance.choice(_ADDRESSES)
        if "formula" in lower:
            return self._chance.choice(_FORMULAS)
        return self._chance.choice(_STRINGS if wrong else _STRINGS[1:6])

    def _number(self, name: str, wrong: int) -> int:
        if not wrong:
            return self._chance.choice(_NUMBERS[:5])
        return self._chance.choice(_NUMBERS)
