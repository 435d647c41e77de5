"""`batchctl image`: build, push, list and prune the images that tasks run in, and a workflow that does so."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from batchctl.cli import console
from batchctl.cli.options import Form, Output, Target, settings_for
from batchctl.errors import TargetError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from batchctl.plan.images import StoredImage
    from batchctl.spec import Jobspec
    from batchctl.targets.settings import Settings
    from batchctl.workflows.images import How, Outcome, WantedImage

app = typer.Typer(help="The container images that tasks run in.", rich_markup_mode=None, no_args_is_help=True)

Specs = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="[SPEC...]",
        readable=False,
        help="Jobspec files; default: all in jobspecs/ of the project.",
        show_default=False,
    ),
]
Rebuild = Annotated[
    bool,
    typer.Option("--rebuild", help="Also what is unchanged: without the cache, on the newest base image."),
]


@app.command("build")
def build(
    specs: Specs = None, rebuild: Rebuild = False, target: Target = None, output: Output = Form.TABLE
) -> None:
    """Build the images whose content the engine does not have, and the conductor's if the target names its context."""
    from batchctl.targets.docker_engine import Engine
    from batchctl.workflows.images import build_image

    settings = settings_for(target)
    wanted = _wanted(specs, settings)
    with Engine() as engine:
        _each(wanted, settings, rebuild, output, lambda image, how: build_image(engine, image, how))


@app.command("push")
def push(
    specs: Specs = None, rebuild: Rebuild = False, target: Target = None, output: Output = Form.TABLE
) -> None:
    """Push the images whose content the target's registry does not have, built first if need be; print their digests."""
    from batchctl.targets.docker_engine import Engine
    from batchctl.workflows.images import open_registry, push_image

    settings = settings_for(target)
    wanted = _wanted(specs, settings)
    with open_registry(settings) as registry, Engine() as engine:
        _each(wanted, settings, rebuild, output, lambda image, how: push_image(engine, registry, image, how))


@app.command("list")
def list_images(specs: Specs = None, target: Target = None, output: Output = Form.TABLE) -> None:
    """List the images of ours in the engine and in the target's registry: digests, sizes, ages."""
    from batchctl.plan.images import listing

    images = _found(specs, settings_for(target))
    if output is not Form.TABLE:
        console.structured([listing(image) for image in images], output)
    elif not images:
        console.story("there are no images")
    else:
        _table(images)


@app.command("prune")
def prune(
    specs: Specs = None,
    keep: Annotated[
        int, typer.Option("--keep", min=0, max=1000, help="How many of each image stay, the newest.")
    ] = 5,
    registry: Annotated[
        bool, typer.Option("--registry", help="In the target's registry too, not only in the engine.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Remove them; without it, they are only shown.")] = False,
    target: Target = None,
    output: Output = Form.TABLE,
) -> None:
    """Remove old images that no pool, job schedule or running job of the target names. Without --yes, only show them.

    With them goes what stages of their builds left in the engine.

    An account that shares the registry and is not the target's is not asked: think of it before --registry.
    """
    from batchctl.plan.images import listing
    from batchctl.targets.docker_engine import Engine
    from batchctl.workflows.image_retention import remove_images, unneeded, unneeded_stages
    from batchctl.workflows.target import open_batch

    settings = settings_for(target)
    images = _found(specs, settings)
    with open_batch(settings, console.story) as batch:
        going = [image for image in unneeded(batch, images, keep=keep) if image.engine or registry]
    kept = f"{len(images) - len(going)} kept"
    removals = []
    with Engine() as engine:
        going += unneeded_stages(engine, _names(specs, settings), going, all_names=not specs)
        if yes:
            removals = remove_images(engine, settings, going, from_registry=registry)
    stuck = [removal for removal in removals if not removal.removed]
    if output is Form.TABLE:
        if going:
            _table(going)
    else:
        console.structured([listing(image) for image in going], output)
    if not yes:
        console.story(f"{len(going)} would be removed, {kept}" + ("; --yes removes them" if going else ""))
        return
    console.story(f"{len(going) - len(stuck)} removed, {kept}")
    if stuck:  # a registry that forbids it says the same of each
        reasons, hints = ([getattr(one, of) for one in stuck] for of in ("why_not", "hint"))
        raise TargetError(
            "\n".join(dict.fromkeys(reasons)), hint="; ".join(filter(None, dict.fromkeys(hints)))
        )


@app.command("workflow")
def workflow() -> None:
    """Print a GitHub Actions workflow that builds, pushes and applies to the target prod on every push to main."""
    from batchctl.workflows.image_workflow import DEPLOY_WORKFLOW

    console.answer(DEPLOY_WORKFLOW.rstrip())


def _wanted(specs: list[Path] | None, settings: "Settings") -> "list[WantedImage]":
    """The images to build, each content once. Raises UsageError if there is none."""
    from batchctl.workflows.images import wanted_conductor, wanted_images

    found = [
        image for path, spec in _jobspecs(specs, settings) for image in wanted_images(spec, path, settings)
    ]
    conductor = wanted_conductor(settings)
    if conductor:
        found.append(conductor)
    if not found:
        raise UsageError(
            "there is no image to build: no jobspec names a context", hint="images: {etl: {context: FOLDER}}"
        )
    return list({image.reference: image for image in found}.values())


def _jobspecs(specs: list[Path] | None, settings: "Settings") -> "list[tuple[Path, Jobspec]]":
    from batchctl.spec import load

    paths = specs or sorted((settings.project / "jobspecs").glob("*.yaml"))
    return [(path, load(path)) for path in paths]


def _found(specs: list[Path] | None, settings: "Settings") -> "tuple[StoredImage, ...]":
    from batchctl.targets.docker_engine import Engine
    from batchctl.workflows.image_retention import list_images

    with Engine() as engine:
        found = list_images(engine, settings, _names(specs, settings), all_names=not specs)
    for line in found.silent:
        console.story(line)
    return found.images


def _names(specs: list[Path] | None, settings: "Settings") -> set[str]:
    """The images that the jobspecs and the target build."""
    from batchctl.workflows.images import CONDUCTOR

    names = {
        name
        for _, spec in _jobspecs(specs, settings)
        for name, image in spec.images.items()
        if image.context is not None
    }
    return names | {CONDUCTOR} if settings.target.conductor_context else names


def _each(
    wanted: "list[WantedImage]",
    settings: "Settings",
    rebuild: bool,
    output: Form,
    act: "Callable[[WantedImage, How], Outcome]",
) -> None:
    """Do `act` to each image; the answer is a line for each, also for those before the one that fails."""
    from batchctl.cli.image_progress import shown
    from batchctl.workflows.images import How

    done: list[Outcome] = []
    try:
        with shown() as show:
            now = datetime.now(UTC).replace(microsecond=0)
            how = How(now=now, show=show, target=settings.target, rebuild=rebuild)
            done.extend(act(image, how) for image in wanted)
    finally:
        if done:
            _outcomes(done, output)


def _outcomes(done: "Sequence[Outcome]", output: Form) -> None:
    if output is Form.TABLE:
        console.table(
            ("image", "done", "reference"),
            [[one.name, one.done, one.pinned or f"{one.repository}:{one.tag}"] for one in done],
        )
    else:
        console.structured([{**vars(one), "reference": one.pinned} for one in done], output)


def _table(images: "Sequence[StoredImage]") -> None:
    from batchctl.cli.image_progress import megabytes

    console.table(
        ("image", "tag", "digest", "size", "download", "created", "engine", "registry"),
        [
            [
                f"{image.name} (build stage)" if image.is_stage else image.repository,
                image.tag,
                image.digest[:19] or "-",
                megabytes(image.size),
                megabytes(image.download),
                image.created,
                "yes" if image.engine else "no",
                "yes" if image.registry else "no",
            ]
            for image in images
        ],
    )
