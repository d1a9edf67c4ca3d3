"""What the guards held back: list, show, release, refuse."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from sqlalchemy import Connection, text
from typing_extensions import TypedDict

from models.hold import Guard, HoldLineState, HoldState
from models.session import transaction
from ops import access, audit, lookup
from ops.language import Words
from ops.listing import MAX_LIMIT, Page, Row, checked_limit, number_cursor, page, rows, where
from ops.local_time import told_at
from ops.lookup import checked_id
from ops.problems import AlreadyDecided, Problem

# Lines are counted of the holds that are shown, and not of all that were sorted for it.
_CHOSEN = """
    SELECT h.id, t.slug AS tenant, t.timezone, h.run_id AS run, h.guard, h.event_id, h.state, h.created_at,
           h.expires_at, h.measure, h.plan_hash, h.decided_at, h.decided_by, h.decided_reason, h.tenant_id,
           c.lines, c.open_lines
      FROM (SELECT * FROM hold h {where}) h
      JOIN tenant t ON t.id = h.tenant_id
     CROSS JOIN LATERAL (
           SELECT count(*) AS lines, count(*) FILTER (WHERE l.state = 'open') AS open_lines FROM hold_line l
            WHERE l.tenant_id = h.tenant_id AND l.hold_id = h.id) c
     ORDER BY h.id DESC
"""
_FILTERS = {
    "tenant": "h.tenant_id = :tenant",
    "tenants": "h.tenant_id = ANY(:tenants)",
    "state": "h.state = :state",
    "cursor": "h.id < :cursor",
}
_LINES = """
    SELECT l.id, l.event_id, l.internal_id, l.action, l.before, l.after, l.state, l.decided_at, e.absent_since,
           CASE WHEN l.state = 'dropped' THEN p.reason END AS reason
      FROM hold_line l
      LEFT JOIN enrollment e ON e.id = l.enrollment_id AND e.tenant_id = l.tenant_id
      LEFT JOIN plan_line p ON p.id = l.plan_line_id AND p.tenant_id = l.tenant_id
    {where} ORDER BY l.event_id, length(l.internal_id), l.internal_id LIMIT :limit
"""
_LINE_FILTERS = {
    "hold": "l.hold_id = :hold",
    "tenant_id": "l.tenant_id = :tenant_id",
    "event": "l.event_id = :event",
    "state": "l.state = :state",
    "cursor": """(l.event_id, length(l.internal_id), l.internal_id) > (
        SELECT o.event_id, length(o.internal_id), o.internal_id FROM hold_line o
         WHERE o.id = :cursor AND o.hold_id = :hold)""",
}
_STANDS = "SELECT 1 FROM hold_line WHERE id = :cursor AND hold_id = :hold AND tenant_id = :tenant_id"
_EVENTS = """
    SELECT event_id, count(*) AS lines, count(*) FILTER (WHERE state = 'open') AS open_lines FROM hold_line
     WHERE hold_id = :hold AND tenant_id = :tenant GROUP BY event_id ORDER BY length(event_id), event_id
"""
# How many rows the last readings had: is what the guard saw new, or was it so for days?
_READS = """
    SELECT r.id AS run, coalesce(r.started_at, r.created_at) AS at,
           coalesce(CAST(c ->> 'rows' AS integer), r.rows) AS rows, coalesce(c ->> 'snapshot', r.snapshot) AS snapshot
      FROM run r LEFT JOIN LATERAL (
           SELECT one AS c FROM jsonb_array_elements(r.courses) AS one
            WHERE one ->> 'event_id' = :event LIMIT 1) k ON true
     WHERE r.tenant_id = :tenant AND r.direction = 'enrollments' AND r.snapshot IS NOT NULL
       AND r.status <> 'dry_run' AND NOT r.options ? 'person' AND (CAST(:event AS text) IS NULL OR c IS NOT NULL)
     ORDER BY r.id DESC LIMIT 7
"""
_FIRST = """
    SELECT who, at FROM operator_action WHERE tenant_id = :tenant AND subject = :hold AND verb LIKE 'holds %'
     ORDER BY id DESC LIMIT 1
"""
_KEPT = Words("why.hold")


class Refused(TypedDict):
    """What ``holds refuse`` tells; ``refused`` counts lines."""

    hold: str
    tenant: str
    run: str
    refused: int


class Released(TypedDict):
    """What ``holds release`` tells: how many lines went, how many were dropped, and how many are still open."""

    hold: str
    tenant: str
    run: str
    released: int
    dropped: int
    open: int


def listing(
    limit: int = 100, cursor: str | None = None, *, tenant: str | None = None, state: str | None = None
) -> Page:
    """Holds, newest first."""
    if state is not None and state not in set(HoldState):
        raise Problem("state_one_of", listed=", ".join(HoldState))
    with transaction() as connection:
        number = lookup.tenant_id(connection, tenant) if tenant else None
        wanted = {"tenant": number, "tenants": lookup.visible_ids(connection), "state": state, "cursor": cursor}
        newest_first = _CHOSEN.format(where=f"{where(_FILTERS, wanted)} ORDER BY h.id DESC LIMIT :limit")
        found = rows(connection, newest_first, limit=checked_limit(limit) + 1, **wanted)
    cut = page(found, limit, "id")
    return Page([_item(row) for row in cut.items], cut.next)


def _item(row: Row) -> Row:
    return {key: value for key, value in row.items() if key != "tenant_id"}


def show(
    hold_id: str,
    *,
    event: str | None = None,
    state: str | None = None,
    limit: int = MAX_LIMIT,
    cursor: str | None = None,
) -> Row:
    """One hold with its lines (names and addresses included: an operator must see what would happen).

    ``reads``: how many rows the last seven readings had, newest first; ``events``: its lines by event. Of a line,
    ``reason`` says why it was dropped. Raises AlreadyDecided where a later run put other lines in place of those of the
    page before.
    """
    if state is not None and state not in set(HoldLineState):
        raise Problem("state_one_of", listed=", ".join(HoldLineState))
    with transaction() as connection:
        hold_id = lookup.full_id(connection, "hold", hold_id)
        hold = _one(connection, hold_id)
        wanted = {"hold": hold_id, "tenant_id": hold["tenant_id"], "event": event, "state": state}
        wanted |= {"cursor": number_cursor(cursor)}
        if cursor is not None and not rows(connection, _STANDS, **wanted):
            raise AlreadyDecided("hold_renewed", hold=hold_id)
        statement = _LINES.format(where=where(_LINE_FILTERS, wanted))
        found = rows(connection, statement, limit=checked_limit(limit) + 1, **wanted)
        events = rows(connection, _EVENTS, hold=hold_id, tenant=hold["tenant_id"])
        reads = rows(connection, _READS, tenant=hold["tenant_id"], event=hold["event_id"])
    cut = page(found, limit, "id")
    return _item(hold) | {
        "count": hold["lines"],
        "events": events,
        "reads": reads,
        "lines": cut.items,
        "next": cut.next,
    }


class Outlook(TypedDict):
    """What a release would do now. ``dropped``: by reason; ``lines``: the open ones, ``why`` None for who goes on."""

    hold: str
    tenant: str
    state: str
    open: int
    going: int
    dropped: dict[str, int]
    lines: list[Row]


def preview(hold_id: str, *, events: Sequence[str] = (), persons: Sequence[str] = ()) -> Outlook:
    """Who would go on and who would be dropped if the hold were released now; nothing is changed."""
    from producers.enrollments import decide_holds  # noqa: PLC0415  it brings all of planning, and lists need none

    persons = [checked_id(one) for one in persons]
    with transaction() as connection:
        hold_id = lookup.full_id(connection, "hold", hold_id)
        hold = _one(connection, hold_id)
        access.check("holds.preview", hold["tenant"])
        found = decide_holds.outlook(connection, hold_id, events=events or None, persons=persons or None)
    return {
        "hold": hold_id,
        "tenant": hold["tenant"],
        "state": hold["state"],
        "open": hold["open_lines"],
        "going": sum(line.why is None for line in found),
        "dropped": dict(Counter(line.why for line in found if line.why is not None)),
        "lines": [vars(line) for line in found],
    }


def _one(connection: Connection, hold_id: str) -> Row:
    found = rows(connection, _CHOSEN.format(where="WHERE h.id = :hold"), hold=hold_id)
    if not found:  # gone with its tenant while somebody waited for it
        raise lookup.none_of("hold", hold_id)
    return found[0]


def release(
    hold_id: str,
    *,
    events: Sequence[str],
    persons: Sequence[str],
    lines: Sequence[int] = (),
    plan_hash: str | None = None,
    reason: str,
    who: str | None = None,
) -> Released:
    """Let held lines go on, each checked again against the newest state: all, or those of events or persons.

    Args:
        lines: only these, by the ids that ``show`` gives.
        plan_hash: of the hold as it was looked at; a later run may have changed what it holds since.

    Raises AlreadyDecided where somebody was first, or the hold is of another plan by now.
    """
    from producers.enrollments import decide_holds  # noqa: PLC0415  it brings all of planning, and lists need none

    audit.need_reason(reason, _KEPT)
    persons = [checked_id(one) for one in persons]
    chosen = {"events": list(events), "persons": persons, "lines": list(lines)}
    with transaction() as connection:
        hold_id = lookup.full_id(connection, "hold", hold_id)
        hold = _open(connection, hold_id, "holds.release", plan_hash)
        done = decide_holds.release(
            connection,
            hold_id,
            reason=reason,
            who=who or access.actor().name,
            events=events or None,
            persons=persons or None,
            lines=lines or None,
        )
        only_base = hold["guard"] == Guard.SHORT_SNAPSHOT and not hold["open_lines"] and not any(chosen.values())
        if not done["released"] and not done["dropped"] and not only_base:
            raise _no_lines(connection, hold)
        about = {"tenant_id": hold["tenant_id"], "subject": hold_id, "reason": reason}
        audit.record(connection, who=who, verb="holds release", detail={**chosen, **done}, **about)
    return {
        "hold": hold_id,
        "tenant": hold["tenant"],
        "run": hold["run"],
        "released": done["released"],
        "dropped": done["dropped"],
        "open": done["open"],
    }


def _no_lines(connection: Connection, hold: Row) -> Problem:
    """None of the lines asked for is open: nobody ever held them, or somebody was quicker."""
    for first in rows(connection, _FIRST, tenant=hold["tenant_id"], hold=hold["id"]):
        at = told_at(first["at"], hold["timezone"])
        return AlreadyDecided("hold_lines_decided", hold=hold["id"], who=first["who"], at=at)
    return Problem("hold_no_lines", hold=hold["id"])


def refuse(hold_id: str, *, plan_hash: str | None = None, reason: str, who: str | None = None) -> Refused:
    """Never do what is held; the same lines are not raised again. ``plan_hash`` and errors as for ``release``."""
    from producers.enrollments import decide_holds  # noqa: PLC0415  as above

    audit.need_reason(reason, _KEPT)
    with transaction() as connection:
        hold_id = lookup.full_id(connection, "hold", hold_id)
        hold = _open(connection, hold_id, "holds.refuse", plan_hash)
        done = decide_holds.refuse(connection, hold_id, reason=reason, who=who or access.actor().name)
        about = {"tenant_id": hold["tenant_id"], "subject": hold_id, "reason": reason}
        audit.record(connection, who=who, verb="holds refuse", **about)
    return {"hold": hold_id, "tenant": hold["tenant"], "run": hold["run"], "refused": done["refused"]}


def _open(connection: Connection, hold_id: str, verb: str, plan_hash: str | None) -> Row:
    """The hold that somebody may decide, locked: of two operators the second sees what the first decided.

    Raises AlreadyDecided also where its lines are of another plan than was looked at.
    """
    access.check(verb, _one(connection, hold_id)["tenant"])
    connection.execute(text("SELECT id FROM hold WHERE id = :hold FOR UPDATE"), {"hold": hold_id})
    hold = _one(connection, hold_id)
    if hold["state"] != HoldState.OPEN:
        if hold["decided_by"]:
            by, at = hold["decided_by"], told_at(hold["decided_at"], hold["timezone"])
            raise AlreadyDecided("hold_decided_by", hold=hold_id, done=Words(f"hold.{hold['state']}"), who=by, at=at)
        raise AlreadyDecided("hold_decided", hold=hold_id, state=hold["state"])
    if plan_hash is not None and plan_hash != hold["plan_hash"]:
        raise AlreadyDecided("hold_renewed", hold=hold_id)
    return hold
