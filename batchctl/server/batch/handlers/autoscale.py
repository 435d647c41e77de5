"""The operations on a pool's automatic scaling. Source: Azure Batch REST, Pool - Enable/Disable/Evaluate Auto Scale."""

from datetime import timedelta

from batchctl.server.batch.call import Call, Reply
from batchctl.server.batch.errors import ServiceError, missing_property
from batchctl.server.batch.handlers.pools import accepted, open_pool, refuse_unless_steady, touch
from batchctl.server.batch.resources.autoscale import check_length, check_settings
from batchctl.server.batch.resources.pool import start_autoscale
from batchctl.server.batch.scheduler.autoscale import evaluated, run_view
from batchctl.server.batch.wire import instant_text, moment_of

_APART = timedelta(seconds=30)
_NOTES = ("_scaleWake", "_evaluate", "_eagerAfter")
_SETTINGS = ("autoScaleFormula", "autoScaleEvaluationInterval")


def enable(call: Call) -> Reply:
    """Let a formula size the pool, or change the formula or the interval (200); it is evaluated at once.

    At most every 30 seconds for one pool, else 503.
    """
    body = call.checked_body("BatchPoolEnableAutoScaleOptions")
    check_settings(body)
    pool = open_pool(call)
    is_new = not pool.doc["enableAutoScale"]
    if not body or (is_new and "autoScaleFormula" not in body):
        raise missing_property("autoScaleFormula")
    refuse_unless_steady(pool)
    before = pool.doc.get("_enabled")
    if before is not None and call.now < moment_of(before) + _APART:
        raise ServiceError("TooManyEnableAutoScaleRequests", headers={"Retry-After": str(_APART.seconds)})
    pool.doc.update(body, enableAutoScale=True, _enabled=instant_text(call.now))
    start_autoscale(pool.doc, call.now)
    touch(call, pool)
    call.store.pools.save(pool)
    return accepted(call, pool, 200)


def disable(call: Call) -> Reply:
    """Stop sizing the pool by a formula (200); it keeps its nodes and its latest targets."""
    pool = open_pool(call)
    for name in (*_SETTINGS, *_NOTES, "autoScaleRun"):
        pool.doc.pop(name, None)
    pool.doc["enableAutoScale"] = False
    touch(call, pool)
    call.store.pools.save(pool)
    return accepted(call, pool, 200)


def evaluate(call: Call) -> Reply:
    """What a formula would say for the pool now (200, even when it is wrong); nothing is changed."""
    body = call.checked_body("BatchPoolEvaluateAutoScaleOptions")
    check_length(body["autoScaleFormula"])
    pool = open_pool(call)
    if not pool.doc["enableAutoScale"]:
        reason = "Automatic scaling is not enabled on the pool."
        raise ServiceError("OperationInvalidForCurrentState", ("Reason", reason))
    outcome = evaluated(call.store, pool, body["autoScaleFormula"], call.now)
    kind = "Microsoft.Azure.Batch.Protocol.Entities.AutoScaleRun"
    answer = {"odata.metadata": f"{call.endpoint}/$metadata#{kind}", **run_view(outcome, call.now)}
    return Reply(status=200, body=answer, headers=accepted(call, pool).headers)
