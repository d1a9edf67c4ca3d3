"""Put work into the ledger, in the transaction that makes it necessary. The relay hands it out afterwards."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from sqlalchemy import Connection, text

from models.message import Priority

# Newer work for a subject that is in the ledger already joins the row there: a message that is out stays out (who
# finishes it sees the higher version and puts it back), one that waits for its next attempt goes on waiting unless
# the content is new.
_ENQUEUE = text(
    """
    INSERT INTO message AS m (tenant_id, kind, direction, subject_id, lock, version, run_id, plan_line_id, after_id,
                              priority, "full")
    SELECT r.tenant_id, r.kind, r.direction, r.subject_id, r.lock, r.version, r.run_id, r.plan_line_id, r.after_id,
           r.priority, r."full"
      FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(
               tenant_id bigint, kind text, direction text, subject_id bigint, lock text, version bigint, run_id text,
               plan_line_id bigint, after_id bigint, priority smallint, "full" boolean)
    ON CONFLICT (kind, subject_id) DO UPDATE SET
        version = greatest(m.version, excluded.version), lock = excluded.lock,
        run_id = coalesce(excluded.run_id, m.run_id), plan_line_id = coalesce(excluded.plan_line_id, m.plan_line_id),
        after_id = excluded.after_id, priority = least(m.priority, excluded.priority),
        "full" = m."full" OR excluded."full",
        attempts = CASE WHEN excluded.version > m.version THEN 0 ELSE m.attempts END,
        state = CASE WHEN m.state = 'scheduled' AND excluded.version > m.version THEN 'ready' ELSE m.state END,
        run_at = CASE WHEN m.state = 'scheduled' AND excluded.version > m.version THEN now() ELSE m.run_at END
    RETURNING m.id, m.subject_id
    """
)


@dataclass(frozen=True)
class NewMessage:
    """Work for one subject. ``lock``: two messages with the same one are never out at the same time."""

    tenant_id: int
    # A ``Kind``; tests and benchmarks have kinds of their own.
    kind: str
    direction: str
    subject_id: int
    lock: str
    version: int = 0
    run_id: str | None = None
    plan_line_id: int | None = None
    # Waits until that message has left the ledger.
    after_id: int | None = None
    priority: int = Priority.NORMAL
    # Look at the world again even where nothing changed here.
    full: bool = False


def wake(connection: Connection) -> None:
    """Tell the relay at the commit that there is work."""
    connection.execute(text("NOTIFY koppeling_ledger"))


def enqueue(connection: Connection, messages: Sequence[NewMessage], *, waking: bool = True) -> dict[int, int]:
    """Insert or join; returns {subject id: message id}. Wakes the relay at the commit.

    ``waking=False`` leaves that to the caller: commits that notify wait for each other, disk included, so whoever
    commits often calls ``wake`` afterwards, in a transaction of its own that has nothing to put on the disk.
    """
    ids: dict[int, int] = {}
    for start in range(0, len(messages), 1000):
        part = messages[start : start + 1000]
        rows = json.dumps([asdict(message) for message in part])
        for message_id, subject_id in connection.execute(_ENQUEUE, {"rows": rows}):
            ids[subject_id] = message_id
    if messages and waking:
        wake(connection)
    return ids
