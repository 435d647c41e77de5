"""What a Docker Engine tells while it builds, pulls and pushes: its JSON stream -> events. Pure; opens nothing.

The format: Engine API, `POST /build` and `POST /images/{name}/push`. The engine names a failing step by its number alone, and
only in the text `Step 3/9 : …`.
"""

import re
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

TAIL_LINES = 15
_STEP = re.compile(r"Step (\d+)/\d+ : (FROM )?", re.IGNORECASE)
_IMAGE = re.compile(r" ---> ([0-9a-f]{12})")
_CHATTER = re.compile(
    r" ---> ([0-9a-f]{12}|Running in [0-9a-f]{12})|Removing intermediate container [0-9a-f]{12}"
)
"""What the engine says of its own doings after each step."""
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
"""The engine paints red what a step wrote to stderr."""


@dataclass(frozen=True, kw_only=True)
class LogLine:
    """A line that a build printed."""

    text: str


@dataclass(frozen=True, kw_only=True)
class LayerProgress:
    """How far a layer is on its way."""

    layer: str
    """The engine's short id of it."""
    status: str
    """The engine's word: `Pushing`, `Pushed`, `Layer already exists`, `Downloading`, …"""
    current: int = 0
    """Bytes so far."""
    total: int = 0
    """Bytes in all; 0 if the engine does not say."""


Event = LogLine | LayerProgress
Show = Callable[[Event], None]


class StreamFailed(Exception):
    """The engine said that it failed: its message, the exit code of the step (None: it was no command), step and last lines."""

    def __init__(self, message: str, exit_code: int | None, step: int, tail: tuple[str, ...]) -> None:
        super().__init__(message)
        self.message, self.exit_code, self.step, self.tail = message, exit_code, step, tail


@dataclass
class Reader:
    """Follows one stream. `aux` gathers what the engine reports of its result: `ID`, `Digest`. `stages` are the short ids of the
    images in which the stages of a build ended, but for the last and for those that only name their base."""

    show: Show
    step: int = 0
    aux: dict[str, Any] = field(default_factory=dict)
    stages: list[str] = field(default_factory=list)
    _began: int = 0
    _image: str = ""
    _rest: str = ""
    _tail: deque[str] = field(default_factory=lambda: deque(maxlen=TAIL_LINES))

    def read(self, chunks: Iterable[Mapping[str, Any]]) -> Mapping[str, Any]:
        """Show every event of the stream; `aux` at its end. Raises StreamFailed."""
        for chunk in chunks:
            if "error" in chunk or "errorDetail" in chunk:
                self._flush()
                detail = chunk.get("errorDetail") or {}
                message = str(detail.get("message") or chunk.get("error")).strip()
                raise StreamFailed(message, detail.get("code"), self.step, tuple(self._tail))
            if "stream" in chunk:
                self._text(chunk["stream"])
            elif "aux" in chunk:
                self.aux.update(chunk["aux"])
            elif chunk.get("id") and chunk.get("status"):
                self._layer(chunk)
        self._flush()
        return self.aux

    def _text(self, text: str) -> None:
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            self._line(line)

    def _flush(self) -> None:
        if self._rest:
            self._line(self._rest)
        self._rest = ""

    def _line(self, line: str) -> None:
        shown = _COLOUR.sub("", line).rstrip().rsplit("\r", 1)[-1]  # what a terminal would show of it
        if match := _STEP.match(shown):
            if match[2]:
                if self.step > self._began:
                    self.stages.append(self._image)
                self._began = int(match[1])
            self.step = int(match[1])
            self._tail.clear()
        elif match := _IMAGE.fullmatch(shown):
            self._image = match[1]
        elif shown and not _CHATTER.fullmatch(shown):
            self._tail.append(shown)
        if shown and not _CHATTER.fullmatch(shown):
            self.show(LogLine(text=shown))

    def _layer(self, chunk: Mapping[str, Any]) -> None:
        detail = chunk.get("progressDetail") or {}
        self.show(
            LayerProgress(
                layer=str(chunk["id"]),
                status=str(chunk["status"]),
                current=int(detail.get("current") or 0),
                total=int(detail.get("total") or 0),
            )
        )
