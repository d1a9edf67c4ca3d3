"""The ledger's writes: every arrow in the life of a message is one function or one statement here, and none elsewhere.

::

               enqueue          HAND_OUT          claim                settle
                  │                │                │                     │
                  ▼                ▼                ▼                     ▼
                ready ─────────▶ sent ─────────▶ sent, begun ─────────▶ gone
                │ ▲ ▲              │ TAKE_BACK      │ │ │
     withdraw   │ │ └──────────────┴────────────────┘ │ └─────▶ gone: ``remove``, with a dead letter, or stopped
      gone ◀────┤ │         give_back, expire         │
                │ │ PROMOTE, promote                  │ postpone
          rest  │ └────────────── scheduled ◀─────────┘
                └────────────────────▲

Work enters in the transaction that makes it necessary; the relay hands it out afterwards, on a connection of psycopg's
own (whose statements name their values ``%(so)s``).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, LiteralString

from sqlalchemy import Connection, TextClause, text

from models.message import Priority, Try
from models.session import fetch

HISTORY = 20
# What a delivery is made of, of a message ``m``.
DELIVERY = """m.id, m.tenant_id, m.kind, m.direction, m.subject_id, m.version, m.run_id, m.plan_line_id, m."full",
            m.attempts, m.kills, m.touched, m.deliveries, m.sent_at, m.lease_until"""
# As if it had not been handed out.
_BACK = "state = 'ready', started_at = NULL, worker = NULL, lease_until = NULL"
_WAKE = text("NOTIFY koppeling_ledger")


def _joining(select: str) -> str:
    """Newer work for a subject that is in the ledger already joins the row there.

    A message that is out stays out (who finishes it sees the higher version and puts it back), one that waits for its
    next attempt goes on waiting unless the content is new. With a plan line comes its run, which may be none: what is
    released goes on although its run was stopped.
    """
    return f"""
    INSERT INTO message AS m (tenant_id, kind, direction, subject_id, lock, version, run_id, plan_line_id, after_id,
                              priority, "full") {select}
    ON CONFLICT (kind, subject_id) DO UPDATE SET
        version = greatest(m.version, excluded.version), lock = excluded.lock,
        run_id = CASE WHEN excluded.plan_line_id IS NULL THEN coalesce(excluded.run_id, m.run_id)
                      ELSE excluded.run_id END,
        plan_line_id = coalesce(excluded.plan_line_id, m.plan_line_id),
        after_id = excluded.after_id, priority = least(m.priority, excluded.priority),
        "full" = m."full" OR excluded."full",
        attempts = CASE WHEN excluded.version > m.version THEN 0 ELSE m.attempts END,
        state = CASE WHEN m.state = 'scheduled' AND excluded.version > m.version THEN 'ready' ELSE m.state END,
        run_at = CASE WHEN m.state = 'scheduled' AND excluded.version > m.version THEN now() ELSE m.run_at END
    """


_NEW = """
    SELECT r.tenant_id, r.kind, r.direction, r.subject_id, r.lock, r.version, r.run_id, r.plan_line_id, r.after_id,
           r.priority, r."full"
      FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(
               tenant_id bigint, kind text, direction text, subject_id bigint, lock text, version bigint, run_id text,
               plan_line_id bigint, after_id bigint, priority smallint, "full" boolean)
"""
_ENQUEUE = text(_joining(_NEW) + "RETURNING m.id, m.subject_id")
# A claim that a crash of PostgreSQL forgets does no harm (the delivery still settles): it need not wait for the disk.
_CLAIM = text(
    f"""
    WITH claimed AS (
        UPDATE message AS m
           SET started_at = now(), worker = :worker, lease_until = now() + make_interval(secs => :lease)
         WHERE m.id = :id AND m.tenant_id = :tenant AND m.kind = :kind AND m.deliveries = :delivery
           AND m.state = 'sent' AND m.started_at IS NULL
        RETURNING {DELIVERY}, extract(epoch FROM now() - m.created_at) AS waited
    )
    SELECT c.*, d.state AS health, c.sent_at > d.since AS sent_since, d.timeouts > 0 AS slow,
           d.wait_until > now() AS waiting, r.stop_requested OR r.status = 'stopped' AS stopped,
           current_setting('synchronous_commit') AS durable, set_config('synchronous_commit', 'off', true) AS now
      FROM claimed c
      LEFT JOIN tenant_direction d ON d.tenant_id = c.tenant_id AND d.direction = c.direction
      LEFT JOIN run r ON r.id = c.run_id
    """  # noqa: S608  only names of columns are put in
)
# What there is against writing.
_AGAINST = """
    SELECT extract(epoch FROM m.lease_until - now()) AS remaining, d.state, d.wait_until > now() AS waiting,
           coalesce(r.stop_requested OR r.status = 'stopped', false) AS stopped
      FROM message m
      LEFT JOIN tenant_direction d ON d.tenant_id = m.tenant_id AND d.direction = m.direction
      LEFT JOIN run r ON r.id = m.run_id
     WHERE m.id = :id AND m.tenant_id = :tenant AND m.deliveries = :delivery AND m.state = 'sent'
"""
# Noted before the call, for the next delivery: this one may not be able to tell what came of it.
_TOUCH = """
    UPDATE message SET touched = true
     WHERE id = :id AND tenant_id = :tenant AND deliveries = :delivery AND state = 'sent' AND NOT touched
"""
_CHECK = text(f"WITH noted AS ({_TOUCH}) {_AGAINST}")
# Both, with a note of the actor's own. The message is locked before what that changes.
_CHECK_NOTING = f"""
    WITH against AS ({_AGAINST}), clear AS (
        SELECT FROM against
         WHERE remaining >= :need AND NOT stopped AND waiting IS NOT TRUE
           AND state IS DISTINCT FROM 'paused' AND (:probe OR state IS DISTINCT FROM 'quarantined')
    ), touched AS ({_TOUCH} AND EXISTS (SELECT FROM clear) RETURNING id
    ), allowed AS (SELECT FROM clear WHERE (SELECT count(*) FROM touched) >= 0
    ), {{note}}
    SELECT against.*, (SELECT count(*) FROM noted) AS noted FROM against
"""  # noqa: S608  constants
# The same with the claim, before a call that is certain to come: this must be on the disk, other than the claim alone.
_FORESEEN = """
    WITH foreseen AS (UPDATE message SET touched = true WHERE id = :message AND tenant_id = :tenant AND NOT touched),
    {note}
    SELECT set_config('synchronous_commit', :durable, true) AS durable, (SELECT count(*) FROM noted) AS noted
"""
_UNTOUCHED = text(
    """UPDATE message SET touched = false
        WHERE id = :id AND tenant_id = :tenant AND deliveries = :delivery AND state = 'sent'"""
)
# A lease begins anew.
_RENEW = text(
    """
    UPDATE message SET lease_until = now() + make_interval(secs => :lease)
     WHERE id = :id AND tenant_id = :tenant AND deliveries = :delivery AND state = 'sent'
    """
)
_GIVE_BACK = text(
    f"""
    UPDATE message SET {_BACK}, run_at = now(), attempts = CASE WHEN :fresh THEN 0 ELSE attempts END,
           touched = touched AND NOT :recorded
     WHERE id = :id AND tenant_id = :tenant AND deliveries = :delivery AND state = 'sent'
       AND (CAST(:worker AS text) IS NULL OR worker IS NULL OR worker = :worker)
    """  # noqa: S608  a constant
)
_EXPIRE = text(
    f"""
    UPDATE message SET {_BACK}, kills = kills + (:killed AND started_at IS NOT NULL)::int,
           run_at = CASE WHEN :killed AND started_at IS NOT NULL THEN now() ELSE run_at END
     WHERE id = ANY(:ids) RETURNING id, kills
    """  # noqa: S608  a constant
)
_POSTPONE = text(
    """
    UPDATE message
       SET state = 'scheduled', run_at = now() + make_interval(secs => :seconds), started_at = NULL,
           worker = NULL, lease_until = NULL, attempts = attempts + :burnt,
           first_failed_at = coalesce(first_failed_at, CASE WHEN :burnt > 0 THEN now() END),
           history = CASE WHEN :burnt > 0 THEN
               (SELECT coalesce(jsonb_agg(e ORDER BY n), '[]') FROM (
                    SELECT e, n FROM jsonb_array_elements(history || CAST(:entry AS jsonb))
                           WITH ORDINALITY AS all_entries(e, n) ORDER BY n DESC LIMIT :keep) AS kept)
               ELSE history END
     WHERE id = :id
    """
)
_REST = text(
    """
    UPDATE message SET state = 'scheduled', run_at = now() + make_interval(secs => :seconds * (1 + random()))
     WHERE id = ANY(:ids) AND state = 'ready'
    """
)
_PROMOTE = text("UPDATE message SET state = 'ready', run_at = now() WHERE id = ANY(:ids) AND state = 'scheduled'")
# What is dead for a subject is over with what comes after it.
SUPERSEDE = """
UPDATE dead_letter SET state = 'superseded', closed_at = now(), closed_by = 'system', closed_reason = :why
 WHERE kind = :kind AND subject_id = :subject AND tenant_id = :tenant AND state = 'open'
"""
_SETTLE = text(f"WITH gone AS (DELETE FROM message WHERE id = :id) {SUPERSEDE} RETURNING id")  # noqa: S608  a constant
_REMOVE = text("DELETE FROM message WHERE id = :id")
# Ids go in as arrays: right after a large plan the planner knows nothing of these tables and might join row by row.
_WITHDRAW = text(
    """
    WITH free AS (
        SELECT id FROM message WHERE run_id = :run AND NOT (state = 'sent' AND started_at IS NOT NULL)
           FOR UPDATE SKIP LOCKED
    ), gone AS (
        DELETE FROM message WHERE id = ANY(ARRAY(SELECT id FROM free)) RETURNING plan_line_id, tenant_id
    ), lines AS (
        UPDATE plan_line SET outcome = 'pending', reason = 'stopped'
         WHERE run_id = :run AND id = ANY(ARRAY(SELECT plan_line_id FROM gone))
           AND tenant_id = ANY(ARRAY(SELECT tenant_id FROM gone))
    )
    SELECT count(*) FROM gone
    """
)

# The relay's. ``pick`` is its choice: (id, tenant_id, lock) of messages.
HAND_OUT = """
UPDATE message
   SET state = 'sent', deliveries = deliveries + 1, sent_at = clock_timestamp(), started_at = NULL, worker = NULL,
       lease_until = now() + make_interval(secs => %(lease)s)
 WHERE id = ANY(ARRAY(
       SELECT DISTINCT ON (tenant, lock) id FROM (
           SELECT id, lock, CASE WHEN starts_with(lock, 'account:') THEN 0 ELSE tenant_id END AS tenant FROM pick
       ) AS p ORDER BY tenant, lock, id))
RETURNING id, tenant_id, kind, direction, deliveries, priority
"""
PROMOTE = """
UPDATE message SET state = 'ready' WHERE id = ANY(ARRAY(
    SELECT id FROM message WHERE state = 'scheduled' AND run_at <= now() ORDER BY run_at LIMIT 1000
       FOR UPDATE SKIP LOCKED))
"""
# A probe that got no further than here made no call: it does not count.
_UNBEGUN = """
WITH back AS (
    UPDATE message SET state = 'ready', lease_until = NULL WHERE state = 'sent' AND started_at IS NULL {these}
    RETURNING tenant_id, direction
), uncounted AS (
    UPDATE tenant_direction SET probe_at = clock_timestamp(), probes = probes - 1
     WHERE (tenant_id, direction) IN (SELECT tenant_id, direction FROM back) AND state = 'quarantined' AND probes > 0
)
SELECT tenant_id FROM back
"""
TAKE_BACK: LiteralString = _UNBEGUN.format(
    these="AND (id, deliveries) IN (SELECT * FROM unnest(%(ids)s::bigint[], %(deliveries)s::int[]))"
)
TAKE_ALL_BACK: LiteralString = _UNBEGUN.format(these="")


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
    connection.execute(_WAKE)


def enqueue(connection: Connection, messages: Sequence[NewMessage], *, waking: bool = True) -> dict[int, int]:
    """Insert or join; returns {subject id: message id}. Wakes the relay at the commit.

    ``waking=False`` leaves that to the caller: commits that notify wait for each other, disk included, so one that
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


def enqueue_from(select: str) -> TextClause:
    """The statement that enqueues the rows of a SELECT; its columns are those of ``_joining``, in that order."""
    return text(_joining(select))


def queue_behind(select: str) -> TextClause:
    """The statement that lets each ``id`` of a SELECT wait until its ``first_id`` has left the ledger."""
    return text(f"UPDATE message t SET after_id = x.first_id FROM ({select}) AS x WHERE t.id = x.id")  # noqa: S608  constants


def relock(select: str) -> TextClause:
    """The statement that gives each ``id`` of a SELECT its ``key`` as lock."""
    return text(f"UPDATE message t SET lock = x.key FROM ({select}) AS x WHERE t.id = x.id")  # noqa: S608  constants


def foreseeing(note: str) -> TextClause:
    """The statement that notes with a claim that a delivery is about to write. ``note``: CTEs, the last one ``noted``.

    ``message``, ``tenant``: the message, which is locked. ``durable``: as the claim found ``synchronous_commit``.
    """
    return text(_FORESEEN.format(note=note))


def claim(connection: Connection, delivery: dict[str, str | int], worker: str, lease_seconds: float) -> Any:
    """Begin a delivery (id, tenant, kind, delivery): its row and how its direction is; None when it is not out."""
    return next(iter(fetch(connection, _CLAIM, delivery | {"worker": worker, "lease": lease_seconds})), None)


def check(connection: Connection, key: dict[str, int]) -> Any:
    """Note that a delivery is about to write, and say what there is against it; None when it ended."""
    return next(iter(fetch(connection, _CHECK, key)), None)


def untouched(connection: Connection, key: dict[str, int]) -> None:
    """The write that was noted was not sent, and no delivery before it may have made one."""
    connection.execute(_UNTOUCHED, key)


def checking(note: str) -> TextClause:
    """The statement that does what ``check`` does, and notes more if there is nothing against writing.

    ``note``: CTEs, the last one ``noted``, which ask ``EXISTS (SELECT FROM allowed)``. ``id``, ``tenant`` and
    ``delivery`` are the delivery's, ``need`` the seconds of its lease that writing may take, ``probe`` whether it goes
    out in quarantine.
    """
    return text(_CHECK_NOTING.format(note=note))


def renew(connection: Connection, key: dict[str, int], lease_seconds: float) -> None:
    """Let a delivery's lease begin anew."""
    connection.execute(_RENEW, key | {"lease": lease_seconds})


def give_back(
    connection: Connection,
    key: dict[str, int],
    *,
    fresh: bool = False,
    recorded: bool = False,
    worker: str | None = None,
) -> None:
    """Back to ready, as if it had not been handed out; ``fresh`` forgets the attempts too.

    ``recorded``: all that was done outside is written down. ``worker``: unless another one has begun it.
    """
    connection.execute(_GIVE_BACK, key | {"fresh": fresh, "recorded": recorded, "worker": worker})
    wake(connection)


def expire(connection: Connection, ids: Sequence[int], *, killed: bool) -> dict[int, int]:
    """Back to ready what lost its worker; {id: workers that died on it}. ``killed``: it may be the reason."""
    rows = connection.execute(_EXPIRE, {"ids": list(ids), "killed": killed}).all()
    wake(connection)
    return {row.id: row.kills for row in rows}


def postpone(connection: Connection, message_id: int, seconds: float, failed: Try | None = None) -> None:
    """To scheduled; with what ``failed`` goes an attempt, and an entry in the history."""
    names = {"id": message_id, "seconds": seconds, "burnt": int(failed is not None), "keep": HISTORY}
    connection.execute(_POSTPONE, names | {"entry": json.dumps([failed])})


def rest(connection: Connection, ids: Sequence[int], seconds: float) -> None:
    """To scheduled without having been handed out, for once to twice ``seconds``."""
    connection.execute(_REST, {"ids": list(ids), "seconds": seconds})


def promote(connection: Connection, ids: Sequence[int]) -> None:
    """What waits for its time goes on now."""
    connection.execute(_PROMOTE, {"ids": list(ids)})
    wake(connection)


def settle(connection: Connection, message_id: int, subject: dict[str, str | int]) -> None:
    """Its effect is recorded: out of the ledger. ``subject``: kind, subject and tenant whose dead letters are over."""
    fetch(connection, _SETTLE, subject | {"id": message_id, "why": "settled by a later message"})


def remove(connection: Connection, message_id: int) -> None:
    """Out of the ledger: it is a dead letter now, or its run was stopped."""
    connection.execute(_REMOVE, {"id": message_id})


def withdraw(connection: Connection, run_id: str) -> int:
    """Take a run's messages that are not begun out; their lines stay ``pending``. How many.

    One that is being worked on is left: its delivery finds the run stopped, and takes it out itself.
    """
    return int(connection.execute(_WITHDRAW, {"run": run_id}).scalar_one())
