"""What is done with one person beside deciding about their account: looked at, and sent again."""

from __future__ import annotations

from sqlalchemy import text

from models.session import transaction
from ops import access, audit, lookup
from ops.dead_letters import replays
from ops.lookup import checked_id
from ops.problems import Problem

# Who looks again within minutes is not written down again.
_LOOKED = text(
    """
    SELECT EXISTS (SELECT 1 FROM operator_action
                    WHERE tenant_id = :tenant AND at > now() - interval '10 minutes' AND verb = 'people open'
                      AND subject = :subject AND who = :who)
    """
)
_LETTERS = text(
    """
    SELECT x.id FROM dead_letter x JOIN enrollment e ON e.id = x.subject_id AND e.tenant_id = x.tenant_id
     WHERE x.kind = 'enrollment.upsert' AND x.state = 'open' AND e.tenant_id = :tenant AND e.person_id = :person
     UNION SELECT x.id FROM dead_letter x JOIN completion k ON k.id = x.subject_id AND k.tenant_id = x.tenant_id
      WHERE x.kind = 'completion.write_back' AND x.state = 'open' AND k.tenant_id = :tenant AND k.subject = :subject
     ORDER BY 1 LIMIT 25
    """
)


def opened(slug: str, internal_id: str) -> None:
    """Write down that who acts looked at a person's names, addresses and history."""
    access.check("people.open", slug)
    with transaction() as connection:
        tenant = lookup.tenant_id(connection, slug)
        looked = {"tenant": tenant, "subject": internal_id, "who": access.actor().name}
        if not connection.execute(_LOOKED, looked).scalar():
            audit.record(connection, verb="people open", tenant_id=tenant, subject=internal_id)


def replay(slug: str, internal_id: str) -> str:
    """Send all open dead letters of a person again; the batch's id.

    Raises Problem when there is none that can be sent, AlreadyDecided where somebody is at it.
    """
    access.check("dead_letters.replay", slug)
    internal_id = checked_id(internal_id)
    with transaction() as connection:
        tenant = lookup.tenant_id(connection, slug)
        person = lookup.person_id(connection, tenant, internal_id, slug)
        values = {"tenant": tenant, "person": person, "subject": f"person:{internal_id}"}
        letters = list(connection.execute(_LETTERS, values).scalars())
    if not letters:
        raise Problem("no_open_letter", internal_id=internal_id)
    return replays.begin(letters)["batch"]
