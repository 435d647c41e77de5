"""Wire bodies of pools, Batch REST 2025-06-01: a pipeline's own, a run's, an auto pool's. Only what we mean to say. Pure."""

from typing import Any

from batchctl.errors import Refused
from batchctl.plan.containers import container_registries, image_reference
from batchctl.plan.pipeline import METADATA_PIPELINE, Pipeline, metadata_items
from batchctl.spec import Lifetime, Pool
from batchctl.spec.model import iso_duration


def lifetime(pipeline: Pipeline) -> Lifetime:
    """The lifetime of the pipeline's own pool on this target."""
    return pipeline.spec.pool.lifetime or pipeline.site.lifetime


def pool_specification(pipeline: Pipeline) -> dict[str, Any]:
    """What an auto pool and a pool of ours have in common."""
    pool = pipeline.spec.pool
    image = pool.vm_image
    if pool.identity and not pipeline.site.on_this_machine:
        raise Refused(
            "pool.identity: only pools made through Azure Resource Manager can have one, and batchctl does not make these yet",
            hint="make the pool with its identity, and name it: pool: {id: …}",
        )
    machine: dict[str, Any] = {
        "imageReference": {
            "publisher": image.publisher, "offer": image.offer, "sku": image.sku, "version": image.version,
        },
        "nodeAgentSKUId": image.node_agent_sku_id,
    }  # fmt: skip
    if pipeline.site.containers and pipeline.spec.images:
        machine["containerConfiguration"] = {
            "type": "dockerCompatible",
            "containerImageNames": sorted(image_reference(pipeline, name) for name in pipeline.spec.images),
            **container_registries(pipeline.site),
        }
    return {
        "vmSize": pool.vm_size,
        "virtualMachineConfiguration": machine,
        "taskSlotsPerNode": pool.task_slots_per_node,
        **_size(pool, formula=pipeline.site.autoscale and lifetime(pipeline) is Lifetime.IDLE),
    }


def _size(pool: Pool, *, formula: bool) -> dict[str, Any]:
    if not formula:
        return {
            "targetDedicatedNodes": pool.target_dedicated_nodes,
            "targetLowPriorityNodes": pool.target_low_priority_nodes,
            "resizeTimeout": iso_duration(pool.resize_timeout),
        }
    return {
        "enableAutoScale": True,
        "autoScaleFormula": autoscale_formula(pool),
        "autoScaleEvaluationInterval": "PT5M",
    }


def autoscale_formula(pool: Pool) -> str:
    """All nodes while tasks are waiting or running, none when there were none for ten minutes; a busy node is never taken."""
    return (
        "busy = max(0, $PendingTasks.GetSample(TimeInterval_Minute * 10));\n"
        f"$TargetDedicatedNodes = busy > 0 ? {pool.target_dedicated_nodes} : 0;\n"
        f"$TargetLowPriorityNodes = busy > 0 ? {pool.target_low_priority_nodes} : 0;\n"
        "$NodeDeallocationOption = taskcompletion;"
    )


def pool_body(pipeline: Pipeline, id: str) -> dict[str, Any]:
    """A pool of the pipeline's own, for `idle` and `run`."""
    return {
        "id": id,
        **pool_specification(pipeline),
        "metadata": metadata_items({METADATA_PIPELINE: pipeline.spec.name}),
    }


def pool_info(pipeline: Pipeline, *, scheduled: bool, run: str = "") -> dict[str, Any]:
    """Where a job runs: an existing pool, the pipeline's, the run's, or an auto pool."""
    if pipeline.spec.pool.id:
        return {"poolId": pipeline.spec.pool.id}
    match lifetime(pipeline):
        case Lifetime.IDLE:
            return {"poolId": pipeline.spec.name}
        case Lifetime.RUN:
            if scheduled:
                raise Refused(
                    "a scheduled run cannot make its own pool: its conductor needs a node to start on",
                    hint="pool.lifetime: idle or auto",
                )
            return {"poolId": run}
        case Lifetime.AUTO:
            return {
                "autoPoolSpecification": {
                    "autoPoolIdPrefix": pipeline.spec.name[:20],
                    "poolLifetimeOption": "job",
                    "keepAlive": False,
                    "pool": {
                        **pool_specification(pipeline),
                        "metadata": metadata_items({METADATA_PIPELINE: pipeline.spec.name}),
                    },
                }
            }
