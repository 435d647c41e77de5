"""WHAT the user wrote: strict frozen models, one noun a file, and the loader. No network, no clock, nothing of Azure."""

from batchctl.spec.jobspec import Jobspec
from batchctl.spec.load import load, loads
from batchctl.spec.parameter import Parameter, ParameterType
from batchctl.spec.pool import Lifetime, Pool
from batchctl.spec.task import Per, Task

__all__ = ["Jobspec", "Lifetime", "Parameter", "ParameterType", "Per", "Pool", "Task", "load", "loads"]
