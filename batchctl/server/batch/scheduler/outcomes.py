"""What a task's end means: failure information, exit conditions, actions. Pure.

Source: Azure Batch REST, TaskFailureInformation and ExitConditions: single codes and ranges go before an upload
error, and that before the default; the default dependency action is satisfy for success and block otherwise, the
default job action is none for success and terminate otherwise.
"""

from batchctl.server.batch.errors import TASK_FAILURES
from batchctl.server.batch.scheduler.effects import Ending, Killing
from batchctl.server.batch.wire import Doc

_SERVER_ERRORS = frozenset({"MaxInternalRetryCountReached"})


def failure_information(ending: Ending, killing: Killing | None) -> Doc | None:
    """The failureInfo of a task that ended so; None: it succeeded."""
    if killing is Killing.TIMEOUT:
        return _failure("TaskEnded", "The task was ended because it exceeded its maxWallClockTime.")
    if killing is not None:
        return _failure("TaskEnded", TASK_FAILURES["TaskEnded"])
    if ending.failure is not None:
        return _failure(ending.failure, ending.detail or TASK_FAILURES[ending.failure], ending.source)
    if ending.exit_code == 0:
        return None
    return _failure("FailureExitCode", ending.detail or TASK_FAILURES["FailureExitCode"])


def _failure(code: str, message: str, source: str = "") -> Doc:
    details = [{"name": "Message", "value": message}]
    if source:
        details.append({"name": "BlobSource", "value": source})
    if code == "FailureExitCode":
        details.append({"name": "AdditionalErrorCode", "value": code})
    category = "ServerError" if code in _SERVER_ERRORS else "UserError"
    return {"category": category, "code": code, "message": TASK_FAILURES[code] or message, "details": details}


def exit_options(conditions: Doc | None, ending: Ending, *, failed: bool) -> Doc:
    """`jobAction` and `dependencyAction` that apply to a completed task, defaults filled in."""
    defaults: Doc = {"jobAction": "terminate", "dependencyAction": "block"}
    if not failed:
        defaults = {"jobAction": "none", "dependencyAction": "satisfy"}
    return defaults | (_chosen(conditions, ending, failed=failed) if conditions else {})


def _chosen(conditions: Doc, ending: Ending, *, failed: bool) -> Doc:
    code = ending.exit_code
    if code is not None:
        for mapping in conditions.get("exitCodes", ()):
            if mapping["code"] == code:
                return dict(mapping["exitOptions"])
        for mapping in conditions.get("exitCodeRanges", ()):
            if mapping["start"] <= code <= mapping["end"]:
                return dict(mapping["exitOptions"])
        if ending.failure is not None and "fileUploadError" in conditions:
            return dict(conditions["fileUploadError"])
    elif ending.failure is not None and "preProcessingError" in conditions:
        return dict(conditions["preProcessingError"])
    return dict(conditions.get("default", {})) if failed else {}
