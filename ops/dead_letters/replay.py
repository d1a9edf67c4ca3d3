"""Send dead letters again: a fresh message for the newest state, in the transaction that closes the dead letter.

    will_do ──► replayed            superseded: there is newer work, or nothing left to do
    still_blocked (stays open)      settled:    replayed, superseded or discarded before

Doing it twice does nothing the second time. Many at once go in a batch (``ops/dead_letters/replay_batch.py``). Why is a
code with parameters: its sentence is ``verdict.<code>`` of the catalogue.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import NotRequired, cast

from sqlalchemy import Connection, text
from typing_extensions import TypedDict

from models import ledger, locks
from models.completion_state import CompletionState
from models.dead_letter import DeadLetterState
from models.direction import Direction, Health
from models.ledger import NewMessage
from models.message import Kind, Priority
from ops import audit
from ops.language import say
from ops.listing import rows

WILL_DO, SUPERSEDED, STILL_BLOCKED, REPLAYED, SETTLED = (
    *("will_do", "superseded", "still_blocked"),
    *("replayed", "settled"),
)

_FACTS = """
    SELECT d.id, d.tenant_id, t.slug AS tenant, d.kind, d.subject_id, d.state, d.internal_id, d.event_id, d.error,
           w.state AS health, w.reason AS health_reason,
           EXISTS (SELECT 1 FROM message m WHERE m.kind = d.kind AND m.subject_id = d.subject_id) AS in_ledger,
           EXISTS (SELECT 1 FROM dead_letter n WHERE n.kind = d.kind AND n.subject_id = d.subject_id AND n.id > d.id
                      AND n.state = 'open') AS newer,
           e.id AS enrollment_id, e.person_id, e.version, e.applied_version, e.failed_code,
           l.state AS link_state, l.decision,
           c.id AS completion_id, c.state AS completion_state, c.version AS completion_version,
           c.enrollment_id AS completion_enrollment,
           v.id AS event_number, v.handled_at, v.pluvo_id AS event_account, v.ref AS event_ref
      FROM dead_letter d
      LEFT JOIN tenant t ON t.id = d.tenant_id
      LEFT JOIN tenant_direction w ON w.tenant_id = d.tenant_id AND w.direction = d.direction
      LEFT JOIN enrollment e ON d.kind = 'enrollment.upsert' AND e.id = d.subject_id AND e.tenant_id = d.tenant_id
      LEFT JOIN link l ON l.person_id = e.person_id
      LEFT JOIN completion c ON d.kind = 'completion.write_back' AND c.id = d.subject_id AND c.tenant_id = d.tenant_id
      LEFT JOIN webhook_event v ON d.kind = 'completion.fetch' AND v.id = d.subject_id AND v.tenant_id = d.tenant_id
     WHERE d.id = ANY(:ids) ORDER BY d.id
"""
# Letters of which the judge reads the same make one group: it judges the first of each, however many there are. What it
# reads of the first is of the same moment: one that was sent or closed in between would speak for all of its group.
_ONE_MOMENT = text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
# Each table is looked into by its keys alone, of all letters at once, and what is found is joined and grouped by
# hashing. How many there will be PostgreSQL can't know: it would try each of thousands with each, or compile what is
# over by then.
_OTHER_WAYS = ("enable_nestloop", "enable_sort", "jit")
_BY_HASHING = "; ".join(f"SET LOCAL {name} = off" for name in _OTHER_WAYS)
_AS_BEFORE = "; ".join(f"SET LOCAL {name} TO DEFAULT" for name in _OTHER_WAYS)
_ALIKE = """
    WITH letters AS MATERIALIZED (
        SELECT d.id, d.tenant_id, d.kind, d.direction, d.subject_id, d.state FROM dead_letter d WHERE {letters}
    ), enrollments AS MATERIALIZED (
        SELECT e.id, e.tenant_id, e.person_id, e.course_id, e.desired, e.row_state, e.outcome, e.removal_refused,
               e.failed_code IS NULL AND e.applied_version = e.version AS done
          FROM enrollment e WHERE e.id = ANY(ARRAY(SELECT subject_id FROM letters WHERE kind = 'enrollment.upsert'))
    ), links AS MATERIALIZED (
        SELECT l.person_id, l.pluvo_id IS NULL AS unlinked, l.state, l.decision
          FROM link l WHERE l.person_id = ANY(ARRAY(SELECT person_id FROM enrollments))
    ), people AS MATERIALIZED (
        SELECT p.id, p.match IS NULL AS unmatched FROM person p WHERE p.id = ANY(ARRAY(
               SELECT e.person_id FROM enrollments e LEFT JOIN links l ON l.person_id = e.person_id
                WHERE l.unlinked IS NOT FALSE))
    ), completions AS MATERIALIZED (
        SELECT c.id, c.tenant_id, c.state
          FROM completion c WHERE c.id = ANY(ARRAY(SELECT subject_id FROM letters WHERE kind = 'completion.write_back'))
    ), events AS MATERIALIZED (
        SELECT v.id, v.tenant_id, v.handled_at IS NULL AS unhandled
          FROM webhook_event v WHERE v.id = ANY(ARRAY(SELECT subject_id FROM letters WHERE kind = 'completion.fetch'))
    ), policies AS MATERIALIZED (
        SELECT t.id, t.removals->>'policy' AS policy FROM tenant t
    ), facts AS (
        SELECT d.id, d.kind, d.direction, d.state,
               CASE WHEN w.state IN ('paused', 'quarantined') THEN d.tenant_id END AS stopped, t.policy,
               EXISTS (SELECT 1 FROM message m WHERE m.kind = d.kind AND m.subject_id = d.subject_id) AS in_ledger,
               EXISTS (SELECT 1 FROM dead_letter n WHERE n.kind = d.kind AND n.subject_id = d.subject_id AND n.id > d.id
                          AND n.state = 'open') AS newer,
               e.done, e.desired, e.row_state, e.outcome, e.removal_refused, k.active, l.unlinked, p.unmatched,
               l.state AS link_state, l.decision, c.state AS completion_state, v.unhandled
          FROM letters d
          LEFT JOIN policies t ON t.id = d.tenant_id
          LEFT JOIN tenant_direction w ON w.tenant_id = d.tenant_id AND w.direction = d.direction
          LEFT JOIN enrollments e ON e.id = d.subject_id AND d.kind = 'enrollment.upsert' AND e.tenant_id = d.tenant_id
          LEFT JOIN course k ON k.id = e.course_id
          LEFT JOIN links l ON l.person_id = e.person_id
          LEFT JOIN people p ON p.id = e.person_id
          LEFT JOIN completions c
                 ON c.id = d.subject_id AND d.kind = 'completion.write_back' AND c.tenant_id = d.tenant_id
          LEFT JOIN events v ON v.id = d.subject_id AND d.kind = 'completion.fetch' AND v.tenant_id = d.tenant_id
    )
    SELECT min(id) AS first, array_agg(id) AS ids FROM facts
     GROUP BY kind, direction, state, stopped, policy, in_ledger, newer, done, desired, row_state, outcome,
              removal_refused, active, unlinked, unmatched, link_state, decision, completion_state, unhandled
"""
_THESE = "d.id = ANY(:ids)"


class Line(TypedDict):
    """What a replay tells of one dead letter. ``state`` is the letter's, where it went in a batch.

    ``reason`` is the English sentence of ``code`` with ``params``, or why it was closed. ``again``: the dead letter
    that a replay which failed again became, with its error and message.
    """

    id: str
    tenant: str | None
    kind: str | None
    internal_id: str | None
    event_id: str | None
    error: str | None
    result: str
    reason: str | None
    state: NotRequired[str]
    code: NotRequired[str | None]
    params: NotRequired[Mapping[str, str]]
    again: NotRequired[str | None]
    again_error: NotRequired[str | None]
    again_message: NotRequired[str | None]


class Verdicts(TypedDict):
    """How many letters come to the same end for the same reason; the oldest of them is ``first``."""

    result: str
    code: str | None
    params: Mapping[str, str]
    reason: str | None
    count: int
    first: str


@dataclass(frozen=True)
class Facts:
    """What stands now about the work of one dead letter: the columns of ``_FACTS``."""

    id: str
    tenant_id: int | None
    tenant: str | None
    kind: str
    subject_id: int
    state: str
    internal_id: str | None
    event_id: str | None
    error: str | None
    # Of the tenant's direction.
    health: str | None
    health_reason: str | None
    # The same work is in the ledger, or gave up again since.
    in_ledger: bool
    newer: bool
    enrollment_id: int | None
    person_id: int | None
    version: int | None
    applied_version: int | None
    failed_code: str | None
    link_state: str | None
    decision: str | None
    completion_id: int | None
    completion_state: str | None
    completion_version: int | None
    completion_enrollment: int | None
    event_number: int | None
    handled_at: datetime | None
    event_account: str | None
    event_ref: str | None
    # Why the enrollment is wanted no more.
    against: str | None = None


@dataclass(frozen=True)
class ReplayVerdict:
    """What a replay would do with one dead letter, or did, and why."""

    result: str
    code: str | None = None
    params: Mapping[str, str] = field(default_factory=dict)

    @property
    def reason(self) -> str | None:
        """The code's sentence in English."""
        return say(f"verdict.{self.code}", "en", **self.params) if self.code else None


def judge(facts: Facts) -> ReplayVerdict:
    """Pure: what a replay does with one dead letter. What it reads of the facts, ``_ALIKE`` groups by."""
    if facts.state != DeadLetterState.OPEN:
        return ReplayVerdict(SETTLED, "settled", {"state": facts.state})
    if facts.newer:
        return ReplayVerdict(SUPERSEDED, "newer_letter")
    if facts.in_ledger:
        return ReplayVerdict(SUPERSEDED, "in_ledger")
    verdict = _OF_KIND.get(facts.kind, _unknown)(facts)
    if verdict.result == WILL_DO and facts.health in (Health.PAUSED, Health.QUARANTINED):
        told = {"tenant": facts.tenant or "", "health": facts.health}
        if why := (facts.health_reason or "").rstrip(": "):
            return ReplayVerdict(STILL_BLOCKED, "stopped_because", told | {"why": why})
        return ReplayVerdict(STILL_BLOCKED, "stopped", told)
    return verdict


def _upsert(facts: Facts) -> ReplayVerdict:
    if facts.enrollment_id is None:
        return ReplayVerdict(SUPERSEDED, "enrollment_unknown")
    if facts.link_state in ("ambiguous", "ignored") and facts.decision in (None, "ignore"):
        return ReplayVerdict(STILL_BLOCKED, "person_undecided", {"state": facts.link_state})
    # Who has no account yet may have one planned by the time this is carried out.
    if facts.against not in (None, "no_longer_linked"):
        return ReplayVerdict(SUPERSEDED, "not_wanted", {"why": str(facts.against)})
    if facts.failed_code is None and facts.applied_version == facts.version:
        return ReplayVerdict(SUPERSEDED, "done")
    return ReplayVerdict(WILL_DO)


def _write_back(facts: Facts) -> ReplayVerdict:
    state = facts.completion_state
    if state is None:
        return ReplayVerdict(SUPERSEDED, "completion_unknown")
    if state in (CompletionState.WRITTEN, CompletionState.VERIFIED, CompletionState.UNCHANGED):
        return ReplayVerdict(SUPERSEDED, "completion_done", {"state": state})
    if state in (CompletionState.CONFLICT, CompletionState.ORPHAN, CompletionState.NO_DATE):
        return ReplayVerdict(STILL_BLOCKED, "completion_waits", {"state": state})
    return ReplayVerdict(WILL_DO)


def _fetch(facts: Facts) -> ReplayVerdict:
    if facts.event_number is None or facts.handled_at is not None:
        return ReplayVerdict(SUPERSEDED, "webhook_handled" if facts.event_number else "webhook_unknown")
    return ReplayVerdict(WILL_DO)


def _unknown(facts: Facts) -> ReplayVerdict:
    return ReplayVerdict(STILL_BLOCKED, "nothing_to_send")


_OF_KIND: dict[str, Callable[[Facts], ReplayVerdict]] = {
    Kind.UPSERT: _upsert,
    Kind.WRITE_BACK: _write_back,
    Kind.FETCH: _fetch,
}


def preview(connection: Connection, ids: list[str]) -> list[Line]:
    """What a replay would do with each. Changes nothing."""
    return [_told(facts, judge(facts)) for facts in _facts(connection, ids)]


def count(connection: Connection, letters: str = _THESE, **values: object) -> list[tuple[Verdicts, list[str]]]:
    """The same of however many, counted by verdict and reason: with the ids of each, the largest first.

    ``letters`` is a condition on letters ``d``, with its values: else ``ids`` of them. It comes first in its
    transaction, of which everything is read as at one moment.
    """
    connection.execute(_ONE_MOMENT)
    connection.exec_driver_sql(_BY_HASHING)
    alike = {row["first"]: row["ids"] for row in rows(connection, _ALIKE.format(letters=letters), **values)}
    connection.exec_driver_sql(_AS_BEFORE)
    told: dict[tuple[str, str | None, str | None], tuple[Verdicts, list[str]]] = {}
    for facts in _facts(connection, list(alike)):
        verdict = judge(facts)
        key = verdict.result, verdict.code, verdict.reason
        if key not in told:
            named: Verdicts = {
                "result": verdict.result,
                "code": verdict.code,
                "params": verdict.params,
                "reason": verdict.reason,
                "count": 0,
                "first": facts.id,
            }
            told[key] = named, []
        told[key][0]["count"] += len(alike[facts.id])
        told[key][1].extend(alike[facts.id])
    return sorted(told.values(), key=lambda one: (-one[0]["count"], one[0]["first"]))


def _facts(connection: Connection, ids: list[str]) -> list[Facts]:
    from workers.actors.enrollment_upsert.standing import against  # noqa: PLC0415  it brings the whole engine

    found = rows(connection, _FACTS, ids=ids)
    about = {row["enrollment_id"]: row["tenant_id"] for row in found if row["enrollment_id"] is not None}
    reasons = against(connection, list(about), list(set(about.values())))
    return [Facts(**row, against=reasons.get(row["enrollment_id"])) for row in found]


def send(connection: Connection, dead_letter_id: str, *, who: str, reason: str | None, batch: str) -> Line:
    """Replay one, in the caller's transaction. A second replay finds it settled."""
    connection.execute(text("SELECT id FROM dead_letter WHERE id = :id FOR UPDATE"), {"id": dead_letter_id})
    found = _facts(connection, [dead_letter_id])
    if not found:  # with its tenant, or forgotten by now
        return {
            "id": dead_letter_id,
            "tenant": None,
            "kind": None,
            "internal_id": None,
            "event_id": None,
            "error": None,
            "result": SETTLED,
            "reason": say("verdict.letter_unknown", "en"),
            "code": "letter_unknown",
            "params": {},
        }
    facts = found[0]
    verdict = judge(facts)
    if verdict.result == WILL_DO:
        _clear_failure(connection, facts)
        ledger.enqueue(connection, [_message(connection, facts)])
        verdict = ReplayVerdict(REPLAYED)
    if verdict.result in (REPLAYED, SUPERSEDED):
        closed = {"id": dead_letter_id, "state": verdict.result, "who": who, "reason": reason or verdict.reason}
        connection.execute(_CLOSE, closed | {"tenant": facts.tenant_id, "again": int(verdict.result == REPLAYED)})
        audit.record(
            connection,
            who=who,
            verb="dead-letters replay",
            tenant_id=facts.tenant_id,
            subject=dead_letter_id,
            reason=reason,
            detail={"result": verdict.result, "batch": batch},
        )
    return _told(facts, verdict)


_CLOSE = text(
    """
    UPDATE dead_letter SET state = :state, closed_at = now(), closed_by = :who, closed_reason = :reason,
           replays = replays + :again
     WHERE id = :id AND tenant_id IS NOT DISTINCT FROM :tenant
    """
)


def _clear_failure(connection: Connection, facts: Facts) -> None:
    """What is recorded as failed would be left alone by the next run, and may not be once it is sent again."""
    if facts.kind == Kind.UPSERT:
        connection.execute(
            text(
                "UPDATE enrollment SET failed_code = NULL, failed_version = NULL, failed_settings = NULL,"
                " outcome = 'pending', reason = 'replayed' WHERE id = :id AND tenant_id = :tenant"
            ),
            {"id": facts.enrollment_id, "tenant": facts.tenant_id},
        )
    elif facts.kind == Kind.WRITE_BACK and facts.completion_state != CompletionState.SENDING:
        # "sending" stays: a PUT may have happened, and the actor reads back before it repeats it.
        connection.execute(
            text(
                "UPDATE completion SET state = 'pending', reason = NULL, changed_at = now()"
                " WHERE id = :id AND tenant_id = :tenant"
            ),
            {"id": facts.completion_id, "tenant": facts.tenant_id},
        )


def _message(connection: Connection, facts: Facts) -> NewMessage:
    """The message of a letter that ``judge`` wants sent: it has a tenant, and what it is about is there."""
    kind, tenant = Kind(facts.kind), cast(int, facts.tenant_id)
    if kind == Kind.UPSERT:
        lock, version = locks.of_upsert(connection, tenant, cast(int, facts.enrollment_id)), facts.version
    elif kind == Kind.WRITE_BACK:
        lock, version = locks.of_write_back(cast(int, facts.completion_enrollment)), facts.completion_version
    else:
        lock, version = locks.of_fetch(connection, tenant, facts.event_account, facts.event_ref), 0
    return NewMessage(
        tenant_id=tenant,
        kind=kind,
        direction=Direction.ENROLLMENTS if kind == Kind.UPSERT else Direction.COMPLETIONS,
        subject_id=facts.subject_id,
        lock=lock,
        version=cast(int, version),
        priority=Priority.INTERACTIVE,
        full=True,
    )


def _told(facts: Facts, verdict: ReplayVerdict) -> Line:
    return {
        "id": facts.id,
        "tenant": facts.tenant,
        "kind": facts.kind,
        "internal_id": facts.internal_id,
        "event_id": facts.event_id,
        "error": facts.error,
        "result": verdict.result,
        "reason": verdict.reason,
        "code": verdict.code,
        "params": verdict.params,
    }
