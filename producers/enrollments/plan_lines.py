"""The lines of a plan: one for each row that needs something, and one for each removal.

``todo`` carries what the commit needs beyond what a person wants to read:
``{"name", "email", "email_folded", "external_id", "fp", "match", "person": this line changes the account,
"send": a message goes, "full": look at Pluvo whatever was told before, "after": internal id whose line must be done
first, "park": {"reason", "candidates"}, "remove", "archive", "blocked",
"take_out": somebody who stays leaves a place they were put before}``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Connection, text

from producers.runs.context import RunContext

PLANNED = "planned"

_INSERT = text(
    """
    INSERT INTO plan_line (run_id, tenant_id, course_id, enrollment_id, event_id, internal_id, is_row, action, kind,
                           outcome, reason, before, after, todo)
    SELECT :run, :tenant, r.course_id, r.enrollment_id, r.event_id, r.internal_id, r.is_row, r.action, r.kind,
           r.outcome, r.reason, r.before, r.after, r.todo
      FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(
           course_id bigint, enrollment_id bigint, event_id text, internal_id text, is_row boolean, action text,
           kind text, outcome text, reason text, before jsonb, after jsonb, todo jsonb)
    """
)
_REJECTED = text(
    """
    INSERT INTO plan_line (run_id, tenant_id, course_id, event_id, internal_id, is_row, action, outcome, reason, after)
    SELECT s.run_id, s.tenant_id, s.course_id, c.event_id, s.internal_id, true, 'none', 'rejected', s.reason,
           jsonb_build_object('name', s.name, 'email', s.email)
      FROM snapshot_row s JOIN course c ON c.id = s.course_id
     WHERE s.run_id = :run AND s.course_id = :course AND s.row_state = 'rejected'
     ORDER BY s.position
    """
)


@dataclass(frozen=True)
class Line:
    """One line of a plan."""

    course_id: int
    event_id: str
    internal_id: str
    action: str
    outcome: str
    reason: str | None = None
    enrollment_id: int | None = None
    is_row: bool = True
    kind: str | None = None
    before: dict[str, Any] | None = None
    after: dict[str, Any] | None = None
    todo: dict[str, Any] | None = None


def store(connection: Connection, context: RunContext, lines: Iterable[Line]) -> int:
    """Write lines; returns how many."""
    rows = [asdict(line) for line in lines]
    if rows:
        connection.execute(_INSERT, {"run": context.run_id, "tenant": context.tenant_id, "rows": json.dumps(rows)})
    return len(rows)


def store_rejected(connection: Connection, context: RunContext, course_id: int) -> None:
    """A line for each row that can't be used as it is."""
    connection.execute(_REJECTED, {"run": context.run_id, "course": course_id})


def our_ref(member_id: str, internal_id: str) -> str:
    """The ref of accounts made by us: it finds them back after a lost answer."""
    return f"afas:{member_id}:{internal_id}"


_HASH = text(
    """
    SELECT event_id, internal_id, action, outcome, before, after FROM plan_line
     WHERE run_id = :run ORDER BY event_id, internal_id, id
    """
)


def plan_hash(connection: Connection, run_id: str) -> str:
    """The plan's fingerprint: the same lines give the same hash, whatever run they are in."""
    digest = hashlib.sha256()
    for row in connection.execution_options(yield_per=1000).execute(_HASH, {"run": run_id}):
        digest.update(json.dumps(list(row), sort_keys=True, ensure_ascii=False).encode())
    return digest.hexdigest()[:32]
