"""Who else has, needs or waits for a Pluvo account: questions to the database."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, text

from models.session import transaction
from tenancy.systems import SAME_ORGANISATION
from workers.actors.enrollment_upsert.state import Work

# Whether anyone else needs the account at all. People of an inactive course are not leavers.
_NEEDED = text(
    f"""
    SELECT EXISTS (
        SELECT 1 FROM link l JOIN enrollment e ON e.person_id = l.person_id JOIN course c ON c.id = e.course_id
         WHERE l.tenant_id IN (SELECT o.id FROM tenant t JOIN tenant o ON {SAME_ORGANISATION} WHERE t.id = :tenant)
           AND l.pluvo_id = :pluvo AND e.id <> :id AND e.desired = 'enrolled'
           AND (e.told_target IS NOT NULL OR (c.active AND e.row_state <> 'ended')))
    """  # noqa: S608  a constant
)
# Whether another person has the account, of this tenant or of another one of the same Pluvo organisation.
_TAKEN = text(
    f"""
    SELECT EXISTS (SELECT 1 FROM link l WHERE l.tenant_id = :tenant AND l.pluvo_id = :pluvo
                      AND l.person_id <> :person AND l.state <> 'ignored')
        OR :elsewhere AND EXISTS (
           SELECT 1 FROM tenant t JOIN tenant o ON {SAME_ORGANISATION} JOIN link l ON l.tenant_id = o.id
            WHERE t.id = :tenant AND o.id <> t.id AND l.pluvo_id = :pluvo AND l.state <> 'ignored')
    """  # noqa: S608  a constant
)
_LINKED_TO_OTHER = text(
    """
    SELECT p.internal_id FROM link l JOIN person p ON p.id = l.person_id
     WHERE l.tenant_id = :tenant AND l.pluvo_id = :pluvo AND l.person_id <> :person AND l.state <> 'ignored'
     ORDER BY length(p.internal_id), p.internal_id LIMIT 1
    """
)
_PEER = text(
    """
    SELECT l.pluvo_id, coalesce(p.name, '') AS name, coalesce(p.email, '') AS email,
           EXISTS (SELECT 1 FROM enrollment e JOIN message m ON m.kind = 'enrollment.upsert' AND m.subject_id = e.id
                    WHERE e.person_id = p.id) AS on_its_way
      FROM person p LEFT JOIN link l ON l.person_id = p.id AND l.state <> 'ignored'
     WHERE p.tenant_id = :tenant AND p.internal_id = :internal
    """
)


@dataclass(frozen=True)
class Peer:
    """Another person, who has the account that is to be shared. ``on_its_way``: a message for them is in the ledger."""

    pluvo_id: str | None
    name: str
    email: str
    on_its_way: bool


def needed(work: Work, connection: Connection) -> bool:
    """Whether anyone else needs this account to stay active."""
    values = {"tenant": work.delivery.tenant_id, "pluvo": work.pluvo_id, "id": work.row.id}
    return bool(connection.execute(_NEEDED, values).scalar_one())


def linked_to_other(work: Work, pluvo_id: str) -> str | None:
    """The AFAS person that an account is linked to, if it is another one."""
    values = {"tenant": work.delivery.tenant_id, "pluvo": pluvo_id, "person": work.row.person_id}
    with transaction() as connection:
        return connection.execute(_LINKED_TO_OTHER, values).scalar()


def taken(work: Work, connection: Connection, pluvo_id: str, *, elsewhere: bool) -> bool:
    """Whether another person has this account; ``elsewhere``: also one of another tenant of the same organisation."""
    values = {"tenant": work.delivery.tenant_id, "pluvo": pluvo_id, "person": work.row.person_id}
    return bool(connection.execute(_TAKEN, values | {"elsewhere": elsewhere}).scalar_one())


def peer(work: Work, internal_id: str | None) -> Peer | None:
    """The person whose account is to be shared."""
    values = {"tenant": work.delivery.tenant_id, "internal": internal_id}
    with transaction() as connection:
        row = connection.execute(_PEER, values).first()
    return Peer(row.pluvo_id, row.name, row.email, row.on_its_way) if row else None
