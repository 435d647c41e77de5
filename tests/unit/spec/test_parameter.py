"""What `-p name=value` becomes."""

import pytest

from batchctl.spec import Parameter, ParameterType


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (ParameterType.STRING, "007", "007"),
        (ParameterType.INTEGER, "007", 7),
        (ParameterType.NUMBER, "1e3", 1000.0),
        (ParameterType.BOOLEAN, "True", True),
        (ParameterType.DATE, "2024-02-29", "2024-02-29"),
    ],
)
def test_text_is_read_as_its_type(kind: ParameterType, text: str, value: object) -> None:
    assert Parameter(type=kind, default=None, choices=None, description="").accept(text) == value


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (ParameterType.INTEGER, "1.5"),
        (ParameterType.INTEGER, ""),
        (ParameterType.NUMBER, "many"),
        (ParameterType.BOOLEAN, "yes"),
        (ParameterType.DATE, "2023-02-29"),
        (ParameterType.DATE, "today"),
    ],
)
def test_text_that_is_not_of_its_type(kind: ParameterType, text: str) -> None:
    with pytest.raises(ValueError, match="is not"):
        Parameter(type=kind, default=None, choices=None, description="").accept(text)


def test_choices() -> None:
    parameter = Parameter(type=ParameterType.STRING, default="a", choices=("a", "b"), description="")
    with pytest.raises(ValueError, match="'c' is not one of a, b"):
        parameter.accept("c")
