"""What is written down about an enrollment: reservations, links, what Pluvo was told, how it ended."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from json import dumps

from sqlalchemy import Connection, text

import settings
from clients.errors import RemoteError
from clients.pluvo import PluvoUser
from models import locks
from models.person import LinkedBy
from models.session import transaction
from producers.enrollments.matching import Candidate
from workers.actors.changes import record_call
from workers.actors.enrollment_upsert import sharing
from workers.actors.enrollment_upsert.places import SET_PLACES
from workers.actors.enrollment_upsert.standing import LinkVersion, link_now
from workers.actors.enrollment_upsert.state import NeedsDecision, Work
from workers.messages import no_room
from workers.messages.delivery import Delivery
from workers.messages.interruptions import Overtaken

OUR_FAULT = ("internal_error", "time_limit")

_LINK = text(
    """
    INSERT INTO link AS k (tenant_id, person_id, pluvo_id, ref, state, linked_by, created_by_us)
    -- An account that we made stays so when it is shared.
    VALUES (:tenant, :person, CAST(:pluvo AS text), :ref, 'linked', :by,
            :ours OR EXISTS (SELECT 1 FROM link o
                              WHERE o.tenant_id = :tenant AND o.pluvo_id = CAST(:pluvo AS text) AND o.created_by_us))
    ON CONFLICT (person_id) DO UPDATE
       SET pluvo_id = excluded.pluvo_id, ref = excluded.ref, state = 'linked', linked_by = excluded.linked_by,
           created_by_us = excluded.created_by_us, reason = NULL,
           candidates = '[]', updated_at = now(), revision = k.revision + 1
     WHERE k.state <> 'ignored' AND (k.pluvo_id IS NULL OR k.pluvo_id = excluded.pluvo_id)
    RETURNING k.revision
    """
)
_RESERVE = text("UPDATE person SET intent_at = now() WHERE id = :id AND tenant_id = :tenant")
_RELEASE = text("UPDATE person SET intent_at = NULL WHERE id = :id AND tenant_id = :tenant")
_TARGET_ID = text(
    """UPDATE course SET target_id = :id
        WHERE id = :course AND tenant_id = :tenant AND target = :target AND target_id IS NULL"""
)
_PERSON_LINKED = text(
    """
    UPDATE person
       SET intent_at = NULL, match = NULL, match_account = NULL, match_by = NULL, match_with = NULL,
           invited_at = CASE WHEN :invited THEN coalesce(invited_at, now()) ELSE invited_at END,
           applied_name = CASE WHEN version = :version THEN name ELSE applied_name END,
           applied_email = CASE WHEN version = :version THEN email ELSE applied_email END,
           applied_version = CASE WHEN version = :version THEN version ELSE applied_version END
     WHERE id = :id AND tenant_id = :tenant
    """
)
_APPLIED = text(
    """UPDATE person SET applied_name = :name, applied_email = :email, applied_version = :version
        WHERE id = :id AND tenant_id = :tenant AND coalesce(applied_version, -1) <= :version"""
)
_ENROLLMENT = text(
    f"""
    UPDATE enrollment
       SET state = coalesce(:state, state), applied_version = :version, outcome = :outcome, reason = :reason,
           failed_code = NULL, pluvo_enrollment_id = coalesce(:enrollment, pluvo_enrollment_id), waiting = :waiting,
           unsure = unsure AND :state IS NULL, archive = archive AND NOT :archive_decided,
           take_out = take_out AND version > :version, {SET_PLACES}
     WHERE id = :id AND tenant_id = :tenant AND coalesce(applied_version, -1) <= :version
    """  # noqa: S608  a constant
)
# The primary person of a shared account has left: those who stay are told again, starting from what the account has.
_OTHERS_ARE_PRIMARY = text(
    """
    WITH staying AS (
        UPDATE person p SET applied_name = :name, applied_email = :email
          FROM link l
         WHERE l.tenant_id = :tenant AND l.pluvo_id = :pluvo AND l.state IN ('linked', 'ambiguous')
           AND l.person_id <> :person AND p.id = l.person_id AND p.applied_email IS NOT NULL
           AND NOT EXISTS (SELECT 1 FROM enrollment e WHERE e.person_id = :person AND e.state = 'enrolled')
           AND (p.name, p.email) IS DISTINCT FROM (:name, :email)
        RETURNING p.id)
    UPDATE enrollment SET applied_version = NULL WHERE state = 'enrolled' AND person_id IN (SELECT id FROM staying)
    """
)
_LINK_SETTLED = text(
    """
    UPDATE link
       SET archived = :archived, ref = coalesce(:ref, ref), reason = NULL, candidates = '[]', updated_at = now(),
           state = CASE WHEN EXISTS (SELECT 1 FROM enrollment e WHERE e.person_id = :person AND e.tenant_id = :tenant
                                        AND e.state IN ('enrolled', 'kept')) THEN 'linked' ELSE 'left' END
     WHERE person_id = :person AND tenant_id = :tenant AND pluvo_id = :pluvo AND state <> 'ignored'
    """
)
_RESTORED = text(
    """UPDATE link SET archived = false, updated_at = now()
        WHERE person_id = :person AND tenant_id = :tenant AND pluvo_id = :pluvo AND archived"""
)
# What was to be removed stays as it is; so does what a listing or a newer plan said of it.
_DROP = text(
    """
    UPDATE enrollment
       SET desired = CASE WHEN desired = 'removed' AND state IN ('enrolled', 'new') THEN 'enrolled' ELSE desired END,
           outcome = CASE WHEN outcome = 'pending' THEN 'dropped' ELSE outcome END,
           reason = CASE WHEN outcome = 'pending' THEN :reason ELSE reason END
     WHERE id = :id AND tenant_id = :tenant AND version = :version
    """
)
# A removal's line may be about a person who is wanted again by now.
_LINE_DROPPED = text(
    """
    UPDATE plan_line
       SET outcome = CASE WHEN is_row THEN :row ELSE 'dropped' END, settled_at = now(),
           reason = CASE WHEN NOT is_row AND starts_with(:reason, 'row_') THEN 'came_back' ELSE :reason END
     WHERE id = :id AND tenant_id = :tenant
    """
)
# No other event of the person is acted on either before an operator decided.
_AMBIGUOUS = text(
    """UPDATE enrollment SET outcome = 'ambiguous', reason = :reason
        WHERE tenant_id = :tenant
          AND (id = :id OR (person_id = :person AND outcome = 'pending' AND desired = 'enrolled'))"""
)
_ASK = text(
    """
    INSERT INTO link AS k (tenant_id, person_id, state, reason, candidates)
    VALUES (:tenant, :person, 'ambiguous', :reason, CAST(:candidates AS jsonb))
    ON CONFLICT (person_id) DO UPDATE
       SET state = 'ambiguous', reason = excluded.reason, candidates = excluded.candidates, updated_at = now()
     WHERE k.state <> 'ignored'
    """
)
# Those who still need a place answer for it from now on: the last one who leaves takes the account out.
_HAND_OVER = text(
    """
    UPDATE enrollment
       SET left_behind = CASE WHEN told_target IS NULL THEN left_behind ELSE left_behind || CAST(:place AS jsonb) END,
           told_account = CASE WHEN told_target IS NULL THEN :account ELSE told_account END,
           told_target_id = CASE WHEN told_target IS NULL THEN CAST(:target_id AS text) ELSE told_target_id END,
           told_target = coalesce(told_target, :target)
     WHERE id = :id AND tenant_id = :tenant AND NOT left_behind @> CAST(:place AS jsonb)
       AND NOT coalesce(told_account = :account
                        AND (told_target = :target OR told_target_id = CAST(:target_id AS text)), false)
    """
)
_LINE = text(
    """UPDATE plan_line SET outcome = :outcome, reason = :reason, settled_at = now()
        WHERE id = :id AND tenant_id = :tenant"""
)
_WAITING = text("UPDATE enrollment SET outcome = 'pending', reason = :code WHERE id = :id AND tenant_id = :tenant")
_FAILED = text(
    """
    UPDATE enrollment e
       SET outcome = 'failed', reason = CAST(:code AS text),
           failed_code = CASE WHEN :refused THEN CAST(:code AS text) END,
           failed_version = e.version, failed_settings = t.settings_version
      FROM tenant t WHERE e.id = :id AND e.tenant_id = :tenant AND t.id = e.tenant_id
    """
)
_ABOUT = text(
    """
    SELECT p.internal_id, c.event_id FROM enrollment e
      JOIN person p ON p.id = e.person_id JOIN course c ON c.id = e.course_id
     WHERE e.id = :id AND e.tenant_id = :tenant
    """
)


# ------------------------------------------------------------------------------------- while the work is being done


def reserve(work: Work, connection: Connection) -> None:
    """Note that an account may exist from now on, and be in the event, before it is asked for."""
    connection.execute(_RESERVE, {"id": work.row.person_id, "tenant": work.delivery.tenant_id})
    work.note_place(connection)


def release_reservation(work: Work) -> None:
    """Pluvo refused: surely no account was made."""
    with transaction() as connection:
        connection.execute(_RELEASE, {"id": work.row.person_id, "tenant": work.delivery.tenant_id})


def link(work: Work, user: PluvoUser, linked_by: LinkedBy) -> None:
    """Keep the link at once, whatever happens to the rest, even when this delivery was overtaken.

    Raises Overtaken when an operator decided otherwise meanwhile (that link stays), NotOurs when the person was erased.
    """
    person, tenant, ours = work.row.person_id, work.delivery.tenant_id, linked_by == LinkedBy.CREATED
    values = {"person": person, "tenant": tenant, "pluvo": user.id, "ref": user.ref, "by": linked_by.value}
    revision = None
    with transaction() as connection:
        locks.hold(connection, person)
        now = link_now(connection, person, tenant)
        if now == work.link or now.pluvo_id == user.id:
            revision = connection.execute(_LINK, values | {"ours": ours}).scalar()
        if revision:
            invited = ours and work.row.send_invite
            linked = {"id": person, "tenant": tenant, "version": work.row.person_version, "invited": invited}
            connection.execute(_PERSON_LINKED, linked)
            locks.follow(connection, person)
            work.pluvo_id, work.ref, work.link = user.id, user.ref, LinkVersion(revision, user.id)
        _record_calls(connection, work)
    if not revision:
        raise Overtaken("an operator decided otherwise")


def applied(work: Work) -> None:
    """Pluvo has this name and address now, in an active account, even when enrolling failed."""
    account = {"person": work.row.person_id, "tenant": work.delivery.tenant_id, "pluvo": work.pluvo_id}
    with transaction() as connection:
        if link_now(connection, work.row.person_id, work.delivery.tenant_id) == work.link:
            _applied(connection, work)
            connection.execute(_RESTORED, account)
        _record_calls(connection, work)


def _applied(connection: Connection, work: Work) -> None:
    row = work.row
    values = {"id": row.person_id, "name": row.name, "email": row.email, "version": row.person_version}
    connection.execute(_APPLIED, values | {"tenant": work.delivery.tenant_id})


def target_id(work: Work, found: str) -> None:
    """Pluvo's own id of the offer event, needed for taking people out of it."""
    with transaction() as connection:
        course = {"course": work.row.course_id, "tenant": work.delivery.tenant_id, "target": work.row.target}
        connection.execute(_TARGET_ID, course | {"id": found})


# ---------------------------------------------------------------------------------------------------- how it ended


@dataclass(frozen=True)
class Result:
    """What is so now."""

    outcome: str
    # A new state of the enrollment; None: it is as it was
    state: str | None = None
    reason: str | None = None
    archived: bool = False
    # Whether the account goes to the archive was looked at
    archive_decided: bool = False
    # The outcome of the plan line, where it is not that of the enrollment
    line: str | None = None


def settle(work: Work, result: Result) -> None:
    """Record the result and end the message, in one transaction.

    Only while the link is the one that was worked on; else the calls are recorded, and Overtaken raised.
    """
    try:
        with work.delivery.settle() as connection:
            if result.state and link_now(connection, work.row.person_id, work.delivery.tenant_id) != work.link:
                raise Overtaken("the link was changed")
            _record_result(connection, work, result)
            _settle_line(connection, work, result.line or result.outcome, result.reason)
            _record_calls(connection, work)
    except Overtaken:
        with transaction() as connection:
            _record_calls(connection, work)
        raise


def _record_result(connection: Connection, work: Work, result: Result) -> None:
    row, tenant = work.row, work.delivery.tenant_id
    enrollment = {
        "id": row.id,
        "tenant": tenant,
        "version": row.version,
        "state": result.state,
        "outcome": result.outcome,
        "reason": result.reason,
        "archive_decided": result.archive_decided,
        "waiting": work.waiting,
        "enrollment": work.enrollment_id,
    }
    connection.execute(_ENROLLMENT, enrollment | work.places.values())
    for holder, place in work.handed:
        values = asdict(place) | {"id": holder, "tenant": tenant, "place": dumps([asdict(place)])}
        connection.execute(_HAND_OVER, values)
    if result.state == "enrolled":
        _applied(connection, work)
    if result.state == "removed" and work.pluvo_id and row.is_primary and row.applied_email:
        told = {"name": row.applied_name, "email": row.applied_email, "pluvo": work.pluvo_id}
        connection.execute(_OTHERS_ARE_PRIMARY, told | {"tenant": tenant, "person": row.person_id})
    if result.state and work.pluvo_id:
        account = {"pluvo": work.pluvo_id, "archived": result.archived, "ref": work.ref}
        connection.execute(_LINK_SETTLED, account | {"person": row.person_id, "tenant": tenant})


def drop(work: Work, reason: str) -> None:
    """What was planned no longer holds: end the message without doing it. The next run plans it again."""
    over = reason.startswith("row_") or reason == "course_inactive"
    tenant = {"tenant": work.delivery.tenant_id}
    with work.delivery.settle() as connection:
        connection.execute(_DROP, tenant | {"id": work.row.id, "version": work.row.version, "reason": reason})
        line = {"id": work.delivery.plan_line_id, "row": "unchanged" if over else "pending", "reason": reason}
        connection.execute(_LINE_DROPPED, line | tenant)
        _record_calls(connection, work)


def ask_operator(work: Work, question: NeedsDecision) -> None:
    """Pluvo turned out different from the plan: the person is ambiguous until an operator decides."""
    candidates = [
        Candidate(
            user.id, user.email, user.name, archived=user.archived, linked_to=sharing.linked_to_other(work, user.id)
        ).shown()
        for user in question.candidates
    ]
    with work.delivery.settle() as connection:
        person = {"person": work.row.person_id, "tenant": work.delivery.tenant_id, "reason": question.reason}
        connection.execute(_ASK, person | {"candidates": dumps(candidates)})
        connection.execute(_AMBIGUOUS, person | {"id": work.row.id})
        _settle_line(connection, work, "ambiguous", question.reason)
        _record_calls(connection, work)


def _settle_line(connection: Connection, work: Work, outcome: str, reason: str | None) -> None:
    line = {"id": work.delivery.plan_line_id, "tenant": work.delivery.tenant_id}
    connection.execute(_LINE, line | {"outcome": outcome, "reason": reason})


def note_failure(work: Work, error: RemoteError) -> None:
    """Keep for a dead letter what was asked, without names and addresses, and record the calls so far."""
    request = {
        "internal_id": work.row.internal_id,
        "event_id": work.row.event_id,
        "pluvo_id": work.pluvo_id,
        "desired": work.row.desired,
        "name": "<masked>",
        "email": "<masked>",
    }
    work.delivery.note_call(f"pluvo {work.row.desired}", request, error.status, error.remote_text)
    with transaction() as connection:
        _record_calls(connection, work)


def _record_calls(connection: Connection, work: Work) -> None:
    """Record each writing call since the last time. An account that came into use shows that Pluvo has room."""
    row = work.row
    for call in work.calls:
        record_call(
            connection,
            work.delivery,
            call,
            system="pluvo",
            internal_id=row.internal_id,
            event_id=row.event_id,
            pluvo_id=work.pluvo_id,
        )
    done = [call for call in work.calls if call.result == "done"]
    if any(call.operation in ("create", "restore") or (call.before or {}).get("archived") for call in done):
        no_room.found(connection, work.delivery.tenant_id)
    work.calls.clear()


# ------------------------------------------------------------------------------------------- hooks of the actor


def waiting(connection: Connection, delivery: Delivery, code: str) -> None:
    """The message tries again later."""
    connection.execute(_WAITING, {"id": delivery.subject_id, "tenant": delivery.tenant_id, "code": code})


def died(connection: Connection, delivery: Delivery, code: str) -> None:
    """A refused record stays failed. Attempts used up, or our own fault: the next run tries again."""
    refused = delivery.attempts < len(settings.get().retry_schedule) and code not in OUR_FAULT
    values = {"id": delivery.subject_id, "tenant": delivery.tenant_id, "code": code, "refused": refused}
    connection.execute(_FAILED, values)


def describe(connection: Connection, delivery: Delivery) -> dict[str, str]:
    """Which person and event a dead letter is about."""
    row = connection.execute(_ABOUT, {"id": delivery.subject_id, "tenant": delivery.tenant_id}).first()
    return {"internal_id": row.internal_id, "event_id": row.event_id} if row else {}
