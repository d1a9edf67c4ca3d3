"""Users of the console and the API: who they are, what they may, and whether they may still come in.

A user logs in with a password, or through an issuer of OpenID Connect, whose claims say their role at each login.
Names are compared without capitals. Whoever is disabled or removed is out at once, with all sessions.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import threading
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING

from sqlalchemy import Connection, text
from typing_extensions import TypedDict

import settings
from models.advisory_locks import AdvisoryLock
from models.role import Role
from models.session import transaction
from ops import access, audit
from ops.access import Actor
from ops.listing import Page, Row, checked_limit, number_cursor, page, rows, where
from ops.problems import AlreadyDecided, Forbidden, NotThere, Problem

if TYPE_CHECKING:
    from argon2 import PasswordHasher

LEAST, MOST = 12, 1000
# What the record calls who has no row here. Whoever chooses a name at an issuer is not to pass for one of them.
OURS = ("local", "nobody", "oidc", "token", "unknown")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,99}")
_SLUG = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")

_COLUMNS = """
    SELECT u.id, u.name, u.role, u.tenants, u.password_hash IS NOT NULL AS password, u.issuer, u.created_at,
           u.created_by, u.password_at, u.disabled_at, u.last_login_at,
           (SELECT count(*) FROM console_session s
             WHERE s.user_id = u.id AND s.expires_at > now() AND s.seen_at > now() - interval '12 hours') AS sessions,
           coalesce((SELECT max(a.id) FROM operator_action a WHERE a.subject = 'user:' || u.id AND a.verb IN
             ('users add', 'users edit', 'users passwd', 'users disable', 'users enable')), 0) AS version
      FROM console_user u
"""
# A cursor stands in URLs, and a name may be somebody's address: so it has the numbers of the users shown last, the
# last one first, as any of them may be removed before the next page; 0 is the beginning of the list.
_ANCHORS = 7
_STANDING = """
    SELECT n.id FROM unnest(CAST(:cursor AS bigint[])) WITH ORDINALITY AS n(id, place)
     WHERE n.id = 0 OR EXISTS (SELECT 1 FROM console_user u WHERE u.id = n.id) ORDER BY n.place
"""
_FILTERS = {
    "cursor": """lower(u.name) > (SELECT max(lower(o.name)) FROM (
                     SELECT name FROM console_user WHERE id = ANY(CAST(:cursor AS bigint[]))
                     UNION ALL SELECT '' WHERE 0 = ANY(CAST(:cursor AS bigint[]))) AS o)"""
}
_FIRST = "SELECT who, at FROM operator_action WHERE id = :version"
_INSERT = text(
    """
    INSERT INTO console_user (name, role, tenants, password_hash, password_at, created_by)
    VALUES (:name, :role, CAST(:tenants AS jsonb), CAST(:hash AS text),
            CASE WHEN CAST(:hash AS text) IS NOT NULL THEN now() END, :who)
    ON CONFLICT DO NOTHING RETURNING id
    """
)
_SET_PASSWORD = text(
    """
    UPDATE console_user SET password_hash = :hash, password_at = now()
     WHERE id = :id AND (CAST(:fitted AS text) IS NULL OR password_hash = :fitted)
    """
)
_SESSIONS = """
    SELECT id, agent, address, created_at, seen_at, expires_at FROM console_session
     WHERE user_id = :user AND pending IS NULL AND expires_at > now() AND seen_at > now() - interval '12 hours'
     ORDER BY seen_at DESC LIMIT 100
"""
# Somebody who can log in, by a password or through the issuer that is set, and may decide about users.
_OTHER_ADMIN = """
    SELECT id FROM console_user
     WHERE id <> :user AND role = 'admin' AND tenants IS NULL AND disabled_at IS NULL
       AND (password_hash IS NOT NULL OR issuer = CAST(:issuer AS text)) LIMIT 1
"""


_BY_SUBJECT = """
    SELECT id, role, tenants, disabled_at FROM console_user WHERE issuer = :issuer AND subject = :subject
"""
_INSERT_TOLD = text(
    """
    INSERT INTO console_user (name, role, tenants, issuer, subject, created_by)
    VALUES (:name, :role, CAST(:tenants AS jsonb), :issuer, :subject, 'oidc') RETURNING id
    """
)
_UPDATE_TOLD = text(
    """
    UPDATE console_user SET role = :role, tenants = CAST(:tenants AS jsonb)
     WHERE issuer = :issuer AND subject = :subject
    """
)


class UserItem(TypedDict):
    """A user. ``tenants`` None: every one. ``password``: has one. ``sessions``: open now.

    ``version`` is another one after each change; given back as ``seen``, a change that somebody made first is told.
    """

    id: int
    name: str
    role: str
    tenants: list[str] | None
    password: bool
    issuer: str | None
    created_at: datetime
    created_by: str
    password_at: datetime | None
    disabled_at: datetime | None
    last_login_at: datetime | None
    sessions: int
    version: int


class UserDone(TypedDict):
    """What changed. ``sessions``: how many ended with it."""

    user: str
    result: str
    sessions: int


def listing(limit: int = 100, cursor: str | None = None) -> Page:
    """Users by name."""
    access.check("users.read", None)
    wanted = {"cursor": _read_cursor(cursor)}
    by_name = f"{_COLUMNS} {where(_FILTERS, wanted)} ORDER BY lower(u.name) LIMIT :limit"
    with transaction() as connection:
        found = rows(connection, by_name, limit=checked_limit(limit) + 1, **wanted)
        before = [one["id"] for one in rows(connection, _STANDING, cursor=wanted["cursor"] or [0])]
    if not before:
        raise Problem("cursor_gone")  # nobody comes after people who are all gone, and that is no end of the list
    shown = page(found, limit, "id")
    if shown.next is None:
        return shown
    last = [one["id"] for one in reversed(shown.items)]
    return Page(shown.items, ".".join(map(str, [*last, *before][:_ANCHORS])))


def _read_cursor(cursor: str | None) -> list[int] | None:
    if cursor is None:
        return None
    numbers = [number_cursor(one) for one in cursor.split(".")[: _ANCHORS + 1]]
    if len(numbers) > _ANCHORS:
        raise Problem("cursor")
    return [one for one in numbers if one is not None]


def show(name: str) -> Row:
    """A user with the open sessions, newest first, and what was done with them."""
    access.check("users.read", None)
    with transaction() as connection:
        user = _one(connection, name)
        sessions = rows(connection, _SESSIONS, user=user["id"])
    return user | {"opened": sessions, "history": audit.of(subject(user["id"]))}


def own(number: int) -> Row:
    """What somebody sees of themselves: as ``show``, without what others did."""
    access.check("account.login", None)
    with transaction() as connection:
        found = rows(connection, f"{_COLUMNS} WHERE u.id = :id", id=number)
        if not found:
            raise NotThere("no_user", named=number)
        return found[0] | {"opened": rows(connection, _SESSIONS, user=number)}


def told_by_issuer(issuer: str, known_as: str, name: str, role: Role | None, tenants: list[str] | None) -> int | None:
    """Write down what an issuer says of somebody who came back from there; their number.

    None, and no session any more, where it gives them no role. Raises Forbidden for somebody disabled.
    """
    key = {"issuer": issuer, "subject": known_as.replace("\0", "")[:500]}
    with _changing() as connection, access.acting(Actor("oidc", Role.ADMIN)):
        found = rows(connection, _BY_SUBJECT, **key)
        if role is None:
            for user in found:
                end_sessions(connection, user["id"])
            return None
        values = key | {"role": role, "tenants": as_json(tenants)}
        detail = {"role": role, "tenants": tenants}
        if not found:
            named = _free_name(connection, name, issuer + known_as)
            number = int(connection.execute(_INSERT_TOLD, values | {"name": named}).scalar_one())
            audit.record(connection, verb="users add", subject=subject(number), detail=detail)
            return number
        if found[0]["disabled_at"] is not None:
            raise Forbidden("user_disabled")
        if (found[0]["role"], found[0]["tenants"]) != (role, tenants):
            connection.execute(_UPDATE_TOLD, values)
            audit.record(connection, verb="users edit", subject=subject(found[0]["id"]), detail=detail)
        return int(found[0]["id"])


def _free_name(connection: Connection, wanted: str, known_as: str) -> str:
    """A name that nobody has. Who has the same one at an issuer as somebody here is another person."""
    plain = re.sub(r"[^A-Za-z0-9._@+-]", "", wanted)[:80].lstrip("._@+-")
    mark = hashlib.sha256(known_as.encode(errors="replace")).hexdigest()[:6]
    named = plain or f"user-{mark}"
    taken = connection.execute(text("SELECT 1 FROM console_user WHERE lower(name) = lower(:name)"), {"name": named})
    return f"{named}+{mark}" if taken.first() or named.lower() in OURS else named


def name_of(number: int) -> str:
    """The name of a user by number, as pages know them."""
    access.check("users.read", None)
    with transaction() as connection:
        found = connection.execute(text("SELECT name FROM console_user WHERE id = :id"), {"id": number}).scalar()
    if found is None:
        raise NotThere("no_user", named=number)
    return str(found)


def subject(number: int) -> str:
    """How the record of operators' verbs calls a user."""
    return f"user:{number}"


def add(name: str, role: str, tenants: Sequence[str] | None, password: str | None, *, who: str | None = None) -> Row:
    """Let somebody come in. Without a password they can't log in until they have one."""
    access.check("users.add", None)
    if not NAME.fullmatch(name):
        raise Problem("user_name", most=100)
    values: Row = {"name": name, "role": checked_role(role), "who": who or access.actor().name}
    values["hash"] = hash_of(checked_password(password, name)) if password is not None else None
    with transaction() as connection:
        values["tenants"] = as_json(checked_tenants(connection, tenants))
        number = connection.execute(_INSERT, values).scalar()
        if number is None:
            raise Problem("user_there", name=name)
        detail = {"role": role, "tenants": tenants}
        audit.record(connection, who=who, verb="users add", subject=subject(number), detail=detail)
        return _one(connection, name)


def edit(
    name: str, role: str, tenants: Sequence[str] | None, *, who: str | None = None, seen: int | None = None
) -> UserDone:
    """Give somebody another role, or other tenants: from their next click on.

    ``seen``: the version that was looked at. Raises AlreadyDecided where somebody changed the user since.
    """
    access.check("users.edit", None)
    with _changing() as connection:
        user = _one(connection, name)
        slugs = checked_tenants(connection, tenants)
        wanted = {"id": user["id"], "role": checked_role(role), "tenants": as_json(slugs)}
        if role != Role.ADMIN or tenants is not None:
            _keep_an_admin(connection, user)
        if (user["role"], user["tenants"]) == (role, slugs):
            return {"user": user["name"], "result": "unchanged", "sessions": 0}
        _refuse_changed(connection, user, seen)
        connection.execute(
            text("UPDATE console_user SET role = :role, tenants = CAST(:tenants AS jsonb) WHERE id = :id"), wanted
        )
        detail = {"before": [user["role"], user["tenants"]], "after": [role, tenants]}
        audit.record(connection, who=who, verb="users edit", subject=subject(user["id"]), detail=detail)
    return {"user": user["name"], "result": "changed", "sessions": 0}


def passwd(name: str, password: str, *, who: str | None = None, seen: int | None = None) -> UserDone:
    """Give somebody another password. Their sessions end: whoever knew the old one is out. ``seen``: as of ``edit``."""
    access.check("users.passwd", None)
    with transaction() as connection:
        user = _one(connection, name)
    made = hash_of(checked_password(password, user["name"]))
    with _changing() as connection:
        _refuse_changed(connection, _one(connection, user["name"]), seen)
        return _set_password(connection, user, made, verb="users passwd", who=who)


def own_password(number: int, before: str, password: str, *, but: int | None = None) -> UserDone:
    """Give oneself another password; the other sessions end. ``but``: the number of the session that stays."""
    access.check("account.passwd", None)
    with transaction() as connection:
        found = rows(connection, "SELECT id, name, password_hash FROM console_user WHERE id = :id", id=number)
    if not found or not fits(found[0]["password_hash"], before):
        raise Problem("password_before")
    user = found[0]
    made = hash_of(checked_password(password, user["name"]))
    with transaction() as connection:
        return _set_password(connection, user, made, verb="account passwd", but=but, fitted=user["password_hash"])


def _set_password(
    connection: Connection,
    user: Row,
    made: str,
    *,
    verb: str,
    who: str | None = None,
    but: int | None = None,
    fitted: str | None = None,
) -> UserDone:
    """Keep the hash that was made. ``fitted``: the one that the present password fitted, and that must still stand."""
    changed = connection.execute(_SET_PASSWORD, {"id": user["id"], "hash": made, "fitted": fitted}).rowcount
    if not changed:
        raise Problem("password_before") if fitted else NotThere("no_user", named=user["name"])
    ended = end_sessions(connection, user["id"], but=but)
    audit.record(connection, who=who, verb=verb, subject=subject(user["id"]), detail={"sessions": ended})
    return {"user": user["name"], "result": "changed", "sessions": ended}


def disable(name: str, *, who: str | None = None) -> UserDone:
    """Keep somebody out, from now on: their sessions end at once."""
    access.check("users.disable", None)
    with _changing() as connection:
        user = _one(connection, name)
        if user["disabled_at"] is not None:
            return {"user": user["name"], "result": "unchanged", "sessions": 0}
        _keep_an_admin(connection, user)
        connection.execute(text("UPDATE console_user SET disabled_at = now() WHERE id = :id"), {"id": user["id"]})
        ended = end_sessions(connection, user["id"])
        audit.record(connection, who=who, verb="users disable", subject=subject(user["id"]), detail={"sessions": ended})
    return {"user": user["name"], "result": "disabled", "sessions": ended}


def enable(name: str, *, who: str | None = None, seen: int | None = None) -> UserDone:
    """Let somebody in again. ``seen``: as of ``edit``; keeping out is never too late, and needs none."""
    access.check("users.enable", None)
    with _changing() as connection:
        user = _one(connection, name)
        if user["disabled_at"] is None:
            return {"user": user["name"], "result": "unchanged", "sessions": 0}
        _refuse_changed(connection, user, seen)
        connection.execute(text("UPDATE console_user SET disabled_at = NULL WHERE id = :id"), {"id": user["id"]})
        audit.record(connection, who=who, verb="users enable", subject=subject(user["id"]))
    return {"user": user["name"], "result": "enabled", "sessions": 0}


def remove(name: str, *, who: str | None = None, seen: int | None = None) -> UserDone:
    """Forget somebody, with their sessions. What they did stays in the record, under their name.

    ``seen``: as of ``edit``.
    """
    access.check("users.remove", None)
    with _changing() as connection:
        user = _one(connection, name)
        _keep_an_admin(connection, user)
        _refuse_changed(connection, user, seen)
        ended = end_sessions(connection, user["id"])
        connection.execute(text("DELETE FROM console_user WHERE id = :id"), {"id": user["id"]})
        audit.record(connection, who=who, verb="users remove", subject=subject(user["id"]), detail={"sessions": ended})
    return {"user": user["name"], "result": "removed", "sessions": ended}


def sign_out(name: str, *, who: str | None = None) -> UserDone:
    """End all sessions of somebody; they may log in again."""
    access.check("users.sign_out", None)
    with transaction() as connection:
        user = _one(connection, name)
        ended = end_sessions(connection, user["id"])
        audit.record(
            connection, who=who, verb="users sign-out", subject=subject(user["id"]), detail={"sessions": ended}
        )
    return {"user": user["name"], "result": "signed_out", "sessions": ended}


def end_sessions(connection: Connection, number: int, *, but: int | None = None) -> int:
    """End the sessions of a user, all or ``but`` one; how many."""
    return connection.execute(
        text("DELETE FROM console_session WHERE user_id = :user AND id IS DISTINCT FROM :but"),
        {"user": number, "but": but},
    ).rowcount


def forget_tenant(connection: Connection, slug: str) -> None:
    """Take a tenant that is removed away from users and tokens: another may get its slug."""
    for table in ("console_user", "api_token"):
        connection.execute(
            text(f"UPDATE {table} SET tenants = tenants - CAST(:slug AS text) WHERE tenants ? :slug"),  # noqa: S608  our own tables
            {"slug": slug},
        )


def exist(connection: Connection) -> bool:
    """Whether anybody could log in with a password, or come in with a token."""
    found = connection.execute(
        text(
            "SELECT EXISTS (SELECT 1 FROM console_user WHERE disabled_at IS NULL AND password_hash IS NOT NULL)"
            " OR EXISTS (SELECT 1 FROM api_token WHERE revoked_at IS NULL"
            "            AND (expires_at IS NULL OR expires_at > now()))"
        )
    )
    return bool(found.scalar())


# ---------------------------------------------------------------------------------------------------------- passwords


# A hash takes 64 MB and a processor for a while: more at once would take the machine from everybody else. Whoever waits
# holds no connection to the database.
_at_once = threading.BoundedSemaphore(2)


@cache
def _hasher() -> PasswordHasher:
    from argon2 import PasswordHasher  # noqa: PLC0415  for who logs in or sets one

    return PasswordHasher()


def hash_of(password: str) -> str:
    """The argon2 hash of a password."""
    with _at_once:
        return _hasher().hash(_plain(password))


def fits(stored: str | None, password: str) -> bool:
    """Whether a password is the one of a hash; without a hash it takes as long, and is not."""
    from argon2.exceptions import InvalidHashError, VerificationError  # noqa: PLC0415  as above

    compared = stored or _nobodys()
    try:
        with _at_once:
            right = _hasher().verify(compared, _plain(password))
    except (VerificationError, InvalidHashError):
        return False
    return right and stored is not None


def is_old(stored: str) -> bool:
    """Whether a hash was made with other parameters than today's."""
    return _hasher().check_needs_rehash(stored)


@cache
def _nobodys() -> str:
    """A hash that no password fits, for names that nobody has: they must take as long as any other."""
    return hash_of(secrets.token_hex(32))


def _plain(password: str) -> str:
    """The same password from any keyboard: accents may be typed as one sign or as two."""
    return unicodedata.normalize("NFC", password)


def checked_password(password: str, name: str) -> str:
    """A password that may be one: long enough, and not the name."""
    if not LEAST <= len(password) <= MOST:
        raise Problem("password_length", least=LEAST, most=MOST)
    if password.casefold() == name.casefold():
        raise Problem("password_name")
    return password


# ----------------------------------------------------------------------------------------------------- what was given


def checked_role(role: str) -> str:
    """One of the three."""
    if role not in set(Role):
        raise Problem("role_one_of", listed=", ".join(Role))
    return role


def checked_tenants(connection: Connection, tenants: Sequence[str] | None) -> list[str] | None:
    """Slugs that are there, each once, in order; None is every tenant."""
    if tenants is None:
        return None
    wanted = sorted(set(tenants))
    if not wanted:
        raise Problem("tenants_none")
    known = set(
        connection.execute(
            text("SELECT slug FROM tenant WHERE slug = ANY(:slugs)"),
            {"slugs": [one for one in wanted if _SLUG.fullmatch(one)]},
        ).scalars()
    )
    unknown = [one for one in wanted if one not in known]
    if unknown:
        raise access.no_tenant(", ".join(unknown))
    return wanted


def as_json(tenants: list[str] | None) -> str | None:
    """As the database takes it."""
    return None if tenants is None else json.dumps(tenants)


def _one(connection: Connection, name: str) -> Row:
    # The database takes no NUL.
    found = rows(connection, f"{_COLUMNS} WHERE lower(u.name) = lower(:name)", name=name) if name.isprintable() else []
    if not found:
        raise NotThere("no_user", named=name)
    return found[0]


@contextmanager
def _changing() -> Iterator[Connection]:
    """A transaction in which nobody else changes who is an admin."""
    with transaction() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": AdvisoryLock.ADMINS})
        yield connection


def _refuse_changed(connection: Connection, user: Row, seen: int | None) -> None:
    """Tell who changed a user after the version that somebody looked at; ``user`` is read under the lock."""
    if seen is None or user["version"] <= seen:
        return
    (first,) = rows(connection, _FIRST, version=user["version"])
    at = f"{first['at']:%Y-%m-%d %H:%M} UTC"
    raise AlreadyDecided("user_changed", name=user["name"], who=first["who"], at=at)


def _keep_an_admin(connection: Connection, user: Row) -> None:
    """Refuse to lose the last one who may decide about users."""
    is_one = user["role"] == Role.ADMIN and user["tenants"] is None and user["disabled_at"] is None
    if is_one and not rows(connection, _OTHER_ADMIN, user=user["id"], issuer=settings.get().oidc_issuer):
        raise Problem("last_admin", name=user["name"])
