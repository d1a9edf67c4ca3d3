"""One message being worked on: claimed, held to its lease, and settled in one transaction.

Life of a message (rows of ``models.message``; who moves it stands in brackets)::

    ready ─[relay]→ sent ─[claim]→ sent + started ─[settle]→ deleted
      ▲                │                 │
      │                │ lease over      ├─[policy]→ scheduled ─[relay, when due]→ ready
      └────────────────┴─────────────────┤
                                         └─[policy]→ deleted + dead letter

A delivery is named by (id, deliveries). Whoever holds an older one can claim, settle and record nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import dramatiq
from sqlalchemy import Connection, Row, text

import settings
from clients.http import without_people
from models.session import is_contended, transaction
from models.worker import worker_id
from tenancy import health
from workers.messages import isolation, outcome
from workers.messages.envelope import Envelope
from workers.messages.interruptions import STOPPING, Control, Held, LeaseShort, NotOurs, Stopped, Waiting
from workers.messages.time_limit import restart_time_limit

SCHEMA = """m.id, m.tenant_id, m.kind, m.direction, m.subject_id, m.version, m.run_id, m.plan_line_id, m."full",
            m.attempts, m.kills, m.touched, m.deliveries, m.sent_at, m.lease_until"""
# A claim that a crash of PostgreSQL forgets does no harm (the delivery still settles): it need not wait for the disk.
_CLAIM = text(
    f"""
    WITH claimed AS (
        UPDATE message AS m
           SET started_at = now(), worker = :worker, lease_until = now() + make_interval(secs => :lease)
         WHERE m.id = :id AND m.tenant_id = :tenant AND m.kind = :kind AND m.deliveries = :delivery
           AND m.state = 'sent' AND m.started_at IS NULL
        RETURNING {SCHEMA}
    )
    SELECT c.*, d.state AS health, c.sent_at > d.since AS sent_since, d.timeouts > 0 AS slow,
           set_config('synchronous_commit', 'off', true)
      FROM claimed c LEFT JOIN tenant_direction d ON d.tenant_id = c.tenant_id AND d.direction = c.direction
    """  # noqa: S608  only names of columns are put in
)
_RESUME = text(
    f"""SELECT {SCHEMA}, extract(epoch FROM m.lease_until - now()) AS remaining FROM message m
         WHERE m.id = :id AND m.tenant_id = :tenant AND m.deliveries = :delivery
           AND m.state = 'sent' AND m.started_at IS NOT NULL"""  # noqa: S608  only names of columns are put in
)
# Noted before the call, for whoever comes next when this one can't tell any more what came of it.
_CHECK = text(
    """
    WITH noted AS (
        UPDATE message SET touched = true
         WHERE id = :id AND tenant_id = :tenant AND deliveries = :delivery AND state = 'sent' AND NOT touched)
    SELECT extract(epoch FROM m.lease_until - now()) AS remaining, d.state, d.wait_until > now() AS waiting,
           coalesce(r.stop_requested OR r.status = 'stopped', false) AS stopped
      FROM message m
      LEFT JOIN tenant_direction d ON d.tenant_id = m.tenant_id AND d.direction = m.direction
      LEFT JOIN run r ON r.id = m.run_id
     WHERE m.id = :id AND m.tenant_id = :tenant AND m.deliveries = :delivery AND m.state = 'sent'
    """
)


_RENEW = text(
    """
    UPDATE message SET lease_until = now() + make_interval(secs => :lease)
     WHERE id = :id AND tenant_id = :tenant AND deliveries = :delivery AND state = 'sent'
    """
)


@dataclass(frozen=True)
class Handler:
    """What a kind of message needs: the work, and what else is to be recorded when it waits or dies."""

    work: Callable[[Delivery], None]
    died: Callable[[Connection, Delivery, str], None] | None = None
    waiting: Callable[[Connection, Delivery, str], None] | None = None
    describe: Callable[[Connection, Delivery], dict[str, Any]] | None = None


HANDLERS: dict[str, Handler] = {}


@dataclass
class Delivery:
    """A delivery in hand. Handlers read it, ``check`` before every outside write, and ``settle`` once at the end."""

    message_id: int
    number: int
    tenant_id: int
    kind: str
    direction: str
    subject_id: int
    version: int = 0
    run_id: str | None = None
    plan_line_id: int | None = None
    full: bool = False
    attempts: int = 0
    kills: int = 0
    # An earlier delivery may have changed something outside without being able to record it: look, don't remember.
    touched: bool = False
    # Handed out while the direction is in quarantine, to see whether it works again.
    probe: bool = False
    # The other side did not answer in time when it was asked last.
    slow: bool = False
    lease_seconds: float = 0.0
    # False for one that a parent process waits for: that can't be told to wait longer.
    renewable: bool = True
    # Names and addresses of whom this is about: no error's text keeps them.
    people: list[str | None] = field(default_factory=list)
    # What the clients' ``on_call`` hook was told, one entry for each HTTP call.
    call_log: list[Any] = field(default_factory=list)
    last_call: dict[str, Any] | None = None
    settled: bool = False
    _deadline: float = 0.0

    def remaining_seconds(self) -> float:
        """What is left of the lease by this process's clock."""
        return self._deadline - time.monotonic()

    def note_call(self, operation: str, request: Any, status: int | None, answer: str) -> None:
        """Keep the last call for a dead letter: the request masked, the answer cleaned, by the caller."""
        answer = without_people(answer, self.people)
        self.last_call = {"operation": operation, "request": request, "status": status, "answer": answer}

    def check(self, need_seconds: float, note: Callable[[Connection], None] | None = None) -> None:
        """Call right before every outside write that may take ``need_seconds``; raises a Control when it may not go.

        ``note`` writes down in the same transaction what is about to be done, if it may be; what it raises takes
        everything back. A lease that may end during the write begins anew: what came before may have been slow.
        """
        with transaction() as connection:
            row = connection.execute(_CHECK, self.key).first()
            # A lease shorter than one call would never let it go: most of a fresh lease is always enough.
            short = row is not None and row.remaining < min(need_seconds, 0.8 * self.lease_seconds)
            obstacle = self._obstacle(row, short=short)
            if short and not obstacle:
                connection.execute(_RENEW, self.key | {"lease": self.lease_seconds})
            if note and not obstacle:
                note(connection)
        if obstacle:
            raise obstacle
        if short:
            self._deadline = time.monotonic() + self.lease_seconds
            restart_time_limit()

    def _obstacle(self, row: Row[Any] | None, *, short: bool) -> Control | None:
        if row is None:
            return NotOurs("the delivery ended meanwhile")
        if short and not self.renewable:
            return LeaseShort(f"{row.remaining:.0f} s left")
        if row.stopped:
            return Stopped("the run was stopped")
        if row.state == "paused" or (row.state == "quarantined" and not self.probe):
            return Held(row.state)
        return Waiting("told to wait") if row.waiting else None

    @contextmanager
    def settle(self) -> Iterator[Connection]:
        """One transaction to record what was done; the message leaves the ledger with it.

        Raises NotOurs before the block where the delivery is no longer ours. What joined the message meanwhile (newer
        content, another run's line) is done by a delivery of its own: the message goes back to ready.
        """
        with transaction() as connection:
            row = self.lock(connection)
            yield connection
            outcome.count_calls(connection, self)
            if self.outdated(row):
                self.put_back(connection, fresh=True, recorded=True)
            else:
                outcome.remove(connection, self)
            if self.probe:
                outcome.judge_probe(connection, self)
            outcome.count_answer(connection, self)
        self.settled = True

    @property
    def key(self) -> dict[str, int]:
        """What names this delivery in SQL."""
        return {"id": self.message_id, "tenant": self.tenant_id, "delivery": self.number}

    def lock(self, connection: Connection) -> Row[Any]:
        """Lock the message's row for this transaction; NotOurs when the delivery ended."""
        row = connection.execute(
            text(
                """SELECT version, run_id, plan_line_id, "full", kills FROM message
                    WHERE id = :id AND tenant_id = :tenant AND deliveries = :delivery AND state = 'sent' FOR UPDATE"""
            ),
            self.key,
        ).first()
        if row is None:
            raise NotOurs("the delivery ended meanwhile")
        return row

    def outdated(self, row: Row[Any]) -> bool:
        """Whether more was asked for since this delivery was claimed, or by another run."""
        joined = row.run_id != self.run_id or row.plan_line_id != self.plan_line_id
        return joined or row.version > self.version or (row.full and not self.full)

    def put_back(self, connection: Connection, *, fresh: bool = False, recorded: bool = False) -> None:
        """Back to ready, as if it had not been handed out; ``fresh`` forgets the attempts too.

        ``recorded``: all that was done outside is written down.
        """
        connection.execute(
            text(
                """UPDATE message SET state = 'ready', run_at = now(), started_at = NULL, worker = NULL,
                          lease_until = NULL, attempts = CASE WHEN :fresh THEN 0 ELSE attempts END,
                          touched = touched AND NOT :recorded
                    WHERE id = :id AND tenant_id = :tenant AND deliveries = :delivery"""
            ),
            self.key | {"fresh": fresh, "recorded": recorded},
        )
        connection.execute(text("NOTIFY koppeling_ledger"))


def delivery_of(row: Row[Any]) -> Delivery:
    """A delivery from a row with the columns of SCHEMA."""
    return Delivery(
        message_id=row.id,
        number=row.deliveries,
        tenant_id=row.tenant_id,
        kind=row.kind,
        direction=row.direction,
        subject_id=row.subject_id,
        version=row.version,
        run_id=row.run_id,
        plan_line_id=row.plan_line_id,
        full=row.full,
        attempts=row.attempts,
        kills=row.kills,
        touched=row.touched,
    )


def claim(envelope: Envelope) -> Delivery | None:
    """Begin a delivery, or None when there is nothing to do: it is a double, late or not this process's to begin."""
    lease = settings.get().lease
    names = {
        "id": envelope.message_id,
        "tenant": envelope.tenant_id,
        "kind": envelope.kind,
        "delivery": envelope.delivery,
    }
    with transaction() as connection:
        row = connection.execute(_CLAIM, names | {"worker": worker_id(), "lease": lease}).first()
        if row is None:
            outcome.park_foreign(connection, envelope)
            return None
        delivery = delivery_of(row)
        delivery.lease_seconds = lease
        delivery._deadline = time.monotonic() + lease
        delivery.slow = bool(row.slow)
        delivery.probe = row.health == "quarantined" and bool(row.sent_since)
        if STOPPING.is_set() or (row.health in ("paused", "quarantined") and not delivery.probe):
            delivery.put_back(connection)
            if delivery.probe:  # this process ends: nobody was called
                health.probe_again(connection, delivery.tenant_id, delivery.direction, called=False)
            return None
    return delivery


def handles(
    kind: str,
    *,
    died: Callable[[Connection, Delivery, str], None] | None = None,
    waiting: Callable[[Connection, Delivery, str], None] | None = None,
    describe: Callable[[Connection, Delivery], dict[str, Any]] | None = None,
) -> Callable[[Callable[[Delivery], None]], Callable[[Delivery], None]]:
    """Register the handler of a kind and declare the actor of that name on its queue.

    ``died`` and ``waiting`` record more in the transaction in which the message dies or waits for another try;
    ``describe`` names ``internal_id`` and ``event_id`` for its dead letter.
    """

    def register(work: Callable[[Delivery], None]) -> Callable[[Delivery], None]:
        HANDLERS[kind] = Handler(work, died, waiting, describe)
        queue = "completions" if kind.startswith("completion.") else "enrollments"
        dramatiq.actor(actor_name=kind, queue_name=queue)(run_delivery)
        return work

    return register


def run_delivery(envelope: Envelope) -> None:
    """What every actor does: claim, work, and let the policy record how it failed. Never raises for a failure."""
    try:
        delivery = claim(envelope)
    except outcome.DATABASE_TROUBLE:
        outcome.leave(envelope.message_id, envelope.delivery)
        return
    if delivery is None:
        return
    if delivery.kills < isolation.SUSPECT_KILLS:
        carry_on(delivery)
        return
    try:
        isolation.run(delivery, HANDLERS[delivery.kind].work.__module__)
    except BaseException as error:
        outcome.record(delivery, HANDLERS[delivery.kind], error)


def carry_on(delivery: Delivery) -> None:
    """Work on a claimed delivery in this process."""
    tries = 0
    while True:
        tries += 1
        try:
            HANDLERS[delivery.kind].work(delivery)
            if not delivery.settled:
                raise RuntimeError("the handler ended without settling its message")
            return
        except BaseException as error:
            if is_contended(error) and tries < 3 and not delivery.settled:
                continue
            if not delivery.settled:
                outcome.record(delivery, HANDLERS[delivery.kind], error)
            elif not isinstance(error, Exception):
                raise
            return


def resume(message_id: int, tenant_id: int, number: int) -> Delivery | None:
    """A delivery that another process claimed for this one, or None when it ended meanwhile."""
    with transaction() as connection:
        row = connection.execute(_RESUME, {"id": message_id, "tenant": tenant_id, "delivery": number}).first()
    if row is None:
        return None
    delivery = delivery_of(row)
    # What starting took of the lease must not look like work: a slow machine would never get to its first write.
    delivery.lease_seconds = float(row.remaining)
    delivery.renewable = False
    delivery._deadline = time.monotonic() + delivery.lease_seconds
    return delivery
