"""The drawing of a run's tasks: the text itself, and the option that prints it. What it looks like: tests/golden/*/*.mmd."""

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from batchctl.cli.main import exit_code
from batchctl.errors import UsageError
from batchctl.plan import graph
from batchctl.plan.graph import flowchart
from batchctl.plan.sourcemart import Stage
from batchctl.spec import Task, loads

ROOT = Path(__file__).parents[3]
NOW = datetime(2026, 1, 15, 12, 0, tzinfo=UTC)
TASKS = """\
name: p
pool: {target_dedicated_nodes: 1}
images: {etl: {context: nowhere}}
parameters: {n: {type: integer, default: 3}}
tasks:
  - {id: end, image: etl, command: c, for_each: "{{ params.n }}"}
  - {id: subgraph, command: c, depends_on: [{task: end, per: item}], for_each: "{{ params.n }}"}
  - {id: click, command: c, depends_on: [subgraph, end]}
"""


def test_words_of_mermaid_s_own_are_labels_only() -> None:
    assert graph(loads(TASKS.encode()), {"n": "20000"}, NOW, run="r").splitlines() == [
        "flowchart LR",
        '  t0["end × 20,000"]',
        '  t1["subgraph × 20,000"]',
        '  t2["click"]',
        "  t0 -.-> t1",
        "  t1 --> t2",
        "  t0 --> t2",
    ]


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ('a"]b', "a#34;#93;b"),
        ("a#quot;b", "a#35;quot#59;b"),
        ("`x`", "#96;x#96;"),
        ("<b>", "#60;b#62;"),
        ("two\nlines", "two#10;lines"),
        ("größe-1_x", "größe-1_x"),
    ],
)
def test_names_are_escaped(name: str, label: str) -> None:
    task = Task.model_construct(id=name, command="c", depends_on=(), for_each=None)
    text = flowchart([Stage(task=task, names={"table": name})], {name: 1})
    assert text.splitlines()[1:3] == [f'  subgraph g0["{label}"]', f'    t0["{label}"]']
    assert len(text.splitlines()) == 4


def test_wrong_parameters_and_templates_are_told() -> None:
    with pytest.raises(UsageError, match="-p n: 'x' is not an integer"):
        graph(loads(TASKS.encode()), {"n": "x"}, NOW, run="r")
    with pytest.raises(UsageError, match=r"template .* division"):
        graph(loads(TASKS.replace("{{ params.n }}", "{{ 1 // 0 }}").encode()), {}, NOW, run="r")


@pytest.fixture
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "p.yaml").write_text(TASKS)
    monkeypatch.chdir(tmp_path)
    return "p.yaml"


def test_the_option_prints_the_drawing_and_asks_nobody(
    spec: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code(["plan", spec, "--graph", "-p", "n=2", "--target", "nowhere"]) == 0
    assert capsys.readouterr().out == graph(loads(TASKS.encode()), {"n": "2"}, NOW, run="r") + "\n"
    assert [path.name for path in tmp_path.iterdir()] == [spec]


@pytest.mark.parametrize("other", [["-o", "json"], ["-o", "yaml"], ["--check"]])
def test_the_option_goes_with_no_other_answer(
    spec: str, other: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code(["plan", spec, "--graph", *other]) == 2
    done = capsys.readouterr()
    assert done.out == ""
    assert "error: --graph draws tasks" in done.err


def test_the_page_shows_what_the_program_draws() -> None:
    text = (ROOT / "docs" / "sourcemart.md").read_text()
    (block,) = re.findall(r"```yaml\n(.*?)```", text, re.S)
    whole, part = re.findall(r"```mermaid\n(.*?)```", text, re.S)
    spec = loads(block.encode(), "docs/sourcemart.md")
    assert whole == graph(spec, {}, NOW, run="r") + "\n"
    given = {"tables": "orders", "skip_upstreams_refiners": "true", "skip_downstreams_collectors": "true"}
    assert part == graph(spec, given, NOW, run="r") + "\n"
