"""Show what runs would do, without doing it: the producers' own plan, read fresh, nothing sent."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

from sqlmodel import select

from clients.errors import RemoteError, Unauthorized
from clients.http import clean
from models.base import new_id
from models.direction import Direction
from models.run import RunOptions, RunStatus
from models.session import session, transaction
from models.tenant import Tenant
from ops import access
from ops.documents import Adoption, Batch, Calls, CourseRead, PlannedLine, RunDocument
from ops.runs import history, start
from ops.runs.spool import Spool
from producers.completions import producer as completions
from producers.completions.preview import Preview as CompletionsPreview
from producers.enrollments.preview import Preview as EnrollmentsPreview
from producers.enrollments.preview import PreviewOver
from producers.enrollments.preview import preview as preview_enrollments
from producers.runs.keep import Keep


def document(
    direction: Direction,
    slugs: Sequence[str],
    *,
    everyone: bool,
    options: RunOptions,
    watch: Callable[[str], None] = lambda slug: None,
) -> Batch:
    """Each run has a ``plan`` and, before a first sync, an ``adoption``."""
    access.need("sync.preview" if direction == Direction.ENROLLMENTS else "completions.preview")
    with transaction() as connection:
        chosen = start.chosen(connection, slugs, everyone, direction)
    told, spool = [], Spool()
    for tenant in chosen:
        watch(tenant.slug)
        told.append(_one(direction, tenant, options, spool.keep))
    return {"batch": new_id(), "runs": told}


def _one(direction: Direction, tenant: start.Chosen, options: RunOptions, keep: Keep) -> RunDocument:
    try:
        if direction == Direction.ENROLLMENTS:
            return _enrollments(tenant, options, keep)
        return _completions(tenant, options, keep)
    except RemoteError as error:
        status = RunStatus.QUARANTINED if isinstance(error, Unauthorized) else RunStatus.FAILED
        reason = f"{error.code}: {clean(error.message)}"
    except PreviewOver:
        status = RunStatus.FAILED
        reason = "somebody was erased, or the tenant removed, while it was reading: run it again"
    return history.without_run(tenant.slug, direction, status, reason) | {"plan": {"hash": None, "lines": []}}


def _enrollments(tenant: start.Chosen, options: RunOptions, keep: Keep) -> RunDocument:
    found = preview_enrollments(tenant.id, options, keep)
    told = _told(tenant.slug, Direction.ENROLLMENTS, found)
    told |= {"run": found.run_id, "unlinked": found.unlinked, "removed": found.removals}
    told |= {"held_removals": found.held_removals, "pending_removals": found.unconfirmed}
    return told | {"adoption": cast(Adoption, {**vars(found.adoption)}) if found.adoption else None}


def _completions(tenant: start.Chosen, options: RunOptions, keep: Keep) -> RunDocument:
    with session() as opened:
        stored = opened.exec(select(Tenant).where(Tenant.id == tenant.id)).one()
    return _told(tenant.slug, Direction.COMPLETIONS, completions.preview(stored, options, keep))


def _told(slug: str, direction: Direction, found: EnrollmentsPreview | CompletionsPreview) -> RunDocument:
    return history.without_run(slug, direction, RunStatus.DRY_RUN) | {
        "snapshot": found.snapshot,
        "reasons": found.reasons,
        "courses": cast(list[CourseRead], found.courses),
        "rows": found.rows,
        "outcomes": history.named(direction, found.outcomes),
        "calls": cast(Calls, found.calls),
        "plan": {"hash": found.hash, "lines": cast(Sequence[PlannedLine], found.lines)},
    }
