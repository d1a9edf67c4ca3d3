"""One customer: an AFAS environment with a Pluvo organisation, and how each of its two directions is doing."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Column, ForeignKey, Integer, UniqueConstraint, text
from sqlmodel import Field, SQLModel

from models.base import identity, instant, json, one_of
from models.course_settings import CourseDefaults, CourseRule
from models.crypto import Encrypted, bind_secrets
from models.direction import Direction, Health
from models.tenant_settings import AfasSettings, AlertSettings, Blackout, PluvoSettings, RemovalSettings, stored

# The policy for leavers under which accounts made by us go to Pluvo's archive.
ARCHIVING = "unenroll_and_archive"


class Tenant(SQLModel, table=True):
    """Settings as imported from the tenants file; secrets encrypted."""

    __tablename__ = "tenant"

    id: int | None = identity()
    # Never another one: the secrets are bound to it.
    slug: str = Field(unique=True, max_length=40)
    name: str
    timezone: str
    interval_seconds: int
    afas: AfasSettings = stored(AfasSettings)
    pluvo: PluvoSettings = stored(PluvoSettings)
    removals: RemovalSettings = stored(RemovalSettings, default="{}")
    alerts: AlertSettings = stored(AlertSettings, default="{}")
    blackout: list[Blackout] = stored(Blackout, many=True, default="[]")
    course_defaults: CourseDefaults = stored(CourseDefaults, default="{}")
    course_rules: list[CourseRule] = stored(CourseRule, many=True, default="[]")
    afas_client_secret: str | None = Field(default=None, sa_column=Column(Encrypted, nullable=True))
    afas_token: str | None = Field(default=None, sa_column=Column(Encrypted, nullable=True))
    pluvo_client_secret: str | None = Field(default=None, sa_column=Column(Encrypted, nullable=True))
    webhook_secret: str | None = Field(default=None, sa_column=Column(Encrypted, nullable=True))
    # What alerts that go to a webhook are signed with
    alerts_secret: str | None = Field(default=None, sa_column=Column(Encrypted, nullable=True))
    # Rises when anything above changes: what was refused under older settings may be tried again.
    settings_version: int = Field(default=1, sa_column=Column(Integer, nullable=False, server_default=text("1")))
    # The environment id AFAS named at the first complete read. Another one later means another environment.
    envid: str | None = None
    first_complete_at: datetime | None = instant()
    created_at: datetime | None = instant(now=True)
    updated_at: datetime | None = instant(now=True)


bind_secrets(Tenant, owner="slug")


class TenantDirection(SQLModel, table=True):
    """Health and timetable of one direction of one tenant."""

    __tablename__ = "tenant_direction"
    __table_args__ = (
        UniqueConstraint("tenant_id", "direction"),
        one_of("direction", Direction),
        one_of("state", Health),
        {"postgresql_with": {"fillfactor": 70}},
    )

    id: int | None = identity()
    tenant_id: int = Field(sa_column=Column(ForeignKey("tenant.id", ondelete="CASCADE"), nullable=False))
    direction: str
    state: str = Field(default=Health.HEALTHY, sa_column_kwargs={"server_default": text("'healthy'")})
    reason: str | None = None
    since: datetime | None = instant(now=True)
    # Quarantine: when the next probe may go, how many went, and the call that began it: a dead letter's ``last_call``
    # with {"kind", "system", "call", "access", "code", "text"} besides.
    probe_at: datetime | None = instant()
    probes: int = Field(default=0, sa_column=Column(Integer, nullable=False, server_default=text("0")))
    first_call: dict[str, Any] | None = json()
    # Told to wait (429, 503 with Retry-After): no worker anywhere calls before this.
    wait_until: datetime | None = instant()
    # Messages in a row that ended because the other side did not answer in time.
    timeouts: int = Field(default=0, sa_column=Column(Integer, nullable=False, server_default=text("0")))
    next_run_at: datetime | None = instant()
    last_run_id: str | None = None
    last_full_at: datetime | None = instant()
