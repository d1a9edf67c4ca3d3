"""Where in Pluvo an enrollment put a person: an account in a target. Only what was put there may be taken out.

A place is noted before Pluvo is asked for it, so a lost answer loses nothing. When the account or the target changes,
the old place stays noted as left behind until the person was taken out of it.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from json import dumps
from typing import Any

from sqlalchemy import Connection, text

from clients.pluvo import Group, OfferEvent, Target

# To be put into a statement that updates an enrollment; the values are those of ``Places.values``. What others added to
# the places left behind, or took from them, while this was worked on stays so.
SET_PLACES = """told_account = :told_account, told_target = :told_target, told_target_id = :told_target_id,
           left_behind = (SELECT coalesce(jsonb_agg(place), '[]') FROM (
               SELECT place FROM jsonb_array_elements(left_behind) AS place
                WHERE NOT CAST(:no_longer AS jsonb) @> jsonb_build_array(place)
                UNION SELECT jsonb_array_elements(CAST(:newly AS jsonb))) AS all_places)"""
_NOTE = text(f"UPDATE enrollment SET {SET_PLACES} WHERE id = :id AND tenant_id = :tenant")  # noqa: S608  a constant


@dataclass(frozen=True)
class Place:
    """An account in a target. ``account`` None: one that is being made; ``target_id``: Pluvo's id of an offer event."""

    account: str | None
    target: str
    target_id: str | None = None

    def becomes(self, asked: Place) -> bool:
        """Whether what is asked for is this very place.

        An account that was being made may be any known one by now; a new account is never one of those known before.
        """
        return self.target == asked.target and self.account in (None, asked.account)


@dataclass(frozen=True)
class Places:
    """The place last asked for, and those left behind."""

    told: Place | None = None
    left: tuple[Place, ...] = ()

    @classmethod
    def from_row(cls, row: Any) -> Places:
        """What is noted on an enrollment."""
        told = Place(row.told_account, row.told_target, row.told_target_id) if row.told_target else None
        return cls(told, tuple(Place(**place) for place in row.left_behind))

    def asking(self, place: Place) -> Places:
        """The same once ``place`` is the one that is asked for."""
        left = self.left
        if self.told and not self.told.becomes(place):
            left = (*left, self.told)
        elif self.told and place.target_id is None:
            place = replace(place, target_id=self.told.target_id)
        return Places(place, tuple(one for one in left if not one.becomes(place)))

    def every(self, account: str | None) -> list[Place]:
        """All of them, each with the account it is about; ``account`` stands for one that was being made."""
        known = (*self.left, self.told) if self.told else self.left
        places = [replace(place, account=place.account or account) for place in known]
        return [place for place in places if place.account]

    def values(self, before: Places) -> dict[str, str | None]:
        """As the columns of an enrollment; ``before``: what was noted there when the work began."""
        told = self.told or Place(None, "")
        known = (*before.left, before.told) if before.told else before.left
        return {
            "told_account": told.account,
            "told_target": told.target or None,
            "told_target_id": told.target_id,
            "no_longer": dumps([asdict(place) for place in known if place not in self.left]),
            "newly": dumps([asdict(place) for place in self.left if place not in before.left]),
        }

    def note(self, connection: Connection, enrollment_id: int, tenant_id: int, before: Places) -> None:
        """Write them down with the enrollment."""
        connection.execute(_NOTE, {"id": enrollment_id, "tenant": tenant_id} | self.values(before))


def target_of(name: str) -> Target:
    """``offer_event:<ref>`` or ``group:<ref>`` as the client takes it."""
    kind, _, ref = name.partition(":")
    return Group(ref) if kind == "group" else OfferEvent(ref)
