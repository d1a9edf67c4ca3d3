"""What Pluvo says, as records. Ids are kept as text; a shape that does not fit raises ``ValueError``."""

from __future__ import annotations

import re
import string
import unicodedata
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from clients.errors import RemoteError

T = TypeVar("T")
_LOWER_ASCII = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)
_UUID = re.compile(r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")


@dataclass(frozen=True)
class PluvoUser:
    """A user. The AFAS fields are None when empty and when the live schema lacks them."""

    id: str
    ref: str | None
    email: str | None
    name: str
    archived: bool
    roles: tuple[str, ...]
    language: str | None
    afas_person_id: str | None = None
    afas_contact_id: str | None = None
    afas_connection_id: str | None = None


@dataclass(frozen=True)
class UserPage:
    """Users that were not on an earlier page, and Pluvo's count over all pages (None when it gives none)."""

    users: list[PluvoUser]
    total: int | None


@dataclass(frozen=True)
class NewUser:
    """An account to make. ``ref`` is our own key in Pluvo, by which a lost answer is found back."""

    email: str
    name: str
    ref: str
    person_id: str | None = None
    contact_id: str | None = None


@dataclass(frozen=True)
class UserChanges:
    """What to change on an account; None leaves it as it is."""

    name: str | None = None
    email: str | None = None
    archived: bool | None = None
    person_id: str | None = None
    contact_id: str | None = None


@dataclass(frozen=True)
class OfferEvent:
    """Where people are enrolled: one offer event, by ref."""

    ref: str


@dataclass(frozen=True)
class Group:
    """Where people are enrolled: one group, by ref."""

    ref: str


Target = OfferEvent | Group


@dataclass(frozen=True)
class Enrollment:
    """One user in one offer event. ``status`` as Pluvo says it: ENROLLED, WAITLISTED, CANCELLED, DECLINED or newer."""

    id: str
    offer_event_id: str | None
    status: str | None


@dataclass(frozen=True)
class Memberships:
    """What a user is in now, by Pluvo's ids of offer events and by the refs of groups (the id where it has none)."""

    offer_events: frozenset[str]
    groups: frozenset[str]


@dataclass(frozen=True)
class Applied:
    """What became of a create or an update. With ``enroll_error`` the account is done and the enrolling is not.

    ``user`` is None when the account needed no change; ``already_member`` only speaks of groups.
    """

    user: PluvoUser | None
    enrollment: Enrollment | None = None
    enroll_error: RemoteError | None = None
    already_member: bool | None = None


@dataclass(frozen=True)
class PortfolioRow:
    """One user and one training or course. ``completion_date`` as Pluvo wrote it: instant or date, None while busy."""

    user_id: str
    user_ref: str | None
    user_email: str | None
    user_name: str | None
    title: str
    completion_date: str | None


@dataclass(frozen=True)
class TrainingInfo:
    """A training, by the title that its portfolio rows show."""

    id: str
    ref: str | None
    title: str
    archived: bool


@dataclass(frozen=True)
class Page:
    """One slice of a Relay connection: nodes as they came (an erased one is None).

    ``unread``: how many more rows there were that Pluvo could not read itself; they are not among ``nodes``.
    """

    nodes: list[dict[str, Any] | None]
    count: int | None
    next_cursor: str | None
    has_next: bool
    unread: int = 0


def page(value: Any, broken: Collection[int] = ()) -> Page:
    """Read ``{"pageInfo": {"hasNextPage", "endCursor"}, "count", "edges": [{"node"}]}``.

    ``broken``: which edges have an error beneath them: whatever stands there says nothing about that row.
    """
    value = _object(value)
    info, edges = _object(value.get("pageInfo")), value.get("edges")
    if not isinstance(edges, list) or not isinstance(info.get("hasNextPage"), bool):
        raise ValueError("a connection without edges or hasNextPage")
    sound = [edge for place, edge in enumerate(edges) if place not in broken]
    nodes = [None if edge is None else _object(edge).get("node") for edge in sound]
    count = value.get("count")
    return Page(
        nodes=[None if node is None else _object(node) for node in nodes],
        count=count if isinstance(count, int) else None,
        next_cursor=_text(info.get("endCursor")),
        has_next=info["hasNextPage"],
        unread=len(edges) - len(sound),
    )


def user(value: Any) -> PluvoUser:
    """Read a user; an empty AFAS field counts as none."""
    value = _object(value)
    return PluvoUser(
        id=_id(value),
        ref=_text(value.get("ref")),
        email=_text(value.get("email")),
        name=_text(value.get("name")) or "",
        archived=value.get("archived") is True,
        roles=tuple(str(role) for role in value.get("roles") or () if role is not None),
        language=_text(value.get("language")),
        afas_person_id=_text(value.get("afasPersonId")) or None,
        afas_contact_id=_text(value.get("afasContactId")) or None,
        afas_connection_id=_text(value.get("afasConnectionId")) or None,
    )


def enrollment(value: Any) -> Enrollment:
    """Read an enrollment."""
    value = _object(value)
    event = _text(value.get("offerEventId"))
    return Enrollment(_id(value), event and _one_form(event), _text(value.get("status")))


# Words that say somebody is in; the last ones are known from Pluvo's screens only.
_IN = {None, "ENROLLED", "APPROVED", "COMPLETED"}
_OUT = {"CANCELLED", "DECLINED"}


def waits(found: Enrollment) -> bool:
    """Tell whether an enrollment is accepted but not so yet: on a waiting list, or still to be approved."""
    return found.status not in _IN | _OUT


def is_active(found: Enrollment | None) -> bool:
    """Tell whether there is an enrollment that still counts, be it one that waits for a place."""
    return found is not None and found.status not in _OUT


def offer_events(value: Any) -> frozenset[str]:
    """Read which offer events a list of enrollments is about; an unnamed one counts by its own id."""
    found = [enrollment(each) for each in value]
    return frozenset(each.offer_event_id or each.id for each in found if is_active(each))


def groups(value: Any) -> frozenset[str]:
    """Read in which groups a user is."""
    listed = [_object(group) for group in _object(value)["participantGroups"]]
    return frozenset(_text(group.get("ref")) or _id(group) for group in listed)


def training(value: Any) -> TrainingInfo:
    """Read a training."""
    value = _object(value)
    return TrainingInfo(
        _id(value), _text(value.get("ref")), _text(value.get("title")) or "", value.get("archived") is True
    )


def portfolio_row(value: Any) -> PortfolioRow | None:
    """Read a row of the report; None when its user is gone, because then it is nobody's completion."""
    value = _object(value)
    if value.get("user") is None:
        return None
    person = _object(value["user"])
    return PortfolioRow(
        user_id=_id(person),
        user_ref=_text(person.get("ref")),
        user_email=_text(person.get("email")),
        user_name=_text(person.get("name")),
        title=_text(value.get("title")) or "",
        completion_date=_text(value.get("completionDate")) or None,
    )


def optional(read: Callable[[Any], T], value: Any) -> T | None:
    """Read a value that may be null."""
    return None if value is None else read(value)


def id_of(value: Any) -> str:
    """Read only the id."""
    return _id(_object(value))


def bulk(value: Any, kind: str) -> list[str]:
    """Read a list of a bulk answer: ``addedIds``, or ``addedRefs`` as older editions of the API say."""
    value = _object(value)
    listed = value.get(f"{kind}Ids") or value.get(f"{kind}Refs") or ()
    return [_one_form(str(item)) for item in listed if item is not None]


def same_email(one: str | None, other: str | None) -> bool:
    """Whether two addresses are one mailbox: ASCII letters without regard to case, accents however they are written,
    outer white space aside, nothing else forgiven; no address equals none.
    """
    return bool(one and other) and _folded(one or "") == _folded(other or "")


def spellings(email: str) -> list[str]:
    """An address as given and with its accents written both ways: Pluvo may compare letter by letter."""
    return list(dict.fromkeys((email, *(unicodedata.normalize(form, email) for form in ("NFC", "NFD")))))


def _folded(email: str) -> str:
    composed = unicodedata.normalize("NFC", email.strip())
    return unicodedata.normalize("NFC", composed.translate(_LOWER_ASCII))


def first_with_id(users: Sequence[PluvoUser]) -> list[PluvoUser]:
    """Keep the first of each id, in order."""
    kept: dict[str, PluvoUser] = {}
    for found in users:
        kept.setdefault(found.id, found)
    return list(kept.values())


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError("not an object")
    return value


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _id(value: dict[str, Any]) -> str:
    if value.get("id") in (None, ""):
        raise ValueError("no id")
    return _one_form(str(value["id"]))


def _one_form(id: str) -> str:
    """A UUID in lower case: it is the same whatever its case, and ids are compared as text everywhere."""
    return id.lower() if _UUID.fullmatch(id) else id
