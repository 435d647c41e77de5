"""`batchctl local chaos`: a user lets things go wrong, and sees that batchctl copes."""

from tests.acceptance.conftest import Project


def test_faults_from_the_command_line(project: Project) -> None:
    refused = project("local", "chaos", "list", code=5)
    assert "batchctl local up" in refused.err
    project("local", "up")
    assert project("local", "chaos", "list", "-o", "json").json == []
    add = ("local", "chaos", "add")
    assert "--probability" in project(*add, "drop", "--probability", "7", code=2).err
    assert "FAULT" in project(*add, "rain", code=2).err
    assert "create_pol" in project(*add, "error", "--operation", "create_pol", code=2).err
    project(*add, "error", "--operation", "create_job", "--times", "1", "--seconds", "0")
    project(*add, "drop", "--operation", "create_task_collection", "--times", "1", "--after-effect")
    spec = project.spec("  - {id: a, command: 'true'}\n", pool="{target_dedicated_nodes: 1}")
    project("run", spec)
    rules = project("local", "chaos", "list", "-o", "json").json
    assert [(rule["fault"], rule["struck"]) for rule in rules] == [("error", 1), ("drop", 1)]
    assert "create_job" in project("local", "chaos", "list").out
    assert project("local", "chaos", "clear", "1").out == "cleared 1\n"
    assert "no rule 1" in project("local", "chaos", "clear", "1", code=5).err
    assert project("local", "chaos", "clear").out == "cleared 1\n"
    quota = ("local", "chaos", "quota")
    assert "pools                     3" in project(*quota, "--pools", "3").out
    assert project(*quota, "-o", "json").json["pools"] == 3, "who only looks changes nothing"
    assert "--none" in project(*quota, "--none", "--nodes", "1", code=2).err
    assert project(*quota, "--none", "-o", "json").json["pools"] is None
    assert "does not exist" in project("local", "chaos", "preempt", "nowhere", code=5).err
