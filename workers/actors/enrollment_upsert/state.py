"""One enrollment in hand: what AFAS wants of it, what is known of Pluvo, and what was done so far."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Row, text

from clients.pluvo import PluvoClient, PluvoUser, Target
from models.session import session, transaction
from models.tenant import ARCHIVING, Tenant
from producers.enrollments.plan_lines import our_ref
from tenancy.cache import MARK, remembered
from tenancy.systems import SAME_ORGANISATION, systems_of
from workers.actors.enrollment_upsert import standing
from workers.actors.enrollment_upsert.places import Place, Places, places_of, target_of
from workers.actors.enrollment_upsert.standing import FACTS, JOINED
from workers.messages.delivery import Delivery

CALL_SECONDS = 36.0  # the longest one Pluvo call can take: connect and read
PATIENCE_SECONDS = 1.0  # how long a worker waits for Pluvo's rate limit before it takes other work
Values = dict[str, Any]

_LOAD = text(
    f"""
    SELECT {FACTS}, e.id, e.tenant_id, e.archive, e.unsure, e.external_id AS row_external_id,
           e.told_account, e.told_target, e.told_target_id, e.left_behind, e.take_out, e.waiting,
           p.id AS person_id, p.internal_id, p.name, p.email, p.applied_name, p.applied_email, p.intent_at,
           p.external_id, l.ref, l.created_by_us, l.archived, c.id AS course_id, c.event_id, c.pluvo,
           c.target_id, {MARK},
           (SELECT action FROM plan_line WHERE id = :line AND tenant_id = :tenant) AS planned,
           -- its run has read then what those who leave had finished
           coalesce((SELECT hold_id IS NULL AND created_at > now() - interval '60 seconds' FROM plan_line
                      WHERE id = :line AND tenant_id = :tenant), false) AS just_planned,
           -- Of those who share an account the lowest id is the primary one, also while parked for an address.
           NOT EXISTS (
               SELECT 1 FROM link o JOIN person op ON op.id = o.person_id
                WHERE o.tenant_id = e.tenant_id AND o.pluvo_id = l.pluvo_id AND o.state IN ('linked', 'ambiguous')
                  AND op.id <> p.id
                  AND (length(op.internal_id), op.internal_id) < (length(p.internal_id), p.internal_id)
                  AND EXISTS (SELECT 1 FROM enrollment oe WHERE oe.person_id = op.id AND oe.state = 'enrolled')
           ) AND NOT EXISTS (  -- and of tenants that share it the one that was there first
               SELECT 1 FROM tenant o JOIN link ol ON ol.tenant_id = o.id
                WHERE o.id < t.id AND {SAME_ORGANISATION} AND ol.pluvo_id = l.pluvo_id
                  AND ol.state IN ('linked', 'ambiguous')
                  AND EXISTS (SELECT 1 FROM enrollment oe WHERE oe.person_id = ol.person_id AND oe.state = 'enrolled')
           ) AS is_primary
      {JOINED}
     WHERE e.id = :id AND e.tenant_id = :tenant
    """  # noqa: S608  constants
)
# Whether anybody else needs the account at all. People of an inactive course are not leavers.
_NEEDED_ANYWHERE = text(
    f"""
    SELECT EXISTS (
        SELECT 1 FROM link l JOIN enrollment e ON e.person_id = l.person_id JOIN course c ON c.id = e.course_id
         WHERE l.tenant_id IN (SELECT o.id FROM tenant t JOIN tenant o ON {SAME_ORGANISATION} WHERE t.id = :tenant)
           AND l.pluvo_id = :pluvo AND e.id <> :id AND e.desired = 'enrolled'
           AND (e.told_target IS NOT NULL OR (c.active AND e.row_state <> 'ended')))
    """  # noqa: S608  a constant
)
_LINKED_TO_OTHER = text(
    """
    SELECT p.internal_id FROM link l JOIN person p ON p.id = l.person_id
     WHERE l.tenant_id = :tenant AND l.pluvo_id = :pluvo AND l.person_id <> :person AND l.state <> 'ignored'
     ORDER BY length(p.internal_id), p.internal_id LIMIT 1
    """
)
_LINKED_ELSEWHERE = text(
    f"""
    SELECT EXISTS (SELECT 1 FROM tenant t JOIN tenant o ON {SAME_ORGANISATION} JOIN link l ON l.tenant_id = o.id
                    WHERE t.id = :tenant AND o.id <> t.id AND l.pluvo_id = :pluvo AND l.state <> 'ignored')
    """  # noqa: S608  a constant
)
_ACCOUNT_OF = text(
    """
    SELECT l.pluvo_id, p.name, p.email,
           EXISTS (SELECT 1 FROM enrollment e JOIN message m ON m.kind = 'enrollment.upsert' AND m.subject_id = e.id
                    WHERE e.person_id = p.id) AS on_its_way
      FROM person p LEFT JOIN link l ON l.person_id = p.id AND l.state <> 'ignored'
     WHERE p.tenant_id = :tenant AND p.internal_id = :internal
    """
)
_POLICY = text("SELECT removals->>'policy' FROM tenant WHERE id = :tenant")
_UNSURE = text("UPDATE enrollment SET unsure = true WHERE id = :id AND NOT unsure")


class Parked(Exception):
    """Only an operator can decide: the person becomes ``ambiguous``."""

    def __init__(self, reason: str, candidates: list[PluvoUser]) -> None:
        super().__init__(reason)
        self.reason = reason
        self.candidates = candidates


@dataclass
class Work:
    """One enrollment with all that belongs to it. ``row`` has the columns of ``_LOAD``."""

    delivery: Delivery
    tenant: Tenant
    pluvo: PluvoClient
    row: Row[Any]
    pluvo_id: str | None = None
    ref: str | None = None
    # Revision and account of the link that is worked on
    link: tuple[int, str | None] = (0, None)
    # What the account was told in this delivery, still to be recorded: (operation, before, after)
    done: list[tuple[str, Values | None, Values | None]] = field(default_factory=list)
    # The writing call under way
    attempting: str | None = None
    outcome: str = "updated"
    enrollment_id: str | None = None
    # Pluvo took the enrollment but has no place yet
    waiting: bool = False
    # Whether the account goes to the archive was looked at
    archive_decided: bool = False
    # Where the person is in Pluvo for this enrollment
    places: Places = field(default_factory=lambda: Places(None, []))
    # Places that other enrollments answer for from now on: (enrollment, place)
    handed: list[tuple[int, Place]] = field(default_factory=list)

    @property
    def target(self) -> Target:
        """Where the course's people are enrolled."""
        return target_of(self.row.target)

    @property
    def internal_id(self) -> str:
        return str(self.row.internal_id)

    @property
    def our_ref(self) -> str:
        """The ref that an account made by us for this person carries."""
        return our_ref(self.tenant.afas.member_id, self.internal_id)

    def safe_ref(self, ref: str | None) -> str | None:
        """The ref of an account if we chose it; others may give theirs to somebody else at any time."""
        return ref if ref == self.our_ref else None

    @property
    def external_id(self) -> str | None:
        """The person's code in AFAS; for a contact person the organisation's."""
        found: str | None = self.row.external_id or self.row.row_external_id
        return found

    @property
    def planned_outcome(self) -> str:
        """What the plan line becomes when all is done, also when an earlier delivery did the first half."""
        if self.row.planned == "create" and self.row.created_by_us:
            return "created"
        return "linked" if self.row.planned in ("create", "link") else "updated"

    @property
    def doubtful(self) -> bool:
        """Whether an earlier try may have changed something of which nothing is recorded: look, don't remember."""
        return self.delivery.touched or bool(self.row.unsure)

    def write(self, operation: str, note: Callable[[Connection], None] | None = None) -> None:
        """Say that the next call changes something outside; ``note`` writes down more of it beforehand.

        What was decided is compared once more. The doubt about what comes of the call stays with the enrollment until
        a result is recorded, whatever becomes of the message.
        """

        def noted(connection: Connection) -> None:
            standing.check(connection, self.row, self.link)
            if note:
                note(connection)
            connection.execute(_UNSURE, {"id": self.row.id})

        self.delivery.check(CALL_SECONDS, noted)
        self.attempting = operation

    def still_archiving(self, connection: Connection) -> None:
        """Raise Dropped when the policy archives nobody any more: it may have changed since the plan."""
        if connection.execute(_POLICY, {"tenant": self.delivery.tenant_id}).scalar() != ARCHIVING:
            raise standing.Dropped("policy_unenroll")

    def wrote(self, before: Values | None, after: Values | None) -> None:
        """Say that it did."""
        self.done.append((self.attempting or "update", before, after))
        self.attempting = None

    # ------------------------------------------------------------------------------------------- asking the database

    def needed_anywhere(self) -> bool:
        """Whether anybody else needs this account to stay active."""
        values = {"tenant": self.delivery.tenant_id, "pluvo": self.pluvo_id, "id": self.row.id}
        with transaction() as connection:
            return bool(connection.execute(_NEEDED_ANYWHERE, values).scalar_one())

    def linked_to_other(self, pluvo_id: str) -> str | None:
        """The AFAS person that an account is linked to, if it is another one."""
        values = {"tenant": self.delivery.tenant_id, "pluvo": pluvo_id, "person": self.row.person_id}
        with transaction() as connection:
            return connection.execute(_LINKED_TO_OTHER, values).scalar()

    def linked_elsewhere(self, pluvo_id: str) -> bool:
        """Whether another tenant of the same Pluvo organisation has a person with this account."""
        with transaction() as connection:
            values = {"tenant": self.delivery.tenant_id, "pluvo": pluvo_id}
            return bool(connection.execute(_LINKED_ELSEWHERE, values).scalar_one())

    def account_of(self, internal_id: str) -> Row[Any] | None:
        """Somebody else's ``pluvo_id``, ``name`` and ``email``, and whether work for them is ``on_its_way``."""
        values = {"tenant": self.delivery.tenant_id, "internal": internal_id}
        with transaction() as connection:
            return connection.execute(_ACCOUNT_OF, values).first()


def load(delivery: Delivery) -> Work | None:
    """Read the newest desired state; None when the enrollment or its tenant is gone."""
    with session() as opened:
        values = {"id": delivery.subject_id, "tenant": delivery.tenant_id, "line": delivery.plan_line_id}
        row = opened.connection().execute(_LOAD, values).first()
        tenant = remembered(opened, delivery.tenant_id, row.tenant_mark) if row is not None else None
    if row is None or tenant is None:
        return None
    systems = systems_of(tenant, patience_seconds=PATIENCE_SECONDS, on_call=delivery.call_log.append)
    return Work(
        delivery,
        tenant,
        systems.pluvo,
        row,
        pluvo_id=row.pluvo_id,
        ref=row.ref,
        link=(row.revision, row.pluvo_id),
        places=places_of(row),
    )
