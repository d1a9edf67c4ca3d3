"""Hours in which no run begins by itself: in every zone, over midnight, on the nights on which clocks are set."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.blackouts import (
    LEAST_MINUTES,
    SPREAD_SECONDS,
    WEEK,
    Blackout,
    free_from,
    free_minutes,
    jittered,
    latest_begin,
    next_begin,
)
from ops.tenants import blackout_text

ZONES = (
    "Europe/Amsterdam", "UTC", "America/New_York", "America/St_Johns", "Australia/Lord_Howe", "Asia/Kathmandu",
    "Asia/Beirut", "Africa/Casablanca", "America/Santiago", "Pacific/Auckland", "Pacific/Kiritimati", "Europe/Dublin",
)  # fmt: skip
TIMES = st.integers(0, 24 * 60 - 1)


def hours(begin: int, end: int) -> str:
    return "-".join(f"{minute // 60:02}:{minute % 60:02}" for minute in (begin, end))


@st.composite
def windows(draw: st.DrawFn) -> Blackout:
    begin = draw(TIMES)
    end = draw(TIMES.filter(lambda minute: minute != begin))
    days = draw(st.sets(st.sampled_from(WEEK), min_size=1))
    return {"days": tuple(day for day in WEEK if day in days), "hours": hours(begin, end)}


LISTS = st.lists(windows(), max_size=4).filter(lambda found: free_minutes(found) >= LEAST_MINUTES)
MOMENTS = st.integers(0, 3 * 365 * 24 * 60).map(
    lambda minute: datetime(2025, 1, 1, tzinfo=UTC) + timedelta(minutes=minute)
)


def covered(found: list[Blackout], zone: str, moment: datetime) -> bool:
    """As somebody reads it off a clock on the wall."""
    wall = moment.astimezone(ZoneInfo(zone))
    minute, today = wall.hour * 60 + wall.minute, WEEK[wall.weekday()]
    for one in found:
        begin, end = (int(at[:2]) * 60 + int(at[3:]) for at in one["hours"].split("-"))
        if begin < end and today in one["days"] and begin <= minute < end:
            return True
        yesterday = WEEK[wall.weekday() - 1]
        if begin >= end and ((today in one["days"] and minute >= begin) or (yesterday in one["days"] and minute < end)):
            return True
    return False


@settings(deadline=None, max_examples=150)
@given(LISTS, st.sampled_from(ZONES), MOMENTS)
def test_no_moment_is_free_while_the_clock_on_the_wall_shows_a_blackout(
    found: list[Blackout], zone: str, moment: datetime
) -> None:
    free = free_from(found, zone, moment)

    assert free >= moment
    assert not covered(found, zone, free)
    assert free_from(found, zone, free) == free


@settings(deadline=None, max_examples=150)
@given(LISTS, st.sampled_from(ZONES), MOMENTS)
def test_what_no_blackout_covers_is_free_but_for_the_hours_around_a_change_of_clocks(
    found: list[Blackout], zone: str, moment: datetime
) -> None:
    place = ZoneInfo(zone)
    around = [(moment + timedelta(hours=by)).astimezone(place).utcoffset() for by in (-2, 0, 2)]
    if len(set(around)) == 1 and not covered(found, zone, moment):
        assert free_from(found, zone, moment) == moment


@settings(deadline=None, max_examples=150)
@given(LISTS, st.sampled_from(ZONES), MOMENTS, st.integers(0, 86400))
def test_a_run_is_planned_for_a_free_moment_soon_after_the_blackout(
    found: list[Blackout], zone: str, now: datetime, seconds: int
) -> None:
    due = now + timedelta(seconds=seconds)
    at = next_begin(found, zone, now, seconds)
    free = free_from(found, zone, due)

    assert free_from(found, zone, at) == at
    assert free <= at <= free + timedelta(seconds=SPREAD_SECONDS)
    assert at == due or free != due
    assert at <= latest_begin(found, zone, now, seconds) or free == due


WORKDAY: list[Blackout] = [{"days": WEEK[:5], "hours": "08:00-17:30"}]
NIGHT: list[Blackout] = [{"days": WEEK, "hours": "22:00-02:30"}]
EARLY: list[Blackout] = [{"days": WEEK, "hours": "02:15-05:00"}]
TWO: list[Blackout] = [{"days": ("sat",), "hours": "00:00-24:00"}, {"days": ("sun",), "hours": "00:00-12:00"}]


@pytest.mark.parametrize(
    ("found", "moment", "free"),
    [
        (WORKDAY, "2026-11-26T07:59:00+01:00", "2026-11-26T07:59:00+01:00"),
        (WORKDAY, "2026-11-26T08:00:00+01:00", "2026-11-26T17:30:00+01:00"),
        (WORKDAY, "2026-11-28T12:00:00+01:00", "2026-11-28T12:00:00+01:00"),
        (NIGHT, "2026-11-26T23:00:00+01:00", "2026-11-27T02:30:00+01:00"),
        (TWO, "2026-11-28T09:00:00+01:00", "2026-11-29T12:00:00+01:00"),
        # 02:30 comes twice: the second one is the end
        (NIGHT, "2026-10-24T23:00:00+02:00", "2026-10-25T02:30:00+01:00"),
        # between the two the clock shows free time, which belongs to the blackout
        (NIGHT, "2026-10-25T02:45:00+02:00", "2026-10-25T02:30:00+01:00"),
        # 02:30 never comes: it lasts as long as on other nights
        (NIGHT, "2026-03-28T23:00:00+01:00", "2026-03-29T03:30:00+02:00"),
        # 02:15 never comes: it begins before, and never late
        (EARLY, "2026-03-29T01:30:00+01:00", "2026-03-29T05:00:00+02:00"),
        (EARLY, "2026-03-29T01:00:00+01:00", "2026-03-29T01:00:00+01:00"),
    ],
)  # fmt: skip
def test_a_blackout_ends_when_the_clock_in_amsterdam_says_so(found: list[Blackout], moment: str, free: str) -> None:
    told = free_from(found, "Europe/Amsterdam", datetime.fromisoformat(moment))
    assert told == datetime.fromisoformat(free)


def test_runs_of_many_tenants_whose_blackout_ends_at_the_same_time_are_spread() -> None:
    now = datetime(2026, 11, 26, 11, tzinfo=UTC)
    begins = [next_begin(WORKDAY, "Europe/Amsterdam", now, 3600) for _ in range(500)]
    seconds = [int(at.timestamp()) for at in begins]

    assert max(seconds.count(second) for second in set(seconds)) < 10
    assert max(seconds) - min(seconds) > SPREAD_SECONDS / 2


def test_runs_of_many_tenants_that_began_together_are_apart_the_next_time() -> None:
    now = datetime(2026, 11, 26, 11, tzinfo=UTC)
    begins = [next_begin([], "Europe/Amsterdam", now, jittered(3600)) for _ in range(500)]
    seconds = [int(at.timestamp()) for at in begins]

    assert max(seconds.count(second) for second in set(seconds)) < 15
    assert all(timedelta(minutes=57) <= at - now <= timedelta(minutes=63) for at in begins)


def test_blackouts_that_leave_nothing_end_all_the_same() -> None:
    always: list[Blackout] = [{"days": WEEK, "hours": "00:00-24:00"}]
    now = datetime(2026, 11, 26, tzinfo=UTC)

    assert free_minutes(always) == 0
    assert now < free_from(always, "Europe/Amsterdam", now) < now + timedelta(days=30)


@settings(deadline=None)
@given(st.lists(windows(), max_size=4), st.sampled_from(("en", "nl")))
def test_what_a_form_shows_is_read_back(found: list[Blackout], language: str) -> None:
    read = blackout_text.read(blackout_text.written(found, "nl" if language == "nl" else "en"))
    assert [{"hours": one["hours"], "days": tuple(one.get("days", WEEK))} for one in read] == found


@pytest.mark.parametrize(
    ("typed", "days"),
    [
        ("ma-vr 08:00-17:30", ["mon", "tue", "wed", "thu", "fri"]),
        ("Fri - Mon, wed  8:00 - 9:00", ["fri", "sat", "sun", "mon", "wed"]),
    ],
)
def test_days_may_be_typed_as_people_do(typed: str, days: list[str]) -> None:
    assert [one["days"] for one in blackout_text.read(typed)] == [days]


@pytest.mark.parametrize("typed", ["monday 08:00-09:00", "mon", "mon-xyz 08:00-09:00", "<script>"])
def test_what_can_not_be_read_is_refused(typed: str) -> None:
    with pytest.raises(ValueError, match="mon-fri 08:00-17:30"):
        blackout_text.read(typed)
