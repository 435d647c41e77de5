"""The first five minutes: `init`, `validate`, `plan`, `run`."""

from tests.acceptance.conftest import Project


def test_from_nothing_to_a_run(project: Project) -> None:
    done = project("init")
    assert done.out == "next: batchctl run jobspecs/hello.yaml\n"
    assert ".batchctl/" in (project.folder / ".gitignore").read_text()
    project("validate", "jobspecs/hello.yaml")
    assert "Plan: 3 to create" in project("plan", "jobspecs/hello.yaml").out
    project("run", "jobspecs/hello.yaml", "-p", "name=you")
    assert "hello you" in project("logs", "hello", "greet").out
    assert project("logs", "hello", "count").out == "count 1\ncount 2\ncount 3\n"


def test_it_overwrites_nothing(project: Project) -> None:
    spec = project.folder / project.write("jobspecs/hello.yaml", "mine")
    assert "is there already" in project("init").err
    assert spec.read_text() == "mine"
    (project.folder / "file").touch()
    assert "hint: " in project("init", "file/folder", code=2).err


def test_output_forms(project: Project) -> None:
    project("init")
    found = project("plan", "jobspecs/hello.yaml", "-o", "json").json
    assert sorted(found) == ["changes", "digest", "warnings"]
    assert [(c["action"], c["kind"], c["id"]) for c in found["changes"]][1:] == [
        ("create", "task", "greet"), ("create", "task", "count"),
    ]  # fmt: skip
    at = ("--now", "2026-01-01T00:00:00Z")
    again = [project("plan", "jobspecs/hello.yaml", "-o", "json", *at).json["digest"] for _ in range(2)]
    assert again[0] == again[1]
    assert project("plan", "jobspecs/hello.yaml", "-o", "yaml").out.startswith("changes:\n")
    assert project("schema").json["title"] == "batchctl jobspec"
    assert project("--version").out.startswith("batchctl ")
