"""Someone in AFAS, and the link to a Pluvo user: the ID mapping."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Index, Integer, UniqueConstraint, text
from sqlmodel import Field, SQLModel

from models.base import identity, instant, json, one_of, referred_to, same_tenant
from models.folding import SQL_SEARCH


class LinkState(StrEnum):
    LINKED = "linked"
    AMBIGUOUS = "ambiguous"
    IGNORED = "ignored"
    LEFT = "left"


class LinkedBy(StrEnum):
    AFAS_ID = "afas_id"
    EMAIL = "email"
    CREATED = "created"
    OPERATOR = "operator"


class Decision(StrEnum):
    """What an operator may decide about an ambiguous person."""

    LINK = "link"
    CREATE = "create"
    IGNORE = "ignore"


class AccountFrom(StrEnum):
    """Where the account of someone without a link comes from: a new one, one in Pluvo, or that of another person."""

    CREATE = "create"
    LINK = "link"
    SHARE = "share"


class Person(SQLModel, table=True):
    """Identity = (tenant, internal id). Desired name and address, and what Pluvo was last told."""

    __tablename__ = "person"
    __table_args__ = (
        UniqueConstraint("tenant_id", "internal_id"),
        referred_to(),
        Index(None, "tenant_id", "email_folded"),
        Index(None, "tenant_id", "external_id"),
        one_of("match", AccountFrom),
        one_of("match_by", LinkedBy),
        # `people search`. Where the database's user may not create pg_trgm this index is another one, or none.
        # (alembic says that it can't compare it; tests/migrations/test_constraints.py does.)
        Index("ix_person_search", text(f"{SQL_SEARCH} gin_trgm_ops"), postgresql_using="gin"),
        # People who wait for the account of another person. Nobody else's decision touches an index.
        Index("ix_person_sharing", "tenant_id", "match_with", postgresql_where=text("match_with IS NOT NULL")),
        # What is noted about a person, several times for each change, is written beside the row.
        {"postgresql_with": {"fillfactor": 70}},
    )

    id: int | None = identity()
    tenant_id: int = Field(sa_column=Column(ForeignKey("tenant.id", ondelete="CASCADE"), nullable=False))
    internal_id: str
    external_id: str | None = None
    name: str | None = None
    email: str | None = None
    email_folded: str | None = None
    # Rises when name or address change.
    version: int = Field(default=0, sa_column=Column(BigInteger, nullable=False, server_default=text("0")))
    applied_version: int | None = Field(default=None, sa_column=Column(BigInteger))
    applied_name: str | None = None
    applied_email: str | None = None
    # What the plan decided for someone without a link: an ``AccountFrom``, null with the link. For "link" the account
    # and what it was found by, for "share" the internal id of the person who has or gets the account.
    match: str | None = None
    match_account: str | None = None
    match_by: str | None = None
    match_with: str | None = None
    # Accounts that an operator took from them. The AFAS id there may be one that we wrote: it is no evidence any more.
    not_theirs: list[str] = json(default="[]")
    # Reserved before an account is created, cleared with the link: a crash in between means "look before repeating".
    intent_at: datetime | None = instant()
    invited_at: datetime | None = instant()
    seen_at: datetime | None = instant()
    created_at: datetime | None = instant(now=True)


class Link(SQLModel, table=True):
    """AFAS person ↔ Pluvo user. Never moves by itself."""

    __tablename__ = "link"
    __table_args__ = (
        UniqueConstraint("person_id"),
        same_tenant("person_id", "person"),
        one_of("state", LinkState),
        one_of("linked_by", LinkedBy),
        one_of("decision", Decision),
        Index(None, "tenant_id", "pluvo_id"),
        Index(None, "tenant_id", "state"),
        # The few that are listed of all tenants
        Index("ix_link_state", "state", "person_id", postgresql_where=text("state <> 'linked'")),
    )

    id: int | None = identity()
    tenant_id: int = Field(sa_column=Column(ForeignKey("tenant.id", ondelete="CASCADE"), nullable=False))
    person_id: int = Field(sa_column=Column(BigInteger, nullable=False))
    pluvo_id: str | None = None
    ref: str | None = None
    state: str
    linked_by: str | None = None
    reason: str | None = None
    # [{"pluvo_id", "name", "email", "archived", "linked_to" (internal id or null)}]
    candidates: list[dict[str, Any]] = json(default="[]")
    # What an operator decided for an ambiguous person; remembered for ever.
    decision: str | None = None
    # Only accounts made by us may ever be archived by us.
    created_by_us: bool = Field(default=False, sa_column=Column(Boolean, nullable=False, server_default=text("false")))
    archived: bool = Field(default=False, sa_column=Column(Boolean, nullable=False, server_default=text("false")))
    revision: int = Field(default=1, sa_column=Column(Integer, nullable=False, server_default=text("1")))
    created_at: datetime | None = instant(now=True)
    updated_at: datetime | None = instant(now=True)
