"""What every test may use. Nothing here starts a service."""

import pytest
from hypothesis import settings

# How long an example takes is the machine's business.
settings.register_profile("any machine", deadline=None)
settings.load_profile("any machine")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden", action="store_true", help="write what the code now says into tests/golden"
    )
