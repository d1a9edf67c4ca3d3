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

What was planned is done only while it still holds: ``upsert_standing.py``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial

from clients.errors import Rejected, RemoteError
from clients.pluvo import Group, OfferEvent, PluvoUser, UserChanges, is_active, waits
from models.enrollment import Applied as AppliedState
from models.enrollment import Desired
from models.message import Kind
from models.person import LinkState
from workers.actors.enrollment_upsert import places
from workers.actors.enrollment_upsert import record as records
from workers.actors.enrollment_upsert.link import accept, empty_afas_ids, find_or_make, gone, name_made, others_with
from workers.actors.enrollment_upsert.remove import remove
from workers.actors.enrollment_upsert.standing import Dropped, obstacle
from workers.actors.enrollment_upsert.state import Parked, Work, load
from workers.messages.delivery import Delivery
from workers.messages.execute import actor


@actor(Kind.UPSERT, on_dead=records.died, on_wait=records.waiting, describe=records.describe)
def upsert(delivery: Delivery) -> None:
    """Make Pluvo match the newest desired state of one enrollment."""
    work = load(delivery)
    if work is None:
        with delivery.settle():
            return
    delivery.people = [work.row.name, work.row.email, work.row.applied_name, work.row.applied_email]
    try:
        _carry_out(work)
    except Dropped as dropped:
        records.drop(work, dropped.reason)
    except Parked as parked:
        records.park(work, parked, [_shown(work, user) for user in parked.candidates])
    except RemoteError as error:
        records.note_failure(work, error)
        raise


def _carry_out(work: Work) -> None:
    row = work.row
    if row.link_state == LinkState.IGNORED:
        records.settle(work, "dropped" if row.desired == Desired.REMOVED else "rejected", reason="ignored", state=None)
    elif row.desired == Desired.REMOVED and row.state == AppliedState.KEPT:
        records.settle(work, "kept", state=None)  # what was on its way when they left
    elif reason := obstacle(row):
        raise Dropped(reason)
    elif row.desired == Desired.REMOVED:
        remove(work)
    else:
        enroll(work)


def _shown(work: Work, user: PluvoUser) -> dict[str, object]:
    return {
        "pluvo_id": user.id,
        "name": user.name,
        "email": user.email,
        "archived": user.archived,
        "linked_to": work.linked_to_other(user.id),
    }


# --------------------------------------------------------------------------------------------------------- enrolling


def enroll(work: Work) -> None:
    """The person has an account that is as AFAS says, and is in the event."""
    if work.pluvo_id:
        name_made(work)
        bring_up_to_date(work)
    else:
        find_or_make(work)
    line = places.take_out(work)
    if work.waiting:
        records.settle(work, "waiting", reason="waiting_list", state=AppliedState.ENROLLED, line=line)
    else:
        records.settle(work, work.outcome, state=AppliedState.ENROLLED, line=line)


@dataclass(frozen=True)
class Known:
    """The account and the enrollment as they are in Pluvo, and which AFAS ids go where there are none."""

    name: str | None
    email: str | None
    archived: bool
    enrolled: bool
    fill: dict[str, str | None] = field(default_factory=dict)


def bring_up_to_date(work: Work) -> None:
    """Tell Pluvo what differs from what it was last told; where that says too little, from what it is now."""
    row = work.row
    sure = row.link_state == LinkState.LINKED and row.applied_email is not None
    sure = sure and not (work.delivery.full or work.doubtful or row.waiting)
    known = as_told(work) if sure else as_found(work)
    work.outcome = work.planned_outcome
    changes = UserChanges(
        name=row.name if row.is_primary and known.name != row.name else None,
        email=row.email if row.is_primary and known.email != row.email else None,
        archived=False if known.archived else None,
        **known.fill,
    )
    if changes == UserChanges() and known.enrolled:
        nothing_done(work)
        places.came_true(work, None)
        return
    work.write(_operation(changes), note=None if known.enrolled else partial(places.note, work))
    try:
        target = None if known.enrolled else work.target
        applied = work.pluvo.update_user(work.pluvo_id or "", changes, ref=work.safe_ref(work.ref), target=target)
    except Rejected as refused:
        if refused.code == "already_exists" and changes.email:
            raise Parked("email_taken", others_with(work, row.email)) from refused
        live_account(work)  # parks when the account is gone; else it is this change that Pluvo refuses
        raise
    if changes == UserChanges() and applied.already_member:
        work.attempting = None
        nothing_done(work)
        places.came_true(work, None)
        return
    after = {"name": changes.name or known.name, "email": changes.email or known.email, "enrolled": True}
    work.wrote({"name": known.name, "email": known.email, "enrolled": known.enrolled}, after)
    accept(work, applied)


def nothing_done(work: Work) -> None:
    """All was as it should be. What an earlier delivery did without being able to say so was this run's doing."""
    if work.outcome == "updated" and not (work.doubtful or work.row.waiting):
        work.outcome = "unchanged"


def _operation(changes: UserChanges) -> str:
    if changes.archived is False:
        return "restore"
    return "update" if changes != UserChanges() else "enroll"


def as_told(work: Work) -> Known:
    """What Pluvo was last told: no call."""
    row = work.row
    enrolled = row.state == AppliedState.ENROLLED and places.in_place(work)
    return Known(row.applied_name, row.applied_email, row.archived, enrolled)


def as_found(work: Work) -> Known:
    """What Pluvo says now, in one call. Groups don't tell who is in them; adding twice is harmless there."""
    enrolled = False
    event_id = None if isinstance(work.target, Group) else work.row.target_id or _offer_event_id(work, work.target)
    if event_id is None:
        user = live_account(work)
    else:
        found, enrollment = work.pluvo.user_and_enrollment(work.pluvo_id or "", event_id)
        if found is None:
            raise gone(work)
        user = found
        enrolled = is_active(enrollment)
        work.waiting = enrollment is not None and enrolled and waits(enrollment)
    work.ref = user.ref
    return Known(user.name, user.email, user.archived, enrolled, empty_afas_ids(work, user))


def _offer_event_id(work: Work, target: OfferEvent) -> str | None:
    """Ask for Pluvo's own id of the event, where no answer has told it yet; None when it can't be known."""
    try:
        found = work.pluvo.offer_event_id(target.ref)
    except Rejected:  # without it nothing is lost but a call: enrolling again is harmless
        return None
    if found:
        records.remember_target(work, found)
    return found


def live_account(work: Work) -> PluvoUser:
    """The account as Pluvo has it now. An account that is gone is an operator's decision, never a new account."""
    user = work.pluvo.get_user(work.pluvo_id or "")
    if user is None:
        raise gone(work)
    return user
