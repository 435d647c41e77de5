"""The language of autoscale formulas: read, checked and evaluated. Pure; knows no pool, store, clock or HTTP.

Source: Azure Batch docs, "Create a formula to automatically scale compute nodes in a Batch pool".
Tokens -> tree -> evaluation over samples of metrics. What the published text leaves open is decided here and
said so where it is decided.
"""

from batchctl.server.batch.autoscale.evaluation import Outcome, Surroundings, evaluate
from batchctl.server.batch.autoscale.faults import FormulaError, SyntaxFault
from batchctl.server.batch.autoscale.samples import METRICS, SAMPLE_PERIOD, Metric
from batchctl.server.batch.autoscale.symbols import check_formula

__all__ = [
    "METRICS",
    "SAMPLE_PERIOD",
    "FormulaError",
    "Metric",
    "Outcome",
    "Surroundings",
    "SyntaxFault",
    "check_formula",
    "evaluate",
]
