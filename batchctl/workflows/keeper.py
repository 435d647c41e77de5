"""`schedule keeper`: what renews schedules that end: a job schedule of its own, or a GitHub Actions workflow."""

from datetime import datetime
from typing import Any

from batchctl.plan.bodies import variables
from batchctl.plan.compile import METADATA_CRON, METADATA_START, METADATA_TIMEZONE, content_id, first_minute
from batchctl.plan.pipeline import METADATA_DIGEST, METADATA_PIPELINE, digest, metadata_items, metadata_of
from batchctl.spec.templates import iso
from batchctl.targets.batch import Batch
from batchctl.workflows.apply import end_job_schedule
from batchctl.workflows.plan import can_fire

KEEPER = "batchctl-keeper"

GITHUB_WORKFLOW = """\
# Renews the job schedules of every pipeline before they end, and fails when one is missed: a dead-man's switch.
name: schedules
on:
  schedule: [{cron: "17 5 * * *"}]
  workflow_dispatch:
permissions: {id-token: write, contents: read}
jobs:
  sync:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v4
      - uses: actions/setup-python@v5
        with: {python-version: "3.12"}
      - uses: azure/login@v2
        with:
          client-id: ${{ vars.AZURE_CLIENT_ID }}
          tenant-id: ${{ vars.AZURE_TENANT_ID }}
          subscription-id: ${{ vars.AZURE_SUBSCRIPTION_ID }}
      - run: pip install batchctl
      - run: batchctl schedule sync --all --target prod
      - run: batchctl schedule check --since 2d --target prod  # GitHub may be hours late
        if: ${{ !cancelled() }}
"""


def make_keeper(batch: Batch, *, now: datetime, runs_url: str, pool: str | None, image: str) -> bool:
    """Have a job schedule that runs `schedule sync --all` every day, for ever, in the pool `pool` or in an auto pool of one node.
    Another one that is there is ended. False if just this one is there already."""
    found = batch.job_schedules(KEEPER)
    live = [body for body in found if can_fire(body, now)]
    wanted = keeper_body(now=now, runs_url=runs_url, pool=pool, image=image)
    content = digest(wanted["jobSpecification"])
    if [metadata_of(body).get(METADATA_DIGEST) for body in live] == [content]:
        return False
    taken = frozenset(body["id"] for body in found)
    own = {**metadata_of(wanted), METADATA_DIGEST: content}
    batch.create_job_schedule(
        {"id": content_id(KEEPER, content, taken), **wanted, "metadata": metadata_items(own)}
    )
    for body in live:
        end_job_schedule(batch, body["id"], at=first_minute(now))
    return True


def keeper_body(*, now: datetime, runs_url: str, pool: str | None, image: str) -> dict[str, Any]:
    """The job schedule of the keeper, without an id."""
    manager: dict[str, Any] = {
        "id": "keeper",
        "commandLine": "stage-run -- batchctl-conductor keep",
        "environmentSettings": variables({"BATCHCTL_PIPELINE": KEEPER, "BATCHCTL_RUNS_URL": runs_url}),
        "killJobOnCompletion": True,
        "runExclusive": False,
        "constraints": {"maxTaskRetryCount": 3, "maxWallClockTime": "PT1H"},
    }
    machine: dict[str, Any] = {
        "imageReference": {
            "publisher": "microsoft-dsvm",
            "offer": "ubuntu-hpc",
            "sku": "2204",
            "version": "latest",
        },
        "nodeAgentSKUId": "batch.node.ubuntu 22.04",
    }
    if image:
        manager["containerSettings"] = {"imageName": image}
        machine["containerConfiguration"] = {"type": "dockerCompatible", "containerImageNames": [image]}
    auto_pool = {
        "autoPoolSpecification": {
            "autoPoolIdPrefix": KEEPER,
            "poolLifetimeOption": "job",
            "keepAlive": False,
            "pool": {
                "vmSize": "Standard_D2s_v5",
                "virtualMachineConfiguration": machine,
                "targetDedicatedNodes": 1,
                "targetLowPriorityNodes": 0,
            },
        }
    }
    own = {METADATA_PIPELINE: KEEPER}
    return {
        "schedule": {
            "doNotRunUntil": iso(first_minute(now)),
            "recurrenceInterval": "P1D",
            "startWindow": "PT12H",
        },
        "jobSpecification": {
            "onAllTasksComplete": "terminatejob",
            "constraints": {"maxWallClockTime": "PT2H"},
            "poolInfo": {"poolId": pool} if pool else auto_pool,
            "jobManagerTask": manager,
            "metadata": metadata_items(own),
        },
        "metadata": metadata_items(
            {
                **own,
                METADATA_START: iso(first_minute(now)),
                METADATA_CRON: "every day",
                METADATA_TIMEZONE: "UTC",
            }
        ),
    }
