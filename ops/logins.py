"""Log in and out: attempts, their limits, and sessions.

A session is a row; its cookie is random and only its hash is kept. It says who somebody is, never what they may: that
is read from the user each time, so what an admin changes counts from the next click on.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import Connection, text

import settings
from models.advisory_locks import AdvisoryLock
from models.base import utc_now
from models.role import Role
from models.session import transaction
from ops import access, audit, users
from ops.access import Actor, acting
from ops.problems import Forbidden, Problem
from ops.tokens import hash_of

LASTS, IDLE, AT_ISSUER = timedelta(days=7), timedelta(hours=12), timedelta(minutes=10)
# Failures within the window: of one name, from one address. The next one is not tried. From where a name came in of
# late, what others guess at it elsewhere doesn't count: they would keep its owner out for as long as they like.
WINDOW = timedelta(minutes=15)
OF_NAME, OF_ADDRESS = 10, 40
# At an issuer at once, and of those from one address.
MANY_WAIT, OF_ADDRESS_WAIT = 2000, 200
TOKEN_USER = Actor("token", Role.ADMIN)

_TRY = text("INSERT INTO login_attempt (name_hash, address, failed) VALUES (:name, :address, true) RETURNING id")
_ALONE = text(
    "SELECT pg_advisory_xact_lock(:class, hashtext(:name)), pg_advisory_xact_lock(:class, hashtext(:address))"
)
_FAILED = text(
    """
    SELECT (SELECT count(*) FROM login_attempt WHERE name_hash = :name AND failed
               AND at > now() - make_interval(secs => :window)
               AND (address = :address OR NOT EXISTS (SELECT 1 FROM login_attempt k WHERE k.name_hash = :name
                                                         AND k.address = :address AND NOT k.failed))) AS of_name,
           (SELECT count(*) FROM login_attempt WHERE address = :address AND failed
               AND at > now() - make_interval(secs => :window)) AS of_address
    """
)
_WHO = text("SELECT id, name, password_hash FROM console_user WHERE lower(name) = lower(:name)")
_ENTER = text(
    """
    UPDATE console_user SET last_login_at = now(), password_hash = coalesce(CAST(:renewed AS text), password_hash)
     WHERE id = :id AND disabled_at IS NULL AND (CAST(:fitted AS text) IS NULL OR password_hash = :fitted)
    RETURNING name, role, tenants
    """
)
_OPEN = text(
    """
    INSERT INTO console_session (cookie_hash, user_id, token_print, pending, agent, address, expires_at)
    VALUES (:hash, :user, :print, CAST(:pending AS jsonb), :agent, :address, :expires_at)
    """
)
_SESSION = text(
    """
    SELECT s.id, s.user_id, s.token_print, u.name, u.role, u.tenants,
           s.seen_at < now() - interval '1 minute' AS note
      FROM console_session s LEFT JOIN console_user u ON u.id = s.user_id
     WHERE s.cookie_hash = :hash AND s.pending IS NULL AND s.expires_at > now() AND s.seen_at > :idle
       AND u.disabled_at IS NULL
    """
)

_WAITING = text(
    """
    SELECT count(*) AS waiting, count(*) FILTER (WHERE address = :address) AS of_address
      FROM console_session WHERE pending IS NOT NULL AND expires_at > now()
    """
)


@dataclass(frozen=True)
class Browser:
    """Where a request comes from; ``agent`` as it calls itself."""

    address: str
    agent: str = ""


@dataclass(frozen=True)
class Known:
    """Whoever a session belongs to. ``user`` is None for one opened with KOPPELING_LOGIN_TOKEN."""

    actor: Actor
    session: int
    user: int | None


def login(name: str, password: str, browser: Browser) -> str:
    """The cookie of a new session. Raises Problem, the same one for a wrong name and a wrong password."""
    typed = name.strip()[:200]
    token = settings.get().login_token
    attempt = _attempt(typed, browser.address)
    found = _user(typed)
    # For a name that nobody has it is the same work.
    right = users.fits(found.password_hash if found else None, password[: users.MOST + 1])
    if right and found:
        renewed = users.hash_of(password) if users.is_old(found.password_hash) else found.password_hash
        with transaction() as connection:
            cookie = enter(connection, found.id, browser, fitted=found.password_hash, renewed=renewed)
            if cookie is not None:
                _settle(connection, attempt)
                return cookie
    if token and hmac.compare_digest(password.encode(errors="replace"), token.encode()):
        with transaction() as connection:
            _settle(connection, attempt)
            return _enter_with_token(connection, token, browser)
    with transaction() as connection:
        # What was typed is kept nowhere: it may be a password in the wrong field.
        subject = users.subject(found.id) if found else None
        audit.record(
            connection,
            who=found.name if found else "unknown",
            verb="account refused",
            subject=subject,
            detail={"address": browser.address},
        )
    raise Problem("login_wrong")


def _attempt(name: str, address: str) -> int:
    """Note an attempt before it is made: many at once must not pass for one. Raises Problem at a limit.

    What is not tried is not noted: who goes on trying keeps nobody out for longer.
    """
    values: dict[str, Any] = {"name": _name_hash(name), "address": network_of(address)}
    values |= {"window": WINDOW.total_seconds(), "class": AdvisoryLock.LOGIN}
    with transaction() as connection:
        connection.execute(_ALONE, values)
        before = connection.execute(_FAILED, values).one()
        if before.of_name >= OF_NAME or before.of_address >= OF_ADDRESS:
            raise Problem("login_often", minutes=int(WINDOW.total_seconds() // 60))
        return int(connection.execute(_TRY, values).scalar_one())


def own_password(known: Known, before: str, password: str, browser: Browser) -> users.UserDone:
    """Give oneself another password; the other sessions end. Guesses at the present one count like those of a login."""
    if known.user is None:
        raise Forbidden("no_account")
    attempt = _attempt(known.actor.name, browser.address)
    try:
        done = users.own_password(known.user, before, password, but=known.session)
    except Problem as problem:
        if problem.code != "password_before":
            _forgive(attempt)
        raise
    _forgive(attempt)
    return done


def _forgive(attempt: int) -> None:
    with transaction() as connection:
        _settle(connection, attempt)


def network_of(address: str) -> str:
    """What counts as one address: without a port, and of IPv6 the first half, as whoever has one has them all."""
    try:
        told = address if address.count(":") != 1 and "[" not in address else urlsplit(f"//{address}").hostname or ""
        found = ipaddress.ip_address(told.partition("%")[0])
    except ValueError:
        return address[:100]
    if isinstance(found, ipaddress.IPv4Address):
        return str(found)
    return str(found.ipv4_mapped or ipaddress.ip_network((found, 64), strict=False))


def _settle(connection: Connection, attempt: int) -> None:
    connection.execute(text("UPDATE login_attempt SET failed = false WHERE id = :id"), {"id": attempt})


def _name_hash(name: str) -> str:
    return hashlib.sha256(name.lower().encode(errors="replace")).hexdigest()[:32]


def _user(name: str) -> Any:
    if not users.NAME.fullmatch(name):
        name = ""  # nobody's; the database takes no NUL
    with transaction() as connection:
        return connection.execute(_WHO, {"name": name}).first()


def enter(
    connection: Connection, number: int, browser: Browser, *, fitted: str | None = None, renewed: str | None = None
) -> str | None:
    """Open a session for a user who showed who they are; its cookie.

    None for one who is disabled or gone, or has another password than ``fitted``, the hash that was compared: what an
    admin did meanwhile counts. ``renewed``: the same password, hashed as today.
    """
    values = {"id": number, "fitted": fitted, "renewed": renewed}
    row = connection.execute(_ENTER, values).first()
    if row is None:
        return None
    cookie = _open(connection, browser, LASTS, user=number)
    with acting(_actor(row)):
        detail = {"address": browser.address}
        audit.record(connection, verb="account login", subject=users.subject(number), detail=detail)
    return cookie


def _enter_with_token(connection: Connection, token: str, browser: Browser) -> str:
    cookie = _open(connection, browser, LASTS, print_=print_of(token))
    with acting(TOKEN_USER):
        detail = {"address": browser.address}
        audit.record(connection, verb="account login", detail=detail)
    return cookie


def begin(pending: Mapping[str, str], browser: Browser) -> str:
    """A session that waits for what an issuer says; its cookie. Raises Problem when very many wait."""
    with transaction() as connection:
        whence = Browser(network_of(browser.address), browser.agent)
        found = connection.execute(_WAITING, {"address": whence.address}).one()
        if found.waiting >= MANY_WAIT or found.of_address >= OF_ADDRESS_WAIT:  # anybody can begin one
            raise Problem("login_often", minutes=int(AT_ISSUER.total_seconds() // 60))
        return _open(connection, whence, AT_ISSUER, pending=pending)


def take_pending(cookie: str) -> dict[str, str] | None:
    """What was kept with ``begin``, once: the session that waited is gone with it."""
    with transaction() as connection:
        found = connection.execute(
            text(
                "DELETE FROM console_session WHERE cookie_hash = :hash AND pending IS NOT NULL AND expires_at > now()"
                " RETURNING pending"
            ),
            {"hash": hash_of(cookie)},
        ).scalar()
    return dict(found) if found else None


def _open(
    connection: Connection,
    browser: Browser,
    lasts: timedelta,
    *,
    user: int | None = None,
    print_: str | None = None,
    pending: Mapping[str, str] | None = None,
) -> str:
    cookie = secrets.token_urlsafe(32)
    values = {
        "hash": hash_of(cookie),
        "user": user,
        "print": print_,
        "pending": json.dumps(dict(pending)) if pending is not None else None,
        "agent": "".join(sign for sign in browser.agent if sign.isprintable())[:200],
        "address": browser.address[:100],
        "expires_at": utc_now() + lasts,
    }
    connection.execute(_OPEN, values)
    return cookie


def known(cookie: str) -> Known | None:
    """Who a cookie belongs to; None for one that is unknown, old, idle for too long, or of somebody disabled."""
    if not 20 <= len(cookie) <= 100:
        return None
    with transaction() as connection:
        row = connection.execute(_SESSION, {"hash": hash_of(cookie), "idle": utc_now() - IDLE}).first()
        if row is None:
            return None
        if row.note:
            connection.execute(text("UPDATE console_session SET seen_at = now() WHERE id = :id"), {"id": row.id})
    if row.user_id is not None:
        return Known(_actor(row), row.id, row.user_id)
    token = settings.get().login_token
    if token and row.token_print and hmac.compare_digest(row.token_print, print_of(token)):
        return Known(TOKEN_USER, row.id, None)
    return None


def _actor(row: Any) -> Actor:
    return Actor(row.name, Role(row.role), frozenset(row.tenants) if row.tenants is not None else None)


def print_of(token: str) -> str:
    """By which a session knows that KOPPELING_LOGIN_TOKEN is still the same: too short to find it by trying."""
    return hashlib.sha256(b"koppeling login token " + token.encode()).hexdigest()[:8]


def logout(cookie: str) -> None:
    """End the session of a cookie. One that is over already is left so."""
    with transaction() as connection:
        connection.execute(text("DELETE FROM console_session WHERE cookie_hash = :hash"), {"hash": hash_of(cookie)})


def end(number: int, user: int) -> bool:
    """End one session of a user's own; False when it was over."""
    access.check("account.logout", None)
    with transaction() as connection:
        gone = connection.execute(
            text("DELETE FROM console_session WHERE id = :id AND user_id = :user"), {"id": number, "user": user}
        ).rowcount
    return bool(gone)


def sign_out_everywhere(user: int) -> int:
    """End all sessions of a user's own, this one too; how many."""
    access.check("account.logout", None)
    with transaction() as connection:
        ended = users.end_sessions(connection, user)
        audit.record(connection, verb="account logout", subject=users.subject(user), detail={"sessions": ended})
    return ended
