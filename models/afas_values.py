"""What a value of an AFAS row means: ids, days, yes or no. Pure.

The same column gives 80, ``"80"``, 80.0 or ``"80.0"``, depending on who defined it and what it went through. What can
mean one thing only is read as that; what can't raises ``Unreadable`` or is None, and is never taken for "nothing".
"""

from __future__ import annotations

import re
from datetime import date
from typing import Any

MAX_ID = 40
# A whole number with decimals. "1.000" is none: it is a thousand as often as a one.
_WHOLE = re.compile(r"(?![1-9][0-9]{0,2}[.,]000$)([0-9]+)[.,]0+")
_TRUE = frozenset({"1", "-1", "true", "ja", "j", "yes", "y", "waar"})
_FALSE = frozenset({"", "0", "false", "nee", "n", "no", "onwaar"})

# Date, perhaps with a time after it. The day comes first where the year does not: that is how it is written here.
_TIME = r"(?:[T ]+[0-9]{1,2}:[0-9]{2}(?::[0-9]{2}(?:[.,][0-9]+)?)?(?: ?(?:Z|[+-][0-9]{2}:?[0-9]{2}))?)?"
_DAY_FORMS = (
    re.compile(rf"(?P<y>[0-9]{{4}})-(?P<m>[0-9]{{1,2}})-(?P<d>[0-9]{{1,2}}){_TIME}", re.IGNORECASE),
    re.compile(rf"(?P<y>[0-9]{{4}})/(?P<m>[0-9]{{1,2}})/(?P<d>[0-9]{{1,2}}){_TIME}", re.IGNORECASE),
    re.compile(
        rf"(?P<d>[0-9]{{1,2}})(?P<sign>[-/.])(?P<m>[0-9]{{1,2}})(?P=sign)(?P<y>[0-9]{{4}}){_TIME}", re.IGNORECASE
    ),
    re.compile(r"(?P<y>[0-9]{4})(?P<m>[0-9]{2})(?P<d>[0-9]{2})"),
)
# What .NET, SQL Server, Excel and Unix write when there is no date; and zeros.
_NO_DAY = frozenset({(1, 1, 1), (1753, 1, 1), (1899, 12, 30), (1899, 12, 31), (1900, 1, 0), (1900, 1, 1), (1970, 1, 1)})
_NO_YEAR_FROM = 9000
_FIRST_YEAR = 1950  # no course is older: a year before it is a slip


class Unreadable(ValueError):
    """A value is there, and what it means is not certain."""


def identifier(value: Any) -> str | None:
    """An id as text: 80, 80.0, ``"80,0"`` and ``" 80 "`` are "80"; "007" stays; empty, too long or odd is None."""
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, float):
        if not value.is_integer():
            return None
        value = int(value)
    text = str(value).strip()
    if whole := _WHOLE.fullmatch(text):
        text = whole[1]
    return text if text and len(text) <= MAX_ID and text.isprintable() else None


def person_number(value: Any) -> str | None:
    """An internal id, a whole number above zero as AFAS counts people: 80, ``"80.0"`` and ``"00080"`` are "80".

    Anything else stands in the wrong column, or went through something that changed it (``"1.000"``, ``"1E+03"``).
    """
    if value.__class__ is int:  # as nearly all of them are
        return str(value) if 0 < value < 10**18 else None
    found = identifier(value)
    if found is None or not re.fullmatch(r"[0-9]{1,18}", found):
        return None
    return found.lstrip("0") or None


def event_number(value: Any) -> str | None:
    """An event id: numbered like people."""
    return person_number(value)


def yes_or_no(value: Any) -> bool:
    """A boolean as JSON, as a number or as Dutch or English text; nothing is no. Raises ``Unreadable``."""
    if value is None or isinstance(value, bool):
        return bool(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    text = str(value).strip().casefold()
    text = whole[1] if (whole := _WHOLE.fullmatch(text)) else text
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise Unreadable


def day(value: Any) -> date | None:
    """The calendar day of a date or a date with a time, without zone arithmetic; None when there is none.

    Reads ``2026-11-22``, ``2026-11-22T10:00:00Z``, ``22-11-2026`` (also with ``/`` or ``.``) and ``20261122``. Raises
    ``Unreadable`` for the rest: a month that comes first, a year of two digits, a serial number.
    """
    if value is None:
        return None
    text = "" if isinstance(value, bool) else str(value).strip()
    if not isinstance(value, bool) and not text.strip("0-/.: TZ"):
        return None  # empty, or 0000-00-00
    found = next((match for form in _DAY_FORMS if (match := form.fullmatch(text))), None)
    if found is None:
        raise Unreadable
    parts = int(found["y"]), int(found["m"]), int(found["d"])
    if parts in _NO_DAY:
        return None
    try:
        read = date(*parts)
    except ValueError:
        raise Unreadable from None
    if read.year >= _NO_YEAR_FROM:
        return None
    if read.year < _FIRST_YEAR:
        raise Unreadable
    return read
