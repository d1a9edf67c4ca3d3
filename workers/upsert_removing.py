"""Take someone out of an event, and out of Pluvo's active accounts where that was planned and still may be."""

from __future__ import annotations

from clients.errors import Rejected
from models.enrollment import Applied as AppliedState
from models.person import LinkedBy
from workers import upsert_records as records
from workers.upsert_linking import link, ours
from workers.upsert_places import Places, leave
from workers.upsert_work import Work


def remove(work: Work) -> None:
    """The person is out of every place this enrollment put them; the account goes to the archive if it still may."""
    if work.row.state == AppliedState.KEPT:  # what was on its way when they left
        records.settle(work, "kept", state=None)
        return
    # The reserved account may have been made after all.
    if work.pluvo_id is None and work.row.intent_at is not None and (found := ours(work)):
        link(work, found, LinkedBy.CREATED)
    if work.places.told is None and not work.places.left:  # whoever put them there, it was not us
        records.settle(work, "kept", state=AppliedState.KEPT, reason="never_enrolled", archived=bool(work.row.archived))
        return
    for place in work.places.every(work.pluvo_id):
        leave(work, place)
    work.places = Places(None, [])
    archived = bool(work.row.archive and work.row.created_by_us and not work.needed_anywhere() and archive(work))
    records.settle(work, "removed", state=AppliedState.REMOVED, archived=archived)


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
