"""Take people out of places in Pluvo, and accounts out of its active ones.

A person stays in a place that an active enrollment of the same account still wants, in any tenant of the same Pluvo
organisation: that enrollment answers for the place from then on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial

from sqlalchemy import Connection, text

from clients.errors import Rejected
from clients.pluvo import Group, PluvoUser
from models.session import transaction
from models.tenant import ARCHIVING
from tenancy.systems import SAME_ORGANISATION
from workers.actors.enrollment_upsert import record, sharing
from workers.actors.enrollment_upsert.places import Place, target_of
from workers.actors.enrollment_upsert.standing import Dropped
from workers.actors.enrollment_upsert.state import Work

# An active enrollment of the account that wants the place, or was put there and has not moved yet. A row that AFAS says
# is over and that was never acted on wants nothing.
_WANTED_BY = text(
    f"""
    SELECT e.id, e.tenant_id
      FROM link l
      JOIN enrollment e ON e.person_id = l.person_id
      JOIN course c ON c.id = e.course_id
     WHERE l.tenant_id IN (SELECT o.id FROM tenant t JOIN tenant o ON {SAME_ORGANISATION} WHERE t.id = :tenant)
       AND l.pluvo_id = :account AND l.state <> 'ignored' AND e.desired = 'enrolled' AND c.active
       AND (c.target = :target
            OR (e.told_account = :account AND (e.told_target = :target OR e.told_target_id = CAST(:target_id AS text))))
       AND NOT (e.row_state = 'ended' AND e.told_target IS NULL)
     ORDER BY e.tenant_id <> :tenant, e.id <> :id, e.id LIMIT 1
    """  # noqa: S608  a constant
)
# Who else was told to be there: their row may come back while the call is under way, so they are looked at again.
_TOLD_TOO = text(
    f"""
    UPDATE enrollment SET unsure = true
     WHERE id IN (
           SELECT e.id FROM link l JOIN enrollment e ON e.person_id = l.person_id
            WHERE l.tenant_id IN (SELECT o.id FROM tenant t JOIN tenant o ON {SAME_ORGANISATION} WHERE t.id = :tenant)
              AND l.pluvo_id = :account AND e.id <> :id AND e.state = 'enrolled' AND NOT e.unsure
              AND e.told_account = :account
              AND (e.told_target = :target OR e.told_target_id = CAST(:target_id AS text)))
    """  # noqa: S608  a constant
)
_POLICY = text("SELECT removals->>'policy' FROM tenant WHERE id = :tenant")


def leave_old_places(work: Work) -> str | None:
    """Take a person who stays out of the places they left behind, if the guards let that happen.

    Returns what becomes of the plan line when it is only about this.
    """
    leaving = work.places.left if work.row.take_out and work.row.policy != "keep" else ()
    if leaving:
        record.link_at_once(work)
    try:
        for place in leaving:
            leave(work, place)
    except Dropped as changed:
        if changed.reason != "policy_keep":
            raise
        leaving = ()  # they stay, and what they left behind stays noted
    if leaving:
        work.places = replace(work.places, left=())
    return ("removed" if leaving else "dropped") if work.row.planned == "unenroll" else None


def leave(work: Work, place: Place) -> bool:
    """Take an account out of a place, unless another enrollment needs it there.

    False when it stays for Pluvo's own AFAS link, which answers for the users that carry its mark.
    """
    try:
        with transaction() as connection:
            _raise_if_wanted(work, place, connection)
        return _unenroll(work, place)
    except _Wanted as wanted:
        if wanted.tenant_id == work.delivery.tenant_id and wanted.holder != work.row.id:
            work.handed.append((wanted.holder, place))
        return True


class _Wanted(Exception):
    """An enrollment (``holder``) needs the account in the place."""

    def __init__(self, holder: int, tenant_id: int) -> None:
        super().__init__(holder)
        self.holder = holder
        self.tenant_id = tenant_id


def _raise_if_wanted(work: Work, place: Place, connection: Connection) -> None:
    found = connection.execute(_WANTED_BY, _about(work, place)).first()
    if found is not None:
        raise _Wanted(found.id, found.tenant_id)


def _about(work: Work, place: Place) -> dict[str, object]:
    return asdict(place) | {"tenant": work.delivery.tenant_id, "id": work.row.id}


def _unenroll(work: Work, place: Place) -> bool:
    """Take the account out. An account that is not in it any more, or is gone from Pluvo, is fine."""
    target, account = target_of(place.target), place.account or ""
    user = work.pluvo.get_user(account)
    if user is None or user.afas_connection_id:
        return user is None
    event_id = None
    if not isinstance(target, Group):
        event_id = place.target_id or work.pluvo.offer_event_id(target.ref)
        if event_id is None:
            raise Rejected("unknown_offer_event", f"Pluvo knows no offer event {target.ref!r}.", system="Pluvo")

    def note(connection: Connection) -> None:
        # Of somebody who stays, nothing else asks for the policy.
        if connection.execute(_POLICY, {"tenant": work.delivery.tenant_id}).scalar() == "keep":
            raise Dropped("policy_keep")
        _raise_if_wanted(work, place, connection)
        connection.execute(_TOLD_TOO, _about(work, place))

    with work.change("unenroll", {"enrolled": True}, {"enrolled": False}, note=note, account=account):
        if event_id is None:
            gone = work.pluvo.remove_from_group(target.ref, account)
        else:
            gone = work.pluvo.unenroll(account, offer_event_id=event_id)
        if not gone:
            raise Rejected("not_removed", "Pluvo did not take the person out of the event.", system="Pluvo")
    return True


def archive(work: Work, left: Sequence[Place]) -> tuple[bool, str | None]:
    """Archive an account made by us that serves nobody else. Returns whether it is archived now, and why not."""
    if work.pluvo_id is None or not work.row.created_by_us:
        return False, None
    with transaction() as connection:
        needed = sharing.needed(work, connection)
    if needed:
        return False, "account_needed"
    user = work.pluvo.get_user(work.pluvo_id)
    if user is None or user.archived:
        return user is not None, None
    if reason := _still_in_use(work, user, left):
        return False, reason
    try:
        with work.change("archive", {"archived": False}, {"archived": True}, note=partial(_still_archiving, work)):
            if work.pluvo.archive_users([user.id], True):
                raise Rejected("not_archived", "Pluvo did not archive the account.", system="Pluvo")
    except Dropped as changed:
        return False, changed.reason
    return True, None


def _still_archiving(work: Work, connection: Connection) -> None:
    """Raise Dropped when the policy archives nobody any more, or the account is needed again."""
    if connection.execute(_POLICY, {"tenant": work.delivery.tenant_id}).scalar() != ARCHIVING:
        raise Dropped("policy_unenroll")
    if sharing.needed(work, connection):
        raise Dropped("account_needed")


def _still_in_use(work: Work, user: PluvoUser, left: Sequence[Place]) -> str | None:
    """What an account is still used for, as Pluvo shows it now."""
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
