"""Wire bodies of jobs and tasks, Batch REST 2025-06-01: nouns in, JSON out. Only what we mean to say; the service's defaults are
not repeated. Pools: `pool_bodies`; what runs in a container: `containers`."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import orjson

from batchctl.errors import Refused
from batchctl.plan.containers import container_settings, image_reference, in_container, pinned
from batchctl.plan.pipeline import (
    METADATA_DIGEST,
    METADATA_PARAMETERS,
    METADATA_PIPELINE,
    METADATA_SCHEDULED_AT,
    METADATA_TASKS,
    Pipeline,
    metadata_items,
)
from batchctl.plan.pool_bodies import pool_info
from batchctl.spec import Task
from batchctl.spec.model import iso_duration
from batchctl.spec.references import CONDUCTOR as CONDUCTOR_ID
from batchctl.spec.templates import iso

CONDUCTOR_COMMAND = "stage-run -- batchctl-conductor"
CONDUCTOR_VARIABLE = "BATCHCTL_CONDUCT"
CONDUCTOR_FAILED = "ConductorFailed"
"""terminateReason of a run whose conductor could not add its tasks."""
SUBMISSION_INTERRUPTED = "SubmissionInterrupted"
"""terminateReason of a run whose tasks were not all added."""
MAX_VARIABLE_BYTES = 120_000
"""Linux refuses to start a process with one environment string over 128 KiB (MAX_ARG_STRLEN)."""


def variables(values: Mapping[str, str]) -> list[dict[str, str]]:
    """Batch's `environmentSettings`."""
    return [{"name": name, "value": value} for name, value in values.items()]


def job_body(
    pipeline: Pipeline, id: str, scheduled_at: datetime, given: Mapping[str, str], tasks: int
) -> dict[str, Any]:
    """The job of one run that the CLI submits. It ends by itself only after `onAllTasksComplete` is patched to terminatejob:
    a job that already has it when it still has no tasks completes at once (Batch REST 2025-06-01, Job Add)."""
    return {
        "id": id,
        **_job_rules(pipeline),
        "onAllTasksComplete": "noaction",
        "poolInfo": pool_info(pipeline, scheduled=False, run=id),
        "metadata": metadata_items(
            {
                METADATA_PIPELINE: pipeline.spec.name,
                METADATA_DIGEST: pipeline.digest,
                METADATA_SCHEDULED_AT: iso(scheduled_at),
                METADATA_PARAMETERS: orjson.dumps(dict(given)).decode(),
                METADATA_TASKS: str(tasks),
            }
        ),
    }


def _job_rules(pipeline: Pipeline) -> dict[str, Any]:
    return {
        "priority": pipeline.spec.priority,
        "usesTaskDependencies": True,
        "onTaskFailure": "performexitoptionsjobaction",
        "constraints": {"maxWallClockTime": iso_duration(pipeline.spec.max_wall_clock_time)},
    }


def task_body(
    pipeline: Pipeline,
    task: Task,
    *,
    id: str,
    command: str,
    config: Any,
    environment: Mapping[str, str],
    depends_on: Sequence[str],
    run: str,
) -> dict[str, Any]:
    """One task of `run`. A failure that outlives its retries blocks its dependants and ends the job with reason TaskFailed."""
    if not command and not pipeline.site.containers:
        raise Refused(
            f"{id} has no command: it runs what its image says, and here are no containers",
            hint="--runtime docker",
        )
    settings = {**environment, "BATCHCTL_CONFIG": orjson.dumps(config).decode()}
    if task.secrets:
        settings["BATCHCTL_SECRETS"] = orjson.dumps(
            {name: pipeline.spec.secrets[name] for name in task.secrets}
        ).decode()
    oversized = [name for name, value in settings.items() if len(value.encode()) > MAX_VARIABLE_BYTES]
    if oversized:
        raise Refused(
            f"{id}: {oversized[0]} is over {MAX_VARIABLE_BYTES:,} bytes, more than a process can be given",
            hint="put large configuration in a file in the lake",
        )
    constraints: dict[str, Any] = {"maxTaskRetryCount": task.max_task_retry_count}
    if task.max_wall_clock_time is not None:
        constraints["maxWallClockTime"] = iso_duration(task.max_wall_clock_time)
    body: dict[str, Any] = {
        "id": id,
        "displayName": task.id,
        "commandLine": f"stage-run -- {command}",
        "environmentSettings": variables(settings),
        "constraints": constraints,
        "requiredSlots": task.required_slots,
        "exitConditions": {"default": {"jobAction": "terminate", "dependencyAction": "block"}},
    }
    if depends_on:
        body["dependsOn"] = {"taskIds": list(depends_on)}
    if pipeline.site.containers and pipeline.spec.images:
        body |= in_container(pipeline, task, id, command, run)
    return body


def _conductor_time(pipeline: Pipeline) -> timedelta:
    """Long enough to wait for another run, where `overlap: queue` asks for that, and to add the tasks."""
    waits = pipeline.spec.schedule.start_window if pipeline.spec.schedule else timedelta(0)
    return waits + timedelta(hours=1)


def job_specification(pipeline: Pipeline) -> dict[str, Any]:
    """The job that each firing of a schedule creates: a job manager task alone, the conductor, which adds the tasks."""
    conduct = orjson.dumps(pipeline.as_json(), option=orjson.OPT_SORT_KEYS).decode()
    if len(conduct.encode()) > MAX_VARIABLE_BYTES:
        raise Refused(
            f"the jobspec is {len(conduct.encode()):,} bytes and a schedule can carry {MAX_VARIABLE_BYTES:,}",
            hint="move long lists and configuration into files in the lake",
        )
    conductor: dict[str, Any] = {
        "id": CONDUCTOR_ID,
        "commandLine": CONDUCTOR_COMMAND,
        "environmentSettings": variables(
            {
                "BATCHCTL_PIPELINE": pipeline.spec.name,
                "BATCHCTL_RUNS_URL": pipeline.site.runs_url,
                CONDUCTOR_VARIABLE: conduct,
            }
        ),
        "killJobOnCompletion": False,
        "runExclusive": False,
        "requiredSlots": 1,
        "constraints": {"maxTaskRetryCount": 3, "maxWallClockTime": iso_duration(_conductor_time(pipeline))},
    }
    if pipeline.site.containers and pipeline.spec.images:
        for name in pipeline.spec.images:
            pinned(image_reference(pipeline, name), f"images.{name}")
        image = pinned(pipeline.site.conductor_image, "conductor_image")
        conductor["containerSettings"] = container_settings(pipeline, image)
    return {
        **_job_rules(pipeline),
        "onAllTasksComplete": "terminatejob",
        "poolInfo": pool_info(pipeline, scheduled=True),
        "jobManagerTask": conductor,
        "metadata": metadata_items({METADATA_PIPELINE: pipeline.spec.name, METADATA_DIGEST: pipeline.digest}),
    }
