"""What an actor does with a message that came out of Redis: claim it, work, and have recorded how it ended."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import dramatiq
from sqlalchemy import text

import settings
from clients.http import waiting
from models import ledger
from models.session import DATABASE_TROUBLE, is_away, is_contended, transaction
from models.worker import worker_id
from tenancy import health, spans
from workers.messages import isolation, outcome, unrecorded
from workers.messages.dead_letters import record_foreign
from workers.messages.delivery import Delivery, delivery_of
from workers.messages.envelope import Envelope
from workers.messages.interruptions import STOPPING

_RESUME = text(
    f"""SELECT {ledger.DELIVERY}, extract(epoch FROM m.lease_until - now()) AS remaining FROM message m
         WHERE m.id = :id AND m.tenant_id = :tenant AND m.deliveries = :delivery
           AND m.state = 'sent' AND m.started_at IS NOT NULL"""  # noqa: S608  only names of columns are put in
)


class LedgerActor(dramatiq.Actor[..., None]):
    """A dramatiq actor whose messages are rows of the ledger: ``fn`` gets the claimed ``Delivery``."""

    def __call__(self, envelope: Envelope) -> None:
        """What dramatiq's worker calls."""
        with waiting.working():
            run_delivery(envelope)

    def message_with_options(self, **options: Any) -> Any:
        """Refuse: the way into Redis leads through the ledger."""
        raise TypeError(f"enqueue {self.actor_name} through models.ledger: a message is a row first")


def actor(kind: str, **hooks: Any) -> Callable[[Callable[[Delivery], None]], LedgerActor]:
    """``dramatiq.actor`` with the queue and class of the ledger's messages.

    ``begin`` (connection, delivery) is called in the transaction of the claim; what it gives is ``delivery.begun``.
    ``on_dead`` and ``on_wait`` (connection, delivery, code) record more in the transaction in which the message dies or
    waits for another try; ``describe`` (connection, delivery) gives ``internal_id`` and ``event_id`` of a dead letter.
    """
    queue = "completions" if kind.startswith("completion.") else "enrollments"
    return dramatiq.actor(actor_name=kind, queue_name=queue, actor_class=LedgerActor, **hooks)  # type: ignore[return-value]  # said to be an Actor; it is of actor_class


def claim(envelope: Envelope) -> Delivery | None:
    """Begin a delivery, or None when there is nothing to do: it is a double, late or not this process's to begin.

    What the actor reads first is read with it. Where that fails it is read once more by the actor, whose failures are
    recorded.
    """
    try:
        return _claim(envelope, reading=True)
    except Exception as error:
        if is_away(error):
            raise
        return _claim(envelope, reading=False)


def _claim(envelope: Envelope, *, reading: bool) -> Delivery | None:
    lease = settings.get().lease
    names: dict[str, str | int] = {
        "id": envelope.message_id,
        "tenant": envelope.tenant_id,
        "kind": envelope.kind,
        "delivery": envelope.delivery,
    }
    with transaction() as connection:
        asked_at = time.monotonic()
        row = ledger.claim(connection, names, worker_id(), lease)
        if row is None:
            record_foreign(connection, envelope)
            return None
        delivery = delivery_of(row)
        delivery.lease_seconds = lease
        delivery._deadline = time.monotonic() + lease
        delivery.slow = bool(row.slow)
        delivery.asked_at = time.monotonic() - float(row.waited)
        delivery.probe = row.health == "quarantined" and bool(row.sent_since)
        if STOPPING.is_set() or (row.health in ("paused", "quarantined") and not delivery.probe):
            ledger.give_back(connection, delivery.key)
            if delivery.probe:  # this process ends: no call was made
                health.probe_again(connection, delivery.tenant_id, delivery.direction, called=False)
            return None
        if not (row.waiting or row.stopped):
            delivery.clear_at, delivery.durable = asked_at, row.durable
        # A suspect is worked on elsewhere.
        if reading and delivery.kills < isolation.SUSPECT_KILLS and (begin := _actor(delivery).options.get("begin")):
            delivery.begun = begin(connection, delivery)
    return delivery


def run_delivery(envelope: Envelope) -> None:
    """What every actor does: claim, work, and let the policy record how it failed. Never raises for a failure."""
    try:
        delivery = claim(envelope)
    except DATABASE_TROUBLE:
        unrecorded.remember(envelope.message_id, envelope.tenant_id, envelope.delivery)
        return
    if delivery is None:
        return
    if delivery.kills < isolation.SUSPECT_KILLS:
        carry_on(delivery)
        return
    try:
        isolation.run(delivery, _actor(delivery).fn.__module__)
    except BaseException as error:
        outcome.record(delivery, error)


def carry_on(delivery: Delivery) -> None:
    """Work on a claimed delivery in this process."""
    told = {"message": delivery.message_id, "tenant": delivery.tenant_id, "run": delivery.run_id}
    with spans.span(f"message {delivery.kind}", direction=delivery.direction, tries=delivery.attempts, **told):
        _carry_on(delivery)


def _carry_on(delivery: Delivery) -> None:
    tries = 0
    while True:
        tries += 1
        try:
            _actor(delivery).fn(delivery)
            if not delivery.settled:
                raise RuntimeError("the handler ended without settling its message")
            return
        except BaseException as error:
            if is_contended(error) and tries < 3 and not delivery.settled:
                continue
            if not delivery.settled:
                outcome.record(delivery, error)
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


def _actor(delivery: Delivery) -> Any:
    return dramatiq.get_broker().get_actor(delivery.kind)
