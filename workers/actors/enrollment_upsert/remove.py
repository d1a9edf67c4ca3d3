"""Take someone out of an event, and out of Pluvo's active accounts where that was planned and still may be."""

from __future__ import annotations

from clients.errors import Rejected
from clients.pluvo import PluvoUser
from models.enrollment import Applied as AppliedState
from models.person import LinkedBy
from workers.actors.enrollment_upsert import record as records
from workers.actors.enrollment_upsert.last_look import look
from workers.actors.enrollment_upsert.link import link, name_made, ours
from workers.actors.enrollment_upsert.places import Place, Places, leave
from workers.actors.enrollment_upsert.standing import Dropped
from workers.actors.enrollment_upsert.state import Work


def remove(work: Work) -> None:
    """The person is out of every place this enrollment put them; the account goes to the archive if it still may."""
    # The reserved account may have been made after all.
    if work.pluvo_id is None and work.row.intent_at is not None and (found := ours(work)):
        link(work, found, LinkedBy.CREATED)
    name_made(work)
    leaving = work.places.every(work.pluvo_id)
    if not (work.places.told or work.places.left or work.row.state == AppliedState.REMOVED):
        # Whoever put them there, it was not us.
        records.settle(work, "kept", state=AppliedState.KEPT, reason="never_enrolled", archived=bool(work.row.archived))
        return
    look(work)
    stays = [place for place in leaving if not leave(work, place)]
    if stays:
        records.settle(work, "kept", state=AppliedState.KEPT, reason="own_link", archived=bool(work.row.archived))
        return
    work.places = Places(None, [])
    archived, reason = False, None
    if work.row.archive and work.row.planned == "archive":
        archived, reason = archive(work, leaving)
        work.archive_decided = True
    records.settle(work, "removed", state=AppliedState.REMOVED, archived=archived, reason=reason)


def archive(work: Work, left: list[Place]) -> tuple[bool, str | None]:
    """Archive an account made by us that serves nobody else. Returns whether it is archived now, and why not."""
    if work.pluvo_id is None or not work.row.created_by_us:
        return False, None
    if work.needed_anywhere():
        return False, "account_needed"
    user = work.pluvo.get_user(work.pluvo_id)
    if user is None or user.archived:
        return user is not None, None
    if obstacle := in_the_way(work, user, left):
        return False, obstacle
    try:
        work.write("archive", work.still_archiving)
    except Dropped as changed:
        return False, changed.reason
    if work.pluvo.archive_users([user.id], True):
        raise Rejected("not_archived", "Pluvo did not archive the account.", system="Pluvo")
    work.wrote({"archived": False}, {"archived": True})
    return True, None


def in_the_way(work: Work, user: PluvoUser, left: list[Place]) -> str | None:
    """Of what use an account still is, as Pluvo shows it now."""
    if set(user.roles) - {"PARTICIPANT"}:
        return "account_has_roles"
    if user.afas_connection_id:
        return "own_link"
    found = work.pluvo.memberships(user.id)
    if found is None:
        return "memberships_not_shown"
    # What was just left may show for some minutes.
    events = found.offer_events - {place.target_id for place in left}
    groups = found.groups - {place.target.removeprefix("group:") for place in left}
    return "account_in_use" if events or groups else None
