"""Automatic scaling of pools through the official SDK."""

from datetime import timedelta

import pytest
from azure.batch import BatchClient, models

from batchctl.server import LocalServer
from tests.contract.conftest import Clock, code_of, completed, error_of, eventually, in_state, job, pool, task

MINUTE = timedelta(minutes=1)
STEADY = models.AllocationState.STEADY


def scaled(formula: str, name: str = "etl", **more: object) -> dict[str, object]:
    return {
        "id": name,
        "vmSize": "standard_d2s_v5",
        "enableAutoScale": True,
        "autoScaleFormula": formula,
    } | more


def steady(batch: BatchClient, **values: object) -> models.BatchPool:
    """The pool, once it is steady and has these values."""

    def reached() -> models.BatchPool | None:
        found = batch.get_pool("etl")
        is_so = found.allocation_state == STEADY and all(getattr(found, k) == v for k, v in values.items())
        return found if is_so else None

    found: models.BatchPool = eventually(reached, f"a steady pool with {values}")
    return found


def enable(batch: BatchClient, formula: str | None = None, interval: timedelta | None = None) -> None:
    options = models.BatchPoolEnableAutoScaleOptions(
        auto_scale_formula=formula, auto_scale_evaluation_interval=interval
    )
    batch.enable_pool_auto_scale("etl", options)


def test_a_pool_with_a_formula_gets_its_nodes_at_once(batch: BatchClient) -> None:
    batch.create_pool(scaled("$TargetDedicatedNodes = 2; $TargetLowPriorityNodes = 1;"))
    found = steady(batch, current_dedicated_nodes=2, current_low_priority_nodes=1)
    assert (found.enable_auto_scale, found["autoScaleEvaluationInterval"]) == (True, "PT15M")
    assert (found.target_dedicated_nodes, found.target_low_priority_nodes) == (2, 1)
    run = found.auto_scale_run
    assert run.timestamp is not None
    assert run.results == "$TargetDedicatedNodes=2;$TargetLowPriorityNodes=1;$NodeDeallocationOption=requeue"
    assert run.error is None


def test_nodes_come_with_the_work(batch: BatchClient) -> None:
    formula = "$TargetDedicatedNodes = min(2, max(0, $PendingTasks.GetSample(TimeInterval_Minute * 10)));"
    batch.create_pool(scaled(formula, autoScaleEvaluationInterval="PT5M"))
    assert steady(batch).current_dedicated_nodes == 0
    batch.create_job(job())
    batch.create_tasks("daily", [task(name) for name in "abcd"])
    for name in "abcd":
        completed(batch, "daily", name)
    assert len(list(batch.list_nodes("etl"))) == 2


def test_nodes_go_after_the_work(batch: BatchClient, server: LocalServer, clock: Clock) -> None:
    formula = "busy = max(0, $PendingTasks.GetSample(TimeInterval_Minute * 10)); $TargetDedicatedNodes = busy > 0 ? 1 : 0;"
    batch.create_pool(scaled(formula, autoScaleEvaluationInterval="PT5M"))
    batch.create_job(job())
    batch.create_task("daily", task("a"))
    completed(batch, "daily", "a")
    clock.shift += 11 * MINUTE
    server.wake()
    found = steady(batch, current_dedicated_nodes=0)
    assert found.auto_scale_run.results.endswith(";busy=0")


def test_an_auto_pool_may_scale_itself(batch: BatchClient) -> None:
    specification = {k: v for k, v in scaled("$TargetDedicatedNodes = 1;").items() if k != "id"}
    auto = models.BatchAutoPoolSpecification(
        pool_lifetime_option="job", pool=models.BatchPoolSpecification(specification)
    )
    batch.create_job(
        models.BatchJobCreateOptions(id="daily", pool_info=models.BatchPoolInfo(auto_pool_specification=auto))
    )
    batch.create_task("daily", task("a"))
    assert completed(batch, "daily", "a").execution_info.exit_code == 0


def test_an_auto_pool_with_a_wrong_formula_ends_its_job(batch: BatchClient) -> None:
    specification = {k: v for k, v in scaled("$TargetDedicatedNodes = ;").items() if k != "id"}
    auto = models.BatchAutoPoolSpecification(
        pool_lifetime_option="job", pool=models.BatchPoolSpecification(specification)
    )
    batch.create_job(
        models.BatchJobCreateOptions(id="daily", pool_info=models.BatchPoolInfo(auto_pool_specification=auto))
    )
    found = in_state(lambda: batch.get_job("daily"), "completed")
    assert found.execution_info.scheduling_error.code == "InvalidAutoScaleFormulaInAutoPool"
    assert list(batch.list_pools()) == []


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"autoScaleFormula": None}, "MissingRequiredProperty"),
        ({"targetDedicatedNodes": 1}, "InvalidAutoScalingSettings"),
        ({"enableAutoScale": False}, "InvalidAutoScalingSettings"),
        ({"autoScaleFormula": "$x"}, "InvalidAutoScalingSettings"),
        ({"autoScaleFormula": "x = ;"}, "AutoScalingFormulaSyntaxError"),
        ({"autoScaleFormula": "x = 1;" + " " * 8192}, "AutoScalingFormulaTooLong"),
        ({"autoScaleEvaluationInterval": "PT4M59S"}, "InvalidPropertyValue"),
        ({"autoScaleEvaluationInterval": "P7DT1S"}, "InvalidPropertyValue"),
    ],
)
def test_wrong_settings_are_refused(batch: BatchClient, changes: dict[str, object], code: str) -> None:
    assert code_of(lambda: batch.create_pool(scaled("$TargetDedicatedNodes = 0;") | changes)) == (400, code)
    assert list(batch.list_pools()) == []


def test_the_refusal_says_where(batch: BatchClient) -> None:
    error = error_of(lambda: batch.create_pool(scaled("x = 1;\n y = $z;")))
    assert error.model["values"] == [{"key": "Message", "value": "Line 2, Col 6: Undefined symbol: $z"}]


def test_evaluate_answers_for_any_formula(batch: BatchClient) -> None:
    batch.create_pool(scaled("$TargetDedicatedNodes = 2;"))
    steady(batch, current_dedicated_nodes=2)
    good = batch.evaluate_pool_auto_scale(
        "etl",
        models.BatchPoolEvaluateAutoScaleOptions(
            auto_scale_formula="$TargetDedicatedNodes = 3; n = $CurrentDedicatedNodes"
        ),
    )
    assert good.error is None
    assert good.results == (
        "$TargetDedicatedNodes=3;$TargetLowPriorityNodes=0;$NodeDeallocationOption=requeue;n=2"
    )
    bad = batch.evaluate_pool_auto_scale(
        "etl", models.BatchPoolEvaluateAutoScaleOptions(auto_scale_formula="$x")
    )
    assert bad.error.code == "AutoScalingFormulaEvaluationError"
    assert [(v.name, v.value) for v in bad.error.error_values] == [
        ("Message", "Line 1, Col 1: Undefined symbol: $x")
    ]
    assert bad.results == "$TargetDedicatedNodes=2;$TargetLowPriorityNodes=0;$NodeDeallocationOption=requeue"
    assert batch.get_pool("etl").target_dedicated_nodes == 2, "it only says what would be"
    long = models.BatchPoolEvaluateAutoScaleOptions(auto_scale_formula=" " * 8193)
    assert code_of(lambda: batch.evaluate_pool_auto_scale("etl", long)) == (400, "AutoScalingFormulaTooLong")


def test_enable_change_and_disable(batch: BatchClient, clock: Clock) -> None:
    batch.create_pool(pool(nodes=1))
    steady(batch)
    before = batch.get_pool("etl")
    assert code_of(lambda: enable(batch, interval=10 * MINUTE)) == (400, "MissingRequiredProperty")
    enable(batch, "$TargetDedicatedNodes = 2;", 10 * MINUTE)
    found = steady(batch, current_dedicated_nodes=2)
    assert (found.enable_auto_scale, found["autoScaleEvaluationInterval"]) == (True, "PT10M")
    assert found.etag != before.etag
    clock.shift += 31 * MINUTE / 60
    enable(batch, interval=20 * MINUTE)
    found = steady(batch)
    assert (found.auto_scale_formula, found["autoScaleEvaluationInterval"]) == (
        "$TargetDedicatedNodes = 2;",
        "PT20M",
    )
    refused = code_of(
        lambda: batch.begin_resize_pool("etl", models.BatchPoolResizeOptions(target_dedicated_nodes=5))
    )
    assert refused == (409, "OperationNotValidOnPool")
    batch.disable_pool_auto_scale("etl")
    found = batch.get_pool("etl")
    assert (found.enable_auto_scale, found.target_dedicated_nodes) == (False, 2)
    assert not {"autoScaleFormula", "autoScaleEvaluationInterval", "autoScaleRun"} & found.keys()
    assert found["resizeTimeout"] == "PT15M"
    evaluation = models.BatchPoolEvaluateAutoScaleOptions(auto_scale_formula="1")
    assert code_of(lambda: batch.evaluate_pool_auto_scale("etl", evaluation)) == (
        409,
        "OperationInvalidForCurrentState",
    )
    batch.begin_resize_pool(
        "etl", models.BatchPoolResizeOptions(target_dedicated_nodes=0), polling_interval=0
    ).result()


def test_enabling_too_often_is_refused(batch: BatchClient, clock: Clock) -> None:
    batch.create_pool(pool(nodes=0))
    steady(batch)
    enable(batch, "$TargetDedicatedNodes = 0;")
    steady(batch)
    error = error_of(lambda: enable(batch, "$TargetDedicatedNodes = 0;"))
    assert (error.status_code, error.model.code) == (503, "TooManyEnableAutoScaleRequests")
    assert error.response.headers["Retry-After"] == "30"
    clock.shift += timedelta(seconds=31)
    enable(batch, "$TargetDedicatedNodes = 0;")


def test_missing_and_busy_pools(batch: BatchClient) -> None:
    assert code_of(lambda: enable(batch, "x = 1;")) == (404, "PoolNotFound")
    assert code_of(lambda: batch.disable_pool_auto_scale("etl")) == (404, "PoolNotFound")
    batch.create_pool(pool(nodes=1))
    batch.create_job(job())
    batch.create_task("daily", task("long", "sleep 60"))
    in_state(lambda: batch.get_task("daily", "long"), "running")
    down = models.BatchPoolResizeOptions(target_dedicated_nodes=0, node_deallocation_option="taskcompletion")
    batch.begin_resize_pool("etl", down)
    assert code_of(lambda: enable(batch, "x = 1;")) == (409, "PoolBeingResized")


def test_a_formula_survives_a_restart(batch: BatchClient, server: LocalServer, clock: Clock) -> None:
    batch.create_pool(
        scaled("$TargetDedicatedNodes = $TargetDedicatedNodes + 1;", autoScaleEvaluationInterval="PT5M")
    )
    steady(batch, current_dedicated_nodes=1)
    server.stop()
    clock.shift += 6 * MINUTE
    server.start()
    assert steady(batch, current_dedicated_nodes=2).auto_scale_run.error is None
