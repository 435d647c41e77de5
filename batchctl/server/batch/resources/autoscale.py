"""The autoscale settings of a pool: checks and defaults. Source: Azure Batch REST, Pool - Add, Enable Auto Scale."""

from datetime import timedelta

from batchctl.server.batch.autoscale import FormulaError, SyntaxFault, check_formula
from batchctl.server.batch.errors import ServiceError, invalid_value, missing_property
from batchctl.server.batch.resources.checks import check_at_least
from batchctl.server.batch.wire import Doc, duration_ticks

DEFAULT_INTERVAL = "PT15M"
_LONGEST_FORMULA = 8192
_LONGEST_INTERVAL = timedelta(hours=168)


def check_autoscale(pool: Doc) -> None:
    """A pool has either targets or, with enableAutoScale, a formula. Raises ServiceError otherwise.

    MissingRequiredProperty, InvalidPropertyValue, InvalidAutoScalingSettings, and those of `check_settings`.
    """
    given = {"autoScaleFormula", "autoScaleEvaluationInterval"} & pool.keys()
    if not pool.get("enableAutoScale"):
        if given:
            reason = f"{min(given)} must not be specified unless enableAutoScale is true."
            raise ServiceError("InvalidAutoScalingSettings", ("Reason", reason))
        return
    for name in ("targetDedicatedNodes", "targetLowPriorityNodes"):
        if name in pool:
            reason = f"{name} must not be specified if enableAutoScale is true."
            raise ServiceError("InvalidAutoScalingSettings", ("Reason", reason))
    if "autoScaleFormula" not in pool:
        raise missing_property("autoScaleFormula")
    check_settings(pool)


def check_settings(body: Doc) -> None:
    """The formula and the interval, as far as they are given.

    Raises ServiceError: AutoScalingFormulaTooLong, AutoScalingFormulaSyntaxError, InvalidAutoScalingSettings (an unknown
    name in the formula), InvalidPropertyValue (an interval under 5 minutes or over 168 hours).
    """
    name = "autoScaleEvaluationInterval"
    check_at_least(body, name, timedelta(minutes=5))
    if name in body and duration_ticks(body[name]) > _LONGEST_INTERVAL // timedelta(microseconds=1) * 10:
        raise invalid_value(name, body[name], f"The value must be at most {_LONGEST_INTERVAL}.")
    if "autoScaleFormula" in body:
        check_length(body["autoScaleFormula"])
        try:
            check_formula(body["autoScaleFormula"])
        except SyntaxFault as problem:
            raise ServiceError("AutoScalingFormulaSyntaxError", ("Message", str(problem))) from None
        except FormulaError as problem:
            raise ServiceError("InvalidAutoScalingSettings", ("Message", str(problem))) from None


def check_length(formula: str) -> None:
    """Raise AutoScalingFormulaTooLong for a formula of more than 8192 characters."""
    if len(formula) > _LONGEST_FORMULA:
        raise ServiceError("AutoScalingFormulaTooLong", ("MaxLength", str(_LONGEST_FORMULA)))
