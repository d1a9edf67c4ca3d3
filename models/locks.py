"""Which messages are never out together: those with the same key. One function for each kind of message.

Everything that looks at or changes one Pluvo account has the account's key, from wherever its message comes: a run, a
webhook, an operator's replay, any tenant of that Pluvo organisation. Where there is no account yet, the person's (or
that of whom they share with). What writes into one enrollment of AFAS has the enrollment's.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, text

from models import ledger
from models.session import fetch

# To be put into a statement with a person ``p``: these joins, and then this key.
UPSERT_JOINS = """
      LEFT JOIN link k ON k.person_id = p.id AND k.pluvo_id IS NOT NULL
      LEFT JOIN person sp ON sp.tenant_id = p.tenant_id AND sp.internal_id = p.match_with
                         AND p.match = 'share'
      LEFT JOIN link sk ON sk.person_id = sp.id AND sk.pluvo_id IS NOT NULL
"""
UPSERT_KEY = "coalesce('account:' || k.pluvo_id, 'account:' || sk.pluvo_id, 'person:' || coalesce(sp.id, p.id))"

_OF_UPSERT = text(
    f"""SELECT {UPSERT_KEY} FROM enrollment e JOIN person p ON p.id = e.person_id {UPSERT_JOINS}
         WHERE e.id = :enrollment AND e.tenant_id = :tenant"""  # noqa: S608  constants
)
_OF_REF = text("SELECT pluvo_id FROM link WHERE tenant_id = :tenant AND ref = :ref AND pluvo_id IS NOT NULL LIMIT 1")
# People, and who is to share their account: their messages may get another key with their link. Two questions, each
# with an index of its own: joined by OR they would read all people of the tenant.
_WITH_SHARERS = """
    SELECT unnest(CAST(:people AS bigint[])) AS id
     UNION
    SELECT o.id FROM person who
      JOIN person o ON o.tenant_id = who.tenant_id AND o.match = 'share' AND o.match_with = who.internal_id
     WHERE who.id = ANY(:people)
"""
_THEIR_MESSAGES = f"""
          FROM message m
         WHERE m.kind = 'enrollment.upsert' AND m.subject_id = ANY(ARRAY(
               SELECT e.id FROM enrollment e WHERE e.person_id = ANY(ARRAY({_WITH_SHARERS}))))
"""  # noqa: S608  a constant
# Whether they have more messages than ``:message``. To be asked in a statement after ``hold``, which may have waited
# for who enqueued one.
HAVE_MORE = f"EXISTS (SELECT 1 {_THEIR_MESSAGES} AND m.id <> :message)"
# Their messages first, then the people.
_HOLD = f"""
    WITH theirs AS MATERIALIZED (
        SELECT m.id, m.tenant_id, m.deliveries, m.state, m.version, m.run_id, m.plan_line_id, m."full", m.kills
        {_THEIR_MESSAGES}
         ORDER BY m.id FOR UPDATE
    ), held AS MATERIALIZED (
        SELECT id FROM person WHERE id = ANY(:people) AND (SELECT count(*) FROM theirs) >= 0
         ORDER BY id FOR NO KEY UPDATE
    )
    SELECT theirs.*, (SELECT count(*) FROM held) AS people FROM (SELECT) AS one LEFT JOIN theirs ON true
"""  # noqa: S608  constants
_HOLD_MANY = text(_HOLD)
# PostgreSQL guesses that a list it does not know has ten people, and then plans anew each time for the one there is.
_HOLD_ONE = text(re.sub(r"ANY\(:people\)|unnest\(CAST\(:people AS bigint\[\]\)\)", "CAST(:person AS bigint)", _HOLD))
_FOLLOW = ledger.relock(
    f"""
    SELECT m.id, x.key
      FROM message m
      JOIN (SELECT e.id, e.tenant_id, {UPSERT_KEY} AS key
              FROM person p JOIN enrollment e ON e.person_id = p.id {UPSERT_JOINS}
             WHERE p.id = ANY(ARRAY({_WITH_SHARERS}))) AS x
        ON m.kind = 'enrollment.upsert' AND m.subject_id = x.id AND m.tenant_id = x.tenant_id AND m.lock <> x.key
     -- once more: else the planner may begin with all messages
     WHERE m.subject_id = ANY(ARRAY(SELECT e.id FROM enrollment e WHERE e.person_id = ANY(ARRAY({_WITH_SHARERS}))))
    """  # noqa: S608  constants
)


def of_account(pluvo_id: str) -> str:
    """The key of all that concerns one Pluvo account."""
    return f"account:{pluvo_id}"


def of_upsert(connection: Connection, tenant_id: int, enrollment_id: int) -> str:
    """The key of an upsert."""
    return str(connection.execute(_OF_UPSERT, {"tenant": tenant_id, "enrollment": enrollment_id}).scalar_one())


def of_fetch(connection: Connection, tenant_id: int, pluvo_id: str | None, ref: str | None) -> str:
    """The key of a webhook's look at one account, which is known by its id or else by its ref."""
    known = pluvo_id or connection.execute(_OF_REF, {"tenant": tenant_id, "ref": ref}).scalar()
    return of_account(known) if known else f"ref:{ref}"


def of_write_back(enrollment_id: int) -> str:
    """The key of a write-back into one AFAS enrollment."""
    return f"afas:{enrollment_id}"


def hold(connection: Connection, *people: int) -> Sequence[Any]:
    """Keep these people's links from being changed by others until this transaction ends.

    Locks are taken in one order everywhere, so that there are no deadlocks: messages, people, enrollments, links.
    Gives the messages, the oldest first, or one row of nulls; ``people``: how many of them there are.
    """
    if len(people) == 1:
        return fetch(connection, _HOLD_ONE, {"person": people[0]})
    return fetch(connection, _HOLD_MANY, {"people": list(people)})


def follow(connection: Connection, person_id: int) -> None:
    """Let the messages of a person whose link has just changed have the key of the account it leads to now."""
    connection.execute(_FOLLOW, {"people": [person_id]})
