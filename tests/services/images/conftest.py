"""A project whose images are a few bytes on nothing, so that building and pushing them takes no time; and the program, in this process."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
import pytest

from batchctl.cli.main import exit_code

JOBSPEC = """\
name: {name}
pool: {{vm_size: Standard_D2s_v5, target_dedicated_nodes: 1}}
images: {images}
tasks: [{{id: one, image: {image}, command: tool}}]
"""


@dataclass(frozen=True)
class Said:
    """What one command printed."""

    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass
class Project:
    """A folder with a jobspec, `jobspecs/p.yaml`, and the context of its image, `tool/`."""

    folder: Path
    capsys: pytest.CaptureFixture[str]

    @property
    def context(self) -> Path:
        return self.folder / "tool"

    def spec(self, images: dict[str, Any], *, name: str = "p") -> Path:
        path = self.folder / "jobspecs" / f"{name}.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(JOBSPEC.format(name=name, images=json.dumps(images), image=next(iter(images))))
        return path

    def settings(self, **values: str) -> None:
        lines = [f"{key} = {json.dumps(value)}" for key, value in {"kind": "local", **values}.items()]
        head = 'target = "here"\n[targets.here]\n'
        (self.folder / "batchctl.toml").write_text(head + "\n".join(lines) + "\n")

    def file(self, name: str, text: str) -> Path:
        path = self.context / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def __call__(self, *arguments: str, code: int = 0) -> Said:
        self.capsys.readouterr()
        got = exit_code(list(arguments))
        said = Said(*self.capsys.readouterr())
        assert got == code, said
        return said

    def image(self, command: str, *arguments: str) -> dict[str, Any]:
        """The one image that `batchctl image COMMAND -o json` tells of."""
        (found,) = self("image", command, *arguments, "-o", "json").json
        return dict(found)


@pytest.fixture
def make_project(
    engine: docker.DockerClient,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[Callable[[str], Project]]:
    """`make_project(name)`: a project whose image has a name of its own, so that tests share an engine and a registry."""
    made: list[str] = []

    def make(name: str) -> Project:
        made.append(name)
        folder = tmp_path / name
        folder.mkdir()
        monkeypatch.chdir(folder)
        project = Project(folder, capsys)
        project.settings()
        project.spec({name: {"context": "../tool"}})
        project.file("Dockerfile", "FROM scratch\nCOPY data /data\nCOPY code /code\n")
        project.file("data", "data of " + name)
        project.file("code", "first\n")
        return project

    yield make
    for name in made:
        for image in engine.images.list(filters={"label": f"io.batchctl.image={name}"}):
            engine.images.remove(image.id, force=True)


@pytest.fixture
def project(
    make_project: Callable[[str], Project],
    image_registry: str,
    request: pytest.FixtureRequest,
) -> Project:
    """A project with an engine and a registry; the image's name is the test's."""
    name = request.node.name.split("[")[0].removeprefix("test_").replace("_", "-")
    made = make_project(name)
    made.settings(registry=image_registry)
    return made
