"""One tenant as its page tells it: why each direction is as it is, its courses with counts, what its limits allow.

Codes with parameters, numbers and ids; no names of people, no secrets.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any

from sqlalchemy import Connection
from typing_extensions import TypedDict

from models.direction import Direction, Health
from models.run import CourseResult
from models.session import transaction
from models.tenant_settings import (
    AfasSettings,
    CourseTarget,
    FieldMap,
    Limits,
    PluvoSettings,
    RemovalSettings,
    completed,
)
from ops import lookup
from ops.degraded import mark
from ops.language import SENTENCES
from ops.listing import Row, checked_limit, rows
from ops.problems import NotThere, Problem
from ops.tenants import manage

WINDOW_DAYS = 7
ROSTER_RUNS = 60
PROBLEM_ROWS = 50


class Because(TypedDict):
    """Why a direction is as it is: a code of the catalogue (``why.…``), and what its sentence names."""

    code: str
    params: dict[str, Any]


class WayInsight(TypedDict):
    """One direction. ``call`` is the one that failed first in a quarantine, masked: operation, status and text."""

    state: str
    since: datetime | None
    why: Because
    # Its cause and action are in the catalogue, as ``cause.<error>`` and ``action.<error>``
    error: str | None
    system: str | None
    call: Row | None
    probe_at: datetime | None
    next_run_at: datetime | None
    wait_until: datetime | None
    last_full_at: datetime | None


class Usage(TypedDict):
    """What a guard lets through: ``used`` of ``limit``, in a run, or in seven days."""

    guard: str
    used: int
    limit: float
    base: int


class Credential(TypedDict):
    """When what a tenant signs in with ends, as AFAS told in the last check or as the tenants file says."""

    system: str
    ends_on: date
    days: int


class CourseItem(TypedDict):
    """A course with its counts. ``rule``: the rule that linked it."""

    event_id: str
    target: str | None
    rule: str | None
    active: bool
    enrolled: int
    held: int
    rejected: int
    failed: int
    base_rows: int | None
    base_at: datetime | None


class Insight(TypedDict):
    """A tenant."""

    tenant: str
    timezone: str
    environment: str
    enrollments: WayInsight
    completions: WayInsight
    courses: list[CourseItem]
    next: str | None
    usage: list[Usage]
    calls_today: dict[str, int]
    calls_per_second: float
    credentials: list[Credential]
    quality: list[Row]
    links: dict[str, int]


class Roster(TypedDict):
    """Rows of a course in one run."""

    run: str
    at: datetime
    rows: int
    snapshot: str


class CourseInsight(TypedDict):
    """A course: how it is mapped, where its people go, and what does not go on."""

    tenant: str
    timezone: str
    environment: str
    course: Row
    counts: dict[str, int]
    roster: list[Roster]
    holds: list[Row]
    rejected: list[Row]


_TENANT = """
    SELECT id, slug, timezone, afas, pluvo, removals FROM tenant WHERE id = :tenant
"""
_DIRECTIONS = """
    SELECT d.tenant_id, d.direction, d.state, d.reason, d.since, d.next_run_at, d.probe_at, d.wait_until,
           d.last_full_at, d.first_call,
           (SELECT max(r.id) FROM run r WHERE r.tenant_id = d.tenant_id AND r.direction = d.direction) AS last_run
      FROM tenant_direction d WHERE d.tenant_id = :tenant
"""
_COURSES = """
    SELECT id, event_id, target, rule, active, base_rows, base_at FROM course WHERE tenant_id = :tenant
"""
_COURSES_AFTER = "(length(event_id), event_id) > (length(:after), :after)"
# A tenant may have a hundred thousand enrollments: both are answered by an index alone, or nearly.
_ENROLLED = """
    SELECT course_id, count(*) AS count FROM enrollment WHERE tenant_id = :tenant AND state = 'enrolled' GROUP BY 1
"""
_TROUBLED = """
    SELECT course_id, outcome, CASE WHEN outcome = 'rejected' THEN reason END AS reason, count(*) AS count
      FROM enrollment WHERE tenant_id = :tenant AND outcome IN ('rejected', 'failed') GROUP BY 1, 2, 3
"""
_HELD = """
    SELECT event_id, count(*) AS held FROM hold_line WHERE tenant_id = :tenant AND state = 'open' GROUP BY 1
"""
# As the guard counts them (producers/enrollments/guards.py): what was done, or is to be done.
_WINDOW = """
    SELECT count(*) AS used FROM plan_line l
     WHERE l.tenant_id = :tenant AND l.kind = 'removal' AND l.hold_id IS NULL
       AND l.created_at > now() - make_interval(days => :days)
       AND (l.outcome = 'removed' OR (l.outcome = 'pending' AND l.reason IS DISTINCT FROM 'superseded'))
       AND EXISTS (SELECT 1 FROM run r WHERE r.id = l.run_id AND r.status <> 'dry_run' AND r.trigger <> 'preview')
"""
_LAST_PLAN = """
    SELECT count(*) FILTER (WHERE kind = 'removal') AS removals, count(*) FILTER (WHERE kind = 'create') AS creates,
           count(*) FILTER (WHERE kind = 'email_change') AS email_changes
      FROM plan_line WHERE tenant_id = :tenant AND run_id = :run
"""
_CALLS = """
    SELECT coalesce(sum(calls_afas + CASE direction WHEN 'completions' THEN calls_acting ELSE 0 END), 0) AS afas,
           coalesce(sum(calls_pluvo + CASE direction WHEN 'enrollments' THEN calls_acting ELSE 0 END), 0) AS pluvo
      FROM run WHERE tenant_id = :tenant AND direction = ANY(:directions)
       AND created_at >= date_trunc('day', now(), :zone)
"""
_LINKS = "SELECT state, count(*) AS count FROM link WHERE tenant_id = :tenant GROUP BY 1"
_CHECKED = "SELECT findings FROM tenant_check WHERE tenant_id = :tenant"
_RUNS_OF = """
    SELECT id, created_at, courses FROM run
     WHERE tenant_id = :tenant AND direction = 'enrollments' AND status NOT IN ('queued', 'running')
     ORDER BY id DESC LIMIT :limit
"""
_COURSE = """
    SELECT id, event_id, getconnector, updateconnector, fields, pluvo, target, rules, rule, active, base_rows, base_at
      FROM course WHERE tenant_id = :tenant AND event_id = :event
"""
_COURSE_COUNTS = """
    SELECT coalesce(outcome, 'none') AS outcome, count(*) AS count FROM enrollment
     WHERE tenant_id = :tenant AND course_id = :course AND row_state <> 'absent' GROUP BY 1 ORDER BY 1
"""
_COURSE_HOLDS = """
    SELECT h.id, h.guard, h.created_at, count(*) AS lines FROM hold h
      JOIN hold_line l ON l.hold_id = h.id AND l.tenant_id = h.tenant_id AND l.state = 'open' AND l.event_id = :event
     WHERE h.tenant_id = :tenant AND h.state = 'open' GROUP BY 1, 2, 3 ORDER BY 1
"""
_COURSE_REJECTED = """
    SELECT p.internal_id, e.outcome, e.reason, e.seen_at FROM enrollment e
      JOIN person p ON p.id = e.person_id AND p.tenant_id = e.tenant_id
     WHERE e.tenant_id = :tenant AND e.course_id = :course AND e.outcome IN ('rejected', 'ambiguous', 'failed')
     ORDER BY e.outcome, length(p.internal_id), p.internal_id LIMIT :limit
"""


def insight(slug: str, *, limit: int = 200, cursor: str | None = None) -> Insight:
    """One tenant. Its courses come in pages: ``cursor`` is the event to go on after."""
    checked_limit(limit)
    if cursor is not None and len(cursor) > 200:
        raise Problem("cursor")
    with transaction() as connection:
        number = lookup.tenant_id(connection, slug)
        tenant = rows(connection, _TENANT, tenant=number)[0]
        ways = rows(connection, _DIRECTIONS, tenant=number)
        mark(connection, ways)
        by_way = {row["direction"]: _way(row) for row in ways}
        last = next((row["last_run"] for row in ways if row["direction"] == Direction.ENROLLMENTS), None)
        troubled = rows(connection, _TROUBLED, tenant=number)
        counts = _counts(rows(connection, _ENROLLED, tenant=number), troubled)
        enrolled = sum(one["enrolled"] for one in counts.values())
        links = {row["state"]: row["count"] for row in rows(connection, _LINKS, tenant=number)}
        courses, following = _courses(connection, number, counts, limit, cursor)
        limits = RemovalSettings.model_validate(tenant["removals"]).limits
        calls = rows(connection, _CALLS, tenant=number, directions=list(Direction), zone=tenant["timezone"])[0]
        afas = AfasSettings.model_validate(tenant["afas"])
        checked = rows(connection, _CHECKED, tenant=number)
        return {
            "tenant": slug,
            "timezone": tenant["timezone"],
            "environment": afas.environment,
            "enrollments": by_way.get(Direction.ENROLLMENTS) or _nothing(),
            "completions": by_way.get(Direction.COMPLETIONS) or _nothing(),
            "courses": courses,
            "next": following,
            "usage": _usage(connection, number, limits, last, (enrolled, links.get("linked", 0))),
            "calls_today": {"afas": int(calls["afas"]), "pluvo": int(calls["pluvo"])},
            "calls_per_second": PluvoSettings.model_validate(tenant["pluvo"]).calls_per_second,
            "credentials": _credentials(afas, checked[0]["findings"] if checked else []),
            "quality": _quality(troubled),
            "links": links,
        }


def shown(slug: str) -> Row:
    """What ``tenants show`` tells: the settings, and of ``insight`` what they do not say."""
    found, told = manage.show(slug), insight(slug)
    return found | {name: told[name] for name in ("usage", "calls_today", "credentials", "quality", "links")}


def course(slug: str, event_id: str) -> CourseInsight:
    """One course of a tenant."""
    with transaction() as connection:
        number = lookup.tenant_id(connection, slug)
        tenant = rows(connection, _TENANT, tenant=number)[0]
        found = rows(connection, _COURSE, tenant=number, event=event_id)
        if not found:
            raise NotThere("no_course", slug=slug, event=event_id[:60])
        key = {"tenant": number, "course": found[0].pop("id")}
        return {
            "tenant": slug,
            "timezone": tenant["timezone"],
            "environment": AfasSettings.model_validate(tenant["afas"]).environment,
            "course": found[0]
            | {"fields": _in_order(found[0]["fields"]), "pluvo": completed(CourseTarget, found[0]["pluvo"])},
            "counts": {row["outcome"]: row["count"] for row in rows(connection, _COURSE_COUNTS, **key)},
            "roster": _roster(rows(connection, _RUNS_OF, tenant=number, limit=ROSTER_RUNS), event_id),
            "holds": rows(connection, _COURSE_HOLDS, tenant=number, event=event_id),
            "rejected": rows(connection, _COURSE_REJECTED, **key, limit=PROBLEM_ROWS),
        }


def _counts(enrolled: Sequence[Row], troubled: Sequence[Row]) -> dict[int, Counter[str]]:
    """Of each course: how many are enrolled, rejected and failed."""
    counts: dict[int, Counter[str]] = {row["course_id"]: Counter(enrolled=row["count"]) for row in enrolled}
    for row in troubled:
        counts.setdefault(row["course_id"], Counter())[row["outcome"]] += row["count"]
    return counts


def _courses(
    connection: Connection, tenant: int, counts: Mapping[int, Counter[str]], limit: int, cursor: str | None
) -> tuple[list[CourseItem], str | None]:
    after = f"AND {_COURSES_AFTER}" if cursor is not None else ""
    by_event = f"{_COURSES} {after} ORDER BY length(event_id), event_id LIMIT :limit"
    found = rows(connection, by_event, tenant=tenant, after=cursor, limit=limit + 1)
    shown = found[:limit]
    nothing: Counter[str] = Counter()
    held = {row["event_id"]: row["held"] for row in rows(connection, _HELD, tenant=tenant)}
    items: list[CourseItem] = [
        {
            "event_id": row["event_id"],
            "target": row["target"],
            "rule": row["rule"],
            "active": row["active"],
            "enrolled": counts.get(row["id"], nothing)["enrolled"],
            "held": held.get(row["event_id"], 0),
            "rejected": counts.get(row["id"], nothing)["rejected"],
            "failed": counts.get(row["id"], nothing)["failed"],
            "base_rows": row["base_rows"],
            "base_at": row["base_at"],
        }
        for row in shown
    ]
    return items, items[-1]["event_id"] if len(found) > limit else None


def _way(row: Row) -> WayInsight:
    call = row["first_call"] or {}
    state, reason = row["state"], row["reason"]
    system, error = call.get("system"), None
    if state == Health.QUARANTINED:
        error = reason
    elif state == "degraded":
        system, _, error = (reason or "").partition(": ")
    known = error if f"cause.{error}" in SENTENCES else None
    resting = state in (Health.PAUSED, Health.NEW)
    return {
        "state": state,
        "since": row["since"],
        "why": _because(row, error),
        "error": known,
        "system": {"afas": "AFAS", "pluvo": "Pluvo"}.get((system or "").lower(), system or None),
        "call": {name: call.get(name) for name in ("call", "operation", "status", "text")} if call else None,
        "probe_at": row["probe_at"] if state == Health.QUARANTINED else None,
        "next_run_at": None if resting else row["next_run_at"],
        "wait_until": row["wait_until"] if row["wait_until"] and row["wait_until"] > datetime.now(UTC) else None,
        "last_full_at": row["last_full_at"],
    }


def _because(row: Row, error: str | None) -> Because:
    state = row["state"]
    if state == Health.PAUSED:
        return {"code": "health.paused" if row["reason"] else "health.paused_without", "params": {"why": row["reason"]}}
    if state in (Health.QUARANTINED, "degraded"):
        return {"code": f"health.{state}", "params": {"code": error}}
    if state == Health.NEW:
        return {"code": "health.new", "params": {}}
    return {"code": "health.healthy" if row["last_run"] else "health.no_run", "params": {}}


def _nothing() -> WayInsight:
    empty: Row = dict.fromkeys(
        ("reason", "since", "next_run_at", "probe_at", "wait_until", "last_full_at", "first_call", "last_run")
    )
    return _way(empty | {"state": Health.NEW})


def _quality(troubled: Sequence[Row]) -> list[Row]:
    """Why rows are rejected, the most frequent first."""
    reasons: Counter[str] = Counter()
    for row in troubled:
        if row["reason"]:
            reasons[row["reason"]] += row["count"]
    return [{"reason": reason, "count": count} for reason, count in reasons.most_common(20)]


def _usage(
    connection: Connection, tenant: int, limits: Limits, last_run: str | None, size: tuple[int, int]
) -> list[Usage]:
    enrollments, people = size
    window = rows(connection, _WINDOW, tenant=tenant, days=WINDOW_DAYS)[0]["used"]
    plan = rows(connection, _LAST_PLAN, tenant=tenant, run=last_run or "")[0]

    def of(guard: str, name: str, used: int, base: int) -> Usage:
        count, percent = getattr(limits, f"{name}_count"), getattr(limits, f"{name}_percent")
        return {"guard": guard, "used": used, "limit": max(float(count), base * float(percent) / 100), "base": base}

    return [
        of("removals_window", "window", window, enrollments),
        of("removals_run", "run", plan["removals"], enrollments),
        of("creates", "creates", plan["creates"], people),
        of("email_changes", "email_changes", plan["email_changes"], people),
    ]


def _credentials(afas: AfasSettings, findings: Sequence[Row]) -> list[Credential]:
    days = [date.fromisoformat(afas.secret_ends)] if afas.secret_ends else []
    for one in findings:
        told = (one.get("parameters") or {}).get("day") if one.get("code") in ("token_ends", "token_ended") else None
        if isinstance(told, str):
            days.append(date.fromisoformat(told))
    if not days:
        return []
    ends_on = min(days)
    return [{"system": "AFAS", "ends_on": ends_on, "days": (ends_on - datetime.now(UTC).date()).days}]


def _in_order(fields: Row) -> Row:
    """As the tenants file has them, which a JSON column forgets."""
    return {name: fields[name] for name in FieldMap.model_fields if fields.get(name)}


def _roster(runs: Sequence[Row], event_id: str) -> list[Roster]:
    """Rows that each run read, the newest last."""
    found: list[Roster] = []
    for run in reversed(runs):
        results: list[CourseResult] = run["courses"] or []
        for one in results:
            if one["event_id"] == event_id:
                found.append(
                    {"run": run["id"], "at": run["created_at"], "rows": one["rows"], "snapshot": one["snapshot"]}
                )
    return found
