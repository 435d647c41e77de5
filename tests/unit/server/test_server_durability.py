"""kill -9 at random moments: the small edition of `python -m tests.benchmarks durability`."""

from pathlib import Path

from tests.benchmarks.durability import story


def test_nothing_comes_of_being_killed(tmp_path: Path) -> None:
    found = story(tmp_path, tasks=48, kills=5, seed=7)
    assert (found.lost, found.without_effect, found.out_of_order, found.orphans) == (0, 0, 0, 0)
    assert found.kills == 5
    assert found.reruns > 0, "it was killed while something ran"
