"""Blackouts in one line, as a form has them and as lists tell them: ``mon-fri 08:00-17:30; 22:00-07:00``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from models.blackouts import WEEK, Blackout, Weekday
from ops.language import Language

_DUTCH = dict(zip(("ma", "di", "wo", "do", "vr", "za", "zo"), WEEK, strict=True))
_NAMES: dict[str, Weekday] = {**{day: day for day in WEEK}, **_DUTCH}
_ONE = re.compile(r"(?:(?P<days>[a-z][a-z, -]*[a-z])\s+)?(?P<hours>\d\S*(?:\s*[-–]\s*\d\S*)?)")


def written(blackouts: Iterable[Blackout], language: Language = "en") -> str:
    """Nothing where there are none."""
    names = {day: day for day in WEEK} if language == "en" else {day: name for name, day in _DUTCH.items()}
    return "; ".join(f"{_days(one['days'], names)} {one['hours']}".strip() for one in blackouts)


def read(text: str) -> list[dict[str, Any]]:
    """The tables of the tenants file. Raises ValueError; which hours are none is for the file's own classes to say."""
    found: list[dict[str, Any]] = []
    for part in filter(None, (each.strip().lower() for each in text.replace("\n", ";").split(";"))):
        match = _ONE.fullmatch(part)
        if match is None:
            raise ValueError("must be such as mon-fri 08:00-17:30; sat 22:00-07:00")
        days = [day for word in (match["days"] or "").split(",") if word.strip() for day in _span(word.strip())]
        found.append({"hours": match["hours"]} | ({"days": days} if days else {}))
    return found


def _days(days: Sequence[Weekday], names: Mapping[Weekday, str]) -> str:
    """``mon-wed, fri``; nothing for all of them."""
    if tuple(days) == WEEK:
        return ""
    told: list[list[Weekday]] = []
    for day in days:
        if told and WEEK.index(day) == WEEK.index(told[-1][-1]) + 1:
            told[-1].append(day)
        else:
            told.append([day])
    return ", ".join(
        f"{names[run[0]]}-{names[run[-1]]}" if len(run) > 2 else ", ".join(names[day] for day in run) for run in told
    )


def _span(word: str) -> Iterator[str]:
    """``mon``, ``mon-wed``, ``fri-mon``."""
    first, dash, last = (one.strip() for one in word.partition("-"))
    if first not in _NAMES or (dash and last not in _NAMES):
        raise ValueError("must be such as mon-fri 08:00-17:30; sat 22:00-07:00")
    begin = WEEK.index(_NAMES[first])
    end = WEEK.index(_NAMES[last]) if dash else begin
    for number in range((end - begin) % 7 + 1):
        yield WEEK[(begin + number) % 7]
