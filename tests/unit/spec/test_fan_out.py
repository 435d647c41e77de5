"""for_each: a list, a product, a number; and the names of what comes out."""

import pytest

from batchctl.spec.fan_out import item_labels, items


def test_the_three_forms() -> None:
    assert items(["a", "b"]) == ["a", "b"]
    assert items(3) == [0, 1, 2]
    assert items({"x": ["a", "b"], "y": [1, 2]}) == [
        {"x": "a", "y": 1}, {"x": "a", "y": 2}, {"x": "b", "y": 1}, {"x": "b", "y": 2},
    ]  # fmt: skip


@pytest.mark.parametrize(
    "wrong",
    [
        0,
        -1,
        [],
        {"x": []},
        {"x": "ab"},
        "abc",
        True,
        None,
        1.5,
        100_001,
        {"x": list(range(400)), "y": list(range(400))},
    ],
)
def test_what_is_no_fan_out(wrong: object) -> None:
    with pytest.raises(ValueError, match=r"for_each|must be"):
        items(wrong)


def test_items_name_themselves_where_they_can() -> None:
    assert item_labels(["seattle", "new_york"]) == ["seattle", "new_york"]
    assert item_labels([2024, 2025]) == ["2024", "2025"]
    assert item_labels([{"x": "a", "y": 1}, {"x": "b", "y": 2}]) == ["a-1", "b-2"]


@pytest.mark.parametrize(
    "found", [["a b", "c"], ["a", "A"], ["a", "a"], [1.5, 2.5], [None], [True, False], ["x" * 41], [["a"]]]
)
def test_items_are_numbered_where_they_cannot(found: list[object]) -> None:
    assert item_labels(found) == [str(n) for n in range(len(found))]
