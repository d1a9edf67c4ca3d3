"""AFAS row ↔ our record. Pure: which column becomes which field has one answer, and it is here.

Rules (docs/architecture.md): strings keep leading zeros; the secondary address counts only when the primary is empty;
names are trimmed and inner white space folded, otherwise untouched; what is compared, and how, is in ``folding.py``.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from models.afas_values import Unreadable, day, event_number, identifier, person_number, yes_or_no
from models.enrollment import RowState
from models.folding import fold_email, fold_space, is_visible, nfc
from models.tenant_settings import FieldMap

REPLACED = "(vervangen)"  # AFAS fills a column whose field was removed with this text
MAX_EMAIL = 254
MAX_NAME = 2000  # what is longer is no name
KEPT_EMAIL = 600  # of what is no address: enough to recognise it, and few enough for an index of PostgreSQL
# One @, nothing that can't stand in an unquoted address, a dot in the domain. Whether it exists, only mail can tell.
_EMAIL = re.compile(r'^[^\s@<>()\[\]\\,;:"]{1,64}@[^\s@<>()\[\]\\,;:"]+\.[^\s@<>()\[\]\\,;:".]+$')


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


def is_email(text: str) -> bool:
    """Whether it can be an address at all."""
    return len(text) <= MAX_EMAIL and text.isprintable() and ".." not in text and bool(_EMAIL.match(text))


def missing_columns(row: Mapping[str, Any], columns: Iterable[str]) -> list[str]:
    """Mapped columns that the row lacks or that AFAS says were replaced."""
    return sorted({c for c in columns if c not in row or fold_space(row[c]).casefold() == REPLACED})


def fingerprint(*parts: str | None) -> str:
    """A short stable hash of a row's content; parts can't run into each other."""
    joined = "\x1f".join("\x00" if part is None else part for part in parts)
    return hashlib.sha256(joined.encode("utf-8", "surrogatepass")).hexdigest()[:24]


def choose_email(primary: Any, secondary: Any) -> str:
    """The primary address, trimmed; the secondary only when there is nothing to see of the primary."""
    first = str(primary).strip() if primary is not None else ""
    return first if is_visible(first) else str(secondary or "").strip() or first


def _value(row: Mapping[str, Any], column: str | None) -> Any:
    return row.get(column) if column is not None else None


def _state(row: Mapping[str, Any], fields: FieldMap, today: date) -> tuple[str, str | None]:
    """Where the row stands by its own columns, and what of them can't be read."""

    try:
        if yes_or_no(_value(row, fields.blocked)):
            return RowState.BLOCKED, None
    except Unreadable:
        return RowState.REJECTED, "bad_blocked"
    try:
        start, end = day(_value(row, fields.start)), day(_value(row, fields.end))
    except Unreadable:
        return RowState.REJECTED, "bad_date"
    if end and end < today:
        return RowState.ENDED, None
    if start and start > today:
        return RowState.NOT_YET, None
    return RowState.PRESENT, None


def _rejection(internal_id: str | None, event_ok: bool, name: str, email: str, unread: str | None) -> str | None:
    checks = (
        (internal_id is not None, "no_internal_id"),
        (event_ok, "other_event"),
        (unread is None, unread),
        (is_visible(name), "no_name"),
        (len(name) <= MAX_NAME and not any(unicodedata.category(one) in ("Cc", "Cs") for one in name), "bad_name"),
        (bool(email), "no_email"),
        (is_email(email), "bad_email"),
    )
    return next((reason for fine, reason in checks if not fine), None)


def translate(row: Mapping[str, Any], fields: FieldMap, event_id: str, today: date) -> Record:
    """Our record of one AFAS row.

    Args:
        row: as AFAS gave it, e.g. ``{"CrId": 340, "Intern_ID": 80, "Naam": "Jansen, P.", "Email_werk": null}``.
        fields: which column is what.
        event_id: the event that was asked for; a row of another one is rejected.
        today: the day in the tenant's zone, for start and end columns.
    """
    internal_id = person_number(row.get(fields.internal_id))
    external_id = identifier(row.get(fields.external_id))
    name = fold_space(row.get(fields.name))
    email = choose_email(row.get(fields.email_primary), _value(row, fields.email_secondary))
    completion = _value(row, fields.completion)
    state, unread = _state(row, fields, today)
    event = event_number(row.get(fields.event_id))
    event_ok = event is not None and event == event_number(event_id)
    reason = _rejection(internal_id, event_ok, name, email, unread)
    # A blocked or ended row is not acted on, so its other faults do not matter.
    if reason and not (state in (RowState.BLOCKED, RowState.ENDED) and reason not in ("no_internal_id", "other_event")):
        state = RowState.REJECTED
    else:
        reason = None
    return Record(
        internal_id=internal_id,
        external_id=external_id,
        name=storable(name),
        email=storable(email, KEPT_EMAIL),
        completion=storable(str(completion).strip()) if completion not in (None, "") else None,
        row_state=state,
        reason=reason,
        # Two spellings of one text are no change, and two rows with them no contradiction.
        fingerprint=fingerprint(nfc(name), nfc(email), external_id),
    )


def storable(text: str, most: int = MAX_NAME) -> str | None:
    """What PostgreSQL can keep: no NUL, no half surrogate pairs; a readable length. No name or address that is used
    ever differs.
    """
    clean = text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode("utf-8")
    return clean[:most] or None
