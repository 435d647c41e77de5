"""A state machine as a value: a table from (state, event) to state, and how a document records a change.

An event that the table does not know in that state is a bug of the caller (handlers refuse a request before
it becomes an event), so it raises instead of being ignored.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import cached_property
from typing import Generic, TypeVar

from batchctl.server.batch.wire import Doc, instant_text

State = TypeVar("State", bound=StrEnum)
Event = TypeVar("Event", bound=StrEnum)


class IllegalTransition(RuntimeError):
    """The event cannot happen in that state: a bug in the service."""


@dataclass(frozen=True, kw_only=True)
class Machine(Generic[State, Event]):
    """`name` is the heading of the drawing; `property` the document's property that holds the state."""

    name: str
    table: Mapping[tuple[State, Event], State]
    property: str = "state"

    def step(self, state: str, event: Event) -> State:
        """The state after `event`. Raises IllegalTransition."""
        try:
            return self._next[state, event]
        except KeyError:
            raise IllegalTransition(f"{self.name}: {event} in state {state}") from None

    def can(self, state: str, event: Event) -> bool:
        """May `event` happen in `state`?"""
        return (state, event) in self._next

    def advance(self, document: Doc, event: Event, now: datetime) -> None:
        """Write the state after `event` into `document`, with the previous state and both instants."""
        record_state(document, self.step(document[self.property], event), now, self.property)

    @cached_property
    def _next(self) -> Mapping[tuple[str, Event], State]:
        """The table for states as documents have them."""
        return {(str(state), event): after for (state, event), after in self.table.items()}


def record_state(document: Doc, state: str, now: datetime, name: str = "state") -> None:
    """Set a document's state, as the service does: previous state and transition times move along.

    Only `state` itself has a history on the wire; an allocation state has just its transition time.
    """
    if name == "state" and "state" in document:
        document["previousState"] = document["state"]
        document["previousStateTransitionTime"] = document["stateTransitionTime"]
    document[name] = str(state)
    document[f"{name}TransitionTime"] = instant_text(now)
