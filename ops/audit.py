"""Keep who did what: one row for every verb that changed something."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, cast

from sqlalchemy import Connection, TextClause, text
from typing_extensions import TypedDict

from models.session import transaction
from ops import access
from ops.language import Words
from ops.listing import Page, checked_limit, number_cursor, page, rows, where
from ops.local_time import told_at
from ops.problems import First, Problem

current_user = access.current_user
# Verbs that change what a tenant's settings are
SETTINGS = ("tenants edit", "tenants import", "tenants credentials", "courses add", "courses edit", "token")

_INSERT = text(
    """
    INSERT INTO operator_action (tenant_id, who, verb, subject, reason, detail)
    VALUES (:tenant_id, :who, :verb, :subject, :reason, CAST(:detail AS jsonb))
    """
)

_INSERT_EACH = text(
    """
    INSERT INTO operator_action (tenant_id, who, verb, subject, reason)
    SELECT r.tenant_id, :who, :verb, r.subject, :reason
      FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(tenant_id bigint, subject text)
    """
)
_SLUGS = text("SELECT slug FROM tenant WHERE id = ANY(:tenants) ORDER BY slug")
_SLUG = text("SELECT slug FROM tenant WHERE id = :tenant")
_SHOWN = """a.at, t.slug AS tenant, a.who, a.verb, a.subject, a.reason, a.detail
      FROM operator_action a LEFT JOIN tenant t ON t.id = a.tenant_id
"""
_COLUMNS = f"SELECT {_SHOWN}"
_FILTERS = {
    "tenant": "a.tenant_id = (SELECT id FROM tenant WHERE slug = :tenant)",
    "visible": "a.tenant_id IN (SELECT id FROM tenant WHERE slug = ANY(:visible))",
    "who": "a.who = :who",
    "verb": "(a.verb = :verb OR starts_with(a.verb, :verb || ' '))",
    "subject": "a.subject = :subject",
    "since": "a.at >= :since",
    "until": "a.at < :until",
    "cursor": "a.id < :cursor",
    "verbs": "a.verb = ANY(:verbs)",
    "detail": "a.detail @> CAST(:detail AS jsonb)",
}
_SEEN = "(CAST(:visible AS text[]) IS NULL OR t.slug = ANY(:visible))"
_OF = text(
    f"""{_COLUMNS} WHERE a.subject = :subject AND (CAST(:slug AS text) IS NULL OR t.slug = :slug) AND {_SEEN}
         ORDER BY a.id DESC LIMIT 200"""
)
_RECENT = text(f"{_COLUMNS} WHERE {_SEEN} ORDER BY a.id DESC LIMIT :limit")
_RECENT_OF = text(
    f"{_COLUMNS} WHERE t.slug = :slug AND a.verb <> 'people open' AND {_SEEN} ORDER BY a.at DESC LIMIT :limit"
)


class Done(TypedDict):
    """What somebody did. ``detail``: what that verb tells besides, in ids and counts."""

    at: datetime
    tenant: str | None
    who: str
    verb: str
    subject: str | None
    reason: str | None
    detail: dict[str, Any] | None


def need_reason(reason: str, why: Words | str) -> None:
    """Refuse an empty reason; ``why`` says what it is for."""
    if not reason.strip():
        raise Problem("reason_empty", why=why)


def record(
    connection: Connection,
    *,
    verb: str,
    who: str | None = None,
    tenant_id: int | None = None,
    subject: str | None = None,
    reason: str | None = None,
    detail: Mapping[str, object] | None = None,
) -> None:
    """Write the row, in the transaction of the change itself. ``detail`` holds ids and counts, never names.

    ``who``: whoever acts, where nothing is given. Raises Forbidden or NotThere where they may not: then nothing of the
    change is kept either.
    """
    slug = None
    if tenant_id is not None and access.visible() is not None:
        slug = connection.execute(_SLUG, {"tenant": tenant_id}).scalar()
    access.check(access.verb_of(verb), slug)
    row = {
        "tenant_id": tenant_id,
        "who": who or access.actor().name,
        "verb": verb,
        "subject": subject,
        "reason": reason,
    }
    connection.execute(_INSERT, row | {"detail": json.dumps(detail) if detail is not None else None})


def record_each(
    connection: Connection,
    *,
    verb: str,
    subjects: Sequence[tuple[int | None, str]],
    who: str | None = None,
    reason: str | None = None,
) -> None:
    """The same for many things of many tenants at once, a row each: ``subjects`` are pairs of tenant and subject."""
    named = {tenant for tenant, _ in subjects}
    slugs = connection.execute(_SLUGS, {"tenants": [one for one in named if one is not None]}).scalars()
    for slug in [*slugs, *([None] if None in named else [])]:
        access.check(access.verb_of(verb), slug)
    values = {"who": who or access.actor().name, "verb": verb, "reason": reason}
    each = json.dumps([{"tenant_id": tenant, "subject": subject} for tenant, subject in subjects])
    connection.execute(_INSERT_EACH, values | {"rows": each})


def of(subject: str, slug: str | None = None) -> list[Done]:
    """What was done with one thing, oldest first: the newest 200 of it.

    Of an id that only one tenant has no ``slug`` is needed.
    """
    return _read(_OF, subject=subject, slug=slug, visible=access.visible())[::-1]


def recent(slug: str | None = None, limit: int = 20) -> list[Done]:
    """What was done last, newest first: of one tenant, or of all that one may see.

    Of a tenant without who looked at whom, which is most of the rows: ``listing`` has it, and each person's page.
    """
    access.check("audit.read", slug)
    return _read(_RECENT if slug is None else _RECENT_OF, slug=slug, visible=access.visible(), limit=limit)


def listing(
    limit: int = 100,
    cursor: str | None = None,
    *,
    tenant: str | None = None,
    who: str | None = None,
    verb: str | None = None,
    subject: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> Page:
    """Who did what, newest first. ``verb``: as it is recorded, or its first word for all of a noun."""
    access.check("audit.read", tenant)
    wanted = {
        "tenant": tenant,
        "visible": access.visible(),
        "who": who,
        "verb": verb,
        "subject": subject,
        "since": since,
        "until": until,
        "cursor": number_cursor(cursor),
        "verbs": None,
        "detail": None,
    }
    newest_first = f"SELECT a.id, {_SHOWN} {where(_FILTERS, wanted)} ORDER BY a.id DESC LIMIT :limit"
    with transaction() as connection:
        found = rows(connection, newest_first, limit=checked_limit(limit) + 1, **wanted)
    return page(found, limit, "id")


def first(
    connection: Connection,
    *verbs: str,
    tenant: str | None = None,
    subject: str | None = None,
    detail: Mapping[str, object] | None = None,
) -> First | None:
    """Who did one of these verbs last with a thing, or a tenant; None where nobody did. ``detail``: what it told."""
    wanted: dict[str, Any] = dict.fromkeys(_FILTERS) | {"verbs": list(verbs), "tenant": tenant, "subject": subject}
    wanted |= {"visible": access.visible(), "detail": json.dumps(detail) if detail is not None else None}
    newest = f"SELECT a.who, a.at FROM operator_action a {where(_FILTERS, wanted)} ORDER BY a.id DESC LIMIT 1"  # noqa: S608
    return cast(First | None, next(iter(rows(connection, newest, **wanted)), None))


def first_of(*verbs: str, **about: Any) -> First | None:
    """``first`` in a transaction of its own."""
    with transaction() as connection:
        return first(connection, *verbs, **about)


def by(found: First | None, zone: str = "UTC") -> Words:
    """Who was first, as a part of a sentence."""
    if found is None:
        return Words("first.unknown")
    return Words("first.by", who=found["who"], at=told_at(found["at"], zone))


def _read(statement: TextClause, **values: object) -> list[Done]:
    with transaction() as connection:
        return [cast(Done, dict(row)) for row in connection.execute(statement, values).mappings()]
