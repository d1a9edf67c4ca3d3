"""What is written down about an enrollment: reservations, links, what Pluvo was told, how it ended."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import partial
from json import dumps
from typing import Any

from sqlalchemy import Connection, text

import settings
from clients.errors import RemoteError
from clients.pluvo import PluvoUser
from models import locks
from models.person import LinkedBy
from models.session import fetch, transaction
from producers.enrollments.matching import Candidate
from workers.actors.changes import RECORD_CALLS, named, record_calls
from workers.actors.enrollment_upsert import sharing
from workers.actors.enrollment_upsert.places import SET_PLACES
from workers.actors.enrollment_upsert.standing import LinkVersion, link_now
from workers.actors.enrollment_upsert.state import NeedsDecision, Work
from workers.messages import no_room
from workers.messages.delivery import Delivery
from workers.messages.interruptions import NotOurs, Overtaken

OUR_FAULT = ("internal_error", "time_limit")

# Whether the person's link is still the one that was worked on, or leads to this account already.
_OURS = """
    SELECT coalesce((SELECT (k.revision = :revision AND k.pluvo_id IS NOT DISTINCT FROM CAST(:known AS text)) {or_this}
                       FROM link k WHERE k.person_id = :person AND k.tenant_id = :tenant), :revision = 0) AS still
"""
# The person has the account now, and Pluvo was told this name and address.
_FOUND = """
    UPDATE person
       SET intent_at = NULL, match = NULL, match_account = NULL, match_by = NULL, match_with = NULL,
           invited_at = CASE WHEN :invited THEN coalesce(invited_at, now()) ELSE invited_at END,
           applied_name = CASE WHEN {newest} THEN :name ELSE applied_name END,
           applied_email = CASE WHEN {newest} THEN :email ELSE applied_email END,
           applied_version = CASE WHEN {newest} THEN :person_version ELSE applied_version END
     WHERE id = :person AND tenant_id = :tenant AND (SELECT still FROM ours) RETURNING id
"""
_LINK_TO = """
    INSERT INTO link AS k (tenant_id, person_id, pluvo_id, ref, state, linked_by, created_by_us)
    -- An account that we made stays so when it is shared.
    SELECT :tenant, :person, CAST(:pluvo AS text), CAST(:ref AS text), 'linked', CAST(:by AS text),
           :made OR EXISTS (SELECT 1 FROM link o
                             WHERE o.tenant_id = :tenant AND o.pluvo_id = CAST(:pluvo AS text) AND o.created_by_us)
      FROM ours WHERE still AND (SELECT count(*) FROM {after}) > 0
    ON CONFLICT (person_id) DO UPDATE
       SET pluvo_id = excluded.pluvo_id, ref = excluded.ref, state = 'linked', linked_by = excluded.linked_by,
           created_by_us = excluded.created_by_us, archived = false, reason = NULL,
           candidates = '[]', updated_at = now(), revision = k.revision + 1
     WHERE k.state <> 'ignored' AND (k.pluvo_id IS NULL OR k.pluvo_id = excluded.pluvo_id)
    RETURNING k.revision
"""
_OR_THIS = "OR k.pluvo_id IS NOT DISTINCT FROM CAST(:pluvo AS text)"
_LINK = text(
    f"""
    WITH ours AS MATERIALIZED ({_OURS.format(or_this=_OR_THIS)}),
    told AS ({_FOUND.format(newest="version = :person_version")})
    {_LINK_TO.format(after="told")}
    """
)
_RESERVE = text("UPDATE person SET intent_at = now() WHERE id = :id AND tenant_id = :tenant")
_RELEASE = text("UPDATE person SET intent_at = NULL WHERE id = :id AND tenant_id = :tenant")
_TARGET_ID = text(
    """UPDATE course SET target_id = :id
        WHERE id = :course AND tenant_id = :tenant AND target = :target AND target_id IS NULL"""
)
_APPLIED = text(
    """UPDATE person SET applied_name = :name, applied_email = :email, applied_version = :version
        WHERE id = :id AND tenant_id = :tenant AND coalesce(applied_version, -1) <= :version"""
)
_TOLD = """
    UPDATE person SET applied_name = :name, applied_email = :email, applied_version = :person_version
     WHERE id = :person AND tenant_id = :tenant AND :enrolled AND coalesce(applied_version, -1) <= :person_version
       AND (applied_name, applied_email, applied_version) IS DISTINCT FROM
           (CAST(:name AS text), CAST(:email AS text), CAST(:person_version AS bigint))
    RETURNING id
"""
# The account stands as it is now; whether the person has left is seen by their enrollments.
_STANDS = """
    UPDATE link k
       SET archived = :archived, ref = coalesce(now.ref, k.ref), reason = NULL, candidates = '[]', updated_at = now(),
           state = now.state
      FROM (SELECT CASE WHEN EXISTS (SELECT FROM kept WHERE kept.state IN ('enrolled', 'kept'))
                          OR EXISTS (SELECT FROM enrollment e
                                      WHERE e.person_id = :person AND e.tenant_id = :tenant
                                        AND e.state IN ('enrolled', 'kept')
                                        AND (e.id <> :id OR NOT EXISTS (SELECT FROM kept)))
                        THEN 'linked' ELSE 'left' END AS state, CAST(:ref AS text) AS ref) AS now
     WHERE k.person_id = :person AND k.tenant_id = :tenant AND k.pluvo_id = CAST(:pluvo AS text)
       AND k.state <> 'ignored' AND (SELECT count(*) FROM kept) >= 0
       AND (k.archived, k.state, k.ref, k.reason, k.candidates) IS DISTINCT FROM
           (:archived, now.state, coalesce(now.ref, k.ref), NULL, '[]')
    RETURNING k.revision
"""
# All that is recorded of a result, in the order of locks: person, enrollment, link.
_RESULT = """
    WITH ours AS MATERIALIZED ({ours}), told AS ({told}), kept AS (
        UPDATE enrollment
           SET state = coalesce(CAST(:state AS text), state), applied_version = :version, outcome = :outcome,
               reason = CAST(:reason AS text), failed_code = NULL,
               pluvo_enrollment_id = coalesce(:enrollment, pluvo_enrollment_id), waiting = :waiting,
               unsure = unsure AND CAST(:state AS text) IS NULL, archive = archive AND NOT :archive_decided,
               take_out = take_out AND version > :version, {places}
         WHERE id = :id AND tenant_id = :tenant AND coalesce(applied_version, -1) <= :version
           AND (SELECT count(*) FROM told) >= 0
        RETURNING state
    ), linked AS ({link}), line AS (
        UPDATE plan_line
           SET outcome = :line_outcome, reason = CAST(:reason AS text), settled_at = now(), calls = calls + :made_calls
         WHERE id = :line AND tenant_id = :tenant
    ), recorded AS ({calls})
    SELECT (SELECT still FROM ours) AS still, (SELECT max(revision) FROM linked) AS revision,
           :room AND EXISTS (SELECT FROM alert WHERE tenant_id = :tenant AND kind = 'no_room' AND closed_at IS NULL)
               AS room, {more} AS more
"""
_PARTS = {"places": SET_PLACES, "calls": RECORD_CALLS}
_SETTLE = text(_RESULT.format(ours=_OURS.format(or_this=""), told=_TOLD, link=_STANDS, more="false", **_PARTS))
_SETTLE_LINKED = text(
    _RESULT.format(
        ours=_OURS.format(or_this=_OR_THIS),
        told=_FOUND.format(newest="coalesce(applied_version, -1) <= :person_version"),
        link=_LINK_TO.format(after="(SELECT count(*) FROM kept) AS done"),
        more=locks.HAVE_MORE,
        **_PARTS,
    )
)
# Others whom a result is about: who shares the account that is left, and who answers for a place from now on.
_OTHERS = text(
    """
    SELECT person_id FROM link WHERE tenant_id = :tenant AND pluvo_id = :pluvo
     UNION
    SELECT person_id FROM enrollment WHERE tenant_id = :tenant AND id = ANY(:holders)
    """
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


def adopt(work: Work, user: PluvoUser, linked_by: LinkedBy) -> None:
    """This is the person's account from now on. It is recorded with the result, or by ``link_at_once``."""
    work.pluvo_id, work.ref, work.adopted = user.id, user.ref, (user, linked_by)


def link(work: Work, user: PluvoUser, linked_by: LinkedBy) -> None:
    """Keep the link at once, whatever happens to the rest, even when this delivery was overtaken.

    Raises Overtaken when an operator decided otherwise meanwhile (that link stays), NotOurs when the person was erased.
    """
    work.adopted = None
    try:
        with transaction() as connection:
            if locks.hold(connection, work.row.person_id)[0].people == 0:
                raise NotOurs("the person is gone")
            revision = connection.execute(_LINK, _about_link(work, user, linked_by)).scalar()
            if not revision:
                raise Overtaken("an operator decided otherwise")
            locks.follow(connection, work.row.person_id)
            _record_calls(connection, work)
    except Overtaken:
        _record_only_calls(work)
        raise
    work.pluvo_id, work.ref, work.link = user.id, user.ref, LinkVersion(revision, user.id)


def link_at_once(work: Work) -> None:
    """Record what was adopted: something else is done with it next, or something failed."""
    if work.adopted:
        link(work, *work.adopted)


def _about_link(work: Work, user: PluvoUser, linked_by: LinkedBy) -> dict[str, object]:
    made = linked_by == LinkedBy.CREATED
    return {
        **_about_person(work),
        "pluvo": user.id,
        "ref": user.ref,
        "by": linked_by.value,
        "made": made,
        "invited": made and work.row.send_invite,
    }


def _about_person(work: Work) -> dict[str, object]:
    row = work.row
    return {
        "tenant": work.delivery.tenant_id,
        "person": row.person_id,
        "person_version": row.person_version,
        "name": row.name,
        "email": row.email,
        "revision": work.link.revision,
        "known": work.link.pluvo_id,
    }


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
        with work.delivery.settle(partial(_hold, work, result), counted=True) as connection:
            _record_result(connection, work, result)
    except Overtaken:
        if not work.adopted:  # its link is recorded next, and the calls with it
            _record_only_calls(work)
        raise


def _hold(work: Work, result: Result, connection: Connection) -> Any:
    """Lock the messages of all whom this is about, then the people; the delivery's row. NotOurs when it ended."""
    delivery, people = work.delivery, {work.row.person_id}
    leaves = _leaves_to_others(work, result)
    if leaves or work.handed:
        about = {"pluvo": work.pluvo_id if leaves else None, "holders": [holder for holder, _ in work.handed]}
        people.update(connection.execute(_OTHERS, about | {"tenant": delivery.tenant_id}).scalars())
    for row in locks.hold(connection, *people):
        ours = (row.id, row.tenant_id, row.deliveries) == (delivery.message_id, delivery.tenant_id, delivery.number)
        if ours and row.state == "sent" and row.people:
            work.goes_on = delivery.outdated(row)
            return row
    raise NotOurs("the delivery ended meanwhile")


def _leaves_to_others(work: Work, result: Result) -> bool:
    """Whether others who have the account may be primary from now on."""
    return bool(result.state == "removed" and work.pluvo_id and work.row.is_primary and work.row.applied_email)


def _record_result(connection: Connection, work: Work, result: Result) -> None:
    row, tenant = work.row, work.delivery.tenant_id
    values: dict[str, object] = {
        "id": row.id,
        "version": row.version,
        "state": result.state,
        "outcome": result.outcome,
        "reason": result.reason,
        "archive_decided": result.archive_decided,
        "waiting": work.waiting,
        "enrollment": work.enrollment_id,
        "line": work.delivery.plan_line_id,
        "line_outcome": result.line or result.outcome,
        "made_calls": work.delivery.calls_made[0],
        "room": _shows_room(work),
    }
    values |= work.places.values(work.noted) | _about_calls(work)
    if work.adopted:
        values |= _about_link(work, *work.adopted) | {"people": [row.person_id]}
    else:
        values |= _about_person(work)
        values |= {"ref": work.ref, "pluvo": work.pluvo_id if result.state else None}
        values |= {"enrolled": result.state == "enrolled", "archived": result.archived}
    (done,) = fetch(connection, _SETTLE_LINKED if work.adopted else _SETTLE, values)
    if (result.state and not done.still) or (work.adopted and not done.revision):
        raise Overtaken("the link was changed")
    if work.adopted and (done.more or work.goes_on):
        locks.follow(connection, row.person_id)
    if done.room:
        no_room.found(connection, tenant)
    for holder, place in work.handed:
        values = asdict(place) | {"id": holder, "tenant": tenant, "place": dumps([asdict(place)])}
        connection.execute(_HAND_OVER, values)
    if _leaves_to_others(work, result):
        told = {"name": row.applied_name, "email": row.applied_email, "pluvo": work.pluvo_id}
        connection.execute(_OTHERS_ARE_PRIMARY, told | {"tenant": tenant, "person": row.person_id})


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
    _record_only_calls(work)


def _record_calls(connection: Connection, work: Work) -> None:
    """Record each writing call since the last time. An account that came into use shows that Pluvo has room."""
    if work.calls:
        record_calls(connection, _about_calls(work))
    if _shows_room(work):
        no_room.found(connection, work.delivery.tenant_id)
    work.calls.clear()


def _record_only_calls(work: Work) -> None:
    with transaction() as connection:
        _record_calls(connection, work)


def _about_calls(work: Work) -> dict[str, object]:
    row = work.row
    return named(work.delivery, work.calls, "pluvo", (row.internal_id, row.event_id, work.pluvo_id))


def _shows_room(work: Work) -> bool:
    done = [call for call in work.calls if call.result == "done"]
    return any(call.operation in ("create", "restore") or (call.before or {}).get("archived") for call in done)


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
