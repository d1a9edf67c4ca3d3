"""Propose which column of a GetConnector is what, by AFAS's own names, the administrator's, and what rows show.

Nothing here is a rule: an operator looks at the proposal and its reasons, and pastes what is right. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from clients.afas import Field
from models.completion_dates import UnfitField, target_of
from ops.tenants.nearest import form
from producers.completions.rules import known_field

Why = Literal["afas_name", "named_so", "named_like", "holds_addresses"]
Row = Mapping[str, Any]
_FREE_FIELD = re.compile(r"U[0-9A-F]{32}")
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
_DONE = ("voltooid", "afgerond", "behaald", "geslaagd", "completed", "completion", "finished")
_NUMBER_TYPES, _DAY_TYPES = ("int", "string"), ("date", "datetime", "string")


@dataclass(frozen=True)
class Word:
    """One of our words: AFAS's own name of it, what administrators call it, and the types it may have.

    ``names`` fit whole, ``parts`` as a part; ``never`` are parts that mean something else.
    """

    afas: str | None
    names: tuple[str, ...]
    parts: tuple[str, ...] = ()
    never: tuple[str, ...] = ()
    types: tuple[str, ...] = ("string",)
    required: bool = False


WORDS: Mapping[str, Word] = {
    "event_id": Word(
        "CrId", ("crid", "eventid", "evenementid"), ("evenement", "event"), types=_NUMBER_TYPES, required=True
    ),
    "internal_id": Word(
        "CdId", ("cdid", "internid", "contactid", "internalid", "contact"), ("contact",), types=_NUMBER_TYPES,
        required=True,
    ),
    "external_id": Word(
        "BcCo", ("bcco", "externid", "persoonid", "persooncode", "externalid", "personid"),
        ("organisatiepersoon", "persoon", "extern"), types=_NUMBER_TYPES, required=True,
    ),
    "name": Word(
        "Nm", ("naam", "name", "deelnemer", "cursist", "volledigenaam"), ("naam", "name"),
        ("bedrijf", "organisatie", "werkgever", "cursus", "evenement", "company"), required=True,
    ),
    "email_primary": Word(
        None, ("emailwerk", "email", "mail", "emailadres", "emailzakelijk", "mailwerk"), ("mail",),
        ("prive", "privé", "private", "thuis"), required=True,
    ),
    "email_secondary": Word(
        None, ("emailprive", "emailprivé", "mailprive", "emailprivate"), ("mail",), ("werk", "zakelijk")
    ),
    "modified": Word("UpDa", ("gewijzigd", "gewijzigdop", "modified"), types=_DAY_TYPES),
    "start": Word("DaBe", ("begindatum", "startdatum", "start"), types=_DAY_TYPES),
    "end": Word("DaEn", ("einddatum", "enddate"), types=_DAY_TYPES),
    "blocked": Word("Bl", ("geblokkeerd", "blocked"), types=("boolean", "string", "int")),
}  # fmt: skip


@dataclass(frozen=True)
class Proposal:
    """``column`` shows what we call ``name``, because of ``why``."""

    name: str
    column: str
    why: Why
    label: str


def propose(columns: Sequence[Field], rows: Sequence[Row] = ()) -> list[Proposal]:
    """The likeliest column for each of our words, each column at most once; words that none fits are left out."""
    scored = [
        (score, name, column, why)
        for name, word in WORDS.items()
        for column in columns
        if (judged := _judge(name, word, column, rows)) is not None
        for score, why in [judged]
    ]
    # Stable: of two that fit alike, the one that stands first in the GetConnector
    scored.sort(key=lambda one: -one[0])
    taken: dict[str, Proposal] = {}
    for _, name, column, why in scored:
        if name not in taken and all(one.column != column.id for one in taken.values()):
            taken[name] = Proposal(name, column.id, why, column.label)
    if (shown := _completion_column(columns)) is not None:
        taken["completion"] = Proposal("completion", shown.id, "named_like", shown.label)
    return [taken[name] for name in (*WORDS, "completion") if name in taken]


def _judge(name: str, word: Word, column: Field, rows: Sequence[Row]) -> tuple[int, Why] | None:
    """How well a column fits a word (more is better), and why; None when it does not."""
    forms = {form(column.id), form(column.label)}
    if column.data_type and column.data_type not in word.types:
        return None
    if any(part in one for part in word.never for one in forms) or _FREE_FIELD.fullmatch(column.field_id):
        return None
    mail = name.startswith("email")
    shown = [str(row[column.id]) for row in rows if row.get(column.id) not in (None, "")]
    addresses = sum(_EMAIL.fullmatch(one) is not None for one in shown)
    if shown and mail != (2 * addresses > len(shown)):
        return None
    reasons: tuple[tuple[int, Why, bool], ...] = (
        (100, "afas_name", word.afas is not None and column.field_id == word.afas),
        (60, "named_so", bool(forms & set(word.names))),
        (40, "named_like", any(part in one for part in word.parts for one in forms)),
        (20, "holds_addresses", mail and addresses > 0),
    )
    return next(((score, why) for score, why, holds in reasons if holds), None)


def _completion_column(columns: Sequence[Field]) -> Field | None:
    """The column that shows a field of the customer's own which can hold the day; named so, or the only one."""
    able = [one for one in columns if _FREE_FIELD.fullmatch(one.field_id) and _takes_a_day(one)]
    named = [one for one in able if _means_done(one)]
    likely = named or (able if len(able) == 1 else [])
    return likely[0] if likely else None


def completion_fields(fields: Iterable[Field], column: Field | None = None) -> list[Field]:
    """The customer's own fields that can take the day, the likeliest first.

    Args:
        column: the GetConnector's column that shows it: the field behind it is the likeliest of all.
    """
    able = [one for one in fields if _FREE_FIELD.fullmatch(one.field_id) and _takes_a_day(one)]
    behind = column.field_id if column is not None else ""
    return sorted(able, key=lambda one: (one.field_id != behind, not _means_done(one)))


def days_fields(fields: Iterable[Field]) -> list[str]:
    """The same as ``label (code)``."""
    return [f"{field.label} ({field.id})" for field in completion_fields(fields)]


def _means_done(field: Field) -> bool:
    return any(word in form(text) for word in _DONE for text in (field.id, field.label))


def _takes_a_day(field: Field) -> bool:
    try:
        target_of(None, None, known_field(field))
    except UnfitField:
        return False
    return True


def masked(value: Any) -> str:
    """An example of a value that is nobody's: ``j•••@e•••.nl``, ``J•••``, ``1•••``."""
    text = "" if value is None else " ".join(str(value).split())
    if _EMAIL.fullmatch(text):
        user, host = text.split("@", 1)
        return f"{user[0]}•••@{host[0]}•••.{host.rsplit('.', 1)[1]}"
    return f"{text[0]}•••" if text else ""
