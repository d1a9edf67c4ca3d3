"""Who may come into the console and the API: users with their sessions, tokens, and attempts to log in.

Secrets are kept as hashes alone: a password as argon2 makes it; of a session's cookie and of a token, which are random,
the SHA-256.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Column, ForeignKey, Index, UniqueConstraint, text
from sqlmodel import Field, SQLModel

from models.base import identity, instant, json, one_of
from models.role import Role


class User(SQLModel, table=True):
    """Somebody who logs in with a password, or through an issuer of OpenID Connect who knows them as ``subject``."""

    __tablename__ = "console_user"
    __table_args__ = (
        one_of("role", Role),
        UniqueConstraint("issuer", "subject"),
        Index("uq_console_user_name", text("lower(name)"), unique=True),
    )

    id: int | None = identity()
    name: str = Field(max_length=100)
    role: str
    # Slugs; null is every tenant
    tenants: list[str] | None = json()
    password_hash: str | None = None
    issuer: str | None = None
    subject: str | None = None
    created_at: datetime | None = instant(now=True)
    created_by: str
    password_at: datetime | None = instant()
    disabled_at: datetime | None = instant()
    last_login_at: datetime | None = instant()


class ConsoleSession(SQLModel, table=True):
    """A browser that logged in, or is about to at an issuer. Deleting the row ends it at once."""

    __tablename__ = "console_session"
    __table_args__ = (Index(None, "user_id"), Index(None, "expires_at"))

    id: int | None = identity()
    cookie_hash: str = Field(unique=True)
    # None: opened with KOPPELING_LOGIN_TOKEN, or not logged in yet
    user_id: int | None = Field(
        default=None, sa_column=Column(BigInteger, ForeignKey("console_user.id", ondelete="CASCADE"), nullable=True)
    )
    # Of the KOPPELING_LOGIN_TOKEN that it was opened with: another one ends it
    token_print: str | None = None
    # While somebody is at the issuer: {"state", "nonce", "verifier", "next"}
    pending: dict[str, Any] | None = json()
    # As the browser calls itself, shortened; where it came from
    agent: str | None = None
    address: str | None = None
    created_at: datetime | None = instant(now=True)
    seen_at: datetime | None = instant(now=True)
    expires_at: datetime | None = instant(nullable=False)


class ApiToken(SQLModel, table=True):
    """A token for the API, ``kop_…``: shown once, when it is made."""

    __tablename__ = "api_token"
    __table_args__ = (one_of("role", Role),)

    id: int | None = identity()
    name: str = Field(max_length=100)
    # How it begins, to recognise it by
    begins: str
    token_hash: str = Field(unique=True)
    role: str
    # Slugs; null is every tenant
    tenants: list[str] | None = json()
    created_at: datetime | None = instant(now=True)
    created_by: str
    # Null: it does not end by itself
    expires_at: datetime | None = instant()
    last_used_at: datetime | None = instant()
    revoked_at: datetime | None = instant()


class LoginAttempt(SQLModel, table=True):
    """Somebody tried to log in. Of the name only a hash: people type passwords there."""

    __tablename__ = "login_attempt"
    __table_args__ = (Index(None, "name_hash", "at"), Index(None, "address", "at"), Index(None, "at"))

    id: int | None = identity()
    name_hash: str
    address: str
    failed: bool = True
    at: datetime | None = instant(now=True)
