"""How a worker process takes messages from the carrier: one consumer a queue, in a thread that dramatiq runs for it.

Unlike dramatiq's own it never raises and never restarts:

* It waits until any trouble of the carrier is over, time-outs included. Ids that a timed-out fetch took on the server
  are found by comparing the acknowledgement set with what this process really holds.
* Acknowledgements go with the next fetch, several at once; no worker thread waits for them.
* A sign of life goes out every 5 s, also while nothing may be fetched.
* Anything that is no message of ours becomes a dead letter and is acknowledged, one by one. When PostgreSQL is away at
  that moment, its id stays in the acknowledgement set; ``_care`` requeues it within 5 s.
"""

from __future__ import annotations

import hashlib
import time
from collections import deque
from contextlib import suppress
from typing import Any

import dramatiq
import structlog
from dramatiq.broker import Consumer, MessageProxy
from dramatiq.common import compute_backoff

from models.session import DATABASE_TROUBLE
from workers.broker.carrier import TROUBLE, DeliveryId, RabbitTrouble
from workers.broker.ledger_broker import LedgerBroker
from workers.broker.unknown_messages import record
from workers.messages.envelope import MAX_BYTES, VERSION, Defect, Envelope, parse
from workers.messages.interruptions import STOPPING

CARE_SECONDS = 5.0
TROUBLE_SECONDS = 0.5
POLL_MS = 100
# With full hands: so long more may end before Redis is asked again.
CALM_SECONDS = 0.003
HASH_BYTES = 16 * 1024 * 1024
log = structlog.get_logger("workers.broker.consumer")


class LedgerConsumer(Consumer):
    """One queue of one worker process."""

    def __init__(self, broker: LedgerBroker, queue_name: str, prefetch: int, timeout: int) -> None:
        self.broker = broker
        self.queue = queue_name
        self.prefetch = prefetch
        self.timeout_ms = min(timeout, POLL_MS)
        self.fetched: deque[MessageProxy] = deque()
        self.misses = 0
        # Whether this process had room when it fetched last.
        self.roomy = False
        self.troubled = False
        self.care_at = 0.0

    def __next__(self) -> MessageProxy | None:
        """The next message, or None after a short wait."""
        if STOPPING.is_set():
            self.close()
        if self.fetched:
            return self.fetched.popleft()
        try:
            if time.monotonic() >= self.care_at:
                self._care()
            only_rubbish = self._fetch() and not self.fetched
        except TROUBLE as error:
            self._wait_out(error)
            return None
        if self.fetched:
            self.misses = 0
            return self.fetched.popleft()
        if only_rubbish:
            return None  # there may be good ones behind it
        try:
            self._wait()
        except TROUBLE as error:
            self._wait_out(error)
        return None

    def _wait(self) -> None:
        """Until there may be something to fetch: put there by the relay, or room for it in this process."""
        if self.roomy and self.broker.carrier.listen(self.queue, self.timeout_ms / 1000):
            return
        self.misses, backoff_ms = compute_backoff(self.misses, max_backoff=self.timeout_ms)
        if self.broker.news[self.queue].wait(backoff_ms / 1000) and self.broker.held[self.queue]:
            time.sleep(CALM_SECONDS)

    def _fetch(self) -> bool:
        """Take what there is room for; whether something came and all of it could be taken care of."""
        with self.broker.fetching:
            # First: a place that comes free while we look for one wakes us.
            self.broker.full.add(self.queue)
            self.broker.news[self.queue].clear()
            done = list(self.broker.unacked[self.queue])
            room = 0 if STOPPING.is_set() else self.broker.room(self.prefetch)
            self.roomy = room > 0
            if room > 0:
                self.broker.full.discard(self.queue)
            elif not done:
                return False
            fetched = self.broker.carrier.fetch(self.queue, max(0, min(room, 500)), MAX_BYTES, done)
            self.broker.unacked[self.queue].difference_update(done)
            odd = [each for each in fetched if not self._hold(*each)]
        left = [each for each in odd if not self._clear_away(*each)]
        if left:
            log.warning("not_recorded_yet", queue=self.queue, count=len(left))
        return bool(fetched) and not left

    def ack(self, message: MessageProxy) -> None:
        """Let the next fetch forget a message in Redis."""
        redis_id = message.options["redis_message_id"]
        self.broker.unacked[self.queue].add(redis_id)
        self.broker.held[self.queue].discard(redis_id)
        self.broker.news[self.queue].set()
        self.broker.wake()

    # A failed message is settled in the ledger already, or comes back with its lease.
    nack = ack

    def requeue(self, messages: Any) -> None:
        """Give prefetched messages back for others; what can't be given back comes back with its lease."""
        ids = [message.options["redis_message_id"] for message in messages]
        try:
            if ids:
                self.broker.carrier.requeue(self.queue, *ids)
        except TROUBLE as error:
            log.warning("requeue_failed", queue=self.queue, error=type(error).__name__)
        finally:
            self.broker.held[self.queue].difference_update(ids)

    def close(self) -> None:
        """Give back what was fetched and not handed on, and acknowledge what is done."""
        self.requeue(list(self.fetched))
        self.fetched.clear()
        with suppress(*TROUBLE):
            self._acknowledge()

    def _acknowledge(self) -> None:
        done = list(self.broker.unacked[self.queue])
        if done:
            self.broker.carrier.ack(self.queue, *done)
            self.broker.unacked[self.queue].difference_update(done)

    def _wait_out(self, error: Exception) -> None:
        if not self.troubled:
            what = str(error) if isinstance(error, RabbitTrouble) else type(error).__name__
            log.warning("broker_away", queue=self.queue, error=what)
        self.troubled = True
        self.care_at = 0.0
        time.sleep(TROUBLE_SECONDS)

    def _care(self) -> None:
        """Acknowledge, show a sign of life, requeue what Redis says we have and we do not hold."""
        self._acknowledge()  # first: that also goes when Redis is full, and makes room
        self.broker.carrier.show_alive()
        orphans = self.broker.carrier.fetched(self.queue)
        orphans = orphans - self.broker.held[self.queue] - self.broker.unacked[self.queue]
        if orphans:
            log.warning("orphans_given_back", queue=self.queue, count=len(orphans))
            self.broker.carrier.requeue(self.queue, *orphans)
        if self.troubled:
            log.info("broker_back", queue=self.queue)
        self.troubled = False
        self.care_at = time.monotonic() + CARE_SECONDS

    def _hold(self, redis_id: DeliveryId, size: int, data: bytes) -> bool:
        """Hand on a message that can be worked on; False for anything else."""
        # Only what is handed on counts as held. If this fails, ``_care`` finds the id in the acknowledgement set.
        read = self._read(size, data)
        if isinstance(read, Envelope) and read.version == VERSION and read.kind in self.broker.actors:
            self.broker.held[self.queue].add(redis_id)
            self.fetched.append(MessageProxy(self._message(redis_id, read)))
            return True
        return False

    def _clear_away(self, redis_id: DeliveryId, size: int, data: bytes) -> bool:
        """Record what is no message of ours; False while PostgreSQL is away for that."""
        try:
            if size:  # an id without a body: done already, or never was one
                record(self._read(size, data), size, self._digest(redis_id, size, data))
            self.broker.carrier.ack(self.queue, redis_id)
        except DATABASE_TROUBLE:
            return False
        return True

    def _read(self, size: int, data: bytes) -> Envelope | Defect:
        return Defect("oversized", f"is {size} bytes long") if size > MAX_BYTES else parse(data)

    def _message(self, redis_id: DeliveryId, envelope: Envelope) -> dramatiq.Message[Any]:
        """dramatiq's message, made only of what was checked: no options and no queue name from Redis."""
        return dramatiq.Message(
            queue_name=self.queue,
            actor_name=envelope.kind,
            args=(),
            kwargs={"envelope": envelope},
            options={"redis_message_id": redis_id},
            message_id=str(redis_id),
        )

    def _digest(self, redis_id: DeliveryId, size: int, data: bytes) -> str:
        if size > HASH_BYTES:
            return "not read"
        if size > MAX_BYTES:
            data = self.broker.carrier.body(self.queue, redis_id)
        return hashlib.sha256(data).hexdigest()
