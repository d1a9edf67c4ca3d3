"""A tenant that somebody is setting up, as far as they came: gone once it is stored as a tenant."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Column
from sqlmodel import Field, SQLModel

from models.base import identity, instant, json
from models.crypto import Encrypted, bind_secrets


class Onboarding(SQLModel, table=True):
    """Answers by the names of their questions (``ops/tenants/onboarding.py``), and what both systems said to them."""

    __tablename__ = "onboarding"

    id: int | None = identity()
    # Of the tenant to be. Never another one: the secrets are bound to it.
    slug: str = Field(unique=True, max_length=40)
    answers: dict[str, Any] = json(default="{}")
    # Connectors, columns, fields and events that AFAS showed: names and numbers, nobody's data.
    facts: dict[str, Any] = json(default="{}")
    # JSON: question → secret
    draft_secrets: str | None = Field(default=None, sa_column=Column(Encrypted, nullable=True))
    who: str
    created_at: datetime | None = instant(now=True)
    updated_at: datetime | None = instant(now=True)


bind_secrets(Onboarding, owner="slug")
