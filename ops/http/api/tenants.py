"""``/api/tenants``"""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any, NotRequired

from fastapi import APIRouter, Query
from pydantic import Field, JsonValue
from typing_extensions import TypedDict

from ops import access, quality
from ops.http.api.answers import Document
from ops.http.api.inputs import SLUG, Body, Cursor, DirectionText, EventId, Limit, Reason, Slug, example
from ops.http.api.need import need
from ops.problems import First, Problem
from ops.tenants import export, importing, insight, manage
from ops.tenants import file as tenants_file

router = APIRouter(tags=["tenants"])


class Health(TypedDict):
    """Of one direction. ``state``: new, healthy, degraded, paused or quarantined."""

    state: str | None
    reason: str | None
    since: datetime | None
    next_run_at: datetime | None
    probe_at: datetime | None
    wait_until: datetime | None
    last_run: str | None


class TenantItem(TypedDict):
    """A tenant in a listing. ``afas_ends``: the last day of the credentials of AFAS, where somebody knows it."""

    slug: str
    tenant: str
    name: str
    environment: str | None
    afas_ends: date | None
    enrollments: Health
    completions: Health
    last_run: str | None
    last_run_at: datetime | None
    next_run_at: datetime | None
    blackout_until: datetime | None


class TenantPage(TypedDict):
    """Tenants by slug."""

    items: list[TenantItem]
    next: str | None


class TenantShown(TenantItem):
    """A tenant with its settings. ``secrets`` says which are stored, never what they are."""

    timezone: str
    interval_seconds: int
    blackout: list[dict[str, Any]]
    afas: dict[str, Any]
    pluvo: dict[str, Any]
    removals: dict[str, Any]
    alerts: dict[str, Any]
    course_defaults: dict[str, Any] | None
    course_rules: list[dict[str, Any]]
    envid: str | None
    settings_version: int
    first_complete_at: datetime | None
    secrets: dict[str, bool]
    courses: list[dict[str, Any]]
    usage: list[insight.Usage]
    calls_today: dict[str, int]
    credentials: list[insight.Credential]
    quality: list[dict[str, Any]]
    links: dict[str, int]


class ImportedPage(TypedDict):
    """What an import did, or would do, with each tenant."""

    items: list[importing.ImportDocument]


class TenantFile(TypedDict):
    """The tenants file of one tenant, without secrets (TOML)."""

    tenant: str
    file: str


class Paused(TypedDict):
    """The directions that were not paused before; where there is none, ``first`` is who paused them."""

    tenant: str
    paused: list[str]
    first: NotRequired[First]


class Resumed(TypedDict):
    """The directions that were paused or quarantined; where there is none, ``first`` is who resumed them last."""

    tenant: str
    resumed: list[str]
    first: NotRequired[First]


class Removed(TypedDict):
    """How many rows went, by table."""

    tenant: str
    erased: int
    tables: dict[str, int]


class Import(Body):
    """The tenants file as JSON: ``tenants`` as its ``[[tenants]]``; a secret is text here."""

    model_config = example(
        tenants=[
            {
                "slug": "acme",
                "name": "Acme Opleidingen",
                "afas": {"member_id": "12345", "client_id": "…", "client_secret": "…"},
                "pluvo": {"organisation": "acme", "client_id": "…", "client_secret": "…"},
            }
        ]
    )

    tenants: Annotated[list[dict[str, JsonValue]], Field(min_length=1, max_length=200)]


class Pause(Body):
    """Both directions where none is named."""

    reason: Reason
    direction: DirectionText | None = None


class Resume(Body):
    """Both directions where none is named."""

    model_config = example()

    direction: DirectionText | None = None


@router.get("/tenants", response_model=TenantPage, summary="List the tenants", dependencies=[need("tenants.read")])
def list_tenants(limit: Limit = 100, cursor: Cursor = None) -> Document:
    """By slug, with the health of both directions, last and next run."""
    return Document(manage.listing(limit, cursor).document())


@router.post(
    "/tenants/import",
    response_model=ImportedPage,
    summary="Create or change tenants",
    dependencies=[need("tenants.import")],
)
def import_tenants(given: Import) -> Document:
    """By slug: all of it or nothing. A secret that is left out stays as it is stored. See docs/tenants-file.md."""
    return _imported(given)


@router.post(
    "/tenants/import/preview",
    response_model=ImportedPage,
    summary="Preview an import of tenants",
    dependencies=[need("tenants.import")],
)
def preview_import(given: Import) -> Document:
    """What it would change, and whom it concerns that events are switched off; nothing is stored."""
    return _imported(given, dry_run=True)


def _imported(given: Import, *, dry_run: bool = False) -> Document:
    specs = tenants_file.judge({"tenants": given.tenants}, keep_secrets=True)
    done = importing.apply(specs, access.actor().name, dry_run=dry_run)
    return Document({"items": [one.document() for one in done]})


@router.get("/tenants/{slug}", response_model=TenantShown, summary="Show a tenant", dependencies=[need("tenants.read")])
def show_tenant(slug: Slug) -> Document:
    """Its settings, courses and health; of secrets only whether they are there."""
    return Document(insight.shown(slug))


@router.get(
    "/tenants/{slug}/file",
    response_model=TenantFile,
    summary="The tenants file of a tenant",
    dependencies=[need("tenants.export")],
)
def export_tenant(slug: Slug) -> Document:
    """It names environment variables for secrets, which are never shown."""
    return Document({"tenant": slug, "file": export.exported(slug)})


@router.post(
    "/tenants/{slug}/pause", response_model=Paused, summary="Pause a tenant", dependencies=[need("tenants.pause")]
)
def pause_tenant(slug: Slug, given: Pause) -> Document:
    """Until it is resumed. Nothing is lost: its work waits."""
    paused = manage.pause(slug, reason=given.reason, direction=given.direction, who=access.actor().name)
    first = None if paused else manage.paused_by(slug)
    return Document({"tenant": slug, "paused": paused} | ({"first": first} if first else {}))


@router.post(
    "/tenants/{slug}/resume", response_model=Resumed, summary="Resume a tenant", dependencies=[need("tenants.resume")]
)
def resume_tenant(slug: Slug, given: Resume) -> Document:
    """End a pause, or a quarantine, at once; begin the timetable of a new tenant."""
    resumed = manage.resume(slug, direction=given.direction, who=access.actor().name)
    first = None if resumed else manage.resumed_by(slug)
    return Document({"tenant": slug, "resumed": resumed} | ({"first": first} if first else {}))


@router.get(
    "/tenants/{slug}/courses/{event_id}",
    response_model=insight.CourseInsight,
    summary="Show a course",
    dependencies=[need("courses.read")],
)
def show_course(slug: Slug, event_id: EventId) -> Document:
    """Its columns, where its people go, rows read over time, what is held and rejected."""
    return Document(insight.course(slug, event_id))


@router.get(
    "/tenants/{slug}/quality",
    response_model=quality.Quality,
    summary="What is to be put right in AFAS",
    dependencies=[need("quality.read")],
)
def show_quality(slug: Slug) -> Document:
    """Of what the last runs stored: who, in which event, and what it is."""
    return Document(quality.document(slug))


@router.delete(
    "/tenants/{slug}", response_model=Removed, summary="Remove a tenant", dependencies=[need("tenants.remove")]
)
def remove_tenant(
    slug: Slug, confirm: Annotated[str, Query(pattern=SLUG, max_length=40, description="The slug once more.")]
) -> Document:
    """Erase everything of it here, its history too. Nothing changes in AFAS or Pluvo."""
    if confirm != slug:
        raise Problem("confirm_slug", slug=slug)
    gone = manage.remove(slug, who=access.actor().name)
    return Document({"tenant": slug, "erased": sum(gone.values()), "tables": gone})
