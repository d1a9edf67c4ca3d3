"""Several tenants at once, chosen on a page: run or pause them. Nothing is begun unless all of it can be."""

from __future__ import annotations

from collections.abc import Sequence

from models.direction import Direction
from models.session import transaction
from ops import access, audit, lookup
from ops.language import Words
from ops.problems import AlreadyDecided, Problem
from ops.runs import start
from ops.tenants import manage


def run(slugs: Sequence[str], direction: str | None) -> list[str]:
    """Ask for a run of each, in one or both directions; the runs' ids. Raises Problem when one of them is paused."""
    ways = [lookup.direction(direction)] if direction else list(Direction)
    for way in ways:
        access.need("sync.start" if way == Direction.ENROLLMENTS else "completions.start")
    with transaction() as connection:
        for way in ways:
            start.chosen(connection, slugs, False, way)
    begun = [start.start(way, slugs, everyone=False, options={}, need_worker=False) for way in ways]
    return [run for one in begun for run in one.run_ids]


def pause(slugs: Sequence[str], direction: str | None, *, reason: str) -> int:
    """Pause each; how many directions were not paused before. Raises AlreadyDecided where all of them were."""
    if not slugs:
        raise Problem("name_tenants")
    audit.need_reason(reason, Words("why.paused"))
    with transaction() as connection:
        for slug in slugs:
            access.check("tenants.pause", slug)
            lookup.tenant_id(connection, slug)
    who = access.actor().name
    paused = sum(len(manage.pause(slug, reason=reason, direction=direction, who=who)) for slug in slugs)
    if not paused:
        raise AlreadyDecided("paused_already", slug=slugs[0], first=audit.by(manage.paused_by(slugs[0])))
    return paused


def run_person(slug: str, internal_id: str) -> str:
    """Ask for an enrollment run of one person alone; its id. Raises Problem without a worker or while paused."""
    access.check("sync.person", slug)
    options = start.enrollment_options([slug], everyone=False, full=False, person=internal_id)
    begun = start.start(Direction.ENROLLMENTS, [slug], everyone=False, options=options, need_worker=True)
    return begun.run_ids[0]
