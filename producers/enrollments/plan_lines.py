"""The lines of a plan: one for each row that needs something, and one for each removal."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypedDict

from sqlalchemy import Connection, text

from producers.enrollments.matching import ShownAccount
from producers.runs.context import RunContext

PLANNED = "planned"

_INSERT = text(
    """
    INSERT INTO plan_line (run_id, tenant_id, course_id, enrollment_id, event_id, internal_id, is_row, action, kind,
                           outcome, reason, before, after, fingerprint, changes_person, name, email, email_folded,
                           external_id, match, match_account, match_by, match_with, after_person, "full", archive)
    SELECT :run, :tenant, r.*
      FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(
           course_id bigint, enrollment_id bigint, event_id text, internal_id text, is_row boolean, action text,
           kind text, outcome text, reason text, before jsonb, after jsonb, fingerprint text, changes_person boolean,
           name text, email text, email_folded text, external_id text, match text, match_account text, match_by text,
           match_with text, after_person text, "full" boolean, archive boolean)
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


class Shown(TypedDict, total=False):
    """Before or after, as a plan shows it."""

    name: str | None
    email: str | None
    enrolled: bool
    archived: bool
    candidates: list[ShownAccount]


@dataclass(frozen=True)
class Line:
    """One line of a plan. Its fields are columns of ``PlanLine``."""

    course_id: int
    event_id: str
    internal_id: str
    action: str
    outcome: str
    reason: str | None = None
    enrollment_id: int | None = None
    is_row: bool = True
    kind: str | None = None
    before: Shown | ShownAccount | None = None
    after: Shown | None = None
    fingerprint: str | None = None
    changes_person: bool = False
    name: str | None = None
    email: str | None = None
    email_folded: str | None = None
    external_id: str | None = None
    match: str | None = None
    match_account: str | None = None
    match_by: str | None = None
    match_with: str | None = None
    after_person: str | None = None
    full: bool = False
    archive: bool = False


def store(connection: Connection, context: RunContext, lines: Iterable[Line]) -> int:
    """Write lines; returns how many."""
    rows = [vars(line) for line in lines]
    if rows:
        connection.execute(_INSERT, {"run": context.run_id, "tenant": context.tenant_id, "rows": json.dumps(rows)})
    return len(rows)


def store_rejected(connection: Connection, context: RunContext, course_id: int) -> None:
    """A line for each row that can't be used as it is."""
    connection.execute(_REJECTED, {"run": context.run_id, "course": course_id})


def our_ref(member_id: str, internal_id: str) -> str:
    """The ref of accounts made by us: it finds them back after a lost answer."""
    return f"afas:{member_id}:{internal_id}"


# Where the people of an event go, and whether Pluvo invites them: {"340": ["offer_event:afas-340", true]}.
Targets = Mapping[str, Sequence[object]]

# What a line does, as one JSON value: actions, targets and values, and not what changes by itself. Candidates of whom
# nobody decided are as Pluvo shows them today; what needs nothing does nothing.
DOES = """
    CAST(jsonb_build_array(
        l.event_id, l.internal_id, l.is_row, l.action, l.outcome, CASE WHEN l.outcome = 'held' THEN l.reason END,
        l.before - 'candidates', l.after,
        CASE WHEN l.outcome IN ('pending', 'held') THEN jsonb_build_array(
            CAST({targets} AS jsonb) -> l.event_id, l.changes_person, l.name, l.email, l.external_id, l.match,
            l.match_account, l.match_by, l.match_with, l.archive, l.take_out) END) AS text)
"""
DOES_NOTHING = "l.action = 'none' AND l.outcome = 'unchanged'"
_HASH = text(
    f"""
    SELECT {DOES.format(targets=":targets")} FROM plan_line l
     WHERE l.run_id = :run AND l.tenant_id = :tenant AND NOT ({DOES_NOTHING})
     ORDER BY l.event_id, l.internal_id, l.id
    """  # noqa: S608  constants only
)


def plan_hash(connection: Connection, context: RunContext, targets: Targets) -> str:
    """The plan's fingerprint: what would be done gives the same hash, whatever run it is in."""
    digest = hashlib.sha256()
    values = {"run": context.run_id, "tenant": context.tenant_id, "targets": json.dumps(targets)}
    for does in connection.execute(_HASH, values, execution_options={"yield_per": 1000}).scalars():
        digest.update(does.encode())
    return digest.hexdigest()[:32]
