"""How a delivery that failed ends: which exception means what, as a table, and the one place that records it.

=========================================  ========================================================================
raised                                     what happens
=========================================  ========================================================================
Unavailable, Unknown                       ``retry``: an attempt more, again by the schedule; dead letter after it
the same with ``retry_after_seconds``      ``wait``: the direction waits everywhere, no attempt burnt
NoRoom                                     ``room``: waits with all that make accounts, no attempt burnt
any other Rejected, TooLarge               ``die``: dead letter at once
Unauthorized, Misconfigured                ``quarantine``: of the tenant's direction, no attempt burnt
RateLimited, Snooze, TimeoutError          ``snooze``: again after the seconds it names, no attempt burnt
Held, Waiting, Overtaken                   ``back``: ready again at once, no attempt burnt
Stopped                                    ``stop``: out of the ledger, its line stays pending
NotOurs                                    ``drop``: nothing may be recorded
PostgreSQL is away                         ``leave``: given back once it answers, no attempt burnt
SecretUnreadable                           ``back``: this process lacks a key and ends; no attempt burnt
SecretDamaged                              ``quarantine``: of the tenant's direction, no attempt burnt
time limit, LeaseShort, unknown kind       ``retry``
anything else: our own fault               ``retry`` at most twice, then dead letter ``internal_error``
=========================================  ========================================================================
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import redis
import structlog
from dramatiq.middleware import TimeLimitExceeded
from sqlalchemy import Connection, text

import settings
from clients.errors import Misconfigured, NoRoom, Rejected, RemoteError, TooLarge, Unauthorized, Unavailable, Unknown
from clients.http import clean, without_people
from loops import where
from models.crypto import SecretDamaged, SecretUnreadable
from models.session import DATABASE_TROUBLE, is_away, transaction
from models.tenant import Direction
from tenancy import health
from tenancy.rate_limit import RateLimited
from workers.messages import no_room, unrecorded
from workers.messages.dead_letters import (
    HISTORY,
    SUPERSEDE,
    Failure,
    bury,
    entry,
    insert_parked,
    settle_line,
    superseded_by,
)
from workers.messages.interruptions import (
    UNFIT,
    Held,
    KilledAlone,
    LeaseShort,
    NotOurs,
    Overtaken,
    Snooze,
    Stopped,
    UnknownKind,
    Waiting,
)

if TYPE_CHECKING:
    from workers.messages.delivery import Delivery, Handler
    from workers.messages.envelope import Envelope

__all__ = ["DATABASE_TROUBLE", "Verdict", "carry_out", "judge", "leave", "park_foreign", "record"]

Action = Literal["retry", "wait", "die", "quarantine", "snooze", "back", "stop", "drop", "leave", "room"]
OWN_FAULT_TRIES = 3
# What AFAS refuses to whoever calls, whatever is called.
OF_ALL_OF_AFAS = ("token_refused", "ip_refused")
NO_SLOT_SECONDS = 30.0
BROKER_SECONDS = 10.0
# The other side kept a thread waiting for nothing.
NO_ANSWER = ("timeout", "connect_failed", "time_limit")
log = structlog.get_logger("workers.messages.outcome")


@dataclass(frozen=True)
class Verdict:
    """What to do with a message that failed, and what to write down about it."""

    action: Action
    failure: Failure
    seconds: float = 0.0
    tries: int | None = None


_REMOTE: tuple[tuple[type[RemoteError], Action], ...] = (
    (Unavailable, "retry"),
    (Unknown, "retry"),
    (NoRoom, "room"),
    (Rejected, "die"),
    (TooLarge, "die"),
    (Unauthorized, "quarantine"),
    (Misconfigured, "quarantine"),
)


_OWN: tuple[tuple[type[BaseException], Action, str, str, float], ...] = (
    (NotOurs, "drop", "not_ours", "the delivery ended meanwhile", 0.0),
    (Stopped, "stop", "stopped", "the run was stopped", 0.0),
    (Held, "back", "held", "the direction is stopped", 0.0),
    (Waiting, "back", "waiting", "the direction was told to wait", 0.0),
    (Overtaken, "back", "overtaken", "something newer was decided about it", 0.0),
    (TimeoutError, "snooze", "no_slot", "no call came free", NO_SLOT_SECONDS),
    (SecretUnreadable, "back", "secret_unreadable", "this process has not the key of a stored secret", 0.0),
    (SecretDamaged, "quarantine", "secret_damaged", "A stored secret is damaged: import the tenants file again", 0.0),
    (redis.RedisError, "snooze", "broker_away", "Redis did not answer", BROKER_SECONDS),
    (KilledAlone, "die", "poison", "A worker died on it three times, the last time alone", 0.0),
    # Given back at once it might go round for ever, and nobody would know.
    (LeaseShort, "retry", "lease_short", "too little was left of its lease", 0.0),
    (TimeLimitExceeded, "retry", "time_limit", "took longer than its lease allows", 0.0),
)


def judge(error: BaseException) -> Verdict:
    """Say what an exception means for its message. Pure."""
    if isinstance(error, RemoteError):
        return _judge_remote(error)
    if is_away(error):
        return Verdict("leave", Failure("database_away", type(error).__name__))
    for kind, action, code, words, seconds in _OWN:
        if isinstance(error, kind):
            return Verdict(action, Failure(code, words), seconds)
    if isinstance(error, Snooze | RateLimited):
        return Verdict("snooze", Failure(getattr(error, "reason", "pace"), "waits for the rate limit"), error.seconds)
    if isinstance(error, UnknownKind):
        return Verdict("retry", Failure("unknown_actor", str(error)))
    return Verdict("retry", Failure("internal_error", where(error)), tries=OWN_FAULT_TRIES)


def _judge_remote(error: RemoteError) -> Verdict:
    action = next(action for kind, action in _REMOTE if isinstance(error, kind))
    said = clean(error.remote_text) if error.remote_text else ""
    words = clean(error.message) + (f": {said}" if said else "")
    failure = Failure(error.code, words, error.status, error.reference)
    if action == "retry" and error.retry_after_seconds is not None:
        return Verdict("wait", failure, seconds=max(1.0, error.retry_after_seconds))
    return Verdict(action, failure)


def record(delivery: Delivery, handler: Handler | None, error: BaseException) -> None:
    """Judge what a handler raised and write the result down. Database trouble is remembered, never raised."""
    verdict = judge(error)
    verdict = replace(
        verdict, failure=replace(verdict.failure, text=without_people(verdict.failure.text, delivery.people))
    )
    names = {
        "message": delivery.message_id,
        "tenant": delivery.tenant_id,
        "kind": delivery.kind,
        "code": verdict.failure.code,
    }
    if isinstance(error, SecretUnreadable):
        UNFIT.set()
    if verdict.failure.code == "internal_error":
        log.error("delivery_broke", where=verdict.failure.text, **names)
    try:
        if verdict.action == "leave":
            leave(delivery.message_id, delivery.number)
        elif verdict.action != "drop":
            with transaction() as connection:
                carry_out(connection, delivery, handler, verdict)
    except NotOurs:
        log.info("delivery_was_over", **names)
    except DATABASE_TROUBLE as trouble:
        log.warning("not_recorded", error=type(trouble).__name__, **names)
        leave(delivery.message_id, delivery.number)
    else:
        log.info("delivery_ended", action=verdict.action, **names)


def leave(message_id: int, delivery: int) -> None:
    """PostgreSQL can't be told now: the process gives the delivery back as soon as it can."""
    unrecorded.remember(message_id, delivery)


def carry_out(connection: Connection, delivery: Delivery, handler: Handler | None, verdict: Verdict) -> None:
    """Record a verdict, if the delivery is still ours (else NotOurs)."""
    row = delivery.lock(connection)
    count_calls(connection, delivery)
    if delivery.probe:
        judge_probe(connection, delivery, verdict)
    count_answer(connection, delivery, verdict.failure.code)
    if delivery.outdated(row) and verdict.action in ("retry", "die"):
        delivery.put_back(connection, fresh=True)  # newer content is waiting: what failed is no longer asked for
    elif verdict.action == "die":
        bury(connection, delivery, handler, verdict.failure)
    elif verdict.action == "retry":
        _retry(connection, delivery, handler, verdict)
    elif verdict.action in ("snooze", "room"):
        _put_off(connection, delivery, handler, verdict)
    elif verdict.action == "stop" and delivery.outdated(row):
        delivery.put_back(connection, fresh=True)  # another run has joined the message: it is that run's now
    elif verdict.action == "stop":
        settle_line(connection, delivery, "pending", "stopped")
        connection.execute(text("DELETE FROM message WHERE id = :id"), {"id": delivery.message_id})
    else:
        if verdict.action == "wait":
            health.wait_until(connection, delivery.tenant_id, delivery.direction, verdict.seconds)
        elif verdict.action == "quarantine":
            _quarantine(connection, delivery, verdict)
        delivery.put_back(connection)
        if verdict.action in ("wait", "quarantine"):
            _wait_visibly(connection, delivery, handler, verdict.failure.code)


def count_calls(connection: Connection, delivery: Delivery) -> None:
    """Add the calls of this delivery to its plan line, from which a run's total is counted."""
    made = sum(not call.token for call in delivery.call_log)
    # What a removal asks AFAS before it is carried out belongs to the run's reading.
    read = 0
    if delivery.direction == Direction.ENROLLMENTS:
        read = sum(not call.token for call in delivery.call_log if call.system.lower() == "afas")
    if read and delivery.run_id is not None:
        connection.execute(
            text("UPDATE run SET calls_afas = calls_afas + :read WHERE id = :run AND tenant_id = :tenant"),
            {"read": read, "run": delivery.run_id, "tenant": delivery.tenant_id},
        )
    made -= read
    if made and delivery.plan_line_id is not None:
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


def _quarantine(connection: Connection, delivery: Delivery, verdict: Verdict) -> None:
    failure = verdict.failure
    call = (delivery.last_call or {"operation": delivery.kind, "status": failure.status}) | {"kind": delivery.kind}
    if delivery.call_log:
        failed = delivery.call_log[-1]
        # AFAS gives rights by connector; Pluvo opens or closes a whole organisation.
        access = failed.token or failed.system != "AFAS" or failure.code in OF_ALL_OF_AFAS
        call |= {"system": failed.system, "call": failed.operation, "access": access}
    if health.quarantine(connection, delivery.tenant_id, delivery.direction, failure.code, failure.text, call):
        log.error("quarantined", tenant=delivery.tenant_id, direction=delivery.direction, code=failure.code)


def _retry(connection: Connection, delivery: Delivery, handler: Handler | None, verdict: Verdict) -> None:
    schedule = settings.get().retry_schedule
    if verdict.tries is not None:
        schedule = schedule[: verdict.tries - 1]
    if delivery.attempts >= len(schedule):
        bury(connection, delivery, handler, verdict.failure)
        return
    wait = schedule[delivery.attempts] * (1 + random.uniform(0, 0.2))  # noqa: S311  spreads them, guards nothing
    _schedule(connection, delivery, verdict, wait, burn=True)
    _wait_visibly(connection, delivery, handler, verdict.failure.code)


def _put_off(connection: Connection, delivery: Delivery, handler: Handler | None, verdict: Verdict) -> None:
    """Later, without an attempt. What waits longer than for the rate limit says why."""
    full = verdict.action == "room"
    seconds = no_room.none_left(connection, delivery, verdict.failure.text) if full else max(0.1, verdict.seconds)
    _schedule(connection, delivery, verdict, seconds, burn=False)
    if full or seconds >= NO_SLOT_SECONDS:
        _wait_visibly(connection, delivery, handler, verdict.failure.code)


def _schedule(connection: Connection, delivery: Delivery, verdict: Verdict, seconds: float, *, burn: bool) -> None:
    connection.execute(
        text(
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
        ),
        {
            "id": delivery.message_id,
            "seconds": seconds,
            "burnt": int(burn),
            "entry": json.dumps([entry(connection, verdict.failure)]),
            "keep": HISTORY,
        },
    )


def _wait_visibly(connection: Connection, delivery: Delivery, handler: Handler | None, code: str) -> None:
    if delivery.plan_line_id is not None:
        connection.execute(
            text("UPDATE plan_line SET outcome = 'pending', reason = :code WHERE id = :line AND tenant_id = :tenant"),
            {"code": code, "line": delivery.plan_line_id, "tenant": delivery.tenant_id},
        )
    if handler and handler.waiting:
        handler.waiting(connection, delivery, code)


def judge_probe(connection: Connection, delivery: Delivery, verdict: Verdict | None = None) -> None:
    """Reopen the direction when its probe got an answer to the call that had failed; one without it proves nothing."""
    if verdict is not None and verdict.action not in ("die", "room", "back", "snooze", "stop"):
        return  # it failed: the next probe has its time already
    state = health.state(connection, delivery.tenant_id, delivery.direction)
    if verdict is not None and verdict.action in ("back", "snooze", "stop"):
        answered: list[Any] = []
    else:
        # A refusal of this one record is an answer too: the last call's.
        answered = [call for call in delivery.call_log if call.error_code is None or call is delivery.call_log[-1]]
    if state is not None and health.proves(state.first_call, answered):
        if health.reopen(connection, delivery.tenant_id, delivery.direction):
            log.info("reopened", tenant=delivery.tenant_id, direction=delivery.direction)
    else:
        health.probe_again(connection, delivery.tenant_id, delivery.direction, called=bool(delivery.call_log))


def remove(connection: Connection, delivery: Delivery) -> None:
    """Take a settled message out of the ledger; what was dead for its subject is settled with it."""
    connection.execute(
        text(f"WITH gone AS (DELETE FROM message WHERE id = :id) {SUPERSEDE}"),  # noqa: S608  a constant
        {"id": delivery.message_id} | superseded_by(delivery, "settled by a later message"),
    )


def park_foreign(connection: Connection, envelope: Envelope) -> None:
    """Tell a double or late delivery (nothing to do) from a forged one, which becomes a dead letter of no tenant."""
    row = connection.execute(
        text(
            """SELECT tenant_id, kind, deliveries,
                      :id > coalesce(pg_sequence_last_value(pg_get_serial_sequence('message', 'id')::regclass), 0)
                          AS unborn
                 FROM (SELECT) AS one LEFT JOIN message ON id = :id"""
        ),
        {"id": envelope.message_id},
    ).one()
    if row.unborn:
        wrong = "an id that was never given out"
    elif row.tenant_id is None:
        return
    elif row.tenant_id != envelope.tenant_id:
        wrong = "another tenant than the message's own"
    elif row.kind != envelope.kind or envelope.delivery > row.deliveries:
        wrong = "another kind or delivery than the ledger's"
    else:
        return
    log.error("foreign_message", message=envelope.message_id, kind=envelope.kind)
    insert_parked(connection, envelope.kind, "foreign_message", f"A message names {wrong}")
