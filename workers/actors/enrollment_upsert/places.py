"""Where in Pluvo an enrollment put somebody: an account in a target. What was put there is what may be taken out.

A place is noted before Pluvo is asked for it, so that nothing is forgotten whatever happens to the answer. When account
or target become another one, the old place stays noted as left behind until the person was taken out of it. Nobody is
taken out of a place that any active enrollment of the same account still wants, whoever's and whichever tenant's of the
same Pluvo organisation: such an enrollment answers for the place from then on.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from json import dumps
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Row, text

from clients.errors import Rejected
from clients.pluvo import Enrollment, Group, OfferEvent, Target
from models.session import transaction
from tenancy.systems import SAME_ORGANISATION

if TYPE_CHECKING:
    from workers.actors.enrollment_upsert.state import Work


@dataclass(frozen=True)
class Place:
    """An account in a target. ``account`` None: one that is being made; ``target_id``: Pluvo's id of an offer event."""

    account: str | None
    target: str
    target_id: str | None = None

    def becomes(self, asked: Place) -> bool:
        """Whether what is asked for is this very place. An account that was being made may be any by now; one that is
        to be made is none of those that are known.
        """
        return self.target == asked.target and self.account in (None, asked.account)


@dataclass
class Places:
    """The place last asked for, and those left behind."""

    told: Place | None
    left: list[Place]

    def ask(self, place: Place) -> bool:
        """Make ``place`` the one that is asked for; True when that changes what is noted."""
        before = (self.told, list(self.left))
        if self.told and not self.told.becomes(place):
            self.left.append(self.told)
        elif self.told and place.target_id is None:
            place = replace(place, target_id=self.told.target_id)
        self.told = place
        self.left = [left for left in self.left if not left.becomes(place)]
        return before != (self.told, self.left)

    def every(self, account: str | None) -> list[Place]:
        """All of them, each with the account it is about; ``account`` stands for one that was being made."""
        known = [self.told] if self.told else []
        places = [replace(place, account=place.account or account) for place in [*self.left, *known]]
        return [place for place in places if place.account]

    def values(self) -> dict[str, Any]:
        """As the columns of an enrollment."""
        told = self.told or Place(None, "")
        return {
            "told_account": told.account,
            "told_target": told.target or None,
            "told_target_id": told.target_id,
            "left_behind": dumps([asdict(place) for place in self.left]),
        }


def places_of(row: Row[Any]) -> Places:
    """What is noted on an enrollment."""
    told = Place(row.told_account, row.told_target, row.told_target_id) if row.told_target else None
    return Places(told, [Place(**place) for place in row.left_behind])


def target_of(name: str) -> Target:
    """``offer_event:<ref>`` or ``group:<ref>`` as the client takes it."""
    kind, _, ref = name.partition(":")
    return Group(ref) if kind == "group" else OfferEvent(ref)


def wanted(work: Work) -> Place:
    """Where this enrollment is to be."""
    return Place(work.pluvo_id, work.row.target, work.row.target_id)


def in_place(work: Work) -> bool:
    """Whether the place last asked for is the one that is wanted."""
    told = work.places.told
    return told is not None and told.account == work.pluvo_id and told.target == work.row.target


# ------------------------------------------------------------------------------------------------- what is written down

SET_PLACES = """told_account = :told_account, told_target = :told_target, told_target_id = :told_target_id,
           left_behind = CAST(:left_behind AS jsonb)"""
_NOTE = text(f"UPDATE enrollment SET {SET_PLACES} WHERE id = :id")  # noqa: S608  a constant
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


def note(work: Work, connection: Connection) -> None:
    """Write down that the wanted place is about to be asked for."""
    if work.places.ask(wanted(work)):
        connection.execute(_NOTE, {"id": work.row.id} | work.places.values())


def came_true(work: Work, enrollment: Enrollment | None) -> None:
    """The account is in the wanted place, for which Pluvo may have given its own id."""
    work.places.ask(wanted(work))
    if enrollment and enrollment.offer_event_id and work.places.told:
        work.places.told = replace(work.places.told, target_id=enrollment.offer_event_id)


def withdraw(work: Work) -> None:
    """Pluvo surely said no: what was noted before holds again."""
    work.places = places_of(work.row)
    with transaction() as connection:
        connection.execute(_NOTE, {"id": work.row.id} | work.places.values())


def hand_over(connection: Connection, work: Work) -> None:
    """Let those who still need a place answer for it: who leaves last takes the account out."""
    for holder, place in work.handed:
        values = asdict(place) | {"id": holder, "tenant": work.delivery.tenant_id, "place": dumps([asdict(place)])}
        connection.execute(_HAND_OVER, values)


# ------------------------------------------------------------------------------------------------------------ leaving

# An active enrollment of the account that wants the place, or was put there and has not moved yet. A row that AFAS says
# is over and that was never acted on wants nothing.
_NEEDED = text(
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


def take_out(work: Work) -> str | None:
    """Take somebody who stays out of the places they left behind, if the guards let that happen.

    Returns what becomes of the plan line when this was all it is about.
    """
    leaving = work.places.left if work.row.take_out and work.row.policy != "keep" else []
    for place in leaving:
        leave(work, place)
    if leaving:
        work.places.left = []
    return ("removed" if leaving else "dropped") if work.row.planned == "unenroll" else None


def leave(work: Work, place: Place) -> bool:
    """Take an account out of a place, unless somebody needs it there.

    False when it stays for Pluvo's own AFAS link, which answers for the users that carry its mark.
    """
    values = asdict(place) | {"tenant": work.delivery.tenant_id, "id": work.row.id}
    with transaction() as connection:
        holder = connection.execute(_NEEDED, values).first()
    if holder is None:
        return unenroll(work, place)
    if holder.tenant_id == work.delivery.tenant_id and holder.id != work.row.id:
        work.handed.append((holder.id, place))
    return True


def unenroll(work: Work, place: Place) -> bool:
    """Take the account out. Who is not in it any more, or is gone from Pluvo, is fine."""
    target, account = target_of(place.target), place.account or ""
    user = work.pluvo.get_user(account)
    if user is None or user.afas_connection_id:
        return user is None
    if isinstance(target, Group):
        work.write("unenroll")
        gone = work.pluvo.remove_from_group(target.ref, account)
    else:
        event_id = place.target_id or work.pluvo.offer_event_id(target.ref)
        if event_id is None:
            raise Rejected("unknown_offer_event", f"Pluvo knows no offer event {target.ref!r}.", system="Pluvo")
        work.write("unenroll")
        gone = work.pluvo.unenroll(account, offer_event_id=event_id)
    if not gone:
        raise Rejected("not_removed", "Pluvo did not take the person out of the event.", system="Pluvo")
    work.wrote({"enrolled": True}, {"enrolled": False})
    return True
