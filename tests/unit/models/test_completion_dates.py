"""The day of a completion: one table of what must hold, then what must hold for everything."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.completion_dates import (
    NAIVE,
    KnownField,
    Shown,
    Target,
    TargetKind,
    UnfitField,
    compare,
    day_of,
    plausible,
    target_of,
)

AMSTERDAM = "Europe/Amsterdam"
DATE, DATETIME = Target(TargetKind.DATE), Target(TargetKind.DATETIME)
DUTCH = Target(TargetKind.TEXT, "%d-%m-%Y")
DAYS = st.dates(date(1971, 1, 1), date(2099, 12, 31))
INSTANTS = st.datetimes(datetime(1971, 1, 1), datetime(2099, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001  bounds are naive

TABLE = [
    # Late in the evening by UTC is the next day in Amsterdam: one hour in winter, two in summer.
    ("2026-06-30T22:30:00Z", "2026-07-01"),
    ("2026-06-30T21:59:59Z", "2026-06-30"),
    ("2026-06-30T22:00:00Z", "2026-07-01"),
    ("2026-12-31T22:59:59Z", "2026-12-31"),
    ("2026-12-31T23:00:00Z", "2027-01-01"),
    # Summer time begins on 29 March 2026 at 01:00Z and ends on 25 October 2026 at 01:00Z.
    ("2026-03-28T22:59:59Z", "2026-03-28"),
    ("2026-03-28T23:00:00Z", "2026-03-29"),
    ("2026-03-29T21:59:59Z", "2026-03-29"),
    ("2026-03-29T22:00:00Z", "2026-03-30"),
    ("2026-10-24T21:59:59Z", "2026-10-24"),
    ("2026-10-24T22:00:00Z", "2026-10-25"),
    ("2026-10-25T22:59:59Z", "2026-10-25"),
    ("2026-10-25T23:00:00Z", "2026-10-26"),
    # Other spellings of an instant
    ("2026-07-01T00:30:00+02:00", "2026-07-01"),
    ("2026-07-01T00:30:00+0200", "2026-07-01"),
    ("2026-07-01T01:30:00+05:30", "2026-06-30"),
    ("2026-06-30T22:30:00.123456789Z", "2026-07-01"),
    ("2026-06-30 22:30:00+00:00", "2026-07-01"),
    ("2026-06-30T22:30Z", "2026-07-01"),
    ("2026-06-30 22:30:00+00", "2026-07-01"),
    ("2026-06-30t22:30:00z", "2026-07-01"),
    ("2026-07-01T00:30:00 +02", "2026-07-01"),
    ("2026-06-30  22:30Z", "2026-07-01"),
    # A plain date has no zone
    ("2026-06-30", "2026-06-30"),
    (" 2026-06-30 ", "2026-06-30"),
]


@pytest.mark.parametrize(("raw", "day"), TABLE)
def test_the_day_is_the_one_in_the_tenants_zone(raw: str, day: str) -> None:
    assert day_of(raw, AMSTERDAM) == (date.fromisoformat(day), None)


def test_a_time_without_a_zone_is_read_as_utc_and_said_so() -> None:
    assert day_of("2026-06-30T22:30:00", AMSTERDAM) == (date(2026, 7, 1), NAIVE)
    assert day_of("2026-06-30T22:30:00", "America/New_York") == (date(2026, 6, 30), NAIVE)


@pytest.mark.parametrize(
    "raw",
    ["", "yesterday", "30-06-2026", "2026-02-30", "2026-13-01", "2026", "20260630", "2026-W27-3", "1782858600",
     "2026-06-30T25:00:00Z", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "２０２６-06-30"],
)  # fmt: skip
def test_what_is_no_day_is_never_guessed(raw: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        day_of(raw, AMSTERDAM)


@given(INSTANTS, st.sampled_from([AMSTERDAM, "UTC", "Asia/Tokyo"]))
def test_an_instant_gives_the_day_a_wall_clock_in_the_zone_shows(instant: datetime, zone: str) -> None:
    assert day_of(instant.isoformat(), zone)[0] == instant.astimezone(ZoneInfo(zone)).date()


@given(DAYS, st.sampled_from([DATE, DATETIME, DUTCH, Target(TargetKind.TEXT)]))
def test_what_we_write_is_the_same_day_when_it_is_read_back(on: date, target: Target) -> None:
    assert compare(target.write(on), on, target) is Shown.SAME
    assert compare(f"  {target.write(on)} ", on, target) is Shown.SAME
    assert compare(f"{on.isoformat()}T00:00:00Z", on, target) is Shown.SAME
    assert compare(target.write(on + timedelta(days=1)), on, target) is Shown.OTHER


@pytest.mark.parametrize("shown", [None, "", "   "])
def test_nothing_is_empty(shown: str | None) -> None:
    assert compare(shown, date(2026, 7, 1), DATE) is Shown.EMPTY


@pytest.mark.parametrize("shown", ["1 juli", "n.v.t.", "2026-07-02T00:00:00Z", "2026-07", "01/07/2026"])
def test_what_a_human_typed_and_we_cant_read_is_another_date(shown: str) -> None:
    assert compare(shown, date(2026, 7, 1), DUTCH) is Shown.OTHER


def test_each_kind_of_field_gets_its_own_spelling() -> None:
    on = date(2026, 7, 1)
    assert [target.write(on) for target in (DATE, DATETIME, DUTCH)] == [
        "2026-07-01",
        "2026-07-01T00:00:00",
        "01-07-2026",
    ]


@pytest.mark.parametrize(
    ("wanted", "known", "kind"),
    [
        (None, {"type": "date", "length": 0}, TargetKind.DATE),
        ("date", {"type": "date", "length": 10}, TargetKind.DATE),
        ("date", {"type": "datetime", "length": 0}, TargetKind.DATETIME),
        (None, {"type": "string", "length": 10}, TargetKind.TEXT),
        ("text", {"type": "memo", "length": 0}, TargetKind.TEXT),
    ],
)
def test_metainfo_decides_how_a_field_is_written(wanted: str | None, known: KnownField, kind: str) -> None:
    assert target_of(wanted, None, known).kind == kind


@pytest.mark.parametrize(
    ("wanted", "format", "known", "reason"),
    [
        (None, None, None, "field_unknown"),
        (None, None, {"type": "boolean", "length": 1}, "field_type"),
        ("text", None, {"type": "date", "length": 0}, "field_type"),
        ("date", None, {"type": "string", "length": 30}, "field_type"),
        (None, None, {"type": "string", "length": 30, "bound": True}, "field_type"),
        ("text", None, {"type": "string", "length": 9}, "field_too_short"),
        ("text", "%d %B %Y", {"type": "string", "length": 12}, "field_too_short"),
        # September is the longest month, 3 letters more than May
        ("text", "%d %B %Y", {"type": "string", "length": 16}, "field_too_short"),
        ("text", "%A %d %B %Y", {"type": "string", "length": 26}, "field_too_short"),
        ("text", "%Y-%m", {"type": "string", "length": 30}, "bad_format"),
        ("text", "%Y-%m-%d %H", {"type": "string", "length": 12}, "field_too_short"),
    ],
)
def test_a_field_that_cannot_hold_a_day_is_refused(
    wanted: str | None, format: str | None, known: KnownField | None, reason: str
) -> None:
    with pytest.raises(UnfitField) as refused:
        target_of(wanted, format, known)
    assert refused.value.reason == reason


@given(st.sampled_from(["%d %B %Y", "%A %d %B %Y", "%-j/%Y", "%j/%Y", "%d-%m-%y", "%a %d %b %Y"]), st.integers(8, 30),
       st.dates(date(1990, 1, 1), date(2060, 12, 31)))  # fmt: skip
def test_a_field_that_is_accepted_holds_every_day(format: str, length: int, on: date) -> None:
    try:
        target = target_of("text", format, {"type": "string", "length": length})
    except UnfitField:
        return
    assert len(target.write(on)) <= length
    assert compare(target.write(on), on, target) is Shown.SAME


@pytest.mark.parametrize(
    ("on", "fits"),
    [
        (date(1, 1, 1), False),
        (date(1989, 12, 31), False),
        (date(1990, 1, 1), True),
        (date(2026, 7, 1), True),
        (date(2026, 7, 2), False),
        (date(9999, 12, 31), False),
    ],
)
def test_nobody_finished_before_1990_or_tomorrow(on: date, fits: bool) -> None:
    assert plausible(on, date(2026, 7, 1)) is fits
