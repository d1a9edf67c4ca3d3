"""Why is this person (not) in Pluvo? Everything known and done about someone, from PostgreSQL alone.

Found by internal id, external id, address (any case) or Pluvo id; every look is by index, so it stays well under a
second. Somebody never seen gets an answer too: what was looked at, when it was last read, and what to do.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import NotRequired

from sqlalchemy import Connection
from typing_extensions import TypedDict

from models.afas_values import person_number
from models.completion_state import closed
from models.folding import fold_account, fold_email
from models.session import transaction
from ops import lookup
from ops.language import SENTENCES, Words
from ops.listing import Row, checked_limit, rows
from ops.people.candidates import CANDIDATES, REVISION
from ops.people.next_action import Next, completed, completion_note, next_step, said, step
from ops.people.timeline import PAGE, TimeLine, timeline
from ops.people.unseen import Asked, LookedAt, causes, never_seen

_WHO = """
    SELECT id FROM person WHERE tenant_id = :tenant AND internal_id = :number
     UNION SELECT id FROM person WHERE tenant_id = :tenant AND external_id = :who
     UNION SELECT id FROM person WHERE tenant_id = :tenant AND email_folded = :email
     UNION SELECT l.person_id FROM link l WHERE l.tenant_id = :tenant AND l.pluvo_id = :account
     ORDER BY 1 LIMIT 20
"""
_PEOPLE = f"""
    SELECT p.id, p.internal_id, p.external_id, p.name, p.email, p.seen_at, p.applied_name, p.applied_email,
           l.pluvo_id, {REVISION} AS revision,
           l.ref, l.state AS link_state, l.linked_by, l.reason AS link_reason, {CANDIDATES}, l.decision,
           l.archived, l.created_by_us
      FROM person p LEFT JOIN link l ON l.person_id = p.id AND l.tenant_id = p.tenant_id
     WHERE p.id = ANY(:people) AND p.tenant_id = :tenant ORDER BY p.id
"""  # noqa: S608  a constant
_ENROLLMENTS = """
    SELECT e.id, e.person_id, c.event_id, c.active, e.state, e.desired, e.row_state, e.outcome, e.reason, e.external_id,
           e.version, e.applied_version, e.failed_code, e.waiting, e.seen_at, e.seen_run, e.absent_since,
           e.completion_value, e.told_target, c.rules,
           ARRAY(SELECT place->>'target' FROM jsonb_array_elements(e.left_behind) place) AS left_behind,
           m.state AS message_state, m.run_at AS message_run_at, m.attempts AS message_attempts,
           m.history -> -1 ->> 'code' AS message_code,
           (m.state = 'scheduled' AND e.desired = 'enrolled'
            AND EXISTS (SELECT 1 FROM alert a
                         WHERE a.tenant_id = e.tenant_id AND a.kind = 'no_room' AND a.closed_at IS NULL)
            AND NOT EXISTS (SELECT 1 FROM link k WHERE k.person_id = e.person_id AND k.pluvo_id IS NOT NULL
                               AND k.state <> 'left' AND NOT k.archived)) AS waits_for_room
      FROM enrollment e JOIN course c ON c.id = e.course_id
      LEFT JOIN message m ON m.kind = 'enrollment.upsert' AND m.subject_id = e.id
     WHERE e.tenant_id = :tenant AND e.person_id = ANY(:people) ORDER BY length(c.event_id), c.event_id
"""
_COMPLETIONS = f"""
    SELECT p.id AS enrollment_id, k.state, k.completed_on, k.field, k.value, k.reason, k.title, k.written_at,
           k.verified_at, k.found_value, k.internal_id, c.event_id, {closed("k")} AS closed
      FROM completion k JOIN course c ON c.id = k.course_id
      LEFT JOIN enrollment p ON p.id = k.enrollment_id
     WHERE k.id IN (SELECT o.id FROM completion o JOIN enrollment e ON e.id = o.enrollment_id
                     WHERE e.tenant_id = :tenant AND e.person_id = ANY(:people)
                     UNION
                    SELECT o.id FROM course x JOIN completion o ON o.course_id = x.id AND o.tenant_id = x.tenant_id
                     WHERE x.tenant_id = :tenant AND o.subject = ANY(:subjects))
     ORDER BY k.id
"""  # noqa: S608  constants only
_HOLDS = """
    SELECT h.id AS hold, h.guard, h.state, l.event_id, l.internal_id, l.action, l.state AS line_state, h.expires_at,
           h.created_at AS at, l.enrollment_id
      FROM hold_line l JOIN hold h ON h.id = l.hold_id AND h.tenant_id = l.tenant_id
      JOIN enrollment e ON e.id = l.enrollment_id AND e.tenant_id = l.tenant_id
     WHERE e.tenant_id = :tenant AND e.person_id = ANY(:people) AND l.state = 'open' ORDER BY h.id DESC LIMIT 50
"""
_DEAD = """
    SELECT d.id AS dead_letter, d.kind, d.error, d.message, d.afas_reference, d.state, d.event_id, d.internal_id,
           d.last_failed_at AS at, d.attempts
      FROM dead_letter d WHERE d.id IN (
           SELECT x.id FROM dead_letter x
            WHERE x.kind = 'enrollment.upsert' AND x.tenant_id = :tenant AND x.subject_id = ANY(ARRAY(
                  SELECT e.id FROM enrollment e WHERE e.tenant_id = :tenant AND e.person_id = ANY(:people)))
           UNION SELECT x.id FROM dead_letter x
            WHERE x.kind = 'completion.write_back' AND x.tenant_id = :tenant AND x.subject_id = ANY(ARRAY(
                  SELECT o.id FROM course c JOIN completion o ON o.course_id = c.id AND o.tenant_id = c.tenant_id
                   WHERE c.tenant_id = :tenant AND o.subject = ANY(:subjects))))
       AND d.state = 'open'
     ORDER BY d.id DESC LIMIT 50
"""
# The newest line about somebody of whom nothing else is known.
_NEWEST_LINE = """
    SELECT l.event_id, l.action, l.outcome, l.reason, coalesce(l.settled_at, l.created_at) AS at,
           r.status = 'dry_run' OR r.trigger = 'preview' AS only_looked
      FROM plan_line l JOIN run r ON r.id = l.run_id AND r.tenant_id = l.tenant_id
     WHERE l.tenant_id = :tenant AND l.internal_id = :internal_id ORDER BY l.id DESC LIMIT 1
"""
_COURSES = """
    SELECT c.event_id, c.active, c.base_rows AS rows, c.base_at AS last_complete_at FROM course c
     WHERE c.tenant_id = :tenant ORDER BY c.active DESC, length(c.event_id), c.event_id
"""
_LAST_RUN = """
    SELECT id AS run, status, snapshot, reasons, courses, finished_at, unlinked FROM run
     WHERE tenant_id = :tenant AND direction = 'enrollments' AND status <> 'dry_run' AND trigger <> 'preview'
     ORDER BY id DESC LIMIT 1
"""
_HEALTH = "SELECT direction, state, reason, since, next_run_at FROM tenant_direction WHERE tenant_id = :tenant"


class ExplainedPerson(TypedDict):
    """One person: link, enrollments with their completions, dead letters, history newest first."""

    internal_id: str
    external_id: str | None
    name: str | None
    email: str | None
    seen_at: datetime | None
    link: Row | None
    enrollments: list[Row]
    dead_letters: list[Row]
    # ``timeline.py``; ``history_next`` is the cursor of what is older
    history: list[Row]
    history_next: str | None
    # What Pluvo was told last: {"name", "email"}, None each before that
    told: dict[str, str | None]
    next: Next
    # The same in English words
    next_action: str


class Explained(TypedDict):
    """What ``explain`` tells; ``next``, ``next_action`` and ``causes`` only where no person was found.

    ``causes``: what may be the reason, likeliest first. ``asked``: what AFAS says now, where it was asked.
    """

    tenant: str
    who: str
    found: bool
    people: list[ExplainedPerson]
    looked_at: LookedAt
    next: NotRequired[Next]
    next_action: NotRequired[str]
    causes: NotRequired[list[Next]]
    asked: NotRequired[Asked]


def explain(slug: str, who: str, *, limit: int = PAGE, cursor: str | None = None, ask_now: bool = False) -> Explained:
    """Everything known of a person, or what was looked at in vain.

    ``limit`` and ``cursor`` are of the history. ``ask_now``: AFAS is asked for them as well, reading only; ``who`` is
    an internal id then. Raises Problem.
    """
    told = _told(slug, who, checked_limit(limit), cursor)
    if ask_now:
        from ops.people.ask import ask  # noqa: PLC0415  who looks at what is stored needs no client

        told["asked"] = ask(slug, who.strip(), known=told["found"])
        if not told["found"] and told["asked"]["found"]:
            told["next"] = told["asked"]["found"][0]
            told["next_action"] = said(told["next"])
    return told


def _told(slug: str, who: str, limit: int, cursor: str | None) -> Explained:
    asked = who.strip()
    with transaction() as connection:
        tenant = lookup.tenant_id(connection, slug)
        looked_at: LookedAt = {
            "courses": rows(connection, _COURSES, tenant=tenant),
            "last_run": next(iter(rows(connection, _LAST_RUN, tenant=tenant)), None),
            "directions": rows(connection, _HEALTH, tenant=tenant),
        }
        names = {
            "who": asked,
            "number": person_number(asked),
            "email": fold_email(asked),
            "account": fold_account(asked),
        }
        numbers = [row["id"] for row in rows(connection, _WHO, tenant=tenant, **names)]
        history = partial(timeline, connection, tenant, limit=limit, cursor=cursor)
        people = _people(connection, tenant, numbers, slug, looked_at, history=history) if numbers else []
        if not people:
            people = _only_in_plans(connection, tenant, names["number"] or asked, slug, history=history)
    found: Explained = {
        "tenant": slug,
        "who": asked,
        "found": bool(people),
        "people": people,
        "looked_at": looked_at,
    }
    if people:
        return found
    unseen = never_seen(slug, asked, looked_at)
    return found | {"next": unseen, "next_action": said(unseen), "causes": causes(asked, looked_at)}


def _people(
    connection: Connection,
    tenant: int,
    numbers: list[int],
    slug: str,
    looked_at: LookedAt,
    *,
    history: Callable[[int | None, str], TimeLine],
) -> list[ExplainedPerson]:
    found = rows(connection, _PEOPLE, tenant=tenant, people=numbers)
    ids = [person["internal_id"] for person in found]
    wanted = {"tenant": tenant, "people": numbers, "subjects": [f"person:{one}" for one in ids]}
    enrollments = rows(connection, _ENROLLMENTS, tenant=tenant, people=numbers)
    completions = rows(connection, _COMPLETIONS, **wanted)
    holds = rows(connection, _HOLDS, tenant=tenant, people=numbers)
    dead = rows(connection, _DEAD, **wanted)
    told: list[ExplainedPerson] = []
    for person in found:
        mine = [row for row in enrollments if row["person_id"] == person["id"]]
        for row in mine:
            row["completion"] = _completion(row, completions)
            row["holds"] = [hold for hold in holds if hold["enrollment_id"] == row["id"]]
        open_dead = [row for row in dead if row["internal_id"] == person["internal_id"]]
        past = history(person["id"], person["internal_id"])
        first = next_step(slug, person, mine, open_dead, looked_at["directions"])
        told.append(
            {
                "internal_id": person["internal_id"],
                "external_id": person["external_id"],
                "name": person["name"],
                "email": person["email"],
                "seen_at": person["seen_at"],
                "link": _link(person),
                "enrollments": [_enrollment(row) for row in mine],
                "dead_letters": open_dead,
                "history": past["items"],
                "history_next": past["next"],
                "told": {"name": person["applied_name"], "email": person["applied_email"]},
                "next": first,
                "next_action": said(first),
            }
        )
    return told


def _link(person: Row) -> Row | None:
    if person["link_state"] is None:
        return None
    keys = ("pluvo_id", "ref", "linked_by", "candidates", "decision", "archived", "created_by_us", "revision")
    return {"state": person["link_state"], "reason": person["link_reason"]} | {key: person[key] for key in keys}


def _enrollment(row: Row) -> Row:
    keys = ("event_id", "state", "outcome", "reason", "completion", "row_state", "desired", "seen_at", "absent_since")
    waiting = {
        "state": row["message_state"],
        "at": row["message_run_at"],
        "attempts": row["message_attempts"],
        "code": row["message_code"],
    }
    titles = [one["title"] for one in row["rules"]] if row["active"] else []
    more = {
        "completion_note": completion_note(row["completion"], titles),
        "completion_words": completed(row["completion"], titles),
        # where Pluvo was asked to put them, and where they still are to be taken out of
        "target": row["told_target"],
        "left_behind": row["left_behind"],
        "holds": row["holds"],
        "failed_code": row["failed_code"],
        "course_active": row["active"],
    }
    return {key: row[key] for key in keys} | more | {"message": waiting if row["message_state"] else None}


def _completion(row: Row, completions: list[Row]) -> Row | None:
    keys = (
        "state",
        "completed_on",
        "field",
        "value",
        "reason",
        "title",
        "written_at",
        "verified_at",
        "found_value",
        "closed",
    )
    mine = [one for one in completions if one["enrollment_id"] == row["id"] or one["event_id"] == row["event_id"]]
    told = [{key: one[key] for key in keys} for one in mine]
    if not told:
        return None
    return told[0] | {"others": told[1:]} if len(told) > 1 else told[0]


def _only_in_plans(
    connection: Connection, tenant: int, asked: str, slug: str, history: Callable[[int | None, str], TimeLine]
) -> list[ExplainedPerson]:
    """No such person here yet, but plan lines say why: a row that was rejected each time, or seen only in dry runs."""
    newest = next(iter(rows(connection, _NEWEST_LINE, tenant=tenant, internal_id=asked)), None)
    if newest is None:
        return []
    outcome, reason = newest["outcome"], newest["reason"]
    why = Words(f"reason.{reason}") if f"reason.{reason}" in SENTENCES else reason or outcome
    told: Next
    if outcome != "rejected" and newest["only_looked"]:
        told = step("only_dry_runs", "sync", slug=slug, action=newest["action"], reason=reason)
    else:
        told = step("put_right", "sync person", slug=slug, internal_id=asked, outcome=outcome, reason=reason, why=why)
    past = history(None, asked)
    enrollment = {"event_id": newest["event_id"], "state": "new", "outcome": outcome}
    return [
        {
            "internal_id": asked,
            "external_id": None,
            "name": None,
            "email": None,
            "seen_at": newest["at"],
            "link": None,
            "enrollments": [enrollment | {"reason": reason, "completion": None}],
            "dead_letters": [],
            "history": past["items"],
            "history_next": past["next"],
            "told": {"name": None, "email": None},
            "next": told,
            "next_action": said(told),
        }
    ]
