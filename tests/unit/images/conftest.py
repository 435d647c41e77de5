"""`serve`: servers that say what a test wants."""

from collections.abc import Callable, Iterator

import pytest
from image_servers import Answer, Request, Server, serving


@pytest.fixture
def serve() -> Iterator[Callable[[Callable[[Request], Answer]], Server]]:
    """`serve(answer)`: a server that answers each request with `answer(request)`; a body that is not bytes is sent as JSON."""
    with serving() as start:
        yield start
