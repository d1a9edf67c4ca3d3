"""Make Pluvo match one enrollment. Safe to do twice, late, or after a crash at any line.

The message only says which enrollment; what AFAS wants is read here, newest first::

    enrolled ── link known? ──yes──► update what differs, restore, enroll            (one call)
        │            no
        │            ├─ share  ► the account of the person with the same name and address
        │            ├─ link   ► the account the plan found
        │            └─ create ► reserve (intent) ► look first if a try went before ► create and enroll (one call)
    removed ─── someone else of the same account still in this event? ──no──► unenroll, perhaps archive

A new account is linked in a transaction of its own as soon as Pluvo names it: whatever fails afterwards, it is never
made again. A link is only ever added to a person who has none.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from json import dumps
from typing import Any

from sqlalchemy import Connection, Row, text

import settings
from clients.errors import Rejected, RemoteError, Unknown
from clients.pluvo import Applied, Group, NewUser, OfferEvent, PluvoClient, PluvoUser, Target, UserChanges
from models.enrollment import Desired
from models.message import Kind
from models.person import LinkedBy
from models.session import session, transaction
from models.tenant import Tenant
from models.translate import fold_email
from producers.outside import outside_of
from producers.plan import our_ref
from workers.control import Snooze
from workers.turns import Turn, handles

CALL_SECONDS = 36.0  # the longest one Pluvo call can take: connect and read
PATIENCE_SECONDS = 1.0  # how long a worker waits for its turn at Pluvo before it takes other work

_LOAD = text(
    """
    SELECT e.id, e.desired, e.archive, e.state, e.version, e.pluvo_enrollment_id, e.external_id AS row_external_id,
           p.id AS person_id, p.internal_id, p.name, p.email, p.version AS person_version, p.applied_name,
           p.applied_email, p.match, p.intent_at, p.external_id,
           l.pluvo_id, l.ref, l.state AS link_state, l.linked_by, l.created_by_us, l.archived, l.carries_afas_ids,
           c.id AS course_id, c.event_id, c.pluvo, c.target_id,
           NOT EXISTS (
               SELECT 1 FROM link o JOIN person op ON op.id = o.person_id
                WHERE o.tenant_id = e.tenant_id AND o.pluvo_id = l.pluvo_id AND o.state = 'linked'
                  AND op.id <> p.id
                  AND (length(op.internal_id), op.internal_id) < (length(p.internal_id), p.internal_id)
                  AND EXISTS (SELECT 1 FROM enrollment oe WHERE oe.person_id = op.id AND oe.state = 'enrolled')
           ) AS speaks
      FROM enrollment e
      JOIN person p ON p.id = e.person_id
      JOIN course c ON c.id = e.course_id
      LEFT JOIN link l ON l.person_id = p.id
     WHERE e.id = :id AND e.tenant_id = :tenant
    """
)
# Others who need the same account to stay in this event, or to stay at all.
_OTHERS = text(
    """
    SELECT count(*) FILTER (WHERE e.course_id = :course) AS in_course, count(*) AS anywhere
      FROM enrollment e JOIN link l ON l.person_id = e.person_id
     WHERE l.tenant_id = :tenant AND l.pluvo_id = :pluvo AND e.id <> :id AND e.desired = 'enrolled'
       AND e.state IN ('enrolled', 'new')
    """
)
_LINK = text(
    """
    INSERT INTO link AS k (tenant_id, person_id, pluvo_id, ref, state, linked_by, created_by_us, carries_afas_ids)
    VALUES (:tenant, :person, :pluvo, :ref, 'linked', :by, :ours, :carries)
    ON CONFLICT (person_id) DO UPDATE
       SET pluvo_id = excluded.pluvo_id, ref = excluded.ref, state = 'linked', linked_by = excluded.linked_by,
           created_by_us = excluded.created_by_us, carries_afas_ids = excluded.carries_afas_ids, reason = NULL,
           candidates = '[]', updated_at = now(), revision = k.revision + 1
     WHERE k.pluvo_id IS NULL OR k.pluvo_id = excluded.pluvo_id
    """
)


class Parked(Exception):
    """Only an operator can decide: the person becomes ``ambiguous``."""

    def __init__(self, reason: str, candidates: list[PluvoUser]) -> None:
        super().__init__(reason)
        self.reason = reason
        self.candidates = candidates


@dataclass
class Work:
    """One enrollment with all that belongs to it, and what was done about it so far."""

    turn: Turn
    tenant: Tenant
    pluvo: PluvoClient
    row: Row[Any]
    pluvo_id: str | None = None
    ref: str | None = None
    # (operation, before, after) of each writing call that succeeded
    done: list[tuple[str, dict[str, Any] | None, dict[str, Any] | None]] = field(default_factory=list)
    outcome: str = "updated"
    enrollment_id: str | None = None

    @property
    def target(self) -> Target:
        """Where the course's people are enrolled."""
        if "group_ref" in self.row.pluvo:
            return Group(self.row.pluvo["group_ref"])
        return OfferEvent(self.row.pluvo["offer_event_ref"])

    @property
    def internal_id(self) -> str:
        return str(self.row.internal_id)

    def write(self) -> None:
        """Say that the next call changes something outside."""
        self.turn.check(CALL_SECONDS)


def upsert(turn: Turn) -> None:
    """Make Pluvo match the newest desired state of one enrollment."""
    with session() as opened:
        row = opened.connection().execute(_LOAD, {"id": turn.subject_id, "tenant": turn.tenant_id}).first()
        tenant = opened.get(Tenant, turn.tenant_id)
    if row is None or tenant is None:
        with turn.settle():
            return
    outside = outside_of(tenant, patience_seconds=PATIENCE_SECONDS, on_call=turn.call_log.append)
    work = Work(turn, tenant, outside.pluvo, row, pluvo_id=row.pluvo_id, ref=row.ref)
    try:
        if row.desired == Desired.REMOVED:
            remove(work)
        else:
            enroll(work)
    except Parked as parked:
        park(work, parked)
    except RemoteError as error:
        note_failure(work, error)
        raise


# --------------------------------------------------------------------------------------------------------- enrolling


def enroll(work: Work) -> None:
    """The person has an account that is as AFAS says, and is in the event."""
    if work.row.link_state == "ignored":
        settle(work, "rejected", reason="ignored", state=None)
        return
    if work.pluvo_id:
        bring_up_to_date(work)
    else:
        find_or_make(work)
    settle(work, work.outcome, state="enrolled")


def bring_up_to_date(work: Work) -> None:
    """Tell Pluvo what differs from what it was last told; with ``full`` from what it is now."""
    row, known = (
        work.row,
        {"name": work.row.applied_name, "email": work.row.applied_email, "archived": work.row.archived},
    )
    work.outcome = "linked" if known["email"] is None else "updated"
    enrolled = row.state == "enrolled" and not work.turn.full
    fill: dict[str, str | None] = {}
    if work.turn.full or known["email"] is None:
        live = live_account(work)
        known = {"name": live.name, "email": live.email, "archived": live.archived}
        enrolled = is_enrolled(work)
        fill = afas_ids(work, empty_person=not live.afas_person_id, empty_contact=not live.afas_contact_id)
        work.ref = live.ref
    changes = UserChanges(
        name=row.name if row.speaks and known["name"] != row.name else None,
        email=row.email if row.speaks and known["email"] != row.email else None,
        archived=False if known["archived"] else None,
        **fill,
    )
    if changes == UserChanges() and enrolled:
        work.outcome = "unchanged" if work.outcome == "updated" else work.outcome
        return
    work.write()
    try:
        applied = work.pluvo.update_user(
            work.pluvo_id or "", changes, ref=work.ref, target=None if enrolled else work.target
        )
    except Rejected as refused:
        if refused.code == "already_exists" and changes.email:
            raise Parked("email_taken", others_with(work, row.email)) from refused
        live_account(work)  # parks when the account is gone; else it is this change that Pluvo refuses
        raise
    operation = "restore" if changes.archived is False else ("update" if changes != UserChanges() else "enroll")
    after = {"name": row.name, "email": row.email} if row.speaks else {"enrolled": True}
    work.done.append((operation, known, after))
    accept(work, applied, enrolled)


def live_account(work: Work) -> PluvoUser:
    """The account as Pluvo has it now. An account that is gone is an operator's decision, never a new account."""
    user = work.pluvo.get_user(work.pluvo_id or "")
    if user is None:
        raise Parked("account_gone", [])
    return user


def is_enrolled(work: Work) -> bool:
    """Whether Pluvo has the person in the event now. Groups don't tell, and adding twice is harmless there."""
    if isinstance(work.target, Group) or not work.row.target_id:
        return False
    found = work.pluvo.enrollment(work.pluvo_id or "", work.row.target_id)
    return found is not None and found.status not in ("CANCELLED", "DECLINED")


def afas_ids(work: Work, *, empty_person: bool, empty_contact: bool) -> dict[str, str | None]:
    """Our ids, but only where the account has none: another link may rely on what is there."""
    external_id = work.row.external_id or work.row.row_external_id
    return {
        "person_id": external_id if empty_person else None,
        "contact_id": work.internal_id if empty_contact else None,
    }


def accept(work: Work, applied: Applied, enrolled: bool) -> None:
    """Take over what Pluvo answered; a refused enrollment is an error although the account is fine."""
    if applied.enroll_error:
        record_applied(work)
        raise applied.enroll_error
    if applied.enrollment:
        work.enrollment_id = applied.enrollment.id
        if applied.enrollment.offer_event_id and not work.row.target_id:
            remember_target(work, applied.enrollment.offer_event_id)


def find_or_make(work: Work) -> None:
    """Give someone without a link an account, as the plan decided."""
    decided = work.row.match or {"action": "create"}
    # A try went before and its answer is not known: look before anything is repeated.
    if work.row.intent_at is not None and (found := ours(work)):
        adopt(work, found, LinkedBy.CREATED, outcome="created")
        return
    if decided["action"] == "share":
        adopt_shared(work, decided["internal_id"])
    elif decided["action"] == "link":
        user = work.pluvo.get_user(decided["pluvo_id"])
        if user is None:
            raise Parked("account_gone", [])
        adopt(work, user, LinkedBy(decided["linked_by"]), outcome="linked")
    else:
        create(work)


def adopt_shared(work: Work, internal_id: str) -> None:
    """Link to the account of the person with the same name and address, once that one has it."""
    with transaction() as connection:
        pluvo_id = connection.execute(
            text(
                """SELECT l.pluvo_id FROM person p JOIN link l ON l.person_id = p.id AND l.state = 'linked'
                    WHERE p.tenant_id = :tenant AND p.internal_id = :internal"""
            ),
            {"tenant": work.turn.tenant_id, "internal": internal_id},
        ).scalar()
    if pluvo_id is None:
        raise Snooze(30, "waits_for_shared_account")
    user = work.pluvo.get_user(pluvo_id)
    if user is None:
        raise Parked("account_gone", [])
    adopt(work, user, LinkedBy.EMAIL, outcome="linked", shared=True)


def adopt(work: Work, user: PluvoUser, linked_by: LinkedBy, *, outcome: str, shared: bool = False) -> None:
    """Link to an existing account: it keeps its ref, roles and language, gets name, address and empty AFAS ids."""
    row = work.row
    if not shared and (taken := linked_to_other(work, user.id)):
        raise Parked("candidate_taken", [user] if taken else [])
    fill = afas_ids(work, empty_person=not user.afas_person_id, empty_contact=not user.afas_contact_id)
    changes = UserChanges(
        name=row.name if not shared and user.name != row.name else None,
        email=row.email if not shared and user.email != row.email else None,
        archived=False if user.archived else None,
        **fill,
    )
    work.write()
    try:
        applied = work.pluvo.update_user(user.id, changes, ref=user.ref, target=work.target)
    except Rejected as refused:
        if refused.code == "already_exists" and changes.email:
            raise Parked("email_taken", others_with(work, row.email)) from refused
        raise
    before = {"name": user.name, "email": user.email, "archived": user.archived}
    work.done.append(("link", before, {"name": row.name, "email": row.email}))
    work.outcome = outcome
    record_link(work, user, linked_by, ours=linked_by == LinkedBy.CREATED)
    accept(work, applied, enrolled=False)


def create(work: Work) -> None:
    """Make the account. Reserved first; refused because it exists means that somebody has it: find out who."""
    row = work.row
    ref = our_ref(work.tenant.afas["member_id"], work.internal_id)
    new = NewUser(row.email, row.name, ref, row.external_id or row.row_external_id, work.internal_id)
    reserve(work)
    work.write()
    try:
        applied = work.pluvo.create_user(new, send_invite=bool(row.pluvo.get("send_invite")), target=work.target)
    except Rejected as refused:
        if refused.code != "already_exists":
            release_reservation(work)
            raise
        take_existing(work, refused)
        return
    if applied.user is None:
        raise Unknown("not_confirmed", "Pluvo did not say which account it made.", system="Pluvo")
    work.done.append(("create", None, {"name": row.name, "email": row.email}))
    work.outcome = "created"
    record_link(work, applied.user, LinkedBy.CREATED, ours=True)
    accept(work, applied, enrolled=False)


def take_existing(work: Work, refused: Rejected) -> None:
    """The address or our ref is in use: our own account of an earlier try, somebody's account, or a riddle."""
    if found := ours(work):
        adopt(work, found, LinkedBy.CREATED, outcome="created")
        return
    holders = others_with(work, work.row.email)
    release_reservation(work)
    if len(holders) != 1:
        if holders:
            raise Parked("several_with_email", holders)
        raise refused
    holder = holders[0]
    if holder.afas_contact_id and holder.afas_contact_id != work.internal_id:
        raise Parked("other_afas_id", holders)
    adopt(work, holder, LinkedBy.EMAIL, outcome="linked")


def ours(work: Work) -> PluvoUser | None:
    """The account that carries our ref for this very person."""
    ref = our_ref(work.tenant.afas["member_id"], work.internal_id)
    return next((user for user in work.pluvo.find_users(refs=[ref]) if user.ref == ref), None)


def others_with(work: Work, email: str) -> list[PluvoUser]:
    """Accounts with this address that are not this person's."""
    found = work.pluvo.find_users(emails=[email])
    return [user for user in found if user.id != work.pluvo_id and fold_email(user.email or "") == fold_email(email)]


def linked_to_other(work: Work, pluvo_id: str) -> str | None:
    """The AFAS person that an account is linked to, if it is another one."""
    with transaction() as connection:
        return connection.execute(
            text(
                """SELECT p.internal_id FROM link l JOIN person p ON p.id = l.person_id
                    WHERE l.tenant_id = :tenant AND l.pluvo_id = :pluvo AND l.person_id <> :person
                      AND l.state <> 'ignored' LIMIT 1"""
            ),
            {"tenant": work.turn.tenant_id, "pluvo": pluvo_id, "person": work.row.person_id},
        ).scalar()


# ---------------------------------------------------------------------------------------------------------- removing


def remove(work: Work) -> None:
    """The person is out of the event; the account goes to the archive if that was planned and still may be."""
    # The reserved account may have been made after all.
    if work.pluvo_id is None and work.row.intent_at is not None and (found := ours(work)):
        record_link(work, found, LinkedBy.CREATED, ours=True)
    if work.pluvo_id is None:
        settle(work, "removed", state="removed")
        return
    others = count_others(work)
    if not others.in_course:
        work.write()
        unenroll(work)
        work.done.append(("unenroll", {"enrolled": True}, {"enrolled": False}))
    archived = bool(work.row.archive and work.row.created_by_us and not others.anywhere and archive(work))
    settle(work, "removed", state="removed", archived=archived)


def unenroll(work: Work) -> None:
    """Take the person out of the event. Who is not in it any more is fine."""
    target, pluvo_id = work.target, work.pluvo_id or ""
    if isinstance(target, Group):
        gone = work.pluvo.remove_from_group(target.ref, pluvo_id)
    else:
        event_id = work.row.target_id or work.pluvo.offer_event_id(target.ref)
        if event_id is None:
            raise Rejected("unknown_offer_event", f"Pluvo knows no offer event {target.ref!r}.", system="Pluvo")
        if not work.row.target_id:
            remember_target(work, event_id)
        gone = work.pluvo.unenroll(pluvo_id, offer_event_id=event_id)
    if not gone:
        raise Rejected("not_removed", "Pluvo did not take the person out of the event.", system="Pluvo")


def archive(work: Work) -> bool:
    """Archive an account made by us that serves nobody else: role PARTICIPANT only, no link of Pluvo's own."""
    user = work.pluvo.get_user(work.pluvo_id or "")
    if user is None or user.archived:
        return user is not None
    if set(user.roles) - {"PARTICIPANT"} or user.afas_connection_id:
        return False
    work.write()
    if work.pluvo.archive_users([user.id], True):
        raise Rejected("not_archived", "Pluvo did not archive the account.", system="Pluvo")
    work.done.append(("archive", {"archived": False}, {"archived": True}))
    return True


def count_others(work: Work) -> Row[Any]:
    """Who else needs this account: in this event, and anywhere."""
    values = {
        "course": work.row.course_id,
        "tenant": work.turn.tenant_id,
        "pluvo": work.pluvo_id,
        "id": work.row.id,
    }
    with transaction() as connection:
        return connection.execute(_OTHERS, values).one()


# --------------------------------------------------------------------------------------------------------- recording


def reserve(work: Work) -> None:
    """Note that an account may exist from now on, before it is asked for."""
    with transaction() as connection:
        connection.execute(text("UPDATE person SET intent_at = now() WHERE id = :id"), {"id": work.row.person_id})


def release_reservation(work: Work) -> None:
    """Pluvo said no: surely nothing was made."""
    with transaction() as connection:
        connection.execute(text("UPDATE person SET intent_at = NULL WHERE id = :id"), {"id": work.row.person_id})


def record_link(work: Work, user: PluvoUser, linked_by: LinkedBy, *, ours: bool) -> None:
    """Keep the link at once, whatever happens to the rest: true even when this delivery was overtaken."""
    with transaction() as connection:
        connection.execute(
            _LINK,
            {
                "tenant": work.turn.tenant_id,
                "person": work.row.person_id,
                "pluvo": user.id,
                "ref": user.ref,
                "by": linked_by.value,
                "ours": ours,
                "carries": True,
            },
        )
        connection.execute(
            text(
                """UPDATE person SET intent_at = NULL, match = NULL, applied_name = name, applied_email = email,
                          applied_version = version,
                          invited_at = CASE WHEN :invited THEN coalesce(invited_at, now()) ELSE invited_at END
                    WHERE id = :id AND version = :version"""
            ),
            {
                "id": work.row.person_id,
                "version": work.row.person_version,
                "invited": ours and bool(work.row.pluvo.get("send_invite")),
            },
        )
    work.pluvo_id, work.ref = user.id, user.ref


def record_applied(work: Work) -> None:
    """Pluvo has this name and address now, even when enrolling failed."""
    with transaction() as connection:
        _applied(connection, work)


def _applied(connection: Connection, work: Work) -> None:
    connection.execute(
        text(
            """UPDATE person SET applied_name = :name, applied_email = :email, applied_version = :version
                WHERE id = :id AND coalesce(applied_version, -1) <= :version"""
        ),
        {
            "id": work.row.person_id,
            "name": work.row.name,
            "email": work.row.email,
            "version": work.row.person_version,
        },
    )


def remember_target(work: Work, target_id: str) -> None:
    """Pluvo's own id of the offer event, needed for taking people out of it."""
    with transaction() as connection:
        connection.execute(
            text("UPDATE course SET target_id = :target WHERE id = :id"),
            {"target": target_id, "id": work.row.course_id},
        )


def settle(work: Work, outcome: str, *, state: str | None, reason: str | None = None, archived: bool = False) -> None:
    """Record what is so now, and end the message, in one transaction."""
    row = work.row
    with work.turn.settle() as connection:
        connection.execute(
            text(
                """UPDATE enrollment
                      SET state = coalesce(:state, state), applied_version = :version, outcome = :outcome,
                          reason = :reason, failed_code = NULL,
                          pluvo_enrollment_id = coalesce(:enrollment, pluvo_enrollment_id)
                    WHERE id = :id AND coalesce(applied_version, -1) <= :version"""
            ),
            {
                "id": row.id,
                "state": state,
                "version": row.version,
                "outcome": outcome,
                "reason": reason,
                "enrollment": work.enrollment_id,
            },
        )
        if state == "enrolled":
            _applied(connection, work)
        if work.pluvo_id:
            _settle_link(connection, work, archived)
        _settle_line(connection, work, outcome, reason)
        _record_changes(connection, work, "done", None, None)


def _settle_link(connection: Connection, work: Work, archived: bool) -> None:
    connection.execute(
        text(
            """UPDATE link SET archived = :archived, ref = coalesce(:ref, ref), reason = NULL, candidates = '[]',
                      updated_at = now(),
                      state = CASE WHEN EXISTS (SELECT 1 FROM enrollment e WHERE e.person_id = :person
                                                   AND e.state IN ('enrolled', 'kept')) THEN 'linked' ELSE 'left' END
                WHERE person_id = :person AND pluvo_id = :pluvo AND state <> 'ignored'"""
        ),
        {"person": work.row.person_id, "pluvo": work.pluvo_id, "archived": archived, "ref": work.ref},
    )


def _settle_line(connection: Connection, work: Work, outcome: str, reason: str | None) -> None:
    connection.execute(
        text("UPDATE plan_line SET outcome = :outcome, reason = :reason, settled_at = now() WHERE id = :id"),
        {"id": work.turn.plan_line_id, "outcome": outcome, "reason": reason},
    )


def _record_changes(connection: Connection, work: Work, result: str, code: str | None, status: int | None) -> None:
    for operation, before, after in work.done:
        connection.execute(
            text(
                """INSERT INTO change (tenant_id, run_id, message_id, system, operation, internal_id, event_id,
                                       pluvo_id, result, code, status, before, after)
                   VALUES (:tenant, :run, :message, 'pluvo', :operation, :internal, :event, :pluvo, :result, :code,
                           :status, CAST(:before AS jsonb), CAST(:after AS jsonb))"""
            ),
            {
                "tenant": work.turn.tenant_id,
                "run": work.turn.run_id,
                "message": work.turn.message_id,
                "operation": operation,
                "internal": work.internal_id,
                "event": work.row.event_id,
                "pluvo": work.pluvo_id,
                "result": result,
                "code": code,
                "status": status,
                "before": dumps(before),
                "after": dumps(after),
            },
        )


def park(work: Work, parked: Parked) -> None:
    """The world turned out different from the plan: wait for an operator."""
    candidates = [
        {
            "pluvo_id": user.id,
            "name": user.name,
            "email": user.email,
            "archived": user.archived,
            "linked_to": linked_to_other(work, user.id),
        }
        for user in parked.candidates
    ]
    with work.turn.settle() as connection:
        connection.execute(
            text(
                """INSERT INTO link (tenant_id, person_id, state, reason, candidates)
                   VALUES (:tenant, :person, 'ambiguous', :reason, CAST(:candidates AS jsonb))
                   ON CONFLICT (person_id) DO UPDATE SET state = 'ambiguous', reason = excluded.reason,
                          candidates = excluded.candidates, updated_at = now()"""
            ),
            {
                "tenant": work.turn.tenant_id,
                "person": work.row.person_id,
                "reason": parked.reason,
                "candidates": dumps(candidates),
            },
        )
        connection.execute(
            text("UPDATE enrollment SET outcome = 'ambiguous', reason = :reason WHERE id = :id"),
            {"id": work.row.id, "reason": parked.reason},
        )
        _settle_line(connection, work, "ambiguous", parked.reason)
        _record_changes(connection, work, "done", None, None)


def note_failure(work: Work, error: RemoteError) -> None:
    """Keep for a dead letter what was asked, without names and addresses."""
    request = {
        "internal_id": work.internal_id,
        "event_id": work.row.event_id,
        "pluvo_id": work.pluvo_id,
        "desired": work.row.desired,
        "name": "<masked>",
        "email": "<masked>",
    }
    work.turn.note_call(f"pluvo {work.row.desired}", request, error.status, error.remote_text)


def waiting(connection: Connection, turn: Turn, code: str) -> None:
    """The message tries again later."""
    connection.execute(
        text("UPDATE enrollment SET outcome = 'pending', reason = :code WHERE id = :id"),
        {"id": turn.subject_id, "code": code},
    )


def died(connection: Connection, turn: Turn, code: str) -> None:
    """Refused as it is: not tried again by itself. Attempts used up: the next run tries afresh."""
    refused = turn.attempts < len(settings.get().retry_schedule)
    connection.execute(
        text(
            """UPDATE enrollment e
                  SET outcome = 'failed', reason = CAST(:code AS text),
                      failed_code = CASE WHEN :refused THEN CAST(:code AS text) END,
                      failed_version = e.version, failed_settings = t.settings_version
                 FROM tenant t WHERE e.id = :id AND t.id = e.tenant_id"""
        ),
        {"id": turn.subject_id, "code": code, "refused": refused},
    )


def describe(connection: Connection, turn: Turn) -> dict[str, Any]:
    """Whose enrollment in what a dead letter is about."""
    row = connection.execute(
        text(
            """SELECT p.internal_id, c.event_id FROM enrollment e JOIN person p ON p.id = e.person_id
                 JOIN course c ON c.id = e.course_id WHERE e.id = :id AND e.tenant_id = :tenant"""
        ),
        {"id": turn.subject_id, "tenant": turn.tenant_id},
    ).first()
    return {"internal_id": row.internal_id, "event_id": row.event_id} if row else {}


handles(Kind.UPSERT, died=died, waiting=waiting, describe=describe)(upsert)
