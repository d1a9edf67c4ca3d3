"""Why is this person (not) in Pluvo? Everything known and done about someone, from PostgreSQL alone.

Found by internal id, external id, address (any case) or Pluvo id; every look is by index, so it stays well under a
second. Somebody never seen gets an answer too: what was looked at, when it was last read, and what to do.
"""

from __future__ import annotations

from datetime import datetime
from typing import NotRequired

from sqlalchemy import Connection
from typing_extensions import TypedDict

from models.afas_values import person_number
from models.folding import fold_account, fold_email
from models.session import transaction
from ops import lookup
from ops.listing import Row, rows
from ops.people.candidates import CANDIDATES
from ops.people.next_action import completion_note, next_action

HISTORY = 100

_WHO = """
    SELECT id FROM person WHERE tenant_id = :tenant AND internal_id = :number
     UNION SELECT id FROM person WHERE tenant_id = :tenant AND external_id = :who
     UNION SELECT id FROM person WHERE tenant_id = :tenant AND email_folded = :email
     UNION SELECT l.person_id FROM link l WHERE l.tenant_id = :tenant AND l.pluvo_id = :account
     ORDER BY 1 LIMIT 20
"""
_PEOPLE = f"""
    SELECT p.id, p.internal_id, p.external_id, p.name, p.email, p.seen_at, l.pluvo_id,
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
_COMPLETIONS = """
    SELECT p.id AS enrollment_id, k.state, k.completed_on, k.field, k.value, k.reason, k.title, k.written_at,
           k.verified_at, k.found_value, k.internal_id, c.event_id
      FROM completion k JOIN course c ON c.id = k.course_id
      LEFT JOIN enrollment p ON p.id = k.enrollment_id
     WHERE k.id IN (SELECT o.id FROM completion o JOIN enrollment e ON e.id = o.enrollment_id
                     WHERE e.tenant_id = :tenant AND e.person_id = ANY(:people)
                     UNION
                    SELECT o.id FROM course x JOIN completion o ON o.course_id = x.id AND o.tenant_id = x.tenant_id
                     WHERE x.tenant_id = :tenant AND o.subject = ANY(:subjects))
     ORDER BY k.id
"""
_HOLDS = """
    SELECT h.id AS hold, h.guard, h.state, l.event_id, l.internal_id, l.action, l.state AS line_state, h.expires_at,
           h.created_at AS at, l.enrollment_id
      FROM hold_line l JOIN hold h ON h.id = l.hold_id AND h.tenant_id = l.tenant_id
      JOIN enrollment e ON e.id = l.enrollment_id AND e.tenant_id = l.tenant_id
     WHERE e.tenant_id = :tenant AND e.person_id = ANY(:people) ORDER BY h.id DESC LIMIT 50
"""
_DEAD = """
    SELECT d.id AS dead_letter, d.kind, d.error, d.message, d.afas_reference, d.state, d.event_id, d.internal_id,
           d.last_failed_at AS at, d.attempts
      FROM dead_letter d WHERE d.id IN (
           SELECT x.id FROM dead_letter x JOIN enrollment e ON e.id = x.subject_id AND e.tenant_id = x.tenant_id
            WHERE x.kind = 'enrollment.upsert' AND e.tenant_id = :tenant AND e.person_id = ANY(:people)
           UNION SELECT x.id FROM dead_letter x JOIN completion k ON k.id = x.subject_id AND k.tenant_id = x.tenant_id
            WHERE x.kind = 'completion.write_back' AND k.tenant_id = :tenant AND k.subject = ANY(:subjects))
     ORDER BY d.id DESC LIMIT 50
"""
_LINES = """
    SELECT run_id AS run, event_id, internal_id, action, outcome, reason, before, after, hold_id AS hold,
           coalesce(settled_at, created_at) AS at
      FROM plan_line WHERE tenant_id = :tenant AND internal_id = ANY(:ids) ORDER BY id DESC LIMIT :limit
"""
_CHANGES = """
    SELECT run_id AS run, system, operation, event_id, internal_id, pluvo_id, result, code, status, before, after, at
      FROM change WHERE tenant_id = :tenant AND internal_id = ANY(:ids) ORDER BY id DESC LIMIT :limit
"""
_ACTIONS = """
    SELECT verb, who, reason, detail, subject AS internal_id, at FROM operator_action
     WHERE tenant_id = :tenant AND subject = ANY(:ids) AND verb LIKE 'links %' ORDER BY id DESC LIMIT :limit
"""
_COURSES = """
    SELECT c.event_id, c.active, c.base_rows AS rows, c.base_at AS last_complete_at FROM course c
     WHERE c.tenant_id = :tenant ORDER BY c.active DESC, length(c.event_id), c.event_id
"""
_LAST_RUN = """
    SELECT id AS run, status, snapshot, reasons, courses, finished_at FROM run
     WHERE tenant_id = :tenant AND direction = 'enrollments' AND status <> 'dry_run' AND trigger <> 'preview'
     ORDER BY id DESC LIMIT 1
"""
_HEALTH = "SELECT direction, state, reason, since, next_run_at FROM tenant_direction WHERE tenant_id = :tenant"


class LookedAt(TypedDict):
    """What was read last of the tenant, for who is not found."""

    courses: list[Row]
    last_run: Row | None
    directions: list[Row]


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
    history: list[Row]
    next_action: str


class Explained(TypedDict):
    """What ``explain`` tells; ``next_action`` only where no person was found."""

    tenant: str
    who: str
    found: bool
    people: list[ExplainedPerson]
    looked_at: LookedAt
    next_action: NotRequired[str]


def explain(slug: str, who: str) -> Explained:
    """Everything known of a person, or what was looked at in vain."""
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
        people = _people(connection, tenant, numbers, slug, looked_at) if numbers else []
        if not people:
            people = _only_in_plans(connection, tenant, asked, slug)
    found: Explained = {
        "tenant": slug,
        "who": asked,
        "found": bool(people),
        "people": people,
        "looked_at": looked_at,
    }
    return found if people else found | {"next_action": _never_seen(slug, asked, looked_at)}


def _people(
    connection: Connection, tenant: int, numbers: list[int], slug: str, looked_at: LookedAt
) -> list[ExplainedPerson]:
    found = rows(connection, _PEOPLE, tenant=tenant, people=numbers)
    ids = [person["internal_id"] for person in found]
    wanted = {"tenant": tenant, "people": numbers, "subjects": [f"person:{one}" for one in ids]}
    enrollments = rows(connection, _ENROLLMENTS, tenant=tenant, people=numbers)
    completions = rows(connection, _COMPLETIONS, **wanted)
    holds = rows(connection, _HOLDS, tenant=tenant, people=numbers)
    dead = rows(connection, _DEAD, **wanted)
    history = _history(connection, tenant, ids, holds, dead)
    told: list[ExplainedPerson] = []
    for person in found:
        mine = [row for row in enrollments if row["person_id"] == person["id"]]
        for row in mine:
            row["completion"] = _completion(row, completions)
            row["holds"] = [
                hold for hold in holds if hold["enrollment_id"] == row["id"] and hold["line_state"] == "open"
            ]
        open_dead = [row for row in dead if row["internal_id"] == person["internal_id"] and row["state"] == "open"]
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
                "history": [event for event in history if event["internal_id"] == person["internal_id"]][:HISTORY],
                "next_action": next_action(slug, person, mine, open_dead, looked_at["directions"]),
            }
        )
    return told


def _link(person: Row) -> Row | None:
    if person["link_state"] is None:
        return None
    keys = ("pluvo_id", "ref", "linked_by", "candidates", "decision", "archived", "created_by_us")
    return {"state": person["link_state"], "reason": person["link_reason"]} | {key: person[key] for key in keys}


def _enrollment(row: Row) -> Row:
    keys = ("event_id", "state", "outcome", "reason", "completion", "row_state", "desired", "seen_at", "absent_since")
    waiting = {
        "state": row["message_state"],
        "at": row["message_run_at"],
        "attempts": row["message_attempts"],
        "code": row["message_code"],
    }
    note = completion_note(row["completion"], [one["title"] for one in row["rules"]] if row["active"] else [])
    more = {
        "completion_note": note,
        # where Pluvo was asked to put them, and where they still are to be taken out of
        "target": row["told_target"],
        "left_behind": row["left_behind"],
        "holds": row["holds"],
        "failed_code": row["failed_code"],
        "course_active": row["active"],
    }
    return {key: row[key] for key in keys} | more | {"message": waiting if row["message_state"] else None}


def _completion(row: Row, completions: list[Row]) -> Row | None:
    keys = ("state", "completed_on", "field", "value", "reason", "title", "written_at", "verified_at", "found_value")
    mine = [one for one in completions if one["enrollment_id"] == row["id"] or one["event_id"] == row["event_id"]]
    told = [{key: one[key] for key in keys} for one in mine]
    if not told:
        return None
    return told[0] | {"others": told[1:]} if len(told) > 1 else told[0]


def _history(connection: Connection, tenant: int, ids: list[str], holds: list[Row], dead: list[Row]) -> list[Row]:
    """What was planned, done, held, given up and decided, newest first."""
    wanted = {"tenant": tenant, "ids": ids, "limit": HISTORY}
    told = [{"what": "planned"} | row for row in rows(connection, _LINES, **wanted)]
    told += [{"what": "called"} | row for row in rows(connection, _CHANGES, **wanted)]
    told += [{"what": "decided"} | row for row in rows(connection, _ACTIONS, **wanted)]
    told += [{"what": "held"} | {key: hold[key] for key in hold if key != "enrollment_id"} for hold in holds]
    told += [{"what": "gave up"} | row for row in dead]
    return sorted(told, key=lambda event: str(event["at"]), reverse=True)


def _only_in_plans(connection: Connection, tenant: int, asked: str, slug: str) -> list[ExplainedPerson]:
    """No such person here yet, but plan lines say why: a row that was rejected each time, or seen only in dry runs."""
    lines = rows(connection, _LINES, tenant=tenant, ids=[asked], limit=HISTORY)
    if not lines:
        return []
    newest = lines[0]
    next_step = (
        f"The row was {newest['outcome']} ({newest['reason']}): put it right in AFAS,"
        f" then `koppeling sync {slug} --person {asked}`."
    )
    run = rows(
        connection, "SELECT status FROM run WHERE id = :run AND tenant_id = :tenant", run=newest["run"], tenant=tenant
    )
    if newest["outcome"] != "rejected" and [one["status"] for one in run] == ["dry_run"]:
        next_step = (
            f"Nothing was done yet: only dry runs saw this row, and planned {newest['action']} ({newest['reason']})."
            f" `koppeling sync {slug}` looks again and acts."
        )
    enrollment = {"event_id": newest["event_id"], "state": "new", "outcome": newest["outcome"]}
    return [
        {
            "internal_id": asked,
            "external_id": None,
            "name": None,
            "email": None,
            "seen_at": newest["at"],
            "link": None,
            "enrollments": [enrollment | {"reason": newest["reason"], "completion": None}],
            "dead_letters": [],
            "history": [{"what": "planned"} | line for line in lines],
            "next_action": next_step,
        }
    ]


def _never_seen(slug: str, asked: str, looked_at: LookedAt) -> str:
    active = [course["event_id"] for course in looked_at["courses"] if course["active"]]
    if not active:
        return f"{slug} has no active course: add one to the tenants file and import it."
    if looked_at["last_run"] is None:
        return f"AFAS was never read for {slug}: `koppeling sync {slug} --wait`."
    return (
        f"No row of events {', '.join(active)} was ever about {asked}: is the person enrolled in AFAS, does the"
        " GetConnector's filter let the row through, and is the event in the tenants file?"
        f" `koppeling sync {slug} --person INTERNAL_ID --wait` asks AFAS now."
    )
