"""Make what a remote said, or what we sent it, fit for logs and storage."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from urllib.parse import quote

MASK = "<masked>"
EMAIL = "<e-mail>"

_AT = r"(?:@|%40|&#64;|&#x40;|&commat;|\\u0040)"
_EMAIL = re.compile(
    rf"""(?:"[^"@]*"|[^\s@<>"'(),;:\[\]](?:(?!{_AT})[^\s@<>"(),;:\[\]])*){_AT}[^\s@<>"'(),;:\[\]]+""",
    re.IGNORECASE,
)
_TOKEN_XML = re.compile(r"<token>.*?(?:</token>|\Z)|&lt;token&gt;.*?(?:&lt;/token&gt;|\Z)", re.IGNORECASE | re.DOTALL)
_SCHEME = re.compile(r"\b(Bearer|AfasToken|Basic)\s+[^\s\"',;<]{6,}", re.IGNORECASE)
_SECRET_FIELD = re.compile(
    r"""\b((?:client_?secret|access_?token|api_?key|api_?token|password|otp)["']?\s*[:=]\s*["']?)[^\s"'&,;<}]+""",
    re.IGNORECASE,
)
_QUERY = re.compile(r"(https?://[^\s?\"'<>]*)\?[^\s\"'<>]*", re.IGNORECASE)
_LONG_DIGITS = re.compile(r"(?<![\w.-])[+-]?\d{8,}(?![\w-])")
# Nine digits or more from a 0 or a +, however they are spaced. A Dutch date is none.
_PHONE = re.compile(
    r"(?<![\w.+-])(?!\d{1,2}[-/. ]\d{1,2}[-/. ]\d{4}(?!\d))"
    r"(?:\(?\+\d{1,3}\)?|\(?0\d*\)?)(?:[\s().\-/]{0,3}\d){7,12}(?![\w-])"
)
_LONG_RUN = re.compile(r"[A-Za-z0-9+/=_.~-]{16,}")
# Such a run stays readable when it is an AFAS free field, a UUID, or words and short numbers joined by signs.
_READABLE_RUN = re.compile(
    r"U[0-9A-F]{32}"
    r"|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
    r"|[=+/._~-]*(?:[A-Za-z]{1,30}\d{0,4}|\d{1,7})(?:[=+/._~-]+(?:[A-Za-z]{1,30}\d{0,4}|\d{1,7}))*[=+/._~-]*",
    re.IGNORECASE,
)


def clean(text: str, *, secrets: Iterable[str] = (), limit: int = 500) -> str:
    """Take from a remote's text what may not be kept, fold its white space, cut it at ``limit`` characters.

    Masks e-mail addresses, token-looking and long numeric values, and each of ``secrets`` (the caller's
    credentials; also names and values it sent, which nobody can recognise otherwise). Words, short numbers,
    field codes and UUIDs stay readable: ``De ingevulde waarde bij 'Medewerker' bestaat niet.`` comes out as
    it is.
    """
    text = _printable(_head(text, 8 * limit + 1000))
    for secret in sorted({s.strip() for s in secrets if s.strip()}, key=len, reverse=True):
        text = _without(text, secret)
    text = _TOKEN_XML.sub(MASK, text)
    text = _SCHEME.sub(rf"\1 {MASK}", text)
    text = _SECRET_FIELD.sub(rf"\1{MASK}", text)
    text = _QUERY.sub(rf"\1?{MASK}", text)
    text = _EMAIL.sub(EMAIL, text)
    text = _PHONE.sub(MASK, text)
    text = _LONG_RUN.sub(lambda found: found[0] if _READABLE_RUN.fullmatch(found[0]) else MASK, text)
    text = _LONG_DIGITS.sub(MASK, text)
    text = " ".join(text.split())
    # Not in the middle of a word: half a name would be known to nobody as one.
    return text if len(text) <= limit else (re.sub(r"\s\S{0,60}\Z", "", text[:limit]) or text)[: limit - 1] + "…"


# Between the parts of a name: never masked for themselves.
_PARTICLES = {"van", "von", "de", "den", "der", "het", "ten", "ter", "te", "op", "in", "la", "le", "du", "el", "al"}
_TITLES = {"dhr", "mw", "mevr", "drs", "ir", "ing", "dr", "mr", "prof", "en", "of"}
_PART = re.compile(r"[^\W\d_](?:[\w'’`-]*\w)?")
_INITIALS = r"(?:[^\W\d_]\.[ ]?){1,5}"
_BETWEEN = "|".join(sorted(_PARTICLES, key=len, reverse=True))
_SEVERAL = re.compile(
    rf"(?:(?<!\w){_INITIALS}(?:(?:{_BETWEEN})[ ]+)*)?{MASK}(?:[ ,]+(?:(?:(?:{_BETWEEN})[ ]+)*{MASK}|{_INITIALS}))*",
    re.IGNORECASE,
)


def without_people(text: str, people: Iterable[str | None]) -> str:
    """Mask people whom the caller knows by name or address: the whole, its parts, and initials beside them.

    >>> without_people("P. Jansen (p.jansen) bestaat al", ["Jansen, P.", "p.jansen@example.nl"])
    '<masked> (<masked>) bestaat al'
    """
    words = {word for one in people if one and one.strip() for word in _words_of(" ".join(one.split()))}
    spelled = {unicodedata.normalize(form, word) for word in words for form in ("NFC", "NFD")}
    for word in sorted(spelled, key=len, reverse=True):
        # A short part such as "An" is a name only as it is written, a long one in any case.
        case = re.IGNORECASE if len(word) > 3 else re.NOFLAG
        text = re.sub(rf"(?<!\w){re.escape(word)}(?!\w)", MASK, text, flags=case)
    return _SEVERAL.sub(lambda found: MASK + (" " if found[0].endswith(" ") else ""), text)


def _words_of(name: str) -> set[str]:
    if "@" in name:
        local = name.split("@", 1)[0]
        return {name, local} if len(local) > 3 else {name}
    parts = {part for part in _PART.findall(name) if len(part) > 1 and part.casefold() not in _PARTICLES | _TITLES}
    halves = {half for part in parts for half in part.split("-") if len(half) > 3}
    return {name} | parts | halves


def _head(text: str, size: int) -> str:
    """Bound the work, without leaving half a secret at the end."""
    if len(text) <= size:
        return text
    return re.sub(r"\S+\Z", "", text[:size]) or "…"


def _printable(text: str) -> str:
    """Drop invisible characters (they could hide an address from us), make control characters spaces."""
    kinds = [(char, unicodedata.category(char)) for char in text]
    return "".join(" " if kind == "Cc" else "" if kind.startswith("C") else char for char, kind in kinds)


def _without(text: str, secret: str) -> str:
    forms = {secret, _printable(secret), quote(secret, safe="")} - {""}
    for form in sorted(forms, key=len, reverse=True):
        pattern = re.escape(form)
        if len(form) < 4:  # a short name such as "Bo" would otherwise eat holes into other words
            pattern = rf"(?<!\w){pattern}(?!\w)"
        text = re.sub(pattern, MASK, text, flags=re.IGNORECASE)
    return text


_ALWAYS = re.compile(r"name|naam|mail|secret|token|key|password|wachtwoord|otp|authorization", re.IGNORECASE)
_FIXED_WORDS = {"roles", "role", "language", "status", "kind", "operation"}
_WORD = re.compile(r"[A-Za-z_]{1,40}")
_ID_OR_DATE = re.compile(r"(?=[^@]*\d)[A-Za-z0-9:_.+-]{1,40}")
_HEX = re.compile(r"[0-9a-fA-F]{32,}")


def mask(value: object, *, key: str = "") -> object:
    """Copy a request with names and addresses masked, so that it may be stored with a dead letter.

    Ids, dates, numbers and booleans stay. Text stays only when it looks like an id or a date, or under a key
    known to hold a fixed word (``roles``): what is not known to be harmless is masked.

        >>> mask({"@CrId": "340", "Fields": {"Naam": "Jansen", "U1F": "2026-11-20"}})
        {'@CrId': '340', 'Fields': {'Naam': '<masked>', 'U1F': '2026-11-20'}}
    """
    if isinstance(value, Mapping):
        return {str(name): mask(item, key=str(name)) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [mask(item, key=key) for item in value]
    if value is None or isinstance(value, bool):
        return value
    if _ALWAYS.search(key):
        return MASK
    if isinstance(value, int | float) or value == "":
        return value
    return value if _harmless(str(value), key) else MASK


def _harmless(text: str, key: str) -> bool:
    if key in _FIXED_WORDS and _WORD.fullmatch(text):
        return True
    return bool(_ID_OR_DATE.fullmatch(text)) and not _HEX.search(text)
