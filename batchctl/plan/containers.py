"""Wire bodies of what runs in a container: which image, how it is started, who pulls it, where its output goes. Pure.

Source: Azure Batch REST 2025-06-01, TaskContainerSettings, ContainerRegistryReference, OutputFile.
"""

from typing import Any

from batchctl.errors import Refused
from batchctl.plan.pipeline import Pipeline
from batchctl.plan.site import Site
from batchctl.spec import Task

REGISTRY_PASSWORD = "(registry_password)"
"""Stands for the registry's password in plans and bodies; it is put in its place when a body is sent, and nowhere else."""
UPLOADED_ATTEMPT = "uploaded"
"""Folder of the logs of a task whose image has no stage-run, in the place of an attempt's."""


def image_reference(pipeline: Pipeline, name: str) -> str:
    """The reference of an image of the jobspec on this target. Raises Refused if it has not been built for it."""
    reference = pipeline.site.images.get(name) or pipeline.spec.images[name].reference
    if not reference:
        raise Refused(
            f"the image {name} is to be built from {pipeline.spec.images[name].context}; {pipeline.site.target} has none of it",
            hint=f"push it, and name it: images.{name}.reference: REGISTRY/{name}@sha256:…",
        )
    return reference


def pinned(reference: str, what: str) -> str:
    """A schedule outlives a tag: what it runs must be named by its digest, or, on this machine, by its id."""
    if "@sha256:" not in reference and not reference.startswith("sha256:"):
        raise Refused(
            f"{what} is {reference or 'not set'}, and a schedule must name its digest: a tag moves under it",
            hint="conductor_context in batchctl.toml, to build it (docs/images.md), or REGISTRY/REPOSITORY@sha256:…"
            if what == "conductor_image"
            else "REGISTRY/REPOSITORY@sha256:…",
        )
    return reference


def container_registries(site: Site) -> dict[str, Any]:
    """How nodes of a pool of ours sign in to the registry. Such pools have no identity, so it takes a password, or nothing."""
    if not site.registry_username:
        return {}
    return {
        "containerRegistries": [
            {
                "registryServer": site.registry_server,
                "username": site.registry_username,
                "password": REGISTRY_PASSWORD,
            }
        ]
    }


def container_settings(pipeline: Pipeline, image: str, options: str = "") -> dict[str, Any]:
    """A task's container: `image` by digest, and how this site starts it."""
    site = pipeline.site
    settings: dict[str, Any] = {"imageName": image}
    if given := " ".join(part for part in (site.run_options, options) if part):
        settings["containerRunOptions"] = given
    if pipeline.spec.pool.id and site.node_identity and site.registry_server:
        identity = {"resourceId": site.node_identity}
        settings["registry"] = {"registryServer": site.registry_server, "identityReference": identity}
    return settings


def in_container(pipeline: Pipeline, task: Task, id: str, command: str, run: str) -> dict[str, Any]:
    """What is different about a task that runs in an image. Raises Refused for one that cannot."""
    if task.image is None:
        raise Refused(
            f"{id} has no image, and the nodes of a pipeline with images run containers only (Batch, containerConfiguration)",
            hint=f"tasks: {task.id}: image: …",
        )
    image = pipeline.spec.images[task.image]
    settings = container_settings(pipeline, image_reference(pipeline, task.image), image.run_options)
    if image.stage_run:
        return {"containerSettings": settings}
    if task.secrets:
        raise Refused(
            f"{id}: secrets are brought by stage-run, which the image {task.image} does not have",
            hint="build an image from it that has stage-run",
        )
    return {
        "containerSettings": settings,
        "commandLine": command,
        "outputFiles": log_files(pipeline, run, id),
    }


def log_files(pipeline: Pipeline, run: str, id: str) -> list[dict[str, Any]]:
    """The output files that bring a task's stdout and stderr to where `logs` looks, without stage-run. Raises Refused."""
    site = pipeline.site
    scheme, _, rest = site.runs_url.partition("://")
    path = f"{run}/{id}/{UPLOADED_ATTEMPT}"
    container: dict[str, Any] = {"containerUrl": site.runs_url.rstrip("/"), "path": path}
    if scheme == "az":
        account, name, *folders = rest.rstrip("/").split("/")
        if not site.node_identity:
            raise Refused(
                f"{id}: its image has no stage-run, so its nodes upload its logs, and they have no identity to do it with",
                hint="node_identity in batchctl.toml, with pool: {id: …}; or images.NAME.stage_run: true",
            )
        container = {
            "containerUrl": f"https://{account}.blob.core.windows.net/{name}",
            "path": "/".join([*folders, path]),
            "identityReference": {"resourceId": site.node_identity},
        }
    return [
        {
            "filePattern": f"../{stream}.txt",
            "destination": {"container": {**container, "path": f"{container['path']}/{stream}.txt"}},
            "uploadOptions": {"uploadCondition": "taskcompletion"},
        }
        for stream in ("stdout", "stderr")
    ]
