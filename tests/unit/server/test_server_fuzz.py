"""Random requests: the small edition of `python -m tests.benchmarks fuzz`, and the generator itself."""

from pathlib import Path

import pytest

from tests.benchmarks.fuzz import story
from tests.benchmarks.fuzz_requests import BODIES, Requests


@pytest.mark.parametrize("seed", [3])
def test_no_500_no_hang_no_state_that_cannot_be_loaded(tmp_path: Path, seed: int) -> None:
    found = story(tmp_path, seed=seed, requests=600, requests_per_life=300)
    assert (found.broken, found.hung, found.unloadable) == ([], [], [])
    assert (found.requests, found.restarts) == (600, 2)
    assert found.statuses[201] > 0, "some of them were right"
    assert found.statuses[400] > 0, "some were wrong"


def test_the_same_seed_makes_the_same_requests() -> None:
    def some(seed: int) -> list[object]:
        requests = Requests(seed)
        return [requests.next() for _ in range(200)]

    assert some(1) == some(1)
    assert some(1) != some(2)


def test_every_operation_comes_and_every_body_is_known() -> None:
    requests = Requests(1)
    made = [requests.next() for _ in range(5000)]
    operations = {request.operation for request in made}
    assert len(operations) == 72
    assert set(BODIES) <= operations
    with_body = {request.operation for request in made if request.body and request.body.startswith(b"{")}
    assert set(BODIES) <= with_body
