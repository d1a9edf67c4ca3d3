"""What is written down about an enrollment: reservations, links, what Pluvo was told, how it ended."""

from __future__ import annotations

from collections.abc import Mapping
from json import dumps
from typing import Any

from sqlalchemy import Connection, text

import settings
from clients.errors import Rejected, RemoteError, Unknown
from clients.pluvo import PluvoUser
from models import locks
from models.person import LinkedBy
from models.session import transaction
from workers.actors.enrollment_upsert import places
from workers.actors.enrollment_upsert.standing import link_now
from workers.actors.enrollment_upsert.state import Parked, Work
from workers.messages import no_room
from workers.messages.delivery import Delivery
from workers.messages.interruptions import Overtaken

OUR_FAULT = ("internal_error", "time_limit")

_LINK = text(
    """
    INSERT INTO link AS k (tenant_id, person_id, pluvo_id, ref, state, linked_by, created_by_us)
    -- whoever shares an account that we made shares that too
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
_PERSON_LINKED = text(
    """
    UPDATE person
       SET intent_at = NULL, match = NULL, match_account = NULL, match_by = NULL, match_with = NULL,
           invited_at = CASE WHEN :invited THEN coalesce(invited_at, now()) ELSE invited_at END,
           applied_name = CASE WHEN version = :version THEN name ELSE applied_name END,
           applied_email = CASE WHEN version = :version THEN email ELSE applied_email END,
           applied_version = CASE WHEN version = :version THEN version ELSE applied_version END
     WHERE id = :id
    """
)
_APPLIED = text(
    """UPDATE person SET applied_name = :name, applied_email = :email, applied_version = :version
        WHERE id = :id AND coalesce(applied_version, -1) <= :version"""
)
_ENROLLMENT = text(
    f"""
    UPDATE enrollment
       SET state = coalesce(:state, state), applied_version = :version, outcome = :outcome, reason = :reason,
           failed_code = NULL, pluvo_enrollment_id = coalesce(:enrollment, pluvo_enrollment_id), waiting = :waiting,
           unsure = unsure AND :state IS NULL, archive = archive AND NOT :archive_decided,
           take_out = take_out AND version > :version, {places.SET_PLACES}
     WHERE id = :id AND coalesce(applied_version, -1) <= :version
    """  # noqa: S608  a constant
)
# Who spoke for a shared account has left: those who stay are told anew, beginning from what the account has now.
_OTHERS_SPEAK = text(
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
           state = CASE WHEN EXISTS (SELECT 1 FROM enrollment e WHERE e.person_id = :person
                                        AND e.state IN ('enrolled', 'kept')) THEN 'linked' ELSE 'left' END
     WHERE person_id = :person AND pluvo_id = :pluvo AND state <> 'ignored'
    """
)
# What was to be removed is as it was; what a listing or a newer plan said of it stays.
_DROP = text(
    """
    UPDATE enrollment
       SET desired = CASE WHEN desired = 'removed' AND state IN ('enrolled', 'new') THEN 'enrolled' ELSE desired END,
           outcome = CASE WHEN outcome = 'pending' THEN 'dropped' ELSE outcome END,
           reason = CASE WHEN outcome = 'pending' THEN :reason ELSE reason END
     WHERE id = :id AND version = :version
    """
)
# A removal's line may belong to somebody who is wanted again by now.
_LINE_DROPPED = text(
    """
    UPDATE plan_line
       SET outcome = CASE WHEN is_row THEN :row ELSE 'dropped' END, settled_at = now(),
           reason = CASE WHEN NOT is_row AND starts_with(:reason, 'row_') THEN 'came_back' ELSE :reason END
     WHERE id = :id AND tenant_id = :tenant
    """
)
# Nor is any other event of theirs acted on before somebody decided.
_PARK_ALL = text(
    """UPDATE enrollment SET outcome = 'ambiguous', reason = :reason
        WHERE id = :id OR (person_id = :person AND outcome = 'pending' AND desired = 'enrolled')"""
)
_PARK = text(
    """
    INSERT INTO link AS k (tenant_id, person_id, state, reason, candidates)
    VALUES (:tenant, :person, 'ambiguous', :reason, CAST(:candidates AS jsonb))
    ON CONFLICT (person_id) DO UPDATE
       SET state = 'ambiguous', reason = excluded.reason, candidates = excluded.candidates, updated_at = now()
     WHERE k.state <> 'ignored'
    """
)
_CHANGE = text(
    """
    INSERT INTO change (tenant_id, run_id, message_id, system, operation, internal_id, event_id, pluvo_id, result, code,
                        status, before, after)
    -- who was erased meanwhile leaves nothing behind
    SELECT :tenant, CAST(:run AS text), :message, 'pluvo', :operation, CAST(:internal AS text), :event, :pluvo, :result,
           :code, CAST(:status AS integer), CAST(:before AS jsonb), CAST(:after AS jsonb)
      FROM person WHERE id = :person FOR KEY SHARE
    """
)


def reserve(work: Work, connection: Connection) -> None:
    """Note that an account may exist from now on, and be in the event, before it is asked for."""
    connection.execute(text("UPDATE person SET intent_at = now() WHERE id = :id"), {"id": work.row.person_id})
    places.note(work, connection)


def release_reservation(work: Work) -> None:
    """Pluvo said no: surely nothing was made."""
    with transaction() as connection:
        connection.execute(text("UPDATE person SET intent_at = NULL WHERE id = :id"), {"id": work.row.person_id})


def record_link(work: Work, user: PluvoUser, linked_by: LinkedBy) -> bool:
    """Keep the link at once, whatever happens to the rest: true even when this delivery was overtaken.

    False when an operator decided otherwise meanwhile: theirs stays. Raises NotOurs when the person was erased.
    """
    ours = linked_by == LinkedBy.CREATED
    link = {"pluvo": user.id, "ref": user.ref, "by": linked_by.value, "ours": ours}
    with transaction() as connection:
        person = work.row.person_id
        locks.hold(connection, person)
        now = link_now(connection, person)
        may = now == work.link or now[1] == user.id
        kept = (
            connection.execute(_LINK, link | {"tenant": work.delivery.tenant_id, "person": person}).scalar()
            if may
            else 0
        )
        if kept:
            invited = ours and bool(work.row.pluvo.get("send_invite"))
            values = {"id": person, "version": work.row.person_version, "invited": invited}
            connection.execute(_PERSON_LINKED, values)
            locks.follow(connection, person)
            work.pluvo_id, work.ref, work.link = user.id, user.ref, (kept, user.id)
        record_changes(connection, work)
    return bool(kept)


def record_applied(work: Work) -> None:
    """Pluvo has this name and address now, even when enrolling failed."""
    with transaction() as connection:
        if link_now(connection, work.row.person_id) == work.link:
            _applied(connection, work)
        record_changes(connection, work)


def _applied(connection: Connection, work: Work) -> None:
    row = work.row
    values = {"id": row.person_id, "name": row.name, "email": row.email, "version": row.person_version}
    connection.execute(_APPLIED, values)


def remember_target(work: Work, target_id: str) -> None:
    """Pluvo's own id of the offer event, needed for taking people out of it."""
    with transaction() as connection:
        connection.execute(
            text("UPDATE course SET target_id = :id WHERE id = :course AND target = :target AND target_id IS NULL"),
            {"id": target_id, "course": work.row.course_id, "target": work.row.target},
        )


def settle(
    work: Work,
    outcome: str,
    *,
    state: str | None,
    reason: str | None = None,
    archived: bool = False,
    line: str | None = None,
) -> None:
    """Record what is so now (``state`` None: as it was), and end the message, in one transaction.

    ``line`` is the outcome of the plan line where it is not that of the enrollment. Only while the link is the one that
    was worked on; else what was done is noted, and Overtaken raised.
    """
    row = work.row
    try:
        with work.delivery.settle() as connection:
            if state and link_now(connection, row.person_id) != work.link:
                raise Overtaken("the link was changed")
            values = {"id": row.id, "state": state, "version": row.version, "outcome": outcome, "reason": reason}
            values |= {"waiting": work.waiting, "archive_decided": work.archive_decided}
            connection.execute(_ENROLLMENT, values | {"enrollment": work.enrollment_id} | work.places.values())
            places.hand_over(connection, work)
            if state == "enrolled":
                _applied(connection, work)
            if state == "removed" and work.pluvo_id and row.is_primary and row.applied_email:
                told = {"name": row.applied_name, "email": row.applied_email, "pluvo": work.pluvo_id}
                connection.execute(_OTHERS_SPEAK, told | {"tenant": work.delivery.tenant_id, "person": row.person_id})
            if state and work.pluvo_id:
                link = {"person": row.person_id, "pluvo": work.pluvo_id, "archived": archived, "ref": work.ref}
                connection.execute(_LINK_SETTLED, link)
            _settle_line(connection, work, line or outcome, reason)
            record_changes(connection, work)
    except Overtaken:
        with transaction() as connection:
            record_changes(connection, work)
        raise


def drop(work: Work, reason: str) -> None:
    """What was planned no longer holds: end the message without doing it. The next run plans afresh."""
    row = work.row
    over = reason.startswith("row_") or reason == "course_inactive"
    with work.delivery.settle() as connection:
        connection.execute(_DROP, {"id": row.id, "version": row.version, "reason": reason})
        line = {"id": work.delivery.plan_line_id, "row": "unchanged" if over else "pending", "reason": reason}
        connection.execute(_LINE_DROPPED, line | {"tenant": work.delivery.tenant_id})
        record_changes(connection, work)


def _settle_line(connection: Connection, work: Work, outcome: str, reason: str | None) -> None:
    connection.execute(
        text(
            """UPDATE plan_line SET outcome = :outcome, reason = :reason, settled_at = now()
                WHERE id = :id AND tenant_id = :tenant"""
        ),
        {"id": work.delivery.plan_line_id, "tenant": work.delivery.tenant_id, "outcome": outcome, "reason": reason},
    )


def park(work: Work, parked: Parked, candidates: list[dict[str, Any]]) -> None:
    """The world turned out different from the plan: wait for an operator."""
    with work.delivery.settle() as connection:
        link = {"tenant": work.delivery.tenant_id, "person": work.row.person_id, "reason": parked.reason}
        connection.execute(_PARK, link | {"candidates": dumps(candidates)})
        parks = {"id": work.row.id, "person": work.row.person_id, "reason": parked.reason}
        connection.execute(_PARK_ALL, parks)
        _settle_line(connection, work, "ambiguous", parked.reason)
        record_changes(connection, work, result="refused", code=parked.reason)


# ------------------------------------------------------------------------------------------- what was done, and failed


def record_changes(
    connection: Connection, work: Work, *, result: str = "done", code: str | None = None, status: int | None = None
) -> None:
    """A row for each writing call since the last time; ``result`` is that of the one that was still under way."""
    for operation, before, after in work.done:
        connection.execute(_CHANGE, _change(work, operation, "done", before, after))
    if any(operation in ("create", "restore") or (before or {}).get("archived") for operation, before, _ in work.done):
        no_room.found(connection, work.delivery.tenant_id)
    work.done.clear()
    if work.attempting and result != "done":
        change = _change(work, work.attempting, result, None, None) | {"code": code, "status": status}
        connection.execute(_CHANGE, change)
        work.attempting = None


def _change(
    work: Work, operation: str, result: str, before: Mapping[str, Any] | None, after: Mapping[str, Any] | None
) -> dict[str, Any]:
    return {
        "person": work.row.person_id,
        "tenant": work.delivery.tenant_id,
        "run": work.delivery.run_id,
        "message": work.delivery.message_id,
        "operation": operation,
        "internal": work.internal_id,
        "event": work.row.event_id,
        "pluvo": work.pluvo_id,
        "result": result,
        "code": None,
        "status": None,
        "before": dumps(before) if before is not None else None,
        "after": dumps(after) if after is not None else None,
    }


def note_failure(work: Work, error: RemoteError) -> None:
    """Keep for a dead letter what was asked, without names and addresses, and which writing call went wrong."""
    request = {
        "internal_id": work.internal_id,
        "event_id": work.row.event_id,
        "pluvo_id": work.pluvo_id,
        "desired": work.row.desired,
        "name": "<masked>",
        "email": "<masked>",
    }
    work.delivery.note_call(f"pluvo {work.row.desired}", request, error.status, error.remote_text)
    result = "unknown" if isinstance(error, Unknown) else "refused" if isinstance(error, Rejected) else "failed"
    with transaction() as connection:
        record_changes(connection, work, result=result, code=error.code, status=error.status)


def waiting(connection: Connection, delivery: Delivery, code: str) -> None:
    """The message tries again later."""
    connection.execute(
        text("UPDATE enrollment SET outcome = 'pending', reason = :code WHERE id = :id AND tenant_id = :tenant"),
        {"id": delivery.subject_id, "tenant": delivery.tenant_id, "code": code},
    )


def died(connection: Connection, delivery: Delivery, code: str) -> None:
    """Refused as it is: not tried again by itself. Attempts used up, or our own fault: the next run tries afresh."""
    refused = delivery.attempts < len(settings.get().retry_schedule) and code not in OUR_FAULT
    connection.execute(
        text(
            """UPDATE enrollment e
                  SET outcome = 'failed', reason = CAST(:code AS text),
                      failed_code = CASE WHEN :refused THEN CAST(:code AS text) END,
                      failed_version = e.version, failed_settings = t.settings_version
                 FROM tenant t WHERE e.id = :id AND e.tenant_id = :tenant AND t.id = e.tenant_id"""
        ),
        {"id": delivery.subject_id, "tenant": delivery.tenant_id, "code": code, "refused": refused},
    )


def describe(connection: Connection, delivery: Delivery) -> dict[str, Any]:
    """Whose enrollment in what a dead letter is about."""
    row = connection.execute(
        text(
            """SELECT p.internal_id, c.event_id FROM enrollment e JOIN person p ON p.id = e.person_id
                 JOIN course c ON c.id = e.course_id WHERE e.id = :id AND e.tenant_id = :tenant"""
        ),
        {"id": delivery.subject_id, "tenant": delivery.tenant_id},
    ).first()
    return {"internal_id": row.internal_id, "event_id": row.event_id} if row else {}
