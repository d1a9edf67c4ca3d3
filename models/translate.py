"""AFAS row ↔ our record. Pure: which column becomes which field has one answer, and it is here.

Rules (docs/architecture.md): strings keep leading zeros; the secondary address counts only when the primary is empty;
names are trimmed and inner white space folded, otherwise untouched; an address is compared case-folded, stored as it
was given.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from models.enrollment import RowState

REPLACED = "(vervangen)"  # AFAS fills a column whose field was removed with this text
MAX_EMAIL = 254
MAX_ID = 40
MAX_NAME = 2000  # what is longer is no name
# One @, nothing that can't stand in an unquoted address, a dot in the domain. Whether it exists, only mail can tell.
_EMAIL = re.compile(r'^[^\s@<>()\[\]\\,;:"]{1,64}@[^\s@<>()\[\]\\,;:"]+\.[^\s@<>()\[\]\\,;:".]+$')
_TRUE = {"1", "true", "ja", "j", "yes", "y", "-1"}


@dataclass(frozen=True)
class Record:
    """One row of a GetConnector in our words. ``reason`` says why it is ``rejected``."""

    internal_id: str | None
    external_id: str | None
    name: str | None
    email: str | None
    completion: str | None
    row_state: str
    reason: str | None
    fingerprint: str

    @property
    def email_folded(self) -> str | None:
        return fold_email(self.email) if self.email else None


def identifier(value: Any) -> str | None:
    """An id as text: 80, 80.0 and " 80 " are "80"; "007" stays "007"; empty, too long or odd is None."""
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    text = str(value).strip()
    return text if text and len(text) <= MAX_ID and text.isprintable() else None


def person_number(value: Any) -> str | None:
    """An internal id: a whole number, as AFAS counts people. Anything else stands in the wrong column."""
    found = identifier(value)
    return found if found is not None and re.fullmatch(r"[0-9]{1,18}", found) else None


def fold_space(value: Any) -> str:
    """Text trimmed, every run of white space one blank."""
    return " ".join(str(value).split()) if value is not None else ""


def fold_email(email: str) -> str:
    """The form in which two addresses are compared."""
    return email.strip().casefold()


def fold_name(name: str | None) -> str:
    """The form in which two names are compared."""
    return fold_space(name).casefold()


def is_email(text: str) -> bool:
    """Whether it can be an address at all."""
    return len(text) <= MAX_EMAIL and text.isprintable() and ".." not in text and bool(_EMAIL.match(text))


def is_blocked(value: Any) -> bool:
    """AFAS gives booleans as JSON, as text or as a number."""
    return value is True or (value is not None and fold_space(value).casefold() in _TRUE)


def day(value: Any) -> date | None:
    """The calendar day of an AFAS date or datetime: its first ten characters, no zone arithmetic."""
    try:
        return date.fromisoformat(str(value)[:10]) if value else None
    except ValueError:
        return None


def missing_columns(row: Mapping[str, Any], fields: Mapping[str, str]) -> list[str]:
    """Mapped columns that the row lacks or that AFAS says were replaced."""
    return sorted({c for c in fields.values() if c not in row or fold_space(row[c]).casefold() == REPLACED})


def fingerprint(*parts: str | None) -> str:
    """A short stable hash of a row's content; parts can't run into each other."""
    joined = "\x1f".join("\x00" if part is None else part for part in parts)
    return hashlib.sha256(joined.encode("utf-8", "surrogatepass")).hexdigest()[:24]


def choose_email(primary: Any, secondary: Any) -> str:
    """The primary address, trimmed; the secondary only when the primary is empty."""
    return str(primary).strip() if primary is not None and str(primary).strip() else str(secondary or "").strip()


def _state(row: Mapping[str, Any], fields: Mapping[str, str], today: date) -> str:
    def value(word: str) -> Any:
        return row.get(fields[word]) if word in fields else None

    if is_blocked(value("blocked")):
        return RowState.BLOCKED
    start, end = day(value("start")), day(value("end"))
    if end and end < today:
        return RowState.ENDED
    if start and start > today:
        return RowState.NOT_YET
    return RowState.PRESENT


def _rejection(internal_id: str | None, event_ok: bool, name: str, email: str) -> str | None:
    checks = (
        (internal_id is not None, "no_internal_id"),
        (event_ok, "other_event"),
        (bool(name), "no_name"),
        (len(name) <= MAX_NAME and not any(unicodedata.category(one) in ("Cc", "Cs") for one in name), "bad_name"),
        (bool(email), "no_email"),
        (is_email(email), "bad_email"),
    )
    return next((reason for fine, reason in checks if not fine), None)


def translate(row: Mapping[str, Any], fields: Mapping[str, str], event_id: str, today: date) -> Record:
    """Our record of one AFAS row.

    Args:
        row: as AFAS gave it, e.g. ``{"CrId": 340, "Intern_ID": 80, "Naam": "Jansen, P.", "Email_werk": null}``.
        fields: our word → column name, as in the tenants file.
        event_id: the event that was asked for; a row of another one is rejected.
        today: the day in the tenant's zone, for start and end columns.
    """
    internal_id = person_number(row.get(fields["internal_id"]))
    external_id = identifier(row.get(fields["external_id"])) if "external_id" in fields else None
    name = fold_space(row.get(fields["name"]))
    secondary = row.get(fields["email_secondary"]) if "email_secondary" in fields else None
    email = choose_email(row.get(fields["email_primary"]), secondary)
    completion = row.get(fields["completion"]) if "completion" in fields else None
    state = _state(row, fields, today)
    reason = _rejection(internal_id, identifier(row.get(fields["event_id"])) == event_id, name, email)
    # A blocked or ended row is that first: its other faults matter to nobody.
    if reason and not (state in (RowState.BLOCKED, RowState.ENDED) and reason not in ("no_internal_id", "other_event")):
        state = RowState.REJECTED
    else:
        reason = None
    return Record(
        internal_id=internal_id,
        external_id=external_id,
        name=_storable(name),
        email=_storable(email),
        completion=_storable(str(completion).strip()) if completion not in (None, "") else None,
        row_state=state,
        reason=reason,
        fingerprint=fingerprint(name, email, external_id),
    )


def _storable(text: str) -> str | None:
    """What PostgreSQL can keep: no NUL, no half surrogate pairs; a readable length. Only rejected rows ever differ."""
    clean = text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode("utf-8")
    return clean[:MAX_NAME] or None
