"""Naming convention and the column kinds that every table shares."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKeyConstraint,
    Identity,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel
from ulid import ULID

NAMING_CONVENTION = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}
metadata = SQLModel.metadata
metadata.naming_convention = NAMING_CONVENTION


def utc_now() -> datetime:
    """Now, aware, in UTC."""
    return datetime.now(UTC)


def new_id() -> str:
    """A ULID: 26 letters and digits that sort by time of making."""
    return str(ULID())


def identity() -> Any:
    """Primary key counted by the database."""
    return Field(default=None, sa_column=Column(BigInteger, Identity(always=False), primary_key=True))


def instant(*, now: bool = False, nullable: bool = True) -> Any:
    """An aware UTC time; ``now`` lets the database fill it in."""
    default = text("now()") if now else None
    return Field(
        default=None,
        sa_column=Column(DateTime(timezone=True), nullable=nullable and not now, server_default=default),
    )


def json(*, default: str | None = None) -> Any:
    """A JSONB column; ``default`` is its SQL text, e.g. ``'{}'``."""
    server = text(f"'{default}'::jsonb") if default is not None else None
    return Field(
        default=None,
        sa_column=Column(JSONB(none_as_null=True), nullable=default is None, server_default=server),
    )


def listed(words: Iterable[str]) -> str:
    """Words of our own as SQL has them in a list: ``'a', 'b'``."""
    return ", ".join(f"'{word}'" for word in words)


def one_of(column: str, words: Iterable[str], *more: str) -> CheckConstraint:
    """The database takes nothing but these words (and NULL where the column may be empty)."""
    return CheckConstraint(f"{column} IN ({listed((*words, *more))})", name=column)


def referred_to() -> UniqueConstraint:
    """For a table that others of the same tenant refer to: see ``same_tenant``."""
    return UniqueConstraint("tenant_id", "id")


def same_tenant(column: str, table: str, *, ondelete: str = "CASCADE") -> ForeignKeyConstraint:
    """A reference that can't leave its tenant: the tenant is part of the key."""
    return ForeignKeyConstraint(["tenant_id", column], [f"{table}.tenant_id", f"{table}.id"], ondelete=ondelete)
