"""The broker: dramatiq on a carrier, holding nothing that the ledger does not know.

It keeps what one process has in hand. What server carries the messages, the settings say when it is first used.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn
from uuid import uuid4

import dramatiq
from dramatiq.broker import Broker, Consumer

import settings
from clients.http import waiting
from models.worker import STANDING_BY
from workers.broker.carrier import QUEUES, Carrier, DeliveryId
from workers.broker.redis_carrier import RedisCarrier
from workers.messages.delivery import HOOKS
from workers.messages.envelope import Envelope
from workers.messages.time_limit import LeaseTimeLimit

__all__ = ["QUEUES", "LedgerBroker"]


class LedgerBroker(Broker):
    """A broker of dramatiq's, whose messages come from the relay alone."""

    def __init__(self, consumer_class: type[Consumer]) -> None:
        super().__init__(middleware=[LeaseTimeLimit()])
        self.broker_id = str(uuid4())
        self._consumer_class = consumer_class
        self.actor_options |= HOOKS
        self.queues: set[str] = set()
        self._url: str | None = None
        self._carrier: Carrier | None = None
        self._choosing = threading.Lock()
        # Ids of deliveries that this process holds, by queue: fetched and not acknowledged yet.
        self.held: dict[str, set[DeliveryId]] = {}
        # The queues share the threads: one after the other looks for room and fills it, who finds none is in ``full``.
        self.fetching = threading.Lock()
        self.full: set[str] = set()
        # Done, and not forgotten by the carrier yet.
        self.unacked: dict[str, set[DeliveryId]] = {}
        # Set when this process could fetch, or has something to acknowledge.
        self.news: dict[str, threading.Event] = {}

    @property
    def carrier(self) -> Carrier:
        """The server that the settings name."""
        found = settings.get()
        url = found.broker_url or found.need_redis()
        with self._choosing:
            if self._carrier is None or url != self._url:
                self._carrier = self._of(url)
                self._url = url
            return self._carrier

    def _of(self, url: str) -> Carrier:
        if url != settings.get().broker_url:
            return RedisCarrier(url, self.broker_id)
        from workers.broker.rabbitmq_carrier import RabbitCarrier  # noqa: PLC0415  few have one

        return RabbitCarrier(url)

    def room(self, threads: int) -> int:
        """How many messages more this process can work on. Who only waits (``waiting``) leaves room for one."""
        return threads + min(len(waiting), STANDING_BY * threads) - sum(map(len, self.held.values()))

    def wake(self) -> None:
        """There may be room again: let the queues look that found none."""
        for queue in set(self.full):
            self.news[queue].set()

    def push(self, messages: Sequence[tuple[str, Envelope]]) -> None:
        """Put (queue, message) pairs on their queues, in order, and wake this process for them."""
        self.carrier.push(messages)
        for queue in {queue for queue, _ in messages}:
            self.news[queue].set()

    def missing(self, messages: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
        """Those of the (queue, delivery id) pairs that are certainly not carried."""
        return self.carrier.missing(messages)

    def lost_memory(self) -> bool:
        """Whether what was pushed may be gone. One that takes no writes raises."""
        return self.carrier.lost_memory()

    def maintain(self) -> None:
        """Give back what silent processes had fetched."""
        self.carrier.maintain()

    # dramatiq's side.

    def consume(self, queue_name: str, prefetch: int = 1, timeout: int = 30000) -> Consumer:
        """A consumer of one queue."""
        return self._consumer_class(self, queue_name, prefetch, timeout)  # type: ignore[call-arg]  # dramatiq's own class takes nothing

    def declare_queue(self, queue_name: str) -> None:
        """Declare a queue, without the delay queue that dramatiq adds: times to wait live in the ledger."""
        if queue_name not in self.queues:
            self.emit_before("declare_queue", queue_name)
            self.queues.add(queue_name)
            self.held.setdefault(queue_name, set())
            self.unacked.setdefault(queue_name, set())
            self.news.setdefault(queue_name, threading.Event())
            self.emit_after("declare_queue", queue_name)

    def get_declared_queues(self) -> set[str]:
        """The names of the queues."""
        return self.queues.copy()

    def enqueue(self, message: dramatiq.Message[Any], *, delay: int | None = None) -> NoReturn:
        """Refuse: the way leads through the ledger and the relay."""
        raise TypeError("enqueue with models.ledger: a message is a row first")
