"""Make the account that a person has as AFAS says, and enroll it."""

from __future__ import annotations

from dataclasses import dataclass, field

from sqlalchemy import Connection

from clients.errors import Rejected
from clients.pluvo import Group, OfferEvent, PluvoUser, UserChanges, is_active, waits
from models.enrollment import Applied as AppliedState
from models.person import LinkState
from workers.actors.enrollment_upsert import record
from workers.actors.enrollment_upsert.link import accept, account_gone, missing_afas_ids, others_with
from workers.actors.enrollment_upsert.state import NeedsDecision, Work


@dataclass(frozen=True)
class Known:
    """The account and the enrollment as they are in Pluvo, and the AFAS ids for an account that has none."""

    name: str | None
    email: str | None
    archived: bool
    enrolled: bool
    afas_ids: dict[str, str | None] = field(default_factory=dict)


def update_account(work: Work) -> str:
    """Tell Pluvo what differs from what it was last told, or in doubt from what it has now. Returns the outcome."""
    row = work.row
    known = _as_found(work) if _in_doubt(work) else _as_told(work)
    changes = _changes(work, known)
    if changes == UserChanges() and known.enrolled:
        work.reached_place()
        return _nothing_done(work)
    before = {"name": known.name, "email": known.email, "enrolled": known.enrolled}
    after = {"name": changes.name or known.name, "email": changes.email or known.email, "enrolled": True}
    target, note = (None, None) if known.enrolled else (work.target, work.note_place)
    try:
        with work.change(_operation(changes), before, after, note=note) as attempt:
            applied = work.pluvo.update_user(work.pluvo_id or "", changes, ref=work.safe_ref(work.ref), target=target)
            attempt.changed = changes != UserChanges() or not applied.already_member
            attempt.not_enrolled = applied.enroll_error
    except Rejected as refused:
        if refused.code == "already_exists" and changes.email:
            raise NeedsDecision("email_taken", others_with(work, row.email)) from refused
        _live_account(work)  # raises when the account is gone; else it is this change that Pluvo refuses
        raise
    if not attempt.changed:
        work.reached_place()
        return _nothing_done(work)
    accept(work, applied)
    return work.planned_outcome


def foresee_update(work: Work, connection: Connection) -> None:
    """Note with the claim the call that is made without asking Pluvo anything first, where it is one."""
    told = work.places.told
    if _in_doubt(work) or (told and told.account is None):
        return
    known = _as_told(work)
    changes = _changes(work, known)
    if changes != UserChanges() or not known.enrolled:
        work.foresee(connection, _operation(changes), place=not known.enrolled)


def _changes(work: Work, known: Known) -> UserChanges:
    row = work.row
    return UserChanges(
        name=row.name if row.is_primary and known.name != row.name else None,
        email=row.email if row.is_primary and known.email != row.email else None,
        archived=False if known.archived else None,
        **known.afas_ids,
    )


def _in_doubt(work: Work) -> bool:
    """Whether what Pluvo was last told says too little."""
    row = work.row
    told = row.link_state == LinkState.LINKED and row.applied_email is not None
    return not told or work.delivery.full or work.doubtful or row.waiting


def _as_told(work: Work) -> Known:
    """What Pluvo was last told: no call."""
    row = work.row
    enrolled = row.state == AppliedState.ENROLLED and work.in_place
    return Known(row.applied_name, row.applied_email, row.archived, enrolled)


def _as_found(work: Work) -> Known:
    """What Pluvo says now, in one call. Groups don't tell who is in them; adding twice is harmless there."""
    enrolled = False
    event_id = None if isinstance(work.target, Group) else work.row.target_id or _offer_event_id(work, work.target)
    if event_id is None:
        user = _live_account(work)
    else:
        found, enrollment = work.pluvo.user_and_enrollment(work.pluvo_id or "", event_id)
        if found is None:
            raise account_gone(work)
        user = found
        enrolled = is_active(enrollment)
        work.waiting = enrollment is not None and enrolled and waits(enrollment)
    work.ref = user.ref
    return Known(user.name, user.email, user.archived, enrolled, missing_afas_ids(work, user))


def _offer_event_id(work: Work, target: OfferEvent) -> str | None:
    """Ask for Pluvo's own id of the event, where no answer has told it yet; None when it can't be known."""
    try:
        found = work.pluvo.offer_event_id(target.ref)
    except Rejected:  # without it nothing is lost but a call: enrolling again is harmless
        return None
    if found:
        record.target_id(work, found)
    return found


def _live_account(work: Work) -> PluvoUser:
    """The account as Pluvo has it now. An account that is gone is an operator's decision, never a new account."""
    user = work.pluvo.get_user(work.pluvo_id or "")
    if user is None:
        raise account_gone(work)
    return user


def _operation(changes: UserChanges) -> str:
    if changes.archived is False:
        return "restore"
    return "update" if changes != UserChanges() else "enroll"


def _nothing_done(work: Work) -> str:
    """All was as it should be. What an earlier delivery did without recording it was done for this run."""
    unchanged = work.planned_outcome == "updated" and not (work.doubtful or work.row.waiting)
    return "unchanged" if unchanged else work.planned_outcome
