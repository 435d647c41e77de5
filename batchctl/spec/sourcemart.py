"""`sourcemart`: the tables that one source feeds, in place of `tasks`. Which tasks these become: `batchctl.plan.sourcemart`.

Order means something in every list here, and in no mapping: a schedule carries the jobspec with its keys sorted.
"""

from typing import Annotated, TypeVar

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from batchctl.spec.model import Id, Model
from batchctl.spec.parameter import Parameter, ParameterType
from batchctl.spec.work import ManyWork, Work

TABLES = "tables"
SKIP_UPSTREAMS_REFINERS = "skip_upstreams_refiners"
SKIP_DOWNSTREAMS_COLLECTORS = "skip_downstreams_collectors"
ALL_TABLES = "*"
"""The value of the parameter `tables` that means every one; no table can have this name."""

RUN_PARAMETERS = {  # known to be valid: a validator that is built for them alone would take a while at every start
    TABLES: Parameter.model_construct(type=ParameterType.STRING, default=ALL_TABLES),
    SKIP_UPSTREAMS_REFINERS: Parameter.model_construct(type=ParameterType.BOOLEAN, default=False),
    SKIP_DOWNSTREAMS_COLLECTORS: Parameter.model_construct(type=ParameterType.BOOLEAN, default=False),
}
"""The parameters that every run of a sourcemart has. A jobspec may declare them again, to give them another default."""

T = TypeVar("T")


def _some(value: tuple[T, ...]) -> tuple[T, ...]:
    if not value:
        raise PydanticCustomError("jobspec", "{message}", {"message": "there are none", "hint": "add one"})
    return value


class Processor(Work):
    """What is done to raw data between a collector and the refiners. Its templates know `table` and `collector`, and `item` where
    every collector that names it is fanned out: it is fanned out with them."""


class Collector(ManyWork):
    """Fetches raw data for a table. Its templates know `table` and `collector`."""

    name: Id = Field(description="Unique in the table; its task is <table>-collect-<name>.")
    processors: tuple[Id, ...] = Field(
        (), description="Names from `processors`: what is done to the raw data, one after the other."
    )


class Refiner(ManyWork):
    """Makes the table from raw data and from the tables upstream. Its templates know `table`."""

    name: Id = Field(description="Unique in the table; its task is <table>-refine-<name>.")


class Table(Model):
    """One table: where its raw data comes from, what it is made from, and how."""

    name: Id = Field(description="Unique in the sourcemart.")
    description: str = Field("", description="What it holds, for people.")
    upstreams: tuple[Id, ...] = Field((), description="Tables of this sourcemart that it is refined from.")
    downstreams: tuple[Id, ...] = Field(
        (), description="Tables that are refined from it: the same as naming it in their upstreams."
    )
    collectors: Annotated[tuple[Collector, ...], AfterValidator(_some)] = Field(
        (), description="They run at once. Left out: the table is made from its upstreams alone."
    )
    refiners: Annotated[tuple[Refiner, ...], AfterValidator(_some)] = Field(
        description="They run one after the other, when the raw data and the upstreams are there."
    )


class Sourcemart(Model):
    """The tables that one source feeds."""

    processors: dict[Id, Processor] = Field({}, description="Steps that collectors share, by name.")
    tables: Annotated[tuple[Table, ...], AfterValidator(_some)] = Field(description="The tables.")


def collect_id(table: str, collector: str) -> str:
    """The id of a collector's task."""
    return f"{table}-collect-{collector}"


def process_id(processor: str, table: str, collector: str) -> str:
    """The id of a processor's task behind a collector."""
    return f"{processor}-{table}-{collector}"


def refine_id(table: str, refiner: str) -> str:
    """The id of a refiner's task."""
    return f"{table}-refine-{refiner}"
