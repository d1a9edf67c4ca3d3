"""What happened with one person, both directions on one time line, newest first; a page at a time.

Each event has ``what`` (one of ``WHAT``), ``at``, the columns of the row it comes from, and ``sentence``: a code with
params, which a face says in its language.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from sqlalchemy import Connection
from typing_extensions import TypedDict

from ops.language import SENTENCES, Words
from ops.listing import Row, rows
from ops.problems import Problem

PAGE = 100
WHAT = ("seen", "planned", "called", "held", "gave up", "decided", "completed", "written", "verified")
# Of each source, as many as a page may need. ``at <= :before`` of the newest page is now.
# Runs that find the same once more with nothing to do about it, as of somebody who waits for a decision, are one event:
# the first of them, with how often and until when.
_LINES = """
    WITH mine AS (
        SELECT l.id, l.run_id, l.tenant_id, l.event_id, l.internal_id, l.action, l.outcome, l.reason, l.before, l.after,
               l.hold_id, l.enrollment_id, l.created_at, coalesce(l.settled_at, l.created_at) AS at, r.direction,
               r.options ->> 'person' AS alone, r.status = 'dry_run' OR r.trigger = 'preview' AS only_looked
          FROM plan_line l JOIN run r ON r.id = l.run_id AND r.tenant_id = l.tenant_id
         WHERE l.tenant_id = :tenant AND l.internal_id = :internal_id),
    compared AS (
        SELECT mine.*, coalesce(action = 'none' AND lag(action) OVER line = 'none' AND outcome = lag(outcome) OVER line
                                AND reason IS NOT DISTINCT FROM lag(reason) OVER line, false) AS again
          FROM mine WINDOW line AS (PARTITION BY event_id, direction, only_looked ORDER BY id)),
    counted AS (
        SELECT compared.*, count(*) FILTER (WHERE NOT again) OVER
               (PARTITION BY event_id, direction, only_looked ORDER BY id) AS streak FROM compared),
    told AS (
        SELECT counted.*, count(*) OVER same AS times, max(at) OVER same AS last_at
          FROM counted WINDOW same AS (PARTITION BY event_id, direction, only_looked, streak))
    SELECT l.id, l.run_id AS run, l.event_id, l.internal_id, l.action, l.outcome, l.reason, l.before, l.after,
           l.hold_id AS hold, l.at, l.direction, l.only_looked, l.times, l.last_at,
           -- done by a run for this person alone, while a hold on it was open
           (SELECT min(h.id) FROM hold_line o JOIN hold h ON h.id = o.hold_id AND h.tenant_id = o.tenant_id
             WHERE o.enrollment_id = l.enrollment_id AND o.tenant_id = l.tenant_id
               AND l.alone IS NOT NULL AND l.hold_id IS NULL
               AND l.outcome IN ('created', 'linked', 'updated', 'removed')
               AND h.created_at < l.created_at AND coalesce(o.decided_at, 'infinity') > l.created_at) AS in_spite_of
      FROM told l WHERE NOT l.again AND l.at <= :before ORDER BY l.at DESC, l.id DESC LIMIT :limit
"""
_CHANGES = """
    SELECT id, run_id AS run, system, operation, event_id, internal_id, pluvo_id, result, code, status, before,
           after, at
      FROM change WHERE tenant_id = :tenant AND internal_id = :internal_id AND at <= :before
     ORDER BY at DESC, id DESC LIMIT :limit
"""
_ACTIONS = """
    SELECT id, verb, who, reason, detail, subject AS internal_id, at FROM operator_action
     WHERE tenant_id = :tenant AND subject = :internal_id AND verb LIKE 'links %' AND at <= :before
     ORDER BY at DESC, id DESC LIMIT :limit
"""
_HOLDS = """
    SELECT l.id, h.id AS hold, h.guard, h.state, l.event_id, l.internal_id, l.action, l.state AS line_state,
           h.expires_at, h.created_at AS at, l.decided_at, h.decided_by, h.decided_reason
      FROM hold_line l JOIN hold h ON h.id = l.hold_id AND h.tenant_id = l.tenant_id
      JOIN enrollment e ON e.id = l.enrollment_id AND e.tenant_id = l.tenant_id
     WHERE e.tenant_id = :tenant AND e.person_id = :person AND h.created_at <= :before
     ORDER BY h.created_at DESC, l.id DESC LIMIT :limit
"""
_DEAD = """
    SELECT d.id, d.id AS dead_letter, d.kind, d.error, d.message, d.afas_reference, d.state, d.event_id, d.internal_id,
           d.last_failed_at AS at, d.attempts, d.direction
      FROM dead_letter d WHERE d.id IN (
           SELECT x.id FROM dead_letter x
            WHERE x.kind = 'enrollment.upsert' AND x.tenant_id = :tenant AND x.subject_id = ANY(ARRAY(
                  SELECT e.id FROM enrollment e WHERE e.tenant_id = :tenant AND e.person_id = :person))
           UNION SELECT x.id FROM dead_letter x
            WHERE x.kind = 'completion.write_back' AND x.tenant_id = :tenant AND x.subject_id = ANY(ARRAY(
                  SELECT o.id FROM course c JOIN completion o ON o.course_id = c.id AND o.tenant_id = c.tenant_id
                   WHERE c.tenant_id = :tenant AND o.subject = :subject)))
       AND d.last_failed_at <= :before
     ORDER BY d.last_failed_at DESC, d.id DESC LIMIT :limit
"""
_SEEN = """
    SELECT e.id, c.event_id, e.row_state, e.reason, e.seen_at AS at, e.seen_run AS run, e.absent_since
      FROM enrollment e JOIN course c ON c.id = e.course_id AND c.tenant_id = e.tenant_id
     WHERE e.tenant_id = :tenant AND e.person_id = :person ORDER BY e.id
"""
_COMPLETED = """
    SELECT k.id, c.event_id, k.internal_id, k.title, k.state, k.reason, k.completed_on, k.field, k.value,
           k.first_seen_at, k.written_at, k.verified_at, k.signalled_by
      FROM completion k JOIN course c ON c.id = k.course_id AND c.tenant_id = k.tenant_id
     WHERE k.tenant_id = :tenant AND k.id IN (
           SELECT o.id FROM completion o JOIN enrollment e ON e.id = o.enrollment_id AND e.tenant_id = o.tenant_id
            WHERE e.tenant_id = :tenant AND e.person_id = :person
           UNION SELECT o.id FROM course x JOIN completion o ON o.course_id = x.id AND o.tenant_id = x.tenant_id
            WHERE x.tenant_id = :tenant AND o.subject = :subject)
     ORDER BY k.id
"""
_FOREVER = "9999-12-31T23:59:59+00:00"


class TimeLine(TypedDict):
    """Events, newest first; ``next`` is the cursor of the older ones."""

    items: list[Row]
    next: str | None


def timeline(
    connection: Connection,
    tenant: int,
    person: int | None,
    internal_id: str,
    *,
    limit: int = PAGE,
    cursor: str | None = None,
) -> TimeLine:
    """Events of one person; ``person`` is None for somebody of whom only plans know. Raises Problem for no cursor."""
    before, shown = _read_cursor(cursor)
    values: dict[str, Any] = {"tenant": tenant, "person": person, "internal_id": internal_id}
    values |= {"subject": f"person:{internal_id}", "before": before, "limit": limit + shown + 1}
    told = [event for event in _events(connection, values) if event["at"] is not None and event["at"] <= before]
    told.sort(key=lambda event: (event["at"], event["what"], str(event["id"])), reverse=True)
    told = told[shown:]
    page = told[:limit]
    following = None
    if len(told) > limit:
        last = page[-1]["at"]
        again = sum(event["at"] == last for event in page) + (shown if last == before else 0)
        following = f"{last.isoformat()}~{again}"
    return {"items": [_without_id(event) for event in page], "next": following}


def _read_cursor(cursor: str | None) -> tuple[datetime, int]:
    at, _, shown = (cursor or f"{_FOREVER}~0").partition("~")
    try:
        before, count = datetime.fromisoformat(at), int(shown)
    except ValueError:
        raise Problem("cursor") from None
    if before.tzinfo is None or not 0 <= count <= 10_000:
        raise Problem("cursor")
    return before, count


def _without_id(event: Row) -> Row:
    return {key: value for key, value in event.items() if key != "id"}


def _events(connection: Connection, values: dict[str, Any]) -> Iterator[Row]:
    yield from (_planned(row) for row in rows(connection, _LINES, **values))
    yield from (_called(row) for row in rows(connection, _CHANGES, **values))
    yield from (_decided(row) for row in rows(connection, _ACTIONS, **values))
    if values["person"] is None:
        return
    for row in rows(connection, _HOLDS, **values):
        yield from _held(row)
    yield from (_gave_up(row) for row in rows(connection, _DEAD, **values))
    for row in rows(connection, _SEEN, **values):
        yield from _seen(row)
    for row in rows(connection, _COMPLETED, **values):
        yield from _completed(row)


def _event(what: str, row: Row, code: str, **params: object) -> Row:
    code = f"happened.{code}"
    return {"what": what} | row | {"sentence": {"code": code, "params": params}}


def _planned(row: Row) -> Row:
    event, run = row["event_id"] or "-", row["run"]
    only_looked, hold = row.pop("only_looked"), row["in_spite_of"]
    said = _why(row["outcome"], row["reason"])
    if hold:
        return _event("planned", row, "in_spite_of_hold", event=event, run=run, hold=hold, said=said)
    dry = "_dry" if only_looked else ""
    if row["times"] > 1:
        said = Words("happened.again", said=said, count=row["times"], until=f"{row['last_at']:%Y-%m-%d %H:%M} UTC")
    return _event("planned", row, f"planned_{row['action']}{dry}", event=event, run=run, said=said)


def _called(row: Row) -> Row:
    result = Words(f"happened.result_{row['result']}", error=row["code"] or row["status"] or "-")
    row["direction"] = "completions" if row["system"] == "afas" else "enrollments"
    code = f"called_{row['operation']}"
    code = code if f"happened.{code}" in SENTENCES else "called"
    return _event("called", row, code, event=row["event_id"] or "-", result=result)


def _decided(row: Row) -> Row:
    detail = row["detail"] or {}
    decision = detail.get("decision") or ("link" if "after" in detail else "remove")
    account = detail.get("after") or "-"
    return _event("decided", row, f"decided_{decision}", who=row["who"], account=account, why=row["reason"] or "-")


def _held(row: Row) -> Iterator[Row]:
    told = {"event": row["event_id"], "hold": row["hold"], "why": Words(f"reason.{row['guard']}")}
    ended, who, reason = row.pop("decided_at"), row.pop("decided_by"), row.pop("decided_reason")
    row["direction"] = "enrollments"
    yield _event("held", row, "held", **told)
    if ended and row["line_state"] != "open":
        by = {"who": who or "-", "because": reason or "-"}
        yield _event("decided", row | {"at": ended}, f"hold_{row['line_state']}", **told, **by)


def _gave_up(row: Row) -> Row:
    return _event(
        "gave up", row, "gave_up", event=row["event_id"] or "-", count=row["attempts"], error=row["error"] or "-"
    )


def _seen(row: Row) -> Iterator[Row]:
    row["direction"] = "enrollments"
    missed = row.pop("absent_since")
    why = _why(None, row["reason"])
    if row["row_state"] != "absent":
        yield _event("seen", row, f"seen_{row['row_state']}", event=row["event_id"], why=why)
    elif row["at"]:
        yield _event("seen", row, "seen_last", event=row["event_id"])
    if missed:
        yield _event("seen", row | {"at": missed}, "missed", event=row["event_id"])


def _completed(row: Row) -> Iterator[Row]:
    row["direction"] = "completions"
    at = {name: row.pop(name) for name in ("first_seen_at", "written_at", "verified_at")}
    told = {"event": row["event_id"], "title": row["title"], "on": row["completed_on"] or "-", "value": row["value"]}
    yield _event("completed", row | {"at": at["first_seen_at"]}, "completed", **told)
    if at["written_at"]:
        yield _event("written", row | {"at": at["written_at"]}, "written", **told)
    if at["verified_at"]:
        yield _event("verified", row | {"at": at["verified_at"]}, "verified", **told)


def _why(outcome: str | None, reason: str | None) -> Words | str:
    """What the catalogue says of a reason, else of the outcome, else the word itself.

    The reason of what failed is an error of a system: ``refused`` is then Pluvo's word, and not an operator's.
    """
    for word in (reason, outcome):
        code = (word or "").partition(":")[0]
        error = outcome == "failed" and word == reason and f"cause.{code}" in SENTENCES
        if word and f"reason.{code}" in SENTENCES and not error:
            return Words(f"reason.{code}")
        if word and f"cause.{code}" in SENTENCES:
            return Words(f"cause.{code}", system="Pluvo")
    return reason or outcome or "-"
