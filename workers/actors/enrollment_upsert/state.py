"""One enrollment in hand: what AFAS wants of it, what is known of Pluvo, and what was done so far."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime

from sqlalchemy import Connection, text

from clients.errors import NoPlace, RemoteError, Unknown
from clients.pluvo import Enrollment, PluvoClient, PluvoUser, Target
from models import ledger
from models.person import LinkedBy
from models.session import fetch, transaction
from models.tenant import Tenant
from producers.enrollments.plan_lines import our_ref
from tenancy.cache import MARK, remembered
from tenancy.systems import SAME_ORGANISATION, systems_of
from workers.actors.changes import WritingCall, failed_call
from workers.actors.enrollment_upsert import standing
from workers.actors.enrollment_upsert.places import SET_PLACES, Place, Places, target_of
from workers.actors.enrollment_upsert.standing import COLUMNS, JOINED, LinkVersion, Standing
from workers.messages.delivery import FRESH_SECONDS, Delivery
from workers.messages.interruptions import Interruption, NotOurs

CALL_SECONDS = 36.0  # the longest one Pluvo call can take: connect and read
PATIENCE_SECONDS = 1.0  # how long a worker waits for Pluvo's rate limit before it takes other work

_LOAD = text(
    f"""
    SELECT {COLUMNS}, e.id, e.archive, e.unsure, coalesce(nullif(p.external_id, ''), e.external_id) AS external_id,
           e.told_account, e.told_target, e.told_target_id, e.left_behind, e.take_out, e.waiting,
           p.id AS person_id, p.internal_id, coalesce(p.name, '') AS name, coalesce(p.email, '') AS email,
           p.applied_name, p.applied_email, p.intent_at, p.not_theirs <> '[]' AS lost_account, l.ref,
           coalesce(l.created_by_us, false) AS created_by_us,
           coalesce(l.archived, false) AS archived, c.id AS course_id, c.event_id, c.target_id,
           -- A copy of AFAS has the addresses of real people.
           coalesce(CAST(c.pluvo->>'send_invite' AS boolean), false)
               AND coalesce(t.afas->>'environment', 'production') = 'production' AS send_invite, {MARK},
           (SELECT action FROM plan_line WHERE id = :line AND tenant_id = :tenant) AS planned,
           -- Its run has just read what the leavers had finished.
           coalesce((SELECT hold_id IS NULL AND created_at > now() - interval '60 seconds' FROM plan_line
                      WHERE id = :line AND tenant_id = :tenant), false) AS just_planned,
           -- Of the people who share an account the lowest id is primary, also while it is ambiguous for an address.
           NOT EXISTS (
               SELECT 1 FROM link o JOIN person op ON op.id = o.person_id
                WHERE o.tenant_id = e.tenant_id AND o.pluvo_id = l.pluvo_id AND o.state IN ('linked', 'ambiguous')
                  AND op.id <> p.id
                  AND (length(op.internal_id), op.internal_id) < (length(p.internal_id), p.internal_id)
                  AND EXISTS (SELECT 1 FROM enrollment oe WHERE oe.person_id = op.id AND oe.state = 'enrolled')
           ) AND NOT EXISTS (  -- Of the tenants that share it, the first one is.
               SELECT 1 FROM tenant o JOIN link ol ON ol.tenant_id = o.id
                WHERE o.id < t.id AND {SAME_ORGANISATION} AND ol.pluvo_id = l.pluvo_id
                  AND ol.state IN ('linked', 'ambiguous')
                  AND EXISTS (SELECT 1 FROM enrollment oe WHERE oe.person_id = ol.person_id AND oe.state = 'enrolled')
           ) AS is_primary
      {JOINED}
     WHERE e.id = :id AND e.tenant_id = :tenant
    """  # noqa: S608  constants
)
_UNSURE = text("UPDATE enrollment SET unsure = true WHERE id = :id AND tenant_id = :tenant AND NOT unsure")

# People are locked before enrollments.
_FORESEE = ledger.foreseeing(
    f"""
    reserved AS (
        UPDATE person SET intent_at = now() WHERE :new AND id = :person AND tenant_id = :tenant RETURNING id
    ), noted AS (
        UPDATE enrollment SET unsure = true, {SET_PLACES}
         WHERE id = :id AND tenant_id = :tenant AND (SELECT count(*) FROM reserved) >= 0 RETURNING id
    )"""  # noqa: S608  a constant
)
_TAKE_BACK = text(
    f"""
    WITH free AS (
        UPDATE person SET intent_at = NULL WHERE :new AND id = :person AND tenant_id = :tenant RETURNING id
    )
    UPDATE enrollment SET unsure = unsure AND :unsure, {SET_PLACES}
     WHERE id = :id AND tenant_id = :tenant AND (SELECT count(*) FROM free) >= 0
    """  # noqa: S608  a constant
)


class NeedsDecision(Exception):
    """Only an operator can decide: the person becomes ``ambiguous``."""

    def __init__(self, reason: str, candidates: list[PluvoUser]) -> None:
        super().__init__(reason)
        self.reason = reason
        self.candidates = candidates


@dataclass(frozen=True)
class Loaded(Standing):
    """An enrollment as it was when the work began. Name and address are "" only for people without a usable row."""

    id: int
    person_id: int
    course_id: int
    internal_id: str
    # The person's code in AFAS; for a contact person the organisation's.
    external_id: str | None
    event_id: str
    name: str
    email: str
    # What the account was last told
    applied_name: str | None
    applied_email: str | None
    # An account may have been made since then without an answer.
    intent_at: datetime | None
    # An operator took an account away from this person: it may still carry their ref.
    lost_account: bool
    ref: str | None
    created_by_us: bool
    archived: bool
    target_id: str | None
    send_invite: bool
    archive: bool
    take_out: bool
    unsure: bool
    waiting: bool
    # The action of the plan line
    planned: str | None
    just_planned: bool
    # The account has this person's name and address, not those of another person who shares it.
    is_primary: bool


@dataclass
class Attempt:
    """The call of one ``Work.change``.

    ``changed``: False when it turns out that nothing had to change. ``not_enrolled``: why the enrolling that the call
    was for as well did not succeed, as far as is known.
    """

    changed: bool = True
    not_enrolled: RemoteError | None = None


@dataclass
class Work:
    """One enrollment with all that belongs to it."""

    delivery: Delivery
    tenant: Tenant
    pluvo: PluvoClient
    row: Loaded
    pluvo_id: str | None
    ref: str | None
    # The link that is worked on
    link: LinkVersion
    # Where the person is in Pluvo for this enrollment, and what was noted of that when the work began
    places: Places
    noted: Places
    # Places that other enrollments answer for from now on: (enrollment, place)
    handed: list[tuple[int, Place]] = field(default_factory=list)
    # The operation of the call that was noted with the claim, until it is made, and the places once it is
    foreseen: str | None = None
    foreseen_places: Places = field(default_factory=Places)
    # Whether a call was made that may have changed something
    acted: bool = False
    # An account that became this person's and how, until that is recorded
    adopted: tuple[PluvoUser, LinkedBy] | None = None
    # More joined the message: it stays in the ledger when this result is recorded.
    goes_on: bool = False
    # Writing calls that are still to be recorded
    calls: list[WritingCall] = field(default_factory=list)
    enrollment_id: str | None = None
    # Pluvo took the enrollment but has no place yet
    waiting: bool = False

    @property
    def target(self) -> Target:
        """Where the course's people are enrolled."""
        return target_of(self.row.target)

    @property
    def our_ref(self) -> str:
        """The ref that an account made by us for this person carries."""
        return our_ref(self.tenant.afas.member_id, self.row.internal_id)

    def safe_ref(self, ref: str | None) -> str | None:
        """The ref of an account if we chose it; other refs may be given to another account at any time."""
        return ref if ref == self.our_ref else None

    @property
    def planned_outcome(self) -> str:
        """What the plan line becomes when all is done, also when an earlier delivery did the first half."""
        if self.row.planned == "create" and self.row.created_by_us:
            return "created"
        return "linked" if self.row.planned in ("create", "link") else "updated"

    @property
    def doubtful(self) -> bool:
        """Whether an earlier try may have changed something of which nothing is recorded: ask Pluvo then."""
        return self.delivery.touched or self.row.unsure

    @contextmanager
    def change(
        self,
        operation: str,
        before: Mapping[str, object] | None,
        after: Mapping[str, object] | None,
        *,
        note: Callable[[Connection], None] | None = None,
        account: str | None = None,
    ) -> Iterator[Attempt]:
        """Run the block, which makes one call that changes something in Pluvo. Every such call is made in here.

        ``account``: the one it is about, where that is not the person's.

        First the lease, the run and the direction are checked, and what was decided is compared once more. The same
        transaction notes that the call may happen; ``note`` adds to that. Raises Control or Dropped when it may not.
        A call that was foreseen had all of it with the claim, if that was just now. One that waited long for its place
        under the rate limit is checked again.
        What came of the call is kept in ``calls``. Until a result is recorded the enrollment stays ``unsure``; where
        nothing was sent, what was noted is taken back, or it would have to be asked for.
        """

        def compare(connection: Connection) -> None:
            standing.check(connection, self.row.id, self.delivery.tenant_id, self.row, self.link)

        def intend(connection: Connection) -> None:
            compare(connection)
            if note:
                note(connection)
            connection.execute(_UNSURE, {"id": self.row.id, "tenant": self.delivery.tenant_id})

        if self.foreseen == operation and self.delivery.still_clear():
            self.places = self.foreseen_places
            asked_at = self.delivery.clear_at or 0.0
        else:
            asked_at = time.monotonic()
            try:
                self.delivery.check(CALL_SECONDS, intend)
            except Exception as reason:
                if self.foreseen and not isinstance(reason, NotOurs):
                    self._take_back(self.foreseen)
                raise

        def look_again() -> None:
            if time.monotonic() - asked_at >= FRESH_SECONDS:
                self.delivery.check(CALL_SECONDS, compare)

        self.foreseen = None
        attempt = Attempt()
        sent = self._calls_sent
        try:
            with self.pluvo.at_its_place(look_again):
                yield attempt
        except RemoteError as error:
            self.acted = True
            self.calls.append(failed_call(operation, error, account))
            raise
        except (NoPlace, Interruption, standing.Dropped) as reason:
            if not self.acted and self._calls_sent == sent and not isinstance(reason, NotOurs):
                self._take_back(operation)
            raise
        self.acted = True
        refused = attempt.not_enrolled
        if refused and operation == "enroll":  # there was nothing else
            self.calls.append(failed_call(operation, refused, account))
        elif refused:
            after = {**(after or {}), "enrolled": None if isinstance(refused, Unknown) else False}
            done = WritingCall(operation, before, after, code=refused.code, status=refused.status, account=account)
            self.calls.append(done)
        elif attempt.changed:
            self.calls.append(WritingCall(operation, before, after, account=account))

    def foresee(self, connection: Connection, operation: str, *, place: bool) -> None:
        """Note with the claim that this call comes next, so that it needs no transaction of its own.

        ``place``: it asks for the wanted place as well.
        """
        self.foreseen = operation
        self.foreseen_places = self.places.asking(self.wanted) if place else self.places
        noted = {"message": self.delivery.message_id, "durable": self.delivery.durable}
        fetch(connection, _FORESEE, noted | self._about(operation, self.foreseen_places))

    def _take_back(self, operation: str) -> None:
        """The first call that was noted is not made: no account may have come of it, and no place."""
        self.places = self.noted
        with transaction() as connection:
            self.delivery.lock(connection)
            if not self.delivery.touched:
                ledger.untouched(connection, self.delivery.key)
            connection.execute(_TAKE_BACK, self._about(operation, self.noted) | {"unsure": self.row.unsure})

    def _about(self, operation: str, places: Places) -> dict[str, object]:
        about = {"id": self.row.id, "tenant": self.delivery.tenant_id, "person": self.row.person_id}
        new = operation == "create" and self.row.intent_at is None
        return {**about, "new": new, **places.values(self.noted)}

    @property
    def _calls_sent(self) -> int:
        return sum(not call.token for call in self.delivery.call_log)

    # ------------------------------------------------------------------------------------------- the place in Pluvo

    @property
    def wanted(self) -> Place:
        """Where this enrollment is to be."""
        return Place(self.pluvo_id, self.row.target, self.row.target_id)

    @property
    def in_place(self) -> bool:
        """Whether the place last asked for is the one that is wanted."""
        told = self.places.told
        return told is not None and (told.account, told.target) == (self.pluvo_id, self.row.target)

    def note_place(self, connection: Connection) -> None:
        """Write down that the wanted place is about to be asked for."""
        asked = self.places.asking(self.wanted)
        if asked != self.places:
            self.places = asked
            asked.note(connection, self.row.id, self.delivery.tenant_id, self.noted)

    def withdraw_place(self) -> None:
        """Pluvo surely refused: what was noted before holds again."""
        self.places = self.noted
        with transaction() as connection:
            self.noted.note(connection, self.row.id, self.delivery.tenant_id, self.noted)

    def reached_place(self, enrollment: Enrollment | None = None) -> None:
        """The account is in the wanted place, for which Pluvo may have given its own id."""
        self.places = self.places.asking(self.wanted)
        if enrollment and enrollment.offer_event_id and self.places.told:
            self.places = replace(self.places, told=replace(self.places.told, target_id=enrollment.offer_event_id))


def load(connection: Connection, delivery: Delivery) -> Work | None:
    """Read the newest desired state; None when the enrollment or its tenant is gone."""
    values = {"id": delivery.subject_id, "tenant": delivery.tenant_id, "line": delivery.plan_line_id}
    found = next(iter(fetch(connection, _LOAD, values)), None)
    tenant = remembered(connection, delivery.tenant_id, found.tenant_mark) if found is not None else None
    if found is None or tenant is None:
        return None
    row = Loaded.from_row(found)
    systems = systems_of(
        tenant, patience_seconds=PATIENCE_SECONDS, on_call=delivery.call_log.append, combine=not delivery.probe
    )
    places = Places.from_row(found)
    return Work(delivery, tenant, systems.pluvo, row, row.pluvo_id, row.ref, row.link, places, places)
