"""One message being worked on: held to its lease, and settled in one transaction.

A delivery is named by (id, deliveries). An older one can claim, settle and record nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import dramatiq
import structlog
from sqlalchemy import Connection, TextClause, text
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, ProgrammingError

from clients.http import Call, without_people
from loops import where
from models import ledger
from models.direction import Direction
from models.session import autocommit, fetch, transaction
from producers.runs.request import begin_again
from tenancy import health, tallies
from workers.messages.interruptions import Held, Interruption, LeaseShort, NotOurs, Stopped, Waiting
from workers.messages.policy import Consequence
from workers.messages.time_limit import restart_time_limit

# Options of an actor: what is read with the claim, what else is to be recorded when its message dies or waits, and how
# its dead letter names it.
HOOKS = {"begin", "on_dead", "on_wait", "describe"}
# So long what a claim found is true enough to write by.
FRESH_SECONDS = 1.0
OUR_FAULTS = (ProgrammingError, DataError, IntegrityError)
# The other side kept a thread waiting for nothing.
NO_ANSWER = ("timeout", "connect_failed", "time_limit")
# After a failover that forgot a message its id may be another one's: the subject says whose it is.
_LOCK = text(
    """SELECT version, run_id, plan_line_id, "full", kills FROM message
        WHERE id = :id AND tenant_id = :tenant AND deliveries = :delivery AND state = 'sent'
          AND kind = :kind AND subject_id = :subject FOR UPDATE"""
)
log = structlog.get_logger("workers.messages.delivery")


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
    # What the actor read with the claim; None when it has to read for itself.
    begun: Any = None
    # When the claim was asked for (monotonic), if it found nothing against writing.
    clear_at: float | None = None
    # When it was asked for (monotonic), where this process claimed it.
    asked_at: float | None = None
    # What ``synchronous_commit`` was before the claim.
    durable: str = "on"
    _deadline: float = 0.0

    def remaining_seconds(self) -> float:
        """What is left of the lease by this process's clock."""
        return self._deadline - time.monotonic()

    def note_call(self, operation: str, request: Any, status: int | None, answer: str) -> None:
        """Keep the last call for a dead letter: the request masked, the answer cleaned, by the caller."""
        answer = without_people(answer, self.people)
        self.last_call = {"operation": operation, "request": request, "status": status, "answer": answer}

    def hook(self, connection: Connection, name: str, *arguments: Any) -> Any:
        """Call what the actor wants to record besides, in a savepoint; what it gives, or None when there is none.

        A fault in it is logged: it must not keep a death or a retry from being recorded. Trouble of PostgreSQL's own
        is raised: then nothing is recorded, and the delivery comes back.
        """
        actor = dramatiq.get_broker().actors.get(self.kind)
        hook = actor.options.get(name) if actor else None
        if hook is None:
            return None
        try:
            with connection.begin_nested():
                return hook(connection, self, *arguments)
        except Exception as error:
            if isinstance(error, DBAPIError) and not isinstance(error, OUR_FAULTS):
                raise
            log.error("hook_broke", hook=name, where=where(error), **self.names)
            return None

    def still_clear(self) -> bool:
        """Whether the claim is so new that it says what ``check`` would: a whole lease, and nothing against it."""
        fresh = min(FRESH_SECONDS, 0.2 * self.lease_seconds)
        return self.clear_at is not None and time.monotonic() - self.clear_at < fresh

    def check(self, need_seconds: float, note: Callable[[Connection], None] | None = None) -> None:
        """Call right before an outside write that may take ``need_seconds``; raises an Interruption when it may not go.

        ``note`` writes down in the same transaction what is about to be done, if it may be; what it raises takes
        everything back. A lease that may end during the write begins anew: what came before may have been slow.
        """
        with transaction() as connection:
            row = ledger.check(connection, self.key)
            short = self._short(row, need_seconds)
            obstacle = self._obstacle(row, short=short)
            if short and not obstacle:
                ledger.renew(connection, self.key, self.lease_seconds)
            if note and not obstacle:
                note(connection)
        if obstacle:
            raise obstacle
        if short:
            self._renewed()

    def check_noting(self, need_seconds: float, statement: TextClause, values: Mapping[str, object]) -> bool:
        """The same by a statement of ``ledger.checking``, without a transaction: for a call that others wait for.

        False where its note found nothing to write on.
        """
        values = {"need": self._enough(need_seconds), "probe": self.probe, **values, **self.key}
        for last in (False, True):
            with autocommit() as connection:
                row = next(iter(fetch(connection, statement, values)), None)
            short = self._short(row, need_seconds) and not last
            obstacle = self._obstacle(row, short=short)
            if obstacle:
                raise obstacle
            if not short:
                break
            with transaction() as connection:
                ledger.renew(connection, self.key, self.lease_seconds)
            self._renewed()
        return row is not None and bool(row.noted)

    def _enough(self, need_seconds: float) -> float:
        """A lease shorter than one call would never let it go: most of a fresh lease is always enough."""
        return min(need_seconds, 0.8 * self.lease_seconds)

    def _short(self, row: Any, need_seconds: float) -> bool:
        return row is not None and row.remaining < self._enough(need_seconds)

    def _renewed(self) -> None:
        self._deadline = time.monotonic() + self.lease_seconds
        restart_time_limit()

    def _obstacle(self, row: Any, *, short: bool) -> Interruption | None:
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
    def settle(self, lock: Callable[[Connection], Any] | None = None, *, counted: bool = False) -> Iterator[Connection]:
        """One transaction to record what was done; the message leaves the ledger with it.

        Raises NotOurs before the block where the delivery is no longer ours. What joined the message meanwhile (newer
        content, another run's line) is done by a delivery of its own: the message goes back to ready.
        ``lock``: does what the method of that name does, and locks more. ``counted``: the block counts ``calls_made``
        itself.
        """
        with transaction() as connection:
            row = (lock or self.lock)(connection)
            yield connection
            count_calls(connection, self, on_line=not counted)
            if self.outdated(row):
                ledger.give_back(connection, self.key, fresh=True, recorded=True)
            else:
                ledger.settle(connection, self.message_id, self.subject)
            if self.probe:
                answer_probe(connection, self)
            count_answer(connection, self)
        self.settled = True
        if self.asked_at is not None:
            tallies.ended(self.direction, time.monotonic() - self.asked_at)

    @property
    def calls_made(self) -> tuple[int, int]:
        """How many calls count for the plan line, and how many for the run's reading.

        What a removal asks AFAS before it is carried out belongs to the reading.
        """
        made = sum(call.counts for call in self.call_log)
        if self.direction != Direction.ENROLLMENTS:
            return made, 0
        read = sum(call.counts for call in self.call_log if call.system.lower() == "afas")
        return made - read, read

    @property
    def key(self) -> dict[str, int]:
        """What names this delivery in SQL."""
        return {"id": self.message_id, "tenant": self.tenant_id, "delivery": self.number}

    @property
    def subject(self) -> dict[str, str | int]:
        """What names its dead letters in SQL."""
        return {"kind": self.kind, "subject": self.subject_id, "tenant": self.tenant_id}

    @property
    def names(self) -> dict[str, str | int]:
        """What names this message in the log."""
        return {"message": self.message_id, "tenant": self.tenant_id, "kind": self.kind}

    def lock(self, connection: Connection) -> Any:
        """Lock the message's row for this transaction; NotOurs when the delivery ended."""
        rows = fetch(connection, _LOCK, self.key | self.subject)
        if not rows:
            raise NotOurs("the delivery ended meanwhile")
        return rows[0]

    def outdated(self, row: Any) -> bool:
        """Whether more was asked for since this delivery was claimed, or by another run."""
        joined = row.run_id != self.run_id or row.plan_line_id != self.plan_line_id
        return joined or row.version > self.version or (row.full and not self.full)


def delivery_of(row: Any) -> Delivery:
    """A delivery from a row with ``ledger.DELIVERY``."""
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


def count_calls(connection: Connection, delivery: Delivery, *, on_line: bool = True) -> None:
    """Add the calls of this delivery to its run's reading and (``on_line``) to its plan line: the run's total."""
    made, read = delivery.calls_made
    if read and delivery.run_id is not None:
        connection.execute(
            text("UPDATE run SET calls_afas = calls_afas + :read WHERE id = :run AND tenant_id = :tenant"),
            {"read": read, "run": delivery.run_id, "tenant": delivery.tenant_id},
        )
    if on_line and made and delivery.plan_line_id is not None:
        connection.execute(
            text("UPDATE plan_line SET calls = calls + :made WHERE id = :line AND tenant_id = :tenant"),
            {"made": made, "line": delivery.plan_line_id, "tenant": delivery.tenant_id},
        )


def count_answer(connection: Connection, delivery: Delivery, code: str | None = None) -> None:
    """Keep the row of time-outs: one more, or over with the first answer."""
    if code in NO_ANSWER:
        health.count_timeout(connection, delivery.tenant_id, delivery.direction)
    elif delivery.slow and any(call.status is not None for call in delivery.call_log):
        health.answered(connection, delivery.tenant_id, delivery.direction)


def answer_probe(connection: Connection, delivery: Delivery, consequence: Consequence | None = None) -> None:
    """Reopen the direction when its probe got an answer to the call that had failed; one without it proves nothing."""
    nothing_asked = consequence is not None and (
        consequence.action in ("back", "snooze", "stop") or (consequence.action == "wait" and not delivery.call_log)
    )
    if consequence is not None and not nothing_asked and consequence.action not in ("die", "room"):
        return  # it failed: the next probe has its time already
    state = health.state(connection, delivery.tenant_id, delivery.direction)
    if nothing_asked:
        answered: list[Call] = []
    else:
        # A refusal of this one record is an answer too: the last call's.
        answered = [call for call in delivery.call_log if call.error_code is None or call is delivery.call_log[-1]]
    if state is not None and health.proves(state.first_call, answered):
        if health.reopen(connection, delivery.tenant_id, delivery.direction):
            begin_again(connection, delivery.tenant_id, delivery.direction, once=True)
            log.info("reopened", tenant=delivery.tenant_id, direction=delivery.direction)
    else:
        health.probe_again(connection, delivery.tenant_id, delivery.direction, called=bool(delivery.call_log))


def settle_line(connection: Connection, delivery: Delivery, outcome: str, reason: str | None) -> None:
    """Write the outcome of the message's plan line, where it has one."""
    if delivery.plan_line_id is not None:
        connection.execute(
            text(
                """UPDATE plan_line SET outcome = :outcome, reason = :reason, settled_at = now()
                    WHERE id = :line AND tenant_id = :tenant"""
            ),
            {"line": delivery.plan_line_id, "tenant": delivery.tenant_id, "outcome": outcome, "reason": reason},
        )
