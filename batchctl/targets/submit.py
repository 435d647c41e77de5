"""Adding many tasks to a job: chunks of 100, in parallel, and the result of every single task is read.

The SDK's own `create_tasks` returns normally when the service rejected tasks (15.1.0 compares the status case-sensitively).
Nothing is counted as submitted that the service did not accept by name.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from typing import Any

import orjson

from batchctl.errors import TargetError, TasksRejected
from batchctl.targets.batch import Batch

MAX_TASKS = 100
"""Batch REST 2025-06-01, addtaskcollection: at most 100 tasks in a request."""
MAX_BODY_BYTES = 900_000
"""… and about 1 MB in all; some room is left."""
PARALLEL = 4
"""Requests under way at once."""
_TIMES_ASKED_AGAIN = 5


def submit(
    batch: Batch,
    job: str,
    tasks: Sequence[Mapping[str, Any]],
    on_accepted: Callable[[int], None] | None = None,
) -> int:
    """Add `tasks` (wire bodies) to the job `job`; how many there are now. A task that is there already counts as added.

    `on_accepted` is told the number of tasks after each chunk. Raises TasksRejected, naming each task that the service
    refused, and TargetError if the service as a whole does not answer; then some tasks may have been added.
    """
    accepted = 0
    rejected: list[tuple[str, str, str]] = []
    with ThreadPoolExecutor(PARALLEL, thread_name_prefix="submit") as pool:
        pending = {pool.submit(_add_chunk, batch, job, chunk) for chunk in chunks(tasks)}
        try:
            while pending:
                done, pending = wait(
                    pending, return_when=FIRST_EXCEPTION if not on_accepted else "FIRST_COMPLETED"
                )
                for future in done:
                    count, refused = future.result()
                    accepted += count
                    rejected += refused
                    if on_accepted:
                        on_accepted(count)
        except BaseException:
            for future in pending:
                future.cancel()
            raise
    if rejected:
        raise TasksRejected(sorted(rejected), accepted=accepted)
    return accepted


def chunks(tasks: Sequence[Mapping[str, Any]]) -> list[list[Mapping[str, Any]]]:
    """`tasks` in order, cut where a request would have over 100 of them or be too large."""
    found: list[list[Mapping[str, Any]]] = []
    size = MAX_BODY_BYTES + 1
    for task in tasks:
        length = len(orjson.dumps(task))
        if size + length > MAX_BODY_BYTES or len(found[-1]) == MAX_TASKS:
            found.append([])
            size = 0
        found[-1].append(task)
        size += length
    return found


def _add_chunk(
    batch: Batch, job: str, chunk: Sequence[Mapping[str, Any]]
) -> tuple[int, list[tuple[str, str, str]]]:
    """How many of `chunk` are there now, and (id, code, message) of the others."""
    accepted = 0
    rejected: list[tuple[str, str, str]] = []
    waiting = {str(task["id"]): task for task in chunk}
    for _ in range(_TIMES_ASKED_AGAIN):
        results = _results(batch, job, list(waiting.values()))
        for result in results:
            error = result.get("error") or {}
            code = error.get("code", "")
            if result["status"].lower() == "success" or code == "TaskExists":
                accepted += waiting.pop(result["taskId"], None) is not None
            elif result["status"].lower() == "clienterror":
                waiting.pop(result["taskId"], None)
                rejected.append((result["taskId"], code, _text(error)))
        if not waiting:
            return accepted, rejected
    # "ServerError": the service could not say; asking again did not help.
    rejected += [(id, "ServerError", "the service did not accept this task, try again") for id in waiting]
    return accepted, rejected


def _text(error: Mapping[str, Any]) -> str:
    said = str((error.get("message") or {}).get("value", "")).split("\nRequestId:")[0]
    details = "; ".join(
        f"{item['key']}: {item['value']}" for item in error.get("values") or [] if item.get("value")
    )
    return f"{said} ({details})" if details else said


def _results(batch: Batch, job: str, chunk: list[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One request; a body that the service finds too large is halved."""
    try:
        return batch.create_tasks(job, chunk)
    except TargetError as error:
        if error.code != "RequestBodyTooLarge" or len(chunk) == 1:
            raise
        half = len(chunk) // 2
        return _results(batch, job, chunk[:half]) + _results(batch, job, chunk[half:])
