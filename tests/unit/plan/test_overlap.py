"""What a scheduled run does about other runs of its pipeline."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from batchctl.plan.overlap import Decision, OtherRun, Verb, decide
from batchctl.spec.schedule import Overlap

AT = datetime(2026, 1, 15, 6, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def run(id: str, created: int, ended: int | None = None, scheduled: int | None = None) -> OtherRun:
    """Times in minutes from AT."""
    return OtherRun(
        id=id,
        created=AT + created * MINUTE,
        ended=None if ended is None else AT + ended * MINUTE,
        scheduled_at=None if scheduled is None else AT + scheduled * MINUTE,
    )


ME = run("me", 0, scheduled=0)
LATE_ME = run("me", 30, scheduled=0)


def decided(
    overlap: Overlap, *others: OtherRun, me: OtherRun = ME, now: int = 0
) -> tuple[Verb, tuple[str, ...]]:
    found = decide(overlap, me, others, now=AT + now * MINUTE, deadline=AT + 120 * MINUTE)
    return found.verb, found.runs


@pytest.mark.parametrize("overlap", list(Overlap))
def test_alone_it_goes(overlap: Overlap) -> None:
    assert decided(overlap) == (Verb.GO, ())


@pytest.mark.parametrize(
    ("overlap", "expected"),
    [
        (Overlap.FORBID, (Verb.SKIP, ("by-hand",))),
        (Overlap.QUEUE, (Verb.WAIT, ("by-hand",))),
        (Overlap.REPLACE, (Verb.REPLACE, ("by-hand",))),
        (Overlap.ALLOW, (Verb.GO, ())),
    ],
)
def test_a_run_that_is_going(overlap: Overlap, expected: object) -> None:
    assert decided(overlap, run("by-hand", -90)) == expected


@pytest.mark.parametrize("overlap", list(Overlap))
def test_a_run_that_ended_before(overlap: Overlap) -> None:
    assert decided(overlap, run("x", -90, ended=-1, scheduled=-90)) == (Verb.GO, ())


def test_forbid_counts_who_was_going_at_the_occurrence() -> None:
    """The schedule's own previous job held this one up in the service, and has just ended."""
    before = run("before", -1440, ended=29, scheduled=-1440)
    assert decided(Overlap.FORBID, before, me=LATE_ME, now=30) == (Verb.SKIP, ("before",))
    assert decided(Overlap.QUEUE, before, me=LATE_ME, now=30) == (Verb.GO, ())


def test_later_runs_do_not_matter() -> None:
    assert decided(Overlap.FORBID, run("later", 1)) == (Verb.GO, ())


def test_a_queued_run_gives_up_at_the_end_of_the_window() -> None:
    assert decided(Overlap.QUEUE, run("x", -5), now=119)[0] is Verb.WAIT
    found = decide(Overlap.QUEUE, ME, [run("x", -5)], now=AT + 120 * MINUTE, deadline=AT + 120 * MINUTE)
    assert found == Decision(verb=Verb.SKIP, runs=("x",), why="x was still going at the end of start_window")


@pytest.mark.parametrize("overlap", list(Overlap))
def test_of_two_for_one_occurrence_the_first_goes(overlap: Overlap) -> None:
    twin = run("a-twin", 0, scheduled=0)
    assert decided(overlap, twin) == (Verb.SKIP, ("a-twin",))
    assert decide(overlap, twin, [ME], now=AT, deadline=AT).verb is Verb.GO


@pytest.mark.parametrize("overlap", [Overlap.ALLOW, Overlap.REPLACE])
def test_a_twin_that_only_started_the_run_does_not_cost_it(overlap: Overlap) -> None:
    starter = replace(run("first", 0, ended=0, scheduled=0), is_starter=True)
    assert decided(overlap, starter, run("its-run", 0)) == (Verb.SKIP, ("first",))


@pytest.mark.parametrize("overlap", list(Overlap))
def test_a_job_that_only_starts_another_is_in_nobody_s_way(overlap: Overlap) -> None:
    starter = replace(run("before", -90, scheduled=-90), is_starter=True)
    assert decided(overlap, starter) == (Verb.GO, ())
