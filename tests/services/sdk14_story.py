"""A small story told with azure-batch 14.2, in an environment of its own: `python sdk14_story.py ENDPOINT ACCOUNT KEY`.

Prints what it saw as JSON; `test_sdk_generations.py` tells the same story with azure-batch 15 and compares.
"""

import json
import sys
import time

from azure.batch import BatchServiceClient, models
from azure.batch.batch_auth import SharedKeyCredentials


def code_of(action):
    try:
        action()
    except models.BatchErrorException as problem:
        return problem.error.code
    return "no error"


def story(endpoint, account, key):
    client = BatchServiceClient(SharedKeyCredentials(account, key), batch_url=endpoint)
    seen = {"missing": code_of(lambda: client.pool.get("p"))}
    client.pool.add(
        models.PoolAddParameter(
            id="p",
            vm_size="STANDARD_D2S_V3",
            target_dedicated_nodes=1,
            virtual_machine_configuration=models.VirtualMachineConfiguration(
                image_reference=models.ImageReference(
                    publisher="canonical", offer="ubuntu-24_04-lts", sku="server"
                ),
                node_agent_sku_id="batch.node.ubuntu 24.04",
            ),
        )
    )
    seen["twice"] = code_of(lambda: client.pool.add(models.PoolAddParameter(id="p", vm_size="x")))
    client.job.add(models.JobAddParameter(id="j", pool_info=models.PoolInformation(pool_id="p")))
    tasks = [
        models.TaskAddParameter(id="good", command_line="/bin/sh -c 'echo hello'"),
        models.TaskAddParameter(id="bad", command_line="/bin/sh -c 'exit 3'"),
    ]
    added = client.task.add_collection("j", tasks)
    seen["added"] = {
        result.task_id: str(getattr(result.status, "value", result.status)).lower() for result in added.value
    }
    deadline = time.monotonic() + 120
    while any(task.state != models.TaskState.completed for task in client.task.list("j")):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    seen["codes"] = {task.id: task.execution_info.exit_code for task in client.task.list("j")}
    seen["failure"] = client.task.get("j", "bad").execution_info.failure_info.code
    seen["output"] = b"".join(client.file.get_from_task("j", "good", "stdout.txt")).decode()
    options = models.TaskListOptions(filter="executionInfo/exitCode eq 3", select="id")
    seen["filtered"] = [(task.id, task.command_line) for task in client.task.list("j", options)]
    counts = client.job.get_task_counts("j").task_counts
    seen["counts"] = [counts.succeeded, counts.failed]
    pool = client.pool.get("p")
    seen["pool"] = [pool.vm_size, pool.task_slots_per_node, str(pool.resize_timeout)]
    seen["nodes"] = len(list(client.compute_node.list("p")))
    client.job.terminate("j", terminate_reason="over")
    while client.job.get("j").state != models.JobState.completed:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    seen["closed"] = code_of(
        lambda: client.task.add("j", models.TaskAddParameter(id="late", command_line="true"))
    )
    client.job.delete("j")
    client.pool.delete("p")
    return seen


if __name__ == "__main__":
    json.dump(story(*sys.argv[1:]), sys.stdout)
