"""Which tasks a run of a sourcemart has, and what each waits for: against the rules, said another way, on marts of every shape."""

from collections.abc import Mapping
from datetime import UTC, datetime
from itertools import product
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchctl.errors import UsageError
from batchctl.plan import Pipeline, Site, expand
from batchctl.plan.sourcemart import stages, upstreams_of
from batchctl.spec import Jobspec, loads

NOW = datetime(2026, 1, 15, 12, 0, tzinfo=UTC)
SITE = Site(target="local", zones={}, runs_url="file:///runs/", containers=False)
SKIPS = list(product((False, True), repeat=2))


@st.composite
def marts(draw: st.DrawFn) -> Jobspec:
    """A mart of up to six tables; an edge may be said by either side, or by both."""
    names = draw(st.permutations([f"t{i}" for i in range(draw(st.integers(1, 6)))]))
    tables: dict[str, dict[str, Any]] = {}
    for i, name in enumerate(names):
        refiners = [{"name": f"r{k}", "command": "refine"} for k in range(draw(st.integers(1, 2)))]
        table: dict[str, Any] = {"name": name, "upstreams": [], "downstreams": [], "refiners": refiners}
        for above in names[:i]:
            side = draw(st.sampled_from(["none", "none", "above", "below", "both"]))
            if side in ("below", "both"):
                table["upstreams"].append(above)
            if side in ("above", "both"):
                tables[above]["downstreams"].append(name)
        fed = any(name in other["downstreams"] for other in tables.values()) or table["upstreams"]
        table["collectors"] = [
            {
                "name": f"c{k}",
                "command": "collect",
                "processors": draw(st.lists(st.sampled_from(["p", "q"]), unique=True)),
                **draw(st.sampled_from([{}, {"for_each": [1, 2]}])),
            }
            for k in range(draw(st.integers(0 if fed else 1, 2)))
        ]
        if not table["collectors"]:
            del table["collectors"]
        tables[name] = table
    used = {p for t in tables.values() for c in t.get("collectors", ()) for p in c["processors"]}
    mart = {
        "processors": {name: {"command": f"{name} {{{{ table }}}} {{{{ collector }}}}"} for name in used},
        "tables": [tables[name] for name in draw(st.permutations(names))],
    }
    pool = {"target_dedicated_nodes": 1}
    return loads(orjson.dumps({"name": "m", "pool": pool, "sourcemart": mart}))


def leads_to(upstreams: Mapping[str, tuple[str, ...]], above: str, below: str) -> bool:
    return any(one == above or leads_to(upstreams, above, one) for one in upstreams[below])


def expected(spec: Jobspec, chosen: set[str], skip_upstreams: bool, skip_downstreams: bool) -> set[str]:
    """The ids of the run's stages, by the rules of each role, table by table."""
    assert spec.sourcemart is not None
    upstreams = upstreams_of(spec.sourcemart)
    ids: set[str] = set()
    for table in spec.sourcemart.tables:
        is_above = any(leads_to(upstreams, table.name, one) for one in chosen)
        is_below = any(leads_to(upstreams, one, table.name) for one in chosen)
        refined = table.name in chosen or is_below or (is_above and not skip_upstreams)
        collected = (
            table.name in chosen or (is_above and not skip_upstreams) or (is_below and not skip_downstreams)
        )
        if refined:
            ids |= {f"{table.name}-refine-{refiner.name}" for refiner in table.refiners}
        if collected:
            for collector in table.collectors:
                ids.add(f"{table.name}-collect-{collector.name}")
                ids |= {f"{name}-{table.name}-{collector.name}" for name in collector.processors}
    return ids


def parameters(chosen: set[str] | None, skip_upstreams: bool, skip_downstreams: bool) -> dict[str, str]:
    return {
        "tables": ",".join(sorted(chosen)) if chosen else "*",
        "skip_upstreams_refiners": str(skip_upstreams).lower(),
        "skip_downstreams_collectors": str(skip_downstreams).lower(),
    }


@settings(max_examples=150, deadline=None)
@given(spec=marts(), data=st.data())
def test_the_stages_are_those_of_the_rules(spec: Jobspec, data: st.DataObject) -> None:
    assert spec.sourcemart is not None
    names = [table.name for table in spec.sourcemart.tables]
    chosen = set(data.draw(st.lists(st.sampled_from(names), min_size=1)))
    everything = {stage.task.id: stage for stage in stages(spec)}
    assert set(everything) == expected(spec, set(names), False, False)
    for skips in SKIPS:
        values = {
            "tables": " , ".join(chosen),
            "skip_upstreams_refiners": skips[0],
            "skip_downstreams_collectors": skips[1],
        }
        found = {stage.task.id: stage for stage in stages(spec, values)}
        assert set(found) == expected(spec, chosen, *skips)
        for id, stage in found.items():
            # What is left waits for what it always waits for, as far as that takes part.
            before = [d for d in everything[id].task.dependencies if d.task in found]
            assert list(stage.task.dependencies) == before
            assert stage.names == everything[id].names


@settings(max_examples=60, deadline=None)
@given(spec=marts())
def test_a_table_waits_for_its_raw_data_and_its_upstreams(spec: Jobspec) -> None:
    assert spec.sourcemart is not None
    upstreams = upstreams_of(spec.sourcemart)
    waits = {stage.task.id: [d.task for d in stage.task.dependencies] for stage in stages(spec)}
    tables = {table.name: table for table in spec.sourcemart.tables}
    for table in tables.values():
        raw = []
        for collector in table.collectors:
            collect = f"{table.name}-collect-{collector.name}"
            chain = [collect, *(f"{name}-{table.name}-{collector.name}" for name in collector.processors)]
            assert [waits[id] for id in chain] == [[], *([id] for id in chain[:-1])]
            raw.append(chain[-1])
        above = [f"{one}-refine-{tables[one].refiners[-1].name}" for one in upstreams[table.name]]
        refine = [f"{table.name}-refine-{refiner.name}" for refiner in table.refiners]
        assert [waits[id] for id in refine] == [raw + above, *([id] for id in refine[:-1])]


@settings(max_examples=60, deadline=None)
@given(spec=marts(), data=st.data())
def test_a_schedule_s_json_gives_the_same_tasks_in_an_order_that_batch_takes(
    spec: Jobspec, data: st.DataObject
) -> None:
    assert spec.sourcemart is not None
    names = [table.name for table in spec.sourcemart.tables]
    chosen = set(data.draw(st.lists(st.sampled_from(names), min_size=1)))
    pipeline = Pipeline(spec=spec, site=SITE)
    carried = Pipeline.from_json(orjson.loads(orjson.dumps(pipeline.as_json(), option=orjson.OPT_SORT_KEYS)))
    for skips in SKIPS:
        texts = parameters(chosen, *skips)
        run = expand(carried, texts, NOW, run="r")
        assert run.tasks == expand(pipeline, texts, NOW, run="r").tasks
        added: set[str] = set()
        for task in run.tasks:
            assert set(task.get("dependsOn", {}).get("taskIds", ())) <= added
            added.add(task["id"])


MART = b"""\
name: m
pool: {target_dedicated_nodes: 1}
parameters: {tables: {default: "orders"}}
sourcemart:
  processors:
    clean: {command: "clean {{ table }}.{{ collector }} {{ item }}", with: {t: "{{ table }}"}, environment: {C: "{{ collector }}"}}
  tables:
    - name: codes
      collectors: [{name: api, command: "get {{ table }}", for_each: "{{ params.days }}", processors: [clean]}]
      refiners: [{name: load, command: "load {{ table }}"}]
    - {name: orders, upstreams: [codes], refiners: [{name: load, command: "load {{ table }} {{ params.tables }}"}]}
"""


def mart(days: str = "[1, 2]") -> Pipeline:
    text = MART.replace(b"{tables:", b"{days: {default: '" + days.encode() + b"'}, tables:")
    return Pipeline(spec=loads(text), site=SITE)


def commands(given: dict[str, str], days: str = "[1, 2]") -> list[str]:
    run = expand(mart(days), given, NOW, run="r")
    return [str(task["commandLine"]).removeprefix("stage-run -- ") for task in run.tasks]


def test_templates_know_the_table_and_the_collector() -> None:
    assert commands({}) == [
        "get codes", "get codes", "clean codes.api 1", "clean codes.api 2", "load codes", "load orders orders",
    ]  # fmt: skip
    task = next(t for t in expand(mart(), {}, NOW, run="r").tasks if t["id"] == "clean-codes-api-2")
    settings_ = {one["name"]: one["value"] for one in task["environmentSettings"]}
    assert (settings_["BATCHCTL_CONFIG"], settings_["C"]) == ('{"t":"codes"}', "api")
    assert task["dependsOn"] == {"taskIds": ["codes-collect-api-2"]}


def test_the_default_of_the_jobspec_is_what_a_run_without_parameters_is_about() -> None:
    assert commands({"skip_upstreams_refiners": "true"}) == ["load orders orders"]
    assert len(commands({"tables": "*"})) == 6


@pytest.mark.parametrize(
    ("texts", "message", "hint"),
    [
        ({"tables": "order"}, "-p tables: there is no table order", "did you mean orders?"),
        ({"tables": "orders,,x"}, "-p tables: there is no table without a name\n-p tables: there is no table x", "known: codes, orders"),
        ({"tables": ""}, "-p tables: there is no table without a name", "known: codes, orders"),
        ({"tables": "*,orders"}, "-p tables: there is no table *", "known: codes, orders"),
        ({"tables": "*", "skip_upstreams_refiners": "true"},
         "-p skip_upstreams_refiners: every table is chosen, so there is nothing to skip",
         "-p tables=codes, or -p skip_upstreams_refiners=false"),
        ({"tables": "*", "skip_downstreams_collectors": "true"},
         "-p skip_downstreams_collectors: every table is chosen, so there is nothing to skip",
         "-p tables=codes, or -p skip_downstreams_collectors=false"),
        ({"skip_upstreams_refiners": "yes"}, "-p skip_upstreams_refiners: 'yes' is not true or false", "-p name=value, once for each"),
        ({"table": "orders"}, "-p table: there is no such parameter (did you mean tables?)", "-p name=value, once for each"),
    ],
)  # fmt: skip
def test_a_choice_that_cannot_be(texts: dict[str, str], message: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        expand(mart(), texts, NOW, run="r")
    assert (caught.value.message, caught.value.hint) == (message, hint)


def test_a_fan_out_that_is_none_names_the_collector_s_task() -> None:
    with pytest.raises(UsageError, match="codes-collect-api: for_each: 'x' is not a JSON list"):
        commands({}, days="x")


def test_every_table_by_name_is_every_table() -> None:
    assert commands({"tables": "orders,codes"}) == [
        line.replace("load orders *", "load orders orders,codes") for line in commands({"tables": "*"})
    ]
