"""Show what runs would do, without doing it: the producers' own plan, read fresh, nothing sent."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from sqlmodel import select

from clients.errors import RemoteError, Unauthorized
from clients.http import clean
from models.base import new_id
from models.run import RunStatus
from models.session import session, transaction
from models.tenant import Direction, Tenant
from ops.runs import history, start
from producers.completions import producer
from producers.enrollments import producer as enrollments
from producers.enrollments.preview import PreviewOver

_NOTHING: dict[str, Any] = {
    **{"reason": None, "snapshot": None, "reasons": [], "courses": [], "rows": 0, "outcomes": {}, "seconds": None},
    **{"removed": 0, "held_removals": 0, "pending_removals": 0, "calls_afas": 0, "calls_pluvo": 0, "id": None},
}


def document(
    direction: Direction,
    slugs: Sequence[str],
    *,
    everyone: bool,
    options: dict[str, Any],
    watch: Callable[[str], None] = lambda slug: None,
) -> dict[str, Any]:
    """``{"batch", "runs": […]}`` where each run has a ``plan`` and, before a first sync, an ``adoption``."""
    with transaction() as connection:
        chosen = start.chosen(connection, slugs, everyone, direction)
    told = []
    for tenant in chosen:
        watch(tenant["slug"])
        told.append(_one(direction, tenant, options))
    return {"batch": new_id(), "runs": told}


def _one(direction: Direction, tenant: dict[str, Any], options: dict[str, Any]) -> dict[str, Any]:
    names = {"tenant": tenant["slug"], "direction": direction}
    try:
        if direction == Direction.ENROLLMENTS:
            return _enrollments(names, tenant["id"], options)
        return _completions(names, tenant["id"], options)
    except RemoteError as error:
        status = RunStatus.QUARANTINED if isinstance(error, Unauthorized) else RunStatus.FAILED
        told = history.document(
            _NOTHING | names | {"status": status, "reason": f"{error.code}: {clean(error.message)}"}
        )
        return told | {"plan": {"hash": None, "lines": []}}
    except PreviewOver:
        reason = "somebody was erased, or the tenant removed, while it was reading: run it again"
        told = history.document(_NOTHING | names | {"status": RunStatus.FAILED, "reason": reason})
        return told | {"plan": {"hash": None, "lines": []}}


def _enrollments(names: dict[str, Any], tenant: int, options: dict[str, Any]) -> dict[str, Any]:
    found = enrollments.preview(tenant, options)
    told = history.document(
        _NOTHING
        | names
        | {
            **{"id": found.run_id, "status": RunStatus.DRY_RUN, "snapshot": found.snapshot, "reasons": found.reasons},
            **{"courses": found.courses, "rows": found.rows, "outcomes": found.outcomes, "removed": found.removals},
            **{"held_removals": found.held_removals, "pending_removals": found.unconfirmed},
            **{"calls_afas": found.calls["afas"], "calls_pluvo": found.calls["pluvo"]},
        }
    )
    adoption = asdict(found.adoption) if found.adoption else None
    return told | {"plan": {"hash": found.hash, "lines": found.lines}, "adoption": adoption}


def _completions(names: dict[str, Any], tenant: int, options: dict[str, Any]) -> dict[str, Any]:
    with session() as opened:
        stored = opened.exec(select(Tenant).where(Tenant.id == tenant)).one()
    found = producer.preview(stored, options)
    told = history.document(
        _NOTHING
        | names
        | {
            **{"status": RunStatus.DRY_RUN, "snapshot": found.snapshot, "reasons": found.reasons},
            **{"courses": found.courses, "rows": found.rows, "outcomes": found.outcomes},
            **{"calls_afas": found.calls["afas"], "calls_pluvo": found.calls["pluvo"]},
        }
    )
    return told | {"plan": {"hash": found.hash, "lines": found.lines}}
