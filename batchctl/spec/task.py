"""`tasks`: the stages of a pipeline."""

from enum import StrEnum

from pydantic import Field

from batchctl.spec.model import Id, Model
from batchctl.spec.work import ManyWork


class Per(StrEnum):
    """How a fanned-out task waits for another."""

    ALL = "all"
    """For every item of the other."""
    ITEM = "item"
    """For the other's task of the same item; both have the same `for_each`."""


class Dependency(Model):
    """A task to wait for."""

    task: Id = Field(description="The id of the other task.")
    per: Per = Field(Per.ALL, description="all: wait for all its items; item: for the same item only.")


class Task(ManyWork):
    """One stage: a command in an image, with its configuration."""

    id: Id = Field(
        description="Unique in the jobspec. Fanned out, each task's id is this and the item: extract-seattle."
    )
    depends_on: tuple[Id | Dependency, ...] = Field(
        (), description="Tasks to wait for: ids, or {task: …, per: item}."
    )

    @property
    def dependencies(self) -> tuple[Dependency, ...]:
        """`depends_on`, each in its long form."""
        return tuple(
            d if isinstance(d, Dependency) else Dependency(task=d, per=Per.ALL) for d in self.depends_on
        )
