"""The rows of a web API that are new: those whose value of a field is after that of the runs before."""

from decimal import Decimal, InvalidOperation
from typing import Any

from batchctl_etl.errors import WorkFailed
from batchctl_etl.state.watermark import Batch

Value = Decimal | str


class NewerObjects:
    """Rows after `batch.after`, and, if it is fixed, up to `batch.until`; `newest` is the greatest value that was kept.

    Numbers compare as numbers, everything else as text: moments must all have one form, such as ISO 8601 in UTC.
    """

    def __init__(self, field: str, batch: Batch, *, inclusive: bool, where: str) -> None:
        self._field = field
        self._batch = batch
        self._inclusive = inclusive
        self._where = where
        self._newest: Value | None = None

    @property
    def newest(self) -> str | None:
        """As text; `None` if no row was kept."""
        return None if self._newest is None else str(self._newest)

    def kept(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Those of `rows` that are new. Raises `WorkFailed` for a row without a value."""
        return [row for row in rows if self._is_new(row)]

    def _is_new(self, row: dict[str, Any]) -> bool:
        value = self._value(row)
        after, until = (self._like(value, text) for text in (self._batch.after, self._batch.until))
        if after is not None and (value < after or (value == after and not self._inclusive)):  # type: ignore[operator]
            return False
        if until is not None and value > until:  # type: ignore[operator]
            return False
        if self._newest is None or self._like(value, str(self._newest)) < value:  # type: ignore[operator]
            self._newest = value
        return True

    def _value(self, row: dict[str, Any]) -> Value:
        found = row.get(self._field)
        if isinstance(found, str) and found:
            return found
        if isinstance(found, int | Decimal) and not isinstance(found, bool):
            return Decimal(found)
        what = f"a row has no value in {self._field!r}, and would never be read"
        raise WorkFailed(self._where, what, "take another field for the watermark")

    def _like(self, value: Value, text: str | None) -> Value | None:
        if text is None or isinstance(value, str):
            return text
        try:
            return Decimal(text)
        except InvalidOperation:
            what = f"{self._field!r} is a number, and the watermark is {text!r}"
            raise WorkFailed(self._where, what, "begin anew: etl state reset") from None
