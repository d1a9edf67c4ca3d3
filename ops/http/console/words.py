"""How times, numbers and ids are written on a page. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from itertools import zip_longest
from typing import Any
from zoneinfo import ZoneInfo

from markupsafe import Markup, escape

from ops.language import SENTENCES, Language, Words, say

ZONE = "Europe/Amsterdam"
MONTHS = {
    "en": ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"),
    "nl": ("jan", "feb", "mrt", "apr", "mei", "jun", "jul", "aug", "sep", "okt", "nov", "dec"),
}
# (from how many seconds on, how many seconds one is, the unit's code)
_UNITS = ((86400, 86400, "days"), (3600, 3600, "hours"), (60, 60, "minutes"), (0, 1, "seconds"))
_MARKED = re.compile(r"`([^`]+)`")
# What was tried: ``sample page (event 340)``, ``getconnector Name (course rules)``, ``pluvo report (training)``
_PROBE = re.compile(r"(?P<name>.*?)(?: \((?:event (?P<event>.*)|(?P<about>.*))\))?", re.DOTALL)
CAP = 1000
SHORT_ID = 10


def absolute(at: datetime, language: Language, zone: str | None = None) -> str:
    """``26 Nov 2026 15:08:09 CET`` in a zone; the standard one is that of the Netherlands."""
    there = at.astimezone(ZoneInfo(zone or ZONE))
    return f"{there.day} {MONTHS[language][there.month - 1]} {there:%Y %H:%M:%S %Z}"


def relative(at: datetime, now: datetime, language: Language) -> str:
    """``12 min ago``, ``in 3 h``; from a week on the day."""
    seconds = (now - at).total_seconds()
    if abs(seconds) >= 7 * 86400:
        there = at.astimezone(ZoneInfo(ZONE))
        return f"{there.day} {MONTHS[language][there.month - 1]} {there:%Y}"
    if 0 <= seconds < 2:
        return say("time.now", language)
    unit, count = _unit(abs(seconds))
    return say(f"time.{unit}_ago" if seconds > 0 else f"time.in_{unit}", language, count=count)


def changes(detail: Mapping[str, Any], language: Language) -> list[str]:
    """What an import changed, of what was recorded: in English where only that is, or where only a newer release
    knows the code.
    """
    return [_change(*one, language) for one in zip_longest(detail["changes"], detail.get("codes", ()))]


def _change(english: str, code: Mapping[str, Any] | None, language: Language) -> str:
    try:
        return Words.read(code).say(language) if code else english
    except KeyError:
        return english


def lasting(seconds: float, language: Language) -> str:
    """``4 s``, ``12 min``, ``3 h``; what took no second took some time all the same."""
    if seconds < 1:
        return say("time.under_a_second", language)
    unit, count = _unit(seconds)
    return say(f"time.{unit}", language, count=count)


def _unit(seconds: float) -> tuple[str, int]:
    size, unit = next((size, unit) for least, size, unit in _UNITS if seconds >= least)
    return unit, int(seconds // size)


def when(at: datetime | str | None, language: Language, zone: str | None = None) -> Markup:
    """A ``<time>``: relative to be read, absolute as its title; a dash for none."""
    if at is None:
        return Markup('<span class="none">–</span>')
    read = datetime.fromisoformat(at) if isinstance(at, str) else at
    read = read if read.tzinfo else read.replace(tzinfo=UTC)
    shown = relative(read, datetime.now(UTC), language)
    return Markup('<time datetime="{}" title="{}">{}</time>').format(
        read.astimezone(UTC).isoformat(timespec="seconds"), absolute(read, language, zone), shown
    )


def ident(value: object, *, short: bool = False) -> Markup:
    """An id in ``<code>``; a short one is its beginning, which is enough for every command, with the rest as title."""
    text = "" if value is None else str(value)
    if not text:
        return Markup('<span class="none">–</span>')
    if short and len(text) > SHORT_ID + 3:
        return Markup('<code class="id" title="{}">{}…</code>').format(text, text[:SHORT_ID])
    return Markup('<code class="id">{}</code>').format(text)


def number(value: float | None, language: Language) -> str:
    """``1.234`` in Dutch, ``1,234`` in English; a dash for none."""
    if value is None:
        return "–"
    text = f"{value:,}" if isinstance(value, int) else f"{value:,.1f}"
    return text.translate(str.maketrans(",.", ".,")) if language == "nl" else text


def capped(value: int, language: Language) -> str:
    """A count; what is more than a thousand is not counted further."""
    return number(value, language) if value <= CAP else f"{number(CAP, language)}+"


def address(email: object) -> Markup:
    """An e-mail address that breaks before its @, where it has to."""
    return escape(email).replace("@", Markup("<wbr>@"))


def probe(name: str, language: Language) -> str:
    """What a check tried, in words; a name that is not known here as it is."""
    found = _PROBE.fullmatch(name)
    words = (found["name"] if found else name).split(" ")
    for many in range(len(words), 0, -1):
        if (code := "probe." + "_".join(words[:many])) in SENTENCES:
            about = found["about"] if found else None
            about = say("probe.rules", language) if about == "course rules" else about
            of = say("letters.event", language, event=found["event"]) if found and found["event"] else about
            return " ".join([say(code, language), *words[many:]]) + (f" ({of})" if of else "")
    return name


def prose(text: object, slug: str | None = None) -> Markup:
    """A sentence with what stands in backquotes as code; where the tenant is known, with its slug in commands."""
    text = str(text).replace("SLUG", slug) if slug else text
    return Markup(_MARKED.sub(r"<code>\1</code>", str(escape(text))))  # noqa: S704  escaped right here
