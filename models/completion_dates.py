"""Which day someone finished, how that day is written into an AFAS field, and what AFAS shows there. Pure.

Rules: an instant becomes its calendar day in the tenant's zone (2026-06-30T22:30Z is 1 July in Amsterdam); a plain
date stays what it is; a time without a zone is read as UTC and said so. AFAS shows a plain date as a datetime at
midnight with a Z that means nothing, so only its first ten characters count.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

from typing_extensions import TypedDict

ISO_DAY = "%Y-%m-%d"
MIN_TEXT_LENGTH = 10
NAIVE = "read_as_utc"
# A completion before this is a mistake, or how some system says "none" (year 1, 1900).
EARLIEST = date(1990, 1, 1)
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_INSTANT = re.compile(
    r"(\d{4}-\d{2}-\d{2})[Tt\s]\s*(\d{2}:\d{2}(?::\d{2}(?:[.,]\d{1,9})?)?)\s*([Zz]|[+-]\d{2}(?::?\d{2})?)?", re.ASCII
)
# Two leap years: between them every day of the year in every length that a format can give it.
_SAMPLES = tuple(date(year, 1, 1) + timedelta(days=n) for year in (1992, 2028) for n in range(366))


class KnownField(TypedDict, total=False):
    """How an AFAS field takes a value, as metainfo says. ``length`` 0: any; ``bound``: to a list of values."""

    type: str
    length: int
    bound: bool


class TargetKind(StrEnum):
    DATE = "date"
    DATETIME = "datetime"
    TEXT = "text"


class UnfitField(ValueError):
    """A field that can't hold a completion date; ``reason``: field_unknown, field_type, field_too_short, bad_format."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class Target:
    """How one AFAS field takes a day."""

    kind: TargetKind
    format: str = ISO_DAY

    def write(self, on: date) -> str:
        """The text to send: ``2026-07-01``, ``2026-07-01T00:00:00`` or the day in the customer's format."""
        if self.kind is TargetKind.TEXT:
            return _formatted(on, self.format)
        return on.isoformat() + ("T00:00:00" if self.kind is TargetKind.DATETIME else "")


def day_of(raw: str, zone: str) -> tuple[date, str | None]:
    """The day of a completion as Pluvo wrote it, and a note when the zone had to be assumed.

    Raises ValueError for what is neither a date nor an instant: a day is never guessed.
    """
    raw = raw.strip()
    if _DAY.fullmatch(raw):
        return date.fromisoformat(raw), None
    parts = _INSTANT.fullmatch(raw)
    if parts is None:
        raise ValueError("neither a date nor an instant")
    day, time, zone_given = parts.groups()
    instant = datetime.fromisoformat(f"{day}T{time.replace(',', '.')}{(zone_given or '').upper()}")
    note = NAIVE if instant.tzinfo is None else None
    try:
        return instant.replace(tzinfo=instant.tzinfo or UTC).astimezone(ZoneInfo(zone)).date(), note
    except OverflowError:
        raise ValueError("a day outside the calendar") from None


def plausible(on: date, today: date) -> bool:
    """Whether a person can have finished on that day: not before 1990, not in the future."""
    return EARLIEST <= on <= today


def target_of(wanted: str | None, format: str | None, known: KnownField | None) -> Target:
    """What the tenants file says of a field, checked against what metainfo says of it.

    Raises UnfitField: a wrong type or a field that is too short refuses the course, not one write after another.
    """
    if known is None:
        raise UnfitField("field_unknown")
    kind = _KINDS.get(known.get("type", ""), TargetKind.TEXT)
    if kind is None or known.get("bound"):
        raise UnfitField("field_type")
    if wanted is not None and (wanted == TargetKind.TEXT) != (kind is TargetKind.TEXT):
        raise UnfitField("field_type")
    target = Target(kind, format or ISO_DAY)
    if kind is TargetKind.TEXT:
        _check_text(target, known.get("length", 0))
    return target


# Types we don't know are taken as text; a completion date in a number or a tick box is a mistake in the settings.
_KINDS: dict[str, TargetKind | None] = {
    "date": TargetKind.DATE,
    "datetime": TargetKind.DATETIME,
    "int": None,
    "boolean": None,
    "decimal": None,
    "blob": None,
}


def _check_text(target: Target, length: int) -> None:
    """A length of 0 is a field without a limit."""
    longest = _longest(target)
    if longest is None:
        raise UnfitField("bad_format")
    if 0 < length < max(MIN_TEXT_LENGTH, longest):
        raise UnfitField("field_too_short")


@lru_cache(maxsize=256)
def _longest(target: Target) -> int | None:
    """The longest a day can be in this format; None for one in which some day can't be read back as itself."""
    written = {on: target.write(on) for on in _SAMPLES}
    if any(_parsed(text, target.format) != on for on, text in written.items()):
        return None
    return max(len(text) for text in written.values())


class Shown(StrEnum):
    """What an AFAS column says beside the day we would write."""

    EMPTY = "empty"
    SAME = "same"
    OTHER = "other"


def compare(shown: Any, on: date, target: Target) -> Shown:
    """Compare a column's value with a day. What can't be read as a day is a human's text, so ``OTHER``."""
    text = "" if shown is None else " ".join(str(shown).split())
    if not text:
        return Shown.EMPTY
    if target.kind is TargetKind.TEXT and text == " ".join(target.write(on).split()):
        return Shown.SAME
    return Shown.SAME if shown_day(text, target) == on else Shown.OTHER


def shown_day(text: str, target: Target) -> date | None:
    """The day in a column's value, None when there is none to be read."""
    if target.kind is TargetKind.TEXT and (found := _parsed(text, target.format)):
        return found
    if re.fullmatch(r"\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?Z?)?", text, re.ASCII):
        return _parsed(text[:10], ISO_DAY)
    return None


def _formatted(on: date, format: str) -> str:
    # Years are written with four digits everywhere, also where the C library would not.
    return on.strftime(format.replace("%Y", f"{on.year:04d}"))


def _parsed(text: str, format: str) -> date | None:
    try:
        return datetime.strptime(text, format).date()  # noqa: DTZ007  a day, no instant
    except ValueError:
        return None
