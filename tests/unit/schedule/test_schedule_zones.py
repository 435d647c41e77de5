"""Time zones: from the package and not the machine, unknown names, and the facts that the sampling of offsets relies on."""

import zoneinfo
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
import tzdata

from batchctl.schedule import TZDATA_VERSION, CronError, Window, ZoneError, zone
from batchctl.schedule.offsets import REACH, STRIDE, offset_at, offsets_from, stretches
from batchctl.schedule.window import instant, minute_ceil, minute_floor
from batchctl.schedule.zones import _names, changes
from tests.unit.schedule.schedule_lines import MOMENTS

NOW = minute_floor(datetime(2026, 6, 1, tzinfo=UTC))
IN_1900 = minute_floor(datetime(1901, 1, 1, tzinfo=UTC))


def test_zones_do_not_come_from_the_machine(tmp_path: Path) -> None:
    wrong = Path(tzdata.__file__).parent / "zoneinfo" / "Asia" / "Tokyo"
    (tmp_path / "Europe").mkdir()
    (tmp_path / "Europe" / "Berlin").write_bytes(wrong.read_bytes())
    winter = datetime(2026, 1, 1, tzinfo=UTC)
    zone.cache_clear()
    zoneinfo.reset_tzpath([str(tmp_path)])
    try:
        assert winter.astimezone(ZoneInfo.no_cache("Europe/Berlin")).hour == 9
        assert winter.astimezone(zone("Europe/Berlin")).hour == 1
    finally:
        zoneinfo.reset_tzpath()
    assert zone("Europe/Berlin") is zone("Europe/Berlin")
    assert zone("Europe/Berlin").key == "Europe/Berlin"
    assert TZDATA_VERSION == tzdata.IANA_VERSION


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("America/Los_Angelos", "America/Los_Angeles"),
        ("europe/berlin", "Europe/Berlin"),
        ("Berlin", "Europe/Berlin"),
        ("utc", "UTC"),
        ("PST8", "PST8PDT"),
        ("../zones", "use a name like"),
        ("/etc/localtime", "use a name like"),
        ("", "use a name like"),
    ],
)
def test_an_unknown_zone_is_an_error_that_names_the_nearest(name: str, hint: str) -> None:
    with pytest.raises(ZoneError, match="is not an IANA time zone") as caught:
        zone(name)
    assert hint in caught.value.hint
    assert not isinstance(caught.value, CronError)


def test_no_zone_changes_its_offset_too_often_for_the_sampling() -> None:
    for name in _names():
        listed = [change for change in changes(name).listed if change[0] > IN_1900]
        real = [later for earlier, later in pairwise(listed) if earlier[1] != later[1]]
        gaps = [later - earlier for (earlier, _), (later, _) in pairwise(real)]
        assert min(gaps, default=STRIDE + 1) > STRIDE, name
        assert all(abs(offset) < REACH for _, offset in listed), name


@pytest.mark.parametrize(("name", "moment"), MOMENTS)
def test_the_file_of_a_zone_is_read_as_zoneinfo_reads_it(name: str, moment: datetime) -> None:
    for at, offset in changes(name).listed:
        if at > IN_1900:
            assert offset_at(zone(name), at + 1) == offset


@pytest.mark.parametrize(("name", "moment"), MOMENTS)
def test_stretches_are_the_offsets_minute_by_minute(name: str, moment: datetime) -> None:
    first = minute_floor(moment - timedelta(days=3, minutes=7))
    end = first + 6 * 24 * 60
    found = stretches(zone(name), first, end)
    assert [part.first for part in found] == [first, *(part.end for part in found[:-1])]
    assert found[-1].end == end
    spelled = [part.offset for part in found for _ in range(part.first, part.end)]
    assert spelled == [offset_at(zone(name), minute) for minute in range(first, end)]


@pytest.mark.parametrize(
    ("name", "offsets"),
    [
        ("UTC", {0}),
        ("Asia/Kathmandu", {345}),
        ("Asia/Tokyo", {540}),
        ("America/Sao_Paulo", {-180}),
        ("America/Los_Angeles", {-480, -420}),
        ("Australia/Lord_Howe", {630, 660}),
        ("Antarctica/Troll", {0, 120}),
        ("Asia/Gaza", {120, 180}),
    ],
)
def test_the_future_of_a_zone_includes_its_rule(name: str, offsets: set[int]) -> None:
    assert offsets_from(zone(name), NOW) == offsets


def test_the_future_of_a_zone_is_not_its_past() -> None:
    before = minute_floor(datetime(2018, 1, 1, tzinfo=UTC))
    assert offsets_from(zone("America/Sao_Paulo"), before) == {-180, -120}


def test_windows_are_half_open_and_of_whole_minutes() -> None:
    start = datetime(2026, 1, 1, 0, 0, 1, tzinfo=UTC)
    window = Window(start=start, end=start + timedelta(minutes=2))
    assert [instant(minute).minute for minute in window.minutes] == [1, 2]
    assert len(Window(start=start, end=start).minutes) == 0


def test_windows_compare_instants_and_not_wall_clocks() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    first = datetime(2026, 10, 25, 2, 50, tzinfo=berlin)
    second = datetime(2026, 10, 25, 2, 10, fold=1, tzinfo=berlin)
    window = Window(start=first, end=second)
    assert window.start == datetime(2026, 10, 25, 0, 50, tzinfo=UTC)
    assert len(window.minutes) == 20
    assert minute_ceil(second) == minute_floor(second)


@pytest.mark.parametrize(
    ("start", "end"),
    [
        (datetime(2026, 1, 1), datetime(2026, 1, 2)),  # noqa: DTZ001
        (datetime(2026, 1, 2, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC)),
    ],
)
def test_windows_refuse_naive_and_reversed_ends(start: datetime, end: datetime) -> None:
    with pytest.raises(ValueError, match=r"no time zone|ends before"):
        Window(start=start, end=end)


def test_minutes_out_of_reach_of_the_data_are_refused() -> None:
    with pytest.raises(ValueError, match="1901 to 2399"):
        minute_floor(datetime(1850, 1, 1, tzinfo=UTC))
