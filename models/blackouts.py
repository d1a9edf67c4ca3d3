"""Hours in which no run begins that nobody asked for: when the next one may. Pure.

A clock shows the hour of a change twice, or not at all. Such an hour counts to the blackout that begins or ends in it:
on these two nights of a year a blackout may last an hour longer, and it never begins late or ends early.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Literal, get_args
from zoneinfo import ZoneInfo

from typing_extensions import TypedDict

Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
WEEK: tuple[Weekday, ...] = get_args(Weekday)
# How late after the end of a blackout runs may begin: those of many tenants that end at the same time are spread.
SPREAD_SECONDS = 900.0
JITTER = 0.05
# What must be left of a week
LEAST_MINUTES = 60
# Blackouts that leave nothing are refused; should any be stored all the same, they end after so long.
_LONGEST = timedelta(days=28)
_DAY = timedelta(days=1)
_MINUTES_A_WEEK = 7 * 24 * 60


class Blackout(TypedDict):
    """As it is stored. Over midnight, ``hours`` belong to the day on which they begin; ``00:00-24:00`` is a day."""

    days: Sequence[Weekday]
    hours: str


def free_from(blackouts: Sequence[Blackout], zone: str, moment: datetime) -> datetime:
    """The moment itself where no blackout covers it, else the end of it and of those that follow without a gap."""
    limit = moment + _LONGEST
    while moment < limit:
        ends = [end for begin, end in _around(blackouts, zone, moment) if begin <= moment < end]
        if not ends:
            break
        moment = max(ends)
    return moment


def next_begin(blackouts: Sequence[Blackout], zone: str, now: datetime, seconds: float) -> datetime:
    """When a run should begin that is due in so many seconds: then, or somewhat after the blackout that covers that."""
    due = now + timedelta(seconds=seconds)
    free = free_from(blackouts, zone, due)
    if free == due:
        return due
    following = min((begin for begin, _ in _around(blackouts, zone, free) if begin > free), default=free + _DAY)
    most = min(SPREAD_SECONDS, seconds or SPREAD_SECONDS, (following - free).total_seconds() / 2)
    # Spreading is all that is wanted of chance here.
    return free + timedelta(seconds=random.uniform(0, most))  # noqa: S311  spreads runs, guards nothing


def latest_begin(blackouts: Sequence[Blackout], zone: str, now: datetime, interval: float) -> datetime:
    """No run that comes every so many seconds begins later than this, unless somebody set the clock."""
    free = free_from(blackouts, zone, now + timedelta(seconds=interval * (1 + JITTER)))
    return free + timedelta(seconds=SPREAD_SECONDS * bool(blackouts))


def jittered(interval: float) -> float:
    """About so many seconds."""
    return interval * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311  spreads runs, guards nothing


def free_minutes(blackouts: Sequence[Blackout]) -> int:
    """How many minutes of a week they leave."""
    covered: set[int] = set()
    for one in blackouts:
        begin, minutes = _minutes(one)
        for day in one["days"]:
            first = WEEK.index(day) * 24 * 60 + begin
            covered.update(minute % _MINUTES_A_WEEK for minute in range(first, first + minutes))
    return _MINUTES_A_WEEK - len(covered)


def _minutes(one: Blackout) -> tuple[int, int]:
    """At which minute of its day it begins, and how many it lasts."""
    begin, end = (int(hour) * 60 + int(minute) for hour, minute in (at.split(":") for at in one["hours"].split("-")))
    return begin, (end - begin) % (24 * 60) or 24 * 60


def _around(blackouts: Sequence[Blackout], zone: str, moment: datetime) -> Iterator[tuple[datetime, datetime]]:
    """Begin and end of those that may cover the moment, and of those of the week after it."""
    if not blackouts:
        return
    place = ZoneInfo(zone)
    today = moment.astimezone(place).date()
    for one in blackouts:
        begin, minutes = _minutes(one)
        for number in range(-2, 9):
            day = today + number * _DAY
            if WEEK[day.weekday()] in one["days"]:
                yield min(_instants(place, day, begin)), max(_instants(place, day, begin + minutes))


def _instants(place: ZoneInfo, day: date, minute: int) -> tuple[datetime, datetime]:
    """Both moments of which a clock that is set may show this minute; most of the year they are one."""
    wall = datetime.combine(day, time()) + timedelta(minutes=minute)
    first, second = (wall.replace(tzinfo=place, fold=fold).astimezone(UTC) for fold in (0, 1))
    return first, second
