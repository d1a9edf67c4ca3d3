"""One fictitious Pluvo organisation: people, groups, offers, enrollments, progress.

Records are dicts with GraphQL's own field names, as Pluvo would print them; links between them are ids.
"""

from __future__ import annotations

import bisect
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime
from typing import Any, ClassVar

from simulators.pluvo import webhooks
from simulators.pluvo.switches import ApiClient, Refusal, Switches

Record = dict[str, Any]


@dataclass
class PluvoTenant:
    """One organisation. Change it through the methods: they keep the indexes right."""

    operations: ClassVar[frozenset[str]] = frozenset(
        {
            "add_user", "change_user", "end_own_link", "purge_user", "add_group", "add_offer_event", "add_training",
            "add_course", "enroll", "join", "complete", "finish", "progress", "send_webhook", "change_switches",
            "expire_tokens",
        }
    )  # fmt: skip

    organisation: str
    clients: dict[str, ApiClient] = field(default_factory=dict)
    users: dict[str, Record] = field(default_factory=dict)
    groups: dict[str, Record] = field(default_factory=dict)
    offers: dict[str, Record] = field(default_factory=dict)
    offer_events: dict[str, Record] = field(default_factory=dict)
    enrollments: dict[tuple[str, str], Record] = field(default_factory=dict)
    """By (user id, offer event id)."""
    trainings: dict[str, Record] = field(default_factory=dict)
    courses: dict[str, Record] = field(default_factory=dict)
    portfolio: list[Record] = field(default_factory=list)
    """Rows of the report: userId, objectType, title, progress, score, completionDate, timeSpent."""
    portfolio_items: list[Record] = field(default_factory=list)
    mails: list[Record] = field(default_factory=list)
    """Mails sent: kind invitation or enrollment, userId, at."""
    switches: Switches = field(default_factory=Switches)
    access_tokens: dict[str, tuple[float, frozenset[str]]] = field(default_factory=dict, repr=False)
    """Token -> its end and its scopes. Not part of the state that is shown."""

    def __post_init__(self) -> None:
        """Build the indexes."""
        self.bucket: tuple[float, float] | None = None
        """Calls left under the rate switch, and when that was."""
        self._cached: dict[Any, list[Record]] = {}
        self._by_email: dict[str, str] = {}
        self._by_ref: dict[str, str] = {}
        self._by_name: list[tuple[str, str, str]] = []
        self._row_of: dict[tuple[str, str, str], Record] = {}
        for user in self.users.values():
            self._index(user)
        for row in self.portfolio:
            self._row_of[row["userId"], row["objectType"], row["title"]] = row

    # -- users ---

    def find_user(self, id: str | None = None, ref: str | None = None, email: str | None = None) -> Record | None:
        """Find a user by one of the three, archived or not; addresses without regard to case (our guess)."""
        if id is None and ref is not None:
            id = self._by_ref.get(ref)
        elif id is None and email is not None:
            id = self._by_email.get(email.casefold())
        return self.users.get(id or "")

    def people(self, q: str = "") -> Iterator[Record]:
        """Walk users by name: all, or those with this text in name or address."""
        q = q.casefold()
        for name, user_id, email in self._by_name:
            if q in name or q in email:
                yield self.users[user_id]

    def cached(self, key: Any, make: Callable[[], list[Record]]) -> list[Record]:
        """Keep a listing until anything changes: its pages are asked for one after the other."""
        if key not in self._cached:
            self._cached[key] = make()
        return self._cached[key]

    def changed(self) -> None:
        """Forget the listings."""
        self._cached.clear()

    def add_user(self, email: str, name: str, *, send_invite: bool = False, **values: Any) -> Record:
        """Add a user; raises Refusal when address or ref is taken or no good."""
        user: Record = {
            "id": str(uuid.uuid4()), "ref": str(uuid.uuid4()), "email": email, "name": name, "isActive": True,
            "archived": False, "archivedAt": None, "roles": ["PARTICIPANT"], "language": "NL", "profileImage": None,
            "extraFields": "{}", "hasPassword": False, "invitedOn": None, "lastLogin": None, "afasPersonId": None,
            "afasEmployeeId": None, "afasContactId": None, "afasConnectionId": None,
            **{key: value for key, value in values.items() if value is not None},
        }  # fmt: skip
        self._check(user)
        self.users[user["id"]] = user
        self._index(user)
        if send_invite:
            user["invitedOn"] = utc_now()
            self.mails.append({"kind": "invitation", "userId": user["id"], "at": utc_now()})
        return user

    def change_user(self, id: str, **values: Any) -> Record:
        """Change a user; None leaves a field as it is. Archiving also ends ``isActive``."""
        user = self.users.get(id)
        if user is None:
            raise Refusal("NotFound", "User not found")
        new = {**user, **{key: value for key, value in values.items() if value is not None}}
        if new["archived"] != user["archived"]:
            new |= {"archivedAt": utc_now() if new["archived"] else None, "isActive": not new["archived"]}
        self._check(new)
        self._unindex(user)
        user.update(new)
        self._index(user)
        return user

    def end_own_link(self) -> int:
        """Switch Pluvo's own AFAS link off: no account belongs to it any more; gives how many did (our guess)."""
        linked = [user for user in self.users.values() if user["afasConnectionId"] is not None]
        for user in linked:
            user["afasConnectionId"] = None
        self.changed()
        return len(linked)

    def purge_user(self, id: str) -> None:
        """Remove a user for good, with everything of theirs, as time does to the archived."""
        self._unindex(self.users.pop(id))
        for group in self.groups.values():
            group["members"].pop(id, None)
        self.enrollments = {key: each for key, each in self.enrollments.items() if key[0] != id}
        self.portfolio = [row for row in self.portfolio if row["userId"] != id]
        self._row_of = {key: row for key, row in self._row_of.items() if key[0] != id}

    def _check(self, user: Record) -> None:
        """Refuse a user whose address or ref is no good or belongs to someone else."""
        email, name = user["email"] or "", user["name"] or ""
        if not name.strip() or email.count("@") != 1 or any(letter.isspace() for letter in email):
            raise Refusal("ValidationError", "Enter a valid name and email address")
        if self._by_email.get(email.casefold(), user["id"]) != user["id"]:
            raise Refusal("AlreadyExists", "A user with this email already exists")
        if self._by_ref.get(user["ref"], user["id"]) != user["id"]:
            raise Refusal("AlreadyExists", "A user with this ref already exists")

    def _index(self, user: Record) -> None:
        self._by_email[user["email"].casefold()] = user["id"]
        self._by_ref[user["ref"]] = user["id"]
        bisect.insort(self._by_name, _name_entry(user))
        self.changed()

    def _unindex(self, user: Record) -> None:
        del self._by_email[user["email"].casefold()], self._by_ref[user["ref"]]
        del self._by_name[bisect.bisect_left(self._by_name, _name_entry(user))]
        self.changed()

    # -- what they can follow ---

    def add_group(self, name: str, ref: str | None = None, *, trainings: list[str] | None = None) -> Record:
        """Add a group whose members can follow these trainings (ids)."""
        group = _record(ref, name=name, enableChat=False, isEditable=True, members={}, trainingIds=trainings or [])
        self.groups[group["id"]] = group
        return group

    def join(self, group_id: str, user_ids: list[str], *, visible_from: float = 0.0) -> None:
        """Put users in a group; until ``visible_from`` (Unix time) nobody sees it."""
        group = self.groups[group_id]
        for user_id in user_ids:
            group["members"].setdefault(user_id, visible_from)
            for training_id in group["trainingIds"]:
                self.progress(user_id, self.trainings[training_id]["title"])
        self.changed()

    def add_training(self, title: str, ref: str | None = None, *, archived: bool = False) -> Record:
        """Add a training."""
        training = _record(ref, title=title, isActive=not archived, archived=archived)
        self.trainings[training["id"]] = training
        return training

    def add_course(self, title: str, ref: str | None = None) -> Record:
        """Add a course."""
        course = _record(ref, title=title)
        self.courses[course["id"]] = course
        return course

    def add_offer_event(
        self, title: str, ref: str | None = None, *, trainings: list[str] | None = None,
        courses: list[str] | None = None, **values: Any,
    ) -> Record:  # fmt: skip
        """Add an offer event, under an offer of the same title; trainings and courses are ids."""
        offer = _record(None, title=title, isActive=True, archivedAt=None, createdAt=utc_now(), updatedAt=utc_now())
        event = _record(
            ref, title=title, type="TRAINING", offerId=offer["id"], dates=[], maxSubscriptions=None,
            minSubscriptions=None, waitingList=False, price="0.00", cancelled=False, publish=True,
            trainingIds=trainings or [], courseIds=courses or [], **values,
        )  # fmt: skip
        self.offers[offer["id"]], self.offer_events[event["id"]] = offer, event
        return event

    def find(self, kind: str, id: str | None, ref: str | None) -> Record | None:
        """Find a record of a kind (groups, trainings, offers …) by id or ref."""
        records: dict[str, Record] = getattr(self, kind)
        if id is not None:
            return records.get(id)
        return next((each for each in records.values() if ref is not None and each["ref"] == ref), None)

    def enroll(self, user_id: str, offer_event_id: str, *, send_mail: bool = False) -> Record:
        """Enroll a user, once; a full event gives WAITLISTED or is refused."""
        event, user = self.offer_events[offer_event_id], self.users[user_id]
        known = self.enrollments.get((user_id, offer_event_id))
        if known is not None and known["status"] in {"ENROLLED", "WAITLISTED"}:
            return known
        full = event["maxSubscriptions"] is not None and self.taken(offer_event_id) >= event["maxSubscriptions"]
        if full and not event["waitingList"]:
            raise Refusal("OfferEventFull", "This event is full")
        enrollment = known or {"id": str(uuid.uuid4()), "userId": user["id"], "offerEventId": offer_event_id}
        enrollment |= {"status": "WAITLISTED" if full else "ENROLLED", "enrolledAt": utc_now()}
        self.enrollments[user_id, offer_event_id] = enrollment
        for training_id in event["trainingIds"]:
            self.progress(user_id, self.trainings[training_id]["title"])
        for course_id in event["courseIds"]:
            self.progress(user_id, self.courses[course_id]["title"], level="COURSE")
        if send_mail:
            self.mails.append({"kind": "enrollment", "userId": user_id, "at": utc_now()})
        return enrollment

    def taken(self, offer_event_id: str) -> int:
        """Count who is enrolled in an event."""
        return sum(e["offerEventId"] == offer_event_id and e["status"] == "ENROLLED" for e in self.enrollments.values())

    # -- progress ---

    def progress(self, user_id: str, title: str, *, level: str = "TRAINING", progress: float | None = None) -> Record:
        """Give a user's row of the report, made when there is none; ``progress`` goes from 0 to 1 (our guess)."""
        key = (self.users[user_id]["id"], level, title)
        row = self._row_of.get(key)
        if row is None:
            row = {
                "userId": user_id, "objectType": level, "title": title, "progress": 0.0, "score": None,
                "completionDate": None, "timeSpent": {"days": 0, "seconds": 0},
            }  # fmt: skip
            self._row_of[key] = row
            self.portfolio.append(row)
        if progress is not None:
            row["progress"] = progress
        self.changed()
        return row

    def complete(self, user_id: str, title: str, at: str | None, level: str = "TRAINING") -> Record:
        """Finish something: ``at`` is an instant or a date, None for a finish that the report has no date for."""
        row = self.progress(user_id, title, level=level, progress=1.0)
        row |= {"completionDate": at, "score": 1.0}
        return row

    def finish(self, title: str, count: int, at: str, level: str = "TRAINING") -> list[str]:
        """Finish something for the first ``count`` users who have not; gives their ids."""
        rows = (row for row in self.portfolio if (row["title"], row["objectType"]) == (title, level))
        users = [row["userId"] for row in rows if row["completionDate"] is None][:count]
        for user_id in users:
            self.complete(user_id, title, at, level)
        return users

    def send_webhook(
        self, event: str, user_id: str, url: str, secret: str, *, title: str | None = None, times: int = 1,
        good: bool = True, body: Record | None = None,
    ) -> list[int]:  # fmt: skip
        """Deliver a signed event about a user; gives the statuses answered. ``body`` overrules what is sent."""
        records = [*self.trainings.values(), *self.courses.values(), *self.offer_events.values()]
        about = next((each for each in records if each["title"] == title), None)
        content = webhooks.event_body(event, self.users[user_id], about) if body is None else body
        return webhooks.deliver(url, secret, content, times=times, good=good)

    def change_switches(self, **values: Any) -> None:
        """Set switches by name."""
        self.switches = replace(self.switches, **values)

    def expire_tokens(self) -> int:
        """End all access tokens; gives how many there were."""
        count = len(self.access_tokens)
        self.access_tokens.clear()
        return count

    # -- as JSON -------------------------------------------------------------------------------------------------------

    def as_json(self) -> dict[str, Any]:
        """Show everything but access tokens; records as lists."""
        shown: dict[str, Any] = {"organisation": self.organisation, "switches": vars(self.switches)}
        shown["clients"] = {key: vars(client) for key, client in self.clients.items()}
        for name in _RECORDS:
            records = getattr(self, name)
            shown[name] = list(records.values()) if isinstance(records, dict) else records
        return shown

    @classmethod
    def from_json(cls, state: dict[str, Any]) -> PluvoTenant:
        """Build from what ``as_json`` shows; keys may be left out. Raises TypeError for unknown ones."""
        made = dict(state)
        made["switches"] = Switches(**made.get("switches", {}))
        made["clients"] = {key: ApiClient(**each) for key, each in made.get("clients", {}).items()}
        for name in _RECORDS[:-3]:
            made[name] = {each["id"]: each for each in made.get(name, [])}
        made["enrollments"] = {(e["userId"], e["offerEventId"]): e for e in made["enrollments"].values()}
        return cls(**made)


_RECORDS = [each.name for each in fields(PluvoTenant) if each.name not in
            {"organisation", "clients", "switches", "access_tokens"}]  # fmt: skip
"""The fields that hold records; the last three are lists."""


def utc_now() -> str:
    """Say the time as Pluvo writes it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _name_entry(user: Record) -> tuple[str, str, str]:
    return user["name"].casefold(), user["id"], user["email"].casefold()


def _record(ref: str | None, **values: Any) -> Record:
    made = str(uuid.uuid4())
    return {"id": made, "ref": ref or str(uuid.uuid4()), **values}
