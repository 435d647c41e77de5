"""Changing a document that others change too: read, decide, write, and again if somebody was faster."""

from collections.abc import Callable
from typing import Any, TypeVar

import stamina

from batchctl_etl.errors import Changed, WorkFailed
from batchctl_etl.retries import hide_retries
from batchctl_etl.storage.documents import Document, read_document, replace_document

TRIES = 20
Model = TypeVar("Model")


def change_document(url: str, change: Callable[[Document], tuple[Any, Model]]) -> Model:
    """Write what `change` makes of the document (its first value; `None`: nothing), and return its second value.

    `change` is called again with what another has written meanwhile. Raises `WorkFailed`, and what `change` raises.
    """
    hide_retries()
    try:
        for attempt in stamina.retry_context(
            on=Changed, attempts=TRIES, timeout=None, wait_initial=0.01, wait_max=0.5, wait_jitter=0.05
        ):
            with attempt:
                found = read_document(url)
                content, answer = change(found)
                if content is not None:
                    replace_document(found, content)
    except Changed:
        what = f"others have changed it {TRIES} times while we tried"
        raise WorkFailed(url, what, "run the task again") from None
    return answer
