"""A wrong jobspec: every problem at once, each with its place, and what to do."""

from pathlib import Path

import pytest

from batchctl.errors import SpecError
from batchctl.spec import load, loads

GOOD = """\
name: p
pool: {target_dedicated_nodes: 1}
tasks:
  - {id: a, command: "true"}
"""


PARAMETERS = "parameters: {a: {}, zone: {}, url: {}}\n"


def problems(text: str) -> list[str]:
    with pytest.raises(SpecError) as caught:
        loads(text.encode(), "p.yaml")
    return [str(p) + (f" | {p.hint}" if p.hint else "") for p in caught.value.problems]


def with_task(line: str, before: str = "") -> str:
    return (
        f"name: p\npool: {{target_dedicated_nodes: 1}}\n{before}tasks:\n  - {{id: a, command: c, {line}}}\n"
    )


def test_the_smallest_jobspec_is_valid() -> None:
    spec = loads(GOOD.encode())
    assert (spec.name, spec.tasks[0].id, spec.pool.nodes) == ("p", "a", 1)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "p.yaml:1:1: the file is empty | batchctl init writes one to begin with"),
        ("- a\n", "p.yaml:1:1: a jobspec is a mapping: name: …, pool: …, tasks: … | batchctl init writes one"),
        ("42\n", "p.yaml:1:1: a jobspec is a mapping: name: …, pool: …, tasks: … | batchctl init writes one"),
        (GOOD + "name: q\n", "p.yaml:5:1: name: this key is there already | remove one of the two"),
        (GOOD + "tsks: []\n", "p.yaml:5:1: tsks: there is no such field | did you mean tasks?"),
        (GOOD + "priority: high\n", "p.yaml:5:1: priority: must be a whole number, not text | 2, without quotes"),
        (GOOD + "priority: 2000\n", "p.yaml:5:1: priority: must be less than or equal to 1000"),
        (GOOD + "priority: !!python/object:os.system x\n",
         "p.yaml:5:1: priority: the tag tag:yaml.org,2002:python/object:os.system means nothing here | remove the tag"),
        (GOOD + "max_wall_clock_time: 12:00:00\n",
         "p.yaml:5:1: max_wall_clock_time: '12:00:00' is not an ISO 8601 duration | write PT30M, PT2H, P1D"),
        (GOOD + "environment: {AZ_BATCH_X: a}\n",
         "p.yaml:5:15: environment.AZ_BATCH_X: 'AZ_BATCH_X' is reserved | names that begin with AZ_BATCH_ or BATCHCTL_ are set for you"),
        (GOOD + "secrets: {PW: hunter2}\n",
         "p.yaml:5:11: secrets.PW: this value is not a secret reference | kv://VAULT/NAME or kv://VAULT/NAME@VERSION; never the secret itself"),
        (GOOD.replace("name: p", "name: p q"), "p.yaml:1:1: name: 'p q' is not a valid id | 1 to 64 letters, digits, - and _"),
        (GOOD.replace("name: p\n", ""), "p.yaml:1:1: name: this field is missing | add name: …"),
        (GOOD.replace("target_dedicated_nodes: 1", ""),
         "p.yaml:2:1: pool: the pool has no nodes, so tasks would wait for ever | set target_dedicated_nodes or target_low_priority_nodes"),
        (GOOD.replace("target_dedicated_nodes: 1", "id: x, vm_size: y"),
         "p.yaml:2:1: pool: id names an existing pool, so vm_size cannot be set | remove id, or the other fields"),
        (GOOD + 'schedule: {cron: "0 25 * * *"}\n', "p.yaml:5:12: schedule.cron: hour: 25 is outside 0-23"),
        (GOOD + 'schedule: {cron: "@daily", timezone: Europe/Berln}\n',
         "p.yaml:5:28: schedule.timezone: 'Europe/Berln' is not an IANA time zone | did you mean Europe/Berlin or Europe/Dublin or Europe/Belfast?"),
        (GOOD + 'parameters: {n: {}}\nschedule: {cron: "@daily"}\n',
         "p.yaml:5:14: parameters.n: a scheduled pipeline needs a default for every parameter | add default: …"),
        (GOOD + "parameters: {n: {type: integer, default: x}}\n",
         "p.yaml:5:14: parameters.n: default: 'x' is not an integer"),
        (with_task("image: etl", "images: {elt: {context: .}}\n"),
         "p.yaml:5:25: tasks[0].image: there is no image etl | did you mean elt?"),
        (with_task("secrets: [PW]"), "p.yaml:4:35: tasks[0].secrets[0]: there is no secret PW | add it under secrets:"),
        (with_task("depends_on: [b]"), "p.yaml:4:38: tasks[0].depends_on[0]: there is no task b | known: a"),
        (with_task("depends_on: [a]"), "p.yaml:4:25: tasks[0].depends_on: tasks wait for each other: a -> a | remove one of these"),
        (GOOD + "  - {id: b, command: c, depends_on: [{task: a, pr: item}]}\n",
         "p.yaml:5:48: tasks[1].depends_on[0].pr: there is no such field | did you mean per?"),
        (with_task('with: {u: "{{ params.x }}"}'),
         "p.yaml:4:32: tasks[0].with.u: template: there is no parameter x | add it under parameters:"),
        (with_task('with: {u: "{{ item }}"}'),
         "p.yaml:4:32: tasks[0].with.u: template: item is not a name here | item exists only in a task with for_each"),
        (with_task('with: {u: "{{ run | dat }}"}'),
         "p.yaml:4:32: tasks[0].with.u: template: there is no filter dat | did you mean date?"),
        (with_task("with: {url: 'http://'}"),
         "p.yaml:4:32: tasks[0].with.url: 'http://' is not a URL: it has no host | https://example.org/file.csv"),
        (with_task("with: {url: 'http://x/a b'}"),
         "p.yaml:4:32: tasks[0].with.url: 'http://x/a b' is not a URL: it has a space | a space in a URL is written %20"),
        (with_task("with: {url: 'http//x'}"), "p.yaml:4:32: tasks[0].with.url: 'http//x' is not a URL | did you mean http://x?"),
        (with_task("with: {url: 'raw:/x'}"), "p.yaml:4:32: tasks[0].with.url: 'raw:/x' is not a URL | did you mean raw://x?"),
        (with_task("with: {url: 'az://x'}"),
         "p.yaml:4:32: tasks[0].with.url: 'az://x' names no container | az://account/container/blob"),
        (with_task("with: {url: 'file://x/y'}"),
         "p.yaml:4:32: tasks[0].with.url: 'file://x/y' is not an absolute path | file:///x/y"),
        (with_task("with: {url: ''}"), "p.yaml:4:32: tasks[0].with.url: a URL is missing | raw://folder/file.csv"),
        (with_task("with: {url: 'raw://../../x'}"),
         "p.yaml:4:32: tasks[0].with.url: 'raw://../../x' leads out of raw://: a part of it is '..' | raw://folder/"),
        (with_task("with: {files: ['raw://a/%2e%2E/{{ run }}']}"),
         "p.yaml:4:40: tasks[0].with.files[0]: 'raw://a/%2e%2E/{{ run }}' leads out of raw://: a part of it is '..' | raw://folder/"),
        (with_task("with: {url: 'stging://a'}"),
         "p.yaml:4:32: tasks[0].with.url: stging:// is not a URL we know | did you mean staging://?"),
        (with_task("for_each: []"), "p.yaml:4:25: tasks[0].for_each: 0 items; there must be between 1 and 100,000"),
        (with_task("for_each: true"),
         "p.yaml:4:25: tasks[0].for_each: must be a list, a product or a number | [a, b], {x: [a, b], y: [1, 2]}, or 500"),
        (with_task("for_each: abc"),
         "p.yaml:4:25: tasks[0].for_each: must be a list, a product or a number | [a, b], {x: [a, b], y: [1, 2]}, or 500"),
        (GOOD.replace("true", "echo 'a"),
         """p.yaml:4:13: tasks[0].command: cannot be split into words: no closing quotation | every quote needs its end; '\"' is one as it is"""),
        (GOOD + "  - {id: A, command: c}\n", "p.yaml:5:6: tasks[1].id: A is the id of tasks[0] already | ids are unique"),
        (GOOD + "  - {id: b, command: c, for_each: [1, 2]}\n  - {id: b-1, command: c}\n",
         "p.yaml:6:6: tasks[2].id: b-1 is the id of tasks[1] already | ids are unique"),
    ],
)  # fmt: skip
def test_one_problem(text: str, expected: str) -> None:
    assert problems(text) == [expected]


def test_all_problems_come_at_once_in_the_order_of_the_file() -> None:
    text = (
        "name: 3\npool: {vm_sze: x}\ntasks:\n  - {id: a, command: '{{ params.x }}', image: i, for_each: []}\n"
    )
    assert [p.split(" ")[0] for p in problems(text)] == [
        "p.yaml:1:1:", "p.yaml:2:8:", "p.yaml:4:13:", "p.yaml:4:40:", "p.yaml:4:50:",
    ]  # fmt: skip


def test_a_longer_cycle_is_shown_whole() -> None:
    text = GOOD.replace('command: "true"', "command: c, depends_on: [c]")
    text += "  - {id: b, command: c, depends_on: [a]}\n  - {id: c, command: c, depends_on: [b]}\n"
    assert "tasks wait for each other: a -> c -> b -> a" in problems(text)[0]


def test_every_cycle_is_told() -> None:
    text = GOOD.replace('command: "true"', "command: c, depends_on: [a]")
    text += "  - {id: b, command: c, depends_on: [c]}\n  - {id: c, command: c, depends_on: [b]}\n"
    assert [p.split(": ", 3)[-1].split(" |")[0] for p in problems(text)] == ["a -> a", "b -> c -> b"]


@pytest.mark.parametrize(
    "url",
    [
        "raw://a/b.csv", "az://account/container", "az://{{ params.a }}", "file:///a", "http://[::1]:80/a",
        "https://x/{{ run }} b", "{{ params.zone }}://a", "{{ params.url }}", "a/b.csv", "/a b/c.csv", "rawdata/x", "s3://bucket/x",
        "jdbc:postgresql://x/y", "http.csv",
    ],
)  # fmt: skip
def test_urls_and_paths_that_may_be(url: str) -> None:
    assert loads(with_task(f"with: {{url: '{url}'}}", PARAMETERS).encode()).tasks


@pytest.mark.parametrize("for_each", ["'[1, 2]'", "'3'", "'{{ params.a }}'"])
def test_texts_that_may_be_a_fan_out(for_each: str) -> None:
    assert loads(with_task(f"for_each: {for_each}", PARAMETERS).encode()).tasks


def test_yaml_that_does_not_parse_has_a_hint() -> None:
    assert problems("name: p\npool: {id: x\ntasks: []\n")[0].endswith(
        "| what began on line 2 is not closed, or not indented like its neighbours"
    )
    assert problems(GOOD + "---\nname: q\n")[0].endswith(
        "| one file is one jobspec: remove what follows the second ---"
    )
    assert problems("name: @p\n")[0].endswith("needs quotes")


def test_yaml_that_does_not_parse_has_a_place() -> None:
    assert problems("name: [a\npool: }\n")[0].startswith("p.yaml:2:5: ")
    assert problems("name: p\npool:\n\tid: x\n")[0].endswith("| indent with spaces, YAML does not allow tabs")


def test_yaml_is_1_2() -> None:
    text = GOOD + "  - {id: b, command: c, with: {a: 12:00:00, b: no, c: 2026-01-31, d: 0o17, e: 1e3}}\n"
    assert loads(text.encode()).tasks[1].with_ == {
        "a": "12:00:00",
        "b": "no",
        "c": "2026-01-31",
        "d": 15,
        "e": 1000.0,
    }


def test_merge_keys_and_aliases() -> None:
    text = GOOD + "  - &b {id: b, command: c, max_task_retry_count: 2}\n  - {<<: *b, id: c}\n"
    assert [t.max_task_retry_count for t in loads(text.encode()).tasks] == [0, 2, 2]


def test_an_alias_inside_itself() -> None:
    assert "an alias that contains itself" in problems(GOOD + "environment: &a {X: *a}\n")[0]


def test_aliases_that_explode_are_refused() -> None:
    bomb = "environment:\n  a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"  a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 9)
    )
    assert any("more than 200,000 values" in p for p in problems(GOOD + bomb))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\x7fELF\x00\xff\xfe", "not a text file: byte 5 is not UTF-8"),
        (b"name: a\x00b\n", "not valid YAML: "),
        (b"#" * (10 << 20), "10,485,760 bytes; a jobspec has at most 1,048,576"),
    ],
)
def test_files_that_are_no_jobspecs(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "x.yaml"
    path.write_bytes(content)
    with pytest.raises(SpecError, match=r"x\.yaml") as caught:
        load(path)
    assert message in str(caught.value)


def test_a_file_that_is_not_there_names_its_neighbour(tmp_path: Path) -> None:
    (tmp_path / "weather.yaml").write_text(GOOD)
    with pytest.raises(SpecError) as caught:
        load(tmp_path / "wether.yaml")
    assert caught.value.problems[0].hint == "did you mean weather.yaml?"
    with pytest.raises(SpecError, match="this is a folder"):
        load(tmp_path)


def test_a_byte_order_mark_is_no_problem() -> None:
    assert loads(b"\xef\xbb\xbf" + GOOD.encode()).name == "p"
