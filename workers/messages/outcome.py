"""Records how a delivery that failed ends: what ``policy.py`` says is carried out here, in one transaction."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import replace

import redis
import structlog
from sqlalchemy import Connection, text

import settings
from clients.errors import AFAS, Misconfigured, Unavailable
from clients.http import without_people
from loops import where
from models import ledger
from models.crypto import SecretDamaged, SecretUnreadable
from models.session import DATABASE_TROUBLE, is_away, transaction
from models.tenant_settings import SettingsUnread
from tenancy import health, spans
from tenancy.rate_limit import RateLimited, ToldToWait
from workers.messages import no_room, unrecorded
from workers.messages.dead_letters import bury, entry
from workers.messages.delivery import Delivery, answer_probe, count_answer, count_calls, settle_line
from workers.messages.interruptions import UNFIT, BrokerAway, DatabaseAway, KeyMissing, NotOurs, SecretBroken, Snooze
from workers.messages.policy import NO_SLOT_SECONDS, Consequence, classify

# What AFAS refuses to every call of these credentials or this address.
OF_ALL_OF_AFAS = ("token_refused", "ip_refused")
log = structlog.get_logger("workers.messages.outcome")


def consequence_of(error: BaseException, people: Iterable[str | None] = ()) -> Consequence:
    """What an exception means for its message, in words without these names and addresses."""
    consequence = classify(_ours(error))
    failure = consequence.failure
    words = where(error) if failure.code == "internal_error" else failure.text
    return replace(consequence, failure=replace(failure, text=without_people(words, people)))


def _ours(error: BaseException) -> BaseException:
    """What a library or another layer raises, as the policy names it."""
    if is_away(error):
        return DatabaseAway(type(error).__name__)
    if isinstance(error, RateLimited):
        return _paced(error)
    if isinstance(error, redis.RedisError):
        return BrokerAway()
    if isinstance(error, SecretUnreadable):
        return KeyMissing()
    if isinstance(error, SettingsUnread):
        return Misconfigured("settings_unread", str(error))
    return SecretBroken() if isinstance(error, SecretDamaged) else error


def _paced(error: RateLimited) -> BaseException:
    if isinstance(error, ToldToWait):  # as if it had been told itself
        return Unavailable("throttled", "the system asked for fewer calls", retry_after_seconds=error.seconds)
    return Snooze(error.seconds, "pace")


def record(delivery: Delivery, error: BaseException) -> None:
    """Write down what comes of what a handler raised. Database trouble is remembered, never raised."""
    consequence = consequence_of(error, delivery.people)
    names = delivery.names | {"code": consequence.failure.code}
    spans.ended(consequence.failure.code, failed=consequence.action in ("retry", "die", "quarantine"))
    if isinstance(error, SecretUnreadable):
        UNFIT.set()
    if consequence.failure.code == "internal_error":
        log.error("delivery_broke", where=consequence.failure.text, **names)
    try:
        if consequence.action == "leave":
            unrecorded.remember(delivery.message_id, delivery.tenant_id, delivery.number)
        elif consequence.action != "drop":
            with transaction() as connection:
                carry_out(connection, delivery, consequence)
    except NotOurs:
        log.info("delivery_was_over", **names)
    except DATABASE_TROUBLE as trouble:
        log.warning("not_recorded", error=type(trouble).__name__, **names)
        unrecorded.remember(delivery.message_id, delivery.tenant_id, delivery.number)
    else:
        log.info("delivery_ended", action=consequence.action, **names)


def carry_out(connection: Connection, delivery: Delivery, consequence: Consequence) -> None:
    """Carry a consequence out, if the delivery is still ours (else NotOurs)."""
    row = delivery.lock(connection)
    count_calls(connection, delivery)
    if delivery.probe:
        answer_probe(connection, delivery, consequence)
    count_answer(connection, delivery, consequence.failure.code)
    if delivery.outdated(row) and consequence.action in ("retry", "die"):
        # newer content is waiting: what failed is no longer asked for
        ledger.give_back(connection, delivery.key, fresh=True)
    elif consequence.action == "die":
        bury(connection, delivery, consequence.failure)
    elif consequence.action == "retry":
        _retry(connection, delivery, consequence)
    elif consequence.action in ("snooze", "room"):
        _put_off(connection, delivery, consequence)
    elif consequence.action == "stop" and delivery.outdated(row):
        # another run has joined the message: it is that run's now
        ledger.give_back(connection, delivery.key, fresh=True)
    elif consequence.action == "stop":
        settle_line(connection, delivery, "pending", "stopped")
        ledger.remove(connection, delivery.message_id)
    else:
        if consequence.action == "wait":
            health.wait_until(connection, delivery.tenant_id, delivery.direction, consequence.seconds)
        elif consequence.action == "quarantine":
            _quarantine(connection, delivery, consequence)
        ledger.give_back(connection, delivery.key)
        if consequence.action in ("wait", "quarantine"):
            _wait_visibly(connection, delivery, consequence.failure.code)


def _quarantine(connection: Connection, delivery: Delivery, consequence: Consequence) -> None:
    failure = consequence.failure
    call = (delivery.last_call or {"operation": delivery.kind, "status": failure.status}) | {"kind": delivery.kind}
    if delivery.call_log:
        failed = delivery.call_log[-1]
        # AFAS gives rights by connector; Pluvo opens or closes a whole organisation.
        access = failed.token or failed.system != AFAS or failure.code in OF_ALL_OF_AFAS
        call |= {"system": failed.system, "call": failed.operation, "access": access}
    if health.quarantine(connection, delivery.tenant_id, delivery.direction, failure.code, failure.text, call):
        log.error("quarantined", tenant=delivery.tenant_id, direction=delivery.direction, code=failure.code)


def _retry(connection: Connection, delivery: Delivery, consequence: Consequence) -> None:
    schedule = settings.get().retry_schedule
    if consequence.tries is not None:
        schedule = schedule[: consequence.tries - 1]
    if delivery.attempts >= len(schedule):
        bury(connection, delivery, consequence.failure)
        return
    wait = schedule[delivery.attempts] * (1 + random.uniform(0, 0.2))  # noqa: S311  spreads them, guards nothing
    ledger.postpone(connection, delivery.message_id, wait, entry(connection, consequence.failure))
    _wait_visibly(connection, delivery, consequence.failure.code)


def _put_off(connection: Connection, delivery: Delivery, consequence: Consequence) -> None:
    """Later, without an attempt. What waits longer than for the rate limit says why."""
    full = consequence.action == "room"
    seconds = (
        no_room.none_left(connection, delivery, consequence.failure.text) if full else max(0.1, consequence.seconds)
    )
    ledger.postpone(connection, delivery.message_id, seconds)
    if full or seconds >= NO_SLOT_SECONDS:
        _wait_visibly(connection, delivery, consequence.failure.code)


def _wait_visibly(connection: Connection, delivery: Delivery, code: str) -> None:
    if delivery.plan_line_id is not None:
        connection.execute(
            text("UPDATE plan_line SET outcome = 'pending', reason = :code WHERE id = :line AND tenant_id = :tenant"),
            {"code": code, "line": delivery.plan_line_id, "tenant": delivery.tenant_id},
        )
    delivery.hook(connection, "on_wait", code)
