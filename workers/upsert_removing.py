"""Take someone out of an event, and out of Pluvo's active accounts where that was planned and still may be."""

from __future__ import annotations

from clients.errors import Rejected
from clients.pluvo import Group
from models.enrollment import Applied as AppliedState
from models.person import LinkedBy
from workers import upsert_records as records
from workers.upsert_linking import link, ours
from workers.upsert_work import Work


def remove(work: Work) -> None:
    """The person is out of the event; the account goes to the archive if that was planned and still may be."""
    if work.row.state == AppliedState.KEPT:  # what was on its way when they left
        records.settle(work, "kept", state=None)
        return
    # The reserved account may have been made after all.
    if work.pluvo_id is None and work.row.intent_at is not None and (found := ours(work)):
        link(work, found, LinkedBy.CREATED)
    if work.pluvo_id is None:
        records.settle(work, "removed", state=AppliedState.REMOVED)
        return
    others = work.others()
    if not others.in_course:
        unenroll(work)
    archived = bool(work.row.archive and work.row.created_by_us and not others.anywhere and archive(work))
    records.settle(work, "removed", state=AppliedState.REMOVED, archived=archived)


def unenroll(work: Work) -> None:
    """Take the person out of the event. Who is not in it any more, or is gone from Pluvo, is fine."""
    target, pluvo_id = work.target, work.pluvo_id or ""
    if isinstance(target, Group):
        work.write("unenroll")
        gone = work.pluvo.remove_from_group(target.ref, pluvo_id) or work.pluvo.get_user(pluvo_id) is None
    else:
        event_id = work.row.target_id or work.pluvo.offer_event_id(target.ref)
        if event_id is None:
            raise Rejected("unknown_offer_event", f"Pluvo knows no offer event {target.ref!r}.", system="Pluvo")
        if not work.row.target_id:
            records.remember_target(work, event_id)
        work.write("unenroll")
        gone = work.pluvo.unenroll(pluvo_id, offer_event_id=event_id)
    if not gone:
        raise Rejected("not_removed", "Pluvo did not take the person out of the event.", system="Pluvo")
    work.wrote({"enrolled": True}, {"enrolled": False})


def archive(work: Work) -> bool:
    """Archive an account made by us that serves nobody else: role PARTICIPANT only, no link of Pluvo's own."""
    user = work.pluvo.get_user(work.pluvo_id or "")
    if user is None or user.archived:
        return user is not None
    if set(user.roles) - {"PARTICIPANT"} or user.afas_connection_id:
        return False
    work.write("archive")
    if work.pluvo.archive_users([user.id], True):
        raise Rejected("not_archived", "Pluvo did not archive the account.", system="Pluvo")
    work.wrote({"archived": False}, {"archived": True})
    return True
