"""Pluvo has no room for another account (a licence that is used up): what makes accounts waits, all else goes on.

No record is at fault, so nothing dies and no attempt is burnt. One message goes on asking, after the waits of a
quarantine's probes; the others sleep until an account could be made or restored again, which wakes them all.
"""

from __future__ import annotations

import random

from sqlalchemy import Connection, text

import settings
from models import ledger
from models.message import Kind
from tenancy.alerts import close_alert, open_alert
from workers.messages.delivery import Delivery

NO_ROOM = "no_room"

# What waits for any reason, of people without an account in use. (What a run says of it changes with each run.)
_WAITING = """message m, enrollment e LEFT JOIN link k ON k.person_id = e.person_id
    WHERE m.tenant_id = :tenant AND m.kind = :kind AND m.state = 'scheduled' AND e.id = m.subject_id
      AND e.desired = 'enrolled' AND (k.pluvo_id IS NULL OR k.archived OR k.state = 'left')"""
_ASKING = text(
    f"""SELECT EXISTS (SELECT 1 FROM {_WAITING} AND m.id <> :id
                          AND m.run_at <= now() + make_interval(secs => :seconds))"""  # noqa: S608  a constant
)
_AGE = text(
    """SELECT coalesce(extract(epoch FROM now() - opened_at), 0) FROM alert
        WHERE tenant_id = :tenant AND kind = 'no_room' AND closed_at IS NULL"""
)
# Who has no account yet and is to get one.
_NEWCOMERS = text(
    """
    SELECT m.id, m.subject_id, m.plan_line_id
      FROM message m JOIN enrollment e ON e.id = m.subject_id JOIN person p ON p.id = e.person_id
      LEFT JOIN link k ON k.person_id = p.id
     WHERE m.tenant_id = :tenant AND m.kind = :kind AND m.state = 'ready' AND m.id <> :id AND m.after_id IS NULL
       AND e.desired = 'enrolled' AND p.match = 'create' AND k.pluvo_id IS NULL
     ORDER BY m.id FOR UPDATE OF m
    """
)
_SAY_WHY = text(
    """
    WITH told AS (
        UPDATE plan_line SET reason = 'no_room'
         WHERE id = ANY(:lines) AND tenant_id = :tenant AND outcome = 'pending')
    UPDATE enrollment SET outcome = 'pending', reason = 'no_room' WHERE id = ANY(:subjects) AND tenant_id = :tenant
    """
)
_WHO_WAITS = text(f"SELECT m.id FROM {_WAITING} ORDER BY m.id FOR UPDATE OF m")  # noqa: S608  a constant


def none_left(connection: Connection, delivery: Delivery, words: str) -> float:
    """Tell it once, let the others that make accounts wait too; returns in how many seconds this one asks again."""
    told = (
        f"Pluvo makes no more accounts ({words.rstrip(' .')}). New people wait, everything else goes on. Have Pluvo "
        "enlarge the licence, or archive users who are no longer needed: those who wait then go on by themselves."
    )
    open_alert(connection, delivery.tenant_id, NO_ROOM, None, told)
    names = {"tenant": delivery.tenant_id, "kind": Kind.UPSERT.value, "id": delivery.message_id}
    age = float(connection.execute(_AGE, names).scalar() or 0)
    probes = settings.get().quarantine_probes
    seconds = float(max(wait for wait in probes if wait <= max(age, min(probes))))
    newcomers = connection.execute(_NEWCOMERS, names).all()
    ledger.rest(connection, [row.id for row in newcomers], float(max(probes)))
    about = {"lines": [row.plan_line_id for row in newcomers], "subjects": [row.subject_id for row in newcomers]}
    connection.execute(_SAY_WHY, names | about)
    if connection.execute(_ASKING, names | {"seconds": seconds}).scalar():
        return max(probes) * (1 + random.random())  # noqa: S311  spreads them, guards nothing
    return seconds


def found(connection: Connection, tenant_id: int) -> None:
    """An account was made or restored, so there is room: what waited for it goes on."""
    if close_alert(connection, tenant_id, NO_ROOM, None):
        waiting = connection.execute(_WHO_WAITS, {"tenant": tenant_id, "kind": Kind.UPSERT.value})
        ledger.promote(connection, list(waiting.scalars()))
