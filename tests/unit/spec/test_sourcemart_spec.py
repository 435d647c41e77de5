"""A wrong sourcemart: every problem with its place, and what to do; whatever shape its YAML has."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchctl.errors import Problem, SpecError
from batchctl.spec import Jobspec, loads

HEAD = "name: p\npool: {target_dedicated_nodes: 1}\n"
GOOD = (
    HEAD
    + """\
sourcemart:
  processors:
    unzip: {command: "unzip {{ table }} {{ collector }}"}
  tables:
    - name: orders
      upstreams: [codes]
      collectors: [{name: api, command: c, processors: [unzip]}]
      refiners: [{name: load, command: c}]
    - name: codes
      collectors: [{name: api, command: c}]
      refiners: [{name: load, command: "c {{ table }} {{ params.tables }}"}]
"""
)


def problems(text: str) -> list[str]:
    with pytest.raises(SpecError) as caught:
        loads(text.encode(), "p.yaml")
    return [str(p) + (f" | {p.hint}" if p.hint else "") for p in caught.value.problems]


def changed(before: str, after: str) -> str:
    assert GOOD.count(before) == 1
    return GOOD.replace(before, after)


def test_a_good_one() -> None:
    mart = loads(GOOD.encode()).sourcemart
    assert mart is not None
    assert [table.name for table in mart.tables] == ["orders", "codes"]
    assert mart.tables[0].collectors[0].processors == ("unzip",)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (HEAD, "p.yaml:1:1: tasks: this field is missing | add tasks: … or sourcemart: …"),
        (HEAD + "sourcemart:\n", "p.yaml:1:1: tasks: this field is missing | add tasks: … or sourcemart: …"),
        (GOOD + "tasks: [{id: a, command: c}]\n",
         "p.yaml:14:1: tasks: a pipeline has tasks or a sourcemart, not both | what the task does, a refiner of a table can do"),
        (HEAD + "sourcemart: {tables: []}\n", "p.yaml:3:14: sourcemart.tables: there are none | add one"),
        (HEAD + "sourcemart: {}\n", "p.yaml:3:1: sourcemart.tables: this field is missing | add tables: …"),
        (HEAD + "sourcemart: [a]\n", "p.yaml:3:1: sourcemart: must be a mapping, not a list | {name: value}"),
        (changed("      upstreams: [codes]", "      upstrems: [codes]"),
         "p.yaml:8:7: sourcemart.tables[0].upstrems: there is no such field | did you mean upstreams?"),
        (changed("unzip: {command:", "unzip: {for_each: [1], command:"),
         "p.yaml:5:13: sourcemart.processors.unzip.for_each: there is no such field | known: command, environment, image, max_task_retry_count, max_wall_clock_time, required_slots, secrets, with"),
        (changed("[{name: load, command: c}]", "[]"), "p.yaml:10:7: sourcemart.tables[0].refiners: there are none | add one"),
        (changed("      refiners: [{name: load, command: c}]\n", ""),
         "p.yaml:7:7: sourcemart.tables[0].refiners: this field is missing | add refiners: …"),
        (changed("[{name: api, command: c}]", "[]"), "p.yaml:12:7: sourcemart.tables[1].collectors: there are none | add one"),
        (changed("      collectors: [{name: api, command: c}]\n", ""),
         "p.yaml:11:7: sourcemart.tables[1]: nothing feeds the table codes | add collectors: …, or upstreams: … for a table that is made from others"),
        (changed("name: codes", "name: Orders").replace("[codes]", "[]"),
         "p.yaml:11:7: sourcemart.tables[1].name: there is a table orders already | names are unique, whatever their case"),
        (changed("name: codes", "name: order codes").replace("upstreams: [codes]", "upstreams: []"),
         "p.yaml:11:7: sourcemart.tables[1].name: 'order codes' is not a valid id | 1 to 64 letters, digits, - and _"),
        (changed("[{name: api, command: c}]", "[{name: api, command: c}, {name: API, command: c}]"),
         "p.yaml:12:46: sourcemart.tables[1].collectors[1].name: there is a collector of this table api already | names are unique, whatever their case"),
        (changed("upstreams: [codes]", "upstreams: [code]"),
         "p.yaml:8:19: sourcemart.tables[0].upstreams[0]: there is no table code | did you mean codes?"),
        (changed("upstreams: [codes]", "downstreams: [rates]"),
         "p.yaml:8:21: sourcemart.tables[0].downstreams[0]: there is no table rates | known: codes, orders"),
        (changed("upstreams: [codes]", "upstreams: [orders]"),
         "p.yaml:8:19: sourcemart.tables[0].upstreams[0]: tables are refined from each other: orders -> orders | remove one of these"),
        (changed("- name: codes\n", "- name: codes\n      upstreams: [orders]\n"),
         "p.yaml:8:19: sourcemart.tables[0].upstreams[0]: tables are refined from each other: orders -> codes -> orders | remove one of these"),
        (changed("upstreams: [codes]", "upstreams: [codes]\n      downstreams: [codes]"),
         "p.yaml:8:19: sourcemart.tables[0].upstreams[0]: tables are refined from each other: orders -> codes -> orders | remove one of these"),
        (changed("processors: [unzip]", "processors: [unzip, to-csv]"),
         "p.yaml:9:64: sourcemart.tables[0].collectors[0].processors[1]: there is no processor to-csv | known: unzip"),
        (changed("processors: [unzip]", "processors: [unzip, unzip]"),
         "p.yaml:9:64: sourcemart.tables[0].collectors[0].processors[1]: unzip is in this list already | remove one of the two"),
        (changed(", processors: [unzip]", ""),
         "p.yaml:5:5: sourcemart.processors.unzip: no collector uses the processor unzip | name it in a collector's processors:, or remove it"),
        (changed("  tables:\n", "    Unzip: {command: c}\n  tables:\n").replace("[unzip]", "[unzip, Unzip]"),
         "p.yaml:6:5: sourcemart.processors.Unzip: there is a processor unzip already | names are unique, whatever their case"),
        (changed("{{ collector }}", "{{ collecter }}"),
         "p.yaml:5:13: sourcemart.processors.unzip.command: template: collecter is not a name here | did you mean collector?"),
        (changed("{{ params.tables }}", "{{ collector }}"),
         "p.yaml:13:31: sourcemart.tables[1].refiners[0].command: template: collector is not a name here | known: interval_end, interval_start, params, "
         "params.skip_downstreams_collectors, params.skip_upstreams_refiners, params.tables, run, scheduled_at, table"),
        (changed("{{ params.tables }}", "{{ params.table }}"),
         "p.yaml:13:31: sourcemart.tables[1].refiners[0].command: template: there is no parameter table | did you mean tables?"),
        (changed("{{ collector }}", "{{ item }}"),
         "p.yaml:5:13: sourcemart.processors.unzip.command: template: item is not a name here | item exists only where every collector that uses the processor has for_each"),
        (changed("{name: api, command: c}", '{name: api, command: "{{ item }}"}'),
         "p.yaml:12:32: sourcemart.tables[1].collectors[0].command: template: item is not a name here | item exists only in a collector with for_each"),
        (changed("{name: api, command: c}", "{name: api, command: c, secrets: [X]}"),
         "p.yaml:12:54: sourcemart.tables[1].collectors[0].secrets[0]: there is no secret X | add it under secrets:"),
        (changed("{name: api, command: c}", "{name: api, command: c, image: etl}"),
         "p.yaml:12:44: sourcemart.tables[1].collectors[0].image: there is no image etl | add it under images:"),
        (changed("{name: api, command: c}", "{name: api, command: c, required_slots: 2}"),
         "p.yaml:12:44: sourcemart.tables[1].collectors[0].required_slots: a node has 1, so this task would wait for ever | pool.task_slots_per_node"),
        (changed("{name: api, command: c}", "{name: api, command: c, with: {sink: {url: 'rw://x'}}}"),
         "p.yaml:12:58: sourcemart.tables[1].collectors[0].with.sink.url: rw:// is not a URL we know | did you mean raw://?"),
        (changed("{name: api, command: c}", "{name: api, command: c, for_each: []}"),
         "p.yaml:12:44: sourcemart.tables[1].collectors[0].for_each: 0 items; there must be between 1 and 100,000"),
        (changed("{name: api, command: c}", f"{{name: {'c' * 60}, command: c}}"),
         f"p.yaml:12:21: sourcemart.tables[1].collectors[0].name: codes-collect-{'c' * 60} has 74 characters; Batch allows 64 | shorten it"),
        (changed("processors: [unzip]", f"processors: [{'u' * 60}]").replace("    unzip:", f"    {'u' * 60}:"),
         f"p.yaml:9:57: sourcemart.tables[0].collectors[0].processors[0]: {'u' * 60}-orders-api has 71 characters; Batch allows 64 | shorten it"),
        (changed("[{name: load, command: c}]", "[{name: b-collect-a, command: c}]") + (
            "    - {name: orders-refine-b, collectors: [{name: a, command: c}], refiners: [{name: a, command: c}]}\n"),
         "p.yaml:14:45: sourcemart.tables[2].collectors[0].name: orders-refine-b-collect-a is the id of sourcemart.tables[0].refiners[0] already | ids are unique"),
        (GOOD + "parameters: {tables: {type: integer, default: 3}}\n",
         "p.yaml:14:14: parameters.tables: every sourcemart has this parameter, and its type is string, not integer | type: string"),
        (GOOD + "parameters: {skip_upstreams_refiners: {default: 'true'}}\n",
         "p.yaml:14:14: parameters.skip_upstreams_refiners: every sourcemart has this parameter, and its type is boolean, not string | type: boolean"),
        (GOOD + "parameters: {tables: {default: 'orders, code'}}\n",
         "p.yaml:14:23: parameters.tables.default: there is no table code | did you mean codes?"),
        (GOOD + "parameters: {tables: {default: ''}}\n",
         "p.yaml:14:23: parameters.tables.default: there is no table without a name | known: codes, orders"),
        (GOOD + "parameters: {tables: {default: orders, choices: [orders, rates]}}\n",
         "p.yaml:14:58: parameters.tables.choices[1]: there is no table rates | known: codes, orders"),
    ],
)  # fmt: skip
def test_one_problem(text: str, expected: str) -> None:
    assert problems(text) == [expected]


def test_all_problems_come_at_once_in_the_order_of_the_file() -> None:
    text = (
        GOOD.replace("[codes]", "[cdes]").replace("[unzip]", "[unzp]").replace("command: c}]", "comand: c}]")
    )
    assert [line.split(": ")[1] for line in problems(text)] == [
        "sourcemart.processors.unzip",
        "sourcemart.tables[0].upstreams[0]",
        "sourcemart.tables[0].collectors[0].processors[0]",
        "sourcemart.tables[0].refiners[0].command",
        "sourcemart.tables[0].refiners[0].comand",
        "sourcemart.tables[1].collectors[0].command",
        "sourcemart.tables[1].collectors[0].comand",
    ]


@pytest.mark.parametrize(
    "more",
    [
        "parameters: {tables: {default: '*'}}\n",
        "parameters: {tables: {default: 'orders , codes', choices: ['orders , codes', '*']}}\n",
        "parameters: {skip_downstreams_collectors: {type: boolean, default: true}}\n",
        "parameters: {tables: {}}\n",
    ],
)
def test_its_parameters_may_have_other_defaults(more: str) -> None:
    assert loads((GOOD + more).encode()).run_parameters.keys() == {
        "tables",
        "skip_upstreams_refiners",
        "skip_downstreams_collectors",
    }


def test_its_parameters_are_no_parameters_of_a_pipeline_of_tasks() -> None:
    text = HEAD + 'tasks: [{id: a, command: "{{ params.tables }}"}]\n'
    assert "there is no parameter tables" in problems(text)[0]
    assert loads((HEAD + "tasks: [{id: a, command: c}]\n").encode()).run_parameters == {}


def test_a_processor_knows_the_item_if_all_its_collectors_are_fanned_out() -> None:
    fanned = GOOD.replace("{name: api, command: c, p", "{name: api, command: c, for_each: [1, 2], p")
    assert loads(fanned.replace("{{ collector }}", "{{ item }}").encode()).sourcemart is not None


def test_what_is_written_survives_the_journey_inside_a_schedule() -> None:
    spec = loads(GOOD.encode())
    carried = spec.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    assert Jobspec.model_validate_json(json.dumps(carried, sort_keys=True)) == spec


WORDS = st.sampled_from(["orders", "codes", "unzip", "api", "{{ item }}", "", "Ä"])
VALUES: Any = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 3) | WORDS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["name", "tables", "processors", "collectors", "refiners", "upstreams", "downstreams", "for_each", "with", "default"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(sourcemart=VALUES, tables=VALUES, table=VALUES, declared=VALUES)
def test_no_shape_is_too_odd_to_be_told(sourcemart: Any, tables: Any, table: Any, declared: Any) -> None:
    pool = {"target_dedicated_nodes": 1}
    good = {
        "name": "t",
        "collectors": [{"name": "a", "command": "c"}],
        "refiners": [{"name": "a", "command": "c"}],
    }
    for mart in (sourcemart, {"tables": tables}, {"tables": [good, table], "processors": tables}):
        text = json.dumps({"name": "p", "pool": pool, "sourcemart": mart, "parameters": {"tables": declared}})
        told: tuple[Problem, ...] = ()
        try:
            spec = loads(text.encode())
        except SpecError as error:
            told = error.problems
        assert [problem.message for problem in told] or spec.sourcemart is not None
