"""What makes a task a container task, and what a pool's containerConfiguration demands of its tasks. Pure.

Source: Azure Batch REST, TaskContainerSettings ("if the pool has containerConfiguration set, this must be set as well; if
not, this must not be set"; start, preparation and release tasks may do without). The service takes such a task and fails it on
the node: ContainerPoolNotSupported in the live tests of Microsoft's own .NET SDK, and "Container-enabled compute node
requires task container settings" the other way round. So it does not matter whether the pool came before the task.
"""

from batchctl.server.batch.scheduler.effects import ContainerWork, Ending
from batchctl.server.batch.wire import Doc


def configuration_of(pool: Doc) -> Doc | None:
    """The pool's containerConfiguration, if its nodes can run containers."""
    found: Doc | None = pool.get("virtualMachineConfiguration", {}).get("containerConfiguration")
    return found


def container_work(pool: Doc, task: Doc) -> ContainerWork | None:
    """How the task runs in a container of that pool's; None if it is none."""
    settings, configuration = task.get("containerSettings"), configuration_of(pool)
    if settings is None or configuration is None:
        return None
    registries = tuple(configuration.get("containerRegistries", ()))
    return ContainerWork(settings=settings, registries=registries, vm_size=pool["vmSize"])


def mismatch(pool: Doc, task: Doc, *, is_optional: bool) -> Ending | None:
    """How a task ends that does not fit its pool; `is_optional`: it may run beside containers without being one."""
    has_settings, has_configuration = "containerSettings" in task, configuration_of(pool) is not None
    if has_settings and not has_configuration:
        detail = "The task has containerSettings, and its pool has no containerConfiguration."
        return Ending(failure="ContainerPoolNotSupported", detail=detail)
    if has_configuration and not has_settings and not is_optional:
        detail = "Container-enabled compute node requires task container settings."
        return Ending(failure="ContainerInvalidSettings", detail=detail)
    return None
