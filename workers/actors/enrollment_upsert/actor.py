"""Make Pluvo match one enrollment. Safe to do twice, late, or after a crash at any line.

The message only names the enrollment; what AFAS wants of it is read here, newest first::

    enrolled ── has an account ──► update.py  change what differs, restore, enroll          (one call)
        │       has none
        │         ├─ share  ► link.py  the account of the person with the same name and address
        │         ├─ link   ► link.py  the account that the plan found
        │         └─ create ► link.py  reserve, look first if a try went before, create and enroll (one call)
    removed ─── remove.py  unenroll unless the same account is still wanted in this event; perhaps archive

That an account may be made is noted with the claim, and its link is recorded with the result or, where that fails, by
itself: it is never made again. A link is only ever added to a person who has none.

What was planned is done only while it still holds (``standing.py``). Every call that changes something is made inside
``Work.change``, which asks that once more.
"""

from __future__ import annotations

from sqlalchemy import Connection

from clients.errors import RemoteError
from models.enrollment import Applied as State
from models.enrollment import Desired
from models.message import Kind
from models.person import LinkState
from models.session import transaction
from workers.actors.enrollment_upsert import record
from workers.actors.enrollment_upsert.last_look import look
from workers.actors.enrollment_upsert.link import find_reserved, foresee_creating, give_account
from workers.actors.enrollment_upsert.places import Places
from workers.actors.enrollment_upsert.record import Result
from workers.actors.enrollment_upsert.remove import archive, leave, leave_old_places
from workers.actors.enrollment_upsert.standing import Dropped, obstacle
from workers.actors.enrollment_upsert.state import NeedsDecision, Work, load
from workers.actors.enrollment_upsert.update import foresee_update, update_account
from workers.messages.delivery import Delivery
from workers.messages.execute import actor


def begin(connection: Connection, delivery: Delivery) -> Work | None:
    """With the claim: read the work, and note the call that comes next where that is certain."""
    work = load(connection, delivery)
    acts = work and work.row.desired == Desired.ENROLLED and work.row.link_state != LinkState.IGNORED
    if work and acts and delivery.clear_at is not None and not obstacle(work.row):
        (foresee_update if work.pluvo_id else foresee_creating)(work, connection)
    return work


@actor(Kind.UPSERT, begin=begin, on_dead=record.died, on_wait=record.waiting, describe=record.describe)
def upsert(delivery: Delivery) -> None:
    """Make Pluvo match the newest desired state of one enrollment."""
    work, delivery.begun = delivery.begun, None
    if work is None:
        with transaction() as connection:
            work = load(connection, delivery)
    if work is None:
        with delivery.settle():
            return
    delivery.people = [work.row.name, work.row.email, work.row.applied_name, work.row.applied_email]
    try:
        _do(work)
    except BaseException:
        record.link_at_once(work)
        raise


def _do(work: Work) -> None:
    """Carry it out, and record how it ended. What is adopted when this raises is still to be recorded."""
    try:
        result = _carry_out(work)
    except Dropped as dropped:
        record.drop(work, dropped.reason)
    except NeedsDecision as question:
        record.ask_operator(work, question)
    except RemoteError as error:
        record.note_failure(work, error)
        raise
    else:
        record.settle(work, result)


def _carry_out(work: Work) -> Result:
    row = work.row
    leaving = row.desired == Desired.REMOVED
    if row.link_state == LinkState.IGNORED:
        return Result("dropped" if leaving else "rejected", reason="ignored")
    if leaving and row.state == State.KEPT:
        # What was on its way when they left
        return Result("kept", reason="policy_keep" if row.policy == "keep" else None)
    if reason := obstacle(row):
        raise Dropped(reason)
    return _remove(work) if leaving else _enroll(work)


def _enroll(work: Work) -> Result:
    """The person has an account that is as AFAS says, and is in the event, and in no place left behind."""
    if work.pluvo_id:
        find_reserved(work)
        outcome = update_account(work)
    else:
        outcome = give_account(work)
    line = leave_old_places(work)
    if work.waiting:
        return Result("waiting", State.ENROLLED, reason="waiting_list", line=line)
    return Result(outcome, State.ENROLLED, line=line)


def _remove(work: Work) -> Result:
    """The person is out of every place this enrollment put them; the account goes to the archive if it still may."""
    row = work.row
    find_reserved(work)
    if work.places == Places() and row.state != State.REMOVED:
        # If they are in the event in Pluvo, it is not our doing.
        return Result("kept", State.KEPT, reason="never_enrolled", archived=row.archived)
    look(work)
    leaving = work.places.every(work.pluvo_id)
    stays = [place for place in leaving if not leave(work, place)]
    if stays:
        return Result("kept", State.KEPT, reason="own_link", archived=row.archived)
    work.places = Places()
    if row.archive and row.planned == "archive":
        archived, reason = archive(work, leaving)
        return Result("removed", State.REMOVED, reason=reason, archived=archived, archive_decided=True)
    return Result("removed", State.REMOVED)
