"""Tokens for the API: ``kop_`` and 32 random bytes, with a role and tenants. Shown once; only its hash is kept."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NotRequired, cast

from sqlalchemy import text
from typing_extensions import TypedDict

from models.base import utc_now
from models.role import Role
from models.session import transaction
from ops import access, audit
from ops.access import Actor
from ops.listing import Page, Row, checked_limit, number_cursor, page, rows, where
from ops.problems import First, NotThere, Problem
from ops.users import NAME, as_json, checked_role, checked_tenants

BEGIN = "kop_"
LONGEST = timedelta(days=3660)
_COLUMNS = """
    SELECT id, name, begins, role, tenants, created_at, created_by, expires_at, last_used_at, revoked_at,
           CASE WHEN revoked_at IS NOT NULL THEN 'revoked' WHEN expires_at <= now() THEN 'expired' ELSE 'active' END
           AS state FROM api_token
"""
_FILTERS = {"open": "revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())", "cursor": "id < :cursor"}
_INSERT = text(
    """
    INSERT INTO api_token (name, begins, token_hash, role, tenants, created_by, expires_at)
    VALUES (:name, :begins, :hash, :role, CAST(:tenants AS jsonb), :who, :expires_at) RETURNING id
    """
)
_KNOWN = text(
    """
    SELECT id, name, role, tenants, last_used_at < now() - interval '1 minute' OR last_used_at IS NULL AS note
      FROM api_token WHERE token_hash = :hash AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())
    """
)


class TokenItem(TypedDict):
    """A token as it is listed. ``state``: active, expired or revoked."""

    id: int
    name: str
    begins: str
    role: str
    tenants: list[str] | None
    created_at: datetime
    created_by: str
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None
    state: str
    # Who revoked it before, where somebody did
    first: NotRequired[First]


class TokenMade(TokenItem):
    """A new one; ``token`` is shown now and never again."""

    token: str


def listing(limit: int = 100, cursor: str | None = None, *, everything: bool = False) -> Page:
    """Tokens, newest first: those that let somebody in, or all."""
    access.check("tokens.read", None)
    wanted = {"open": None if everything else True, "cursor": number_cursor(cursor)}
    newest_first = f"{_COLUMNS} {where(_FILTERS, wanted)} ORDER BY id DESC LIMIT :limit"
    with transaction() as connection:
        found = rows(connection, newest_first, limit=checked_limit(limit) + 1, **wanted)
    return page(found, limit, "id")


def create(
    name: str, role: str, tenants: Sequence[str] | None, lasts: timedelta | None, *, who: str | None = None
) -> TokenMade:
    """Make a token. ``lasts``: how long; None is until it is revoked."""
    access.check("tokens.create", None)
    if not NAME.fullmatch(name):
        raise Problem("token_name", most=100)
    if lasts is not None and not timedelta() < lasts <= LONGEST:
        raise Problem("token_lasts", most=LONGEST.days)
    made = BEGIN + secrets.token_urlsafe(32)
    values: Row = {"name": name, "role": checked_role(role), "who": who or access.actor().name}
    values |= {"begins": made[: len(BEGIN) + 5], "hash": hash_of(made)}
    values["expires_at"] = utc_now() + lasts if lasts is not None else None
    with transaction() as connection:
        values["tenants"] = as_json(checked_tenants(connection, tenants))
        number = connection.execute(_INSERT, values).scalar_one()
        detail = {"role": role, "tenants": tenants}
        audit.record(connection, who=who, verb="tokens create", subject=f"token:{number}", detail=detail)
        found = rows(connection, f"{_COLUMNS} WHERE id = :id", id=number)[0]
    return cast(TokenMade, found | {"token": made})


def revoke(number: int, *, who: str | None = None) -> TokenItem:
    """Let a token open nothing any more, at once. One that is revoked already stays so."""
    access.check("tokens.revoke", None)
    with transaction() as connection:
        gone = connection.execute(
            text("UPDATE api_token SET revoked_at = now() WHERE id = :id AND revoked_at IS NULL"), {"id": number}
        )
        found = rows(connection, f"{_COLUMNS} WHERE id = :id", id=number)
        if not found:
            raise NotThere("no_api_token", number=number)
        if gone.rowcount:
            audit.record(connection, who=who, verb="tokens revoke", subject=f"token:{number}")
            return cast(TokenItem, found[0])
        first = audit.first(connection, "tokens revoke", subject=f"token:{number}")
    return cast(TokenItem, found[0] | ({"first": first} if first else {}))


def actor_of(token: str) -> Actor | None:
    """Who acts with a token; None for one that is unknown, revoked or over."""
    if not token.startswith(BEGIN) or len(token) > 100:
        return None
    with transaction() as connection:
        found = connection.execute(_KNOWN, {"hash": hash_of(token)}).first()
        if found is None:
            return None
        if found.note:
            connection.execute(text("UPDATE api_token SET last_used_at = now() WHERE id = :id"), {"id": found.id})
    tenants = frozenset(found.tenants) if found.tenants is not None else None
    return Actor(f"token:{found.name}", Role(found.role), tenants)


def hash_of(secret: str) -> str:
    """What is kept of a random secret: nobody guesses 32 bytes, so it needs no salt and no time."""
    return hashlib.sha256(secret.encode(errors="replace")).hexdigest()
