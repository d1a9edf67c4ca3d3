"""RabbitMQ as carrier of messages, each confirmed. They need no disk: a restart forgets them, and is noticed.

It differs from Redis in this:

* It can't be asked for one message, so ``missing`` knows only of pushes that were not confirmed. What else gets lost
  comes back when its lease ends.
* It gives back by itself what a process had fetched that died (at once) or is silent (20 s): ``maintain`` has no work.
* What this process still has in hand is delivered to it anew after a broken connection: known by its id, and not begun
  again.

A connection that publishes is held up when RabbitMQ is short of memory or disk, so fetching has one of its own.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any
from uuid import uuid4

import pika
from pika import exceptions
from pika.adapters.utils.connection_workflow import AMQPConnectorException

from models.installation import redis_prefix
from workers.broker.carrier import QUEUES, DeliveryId, RabbitTrouble
from workers.broker.rabbitmq_address import read
from workers.messages.envelope import Envelope, encode

MEMORY = "memory"
# The queue that tells whether RabbitMQ remembers: one message, which is forgotten when the others are.
_MEMORY_OPTIONS = {"x-max-length": 1}
_IN_MEMORY = 1
# A connection that was idle for longer is asked whether it still is one; a write is tried so often.
_IDLE_SECONDS = 2.0
_WRITE_SECONDS = 1.0
_NOT_FOUND = 404
# A server that hangs while somebody connects is another kind of error, and pika's own assertions fail when a connection
# ends at an unlucky moment.
_BROKEN = (exceptions.AMQPError, AMQPConnectorException, OSError, AssertionError, IndexError)
# It tells of each trouble at length; ours is told once.
logging.getLogger("pika").setLevel(logging.CRITICAL)


class RabbitCarrier:
    """The queues of this installation, as one process uses them. It connects at first use."""

    def __init__(self, url: str) -> None:
        parameters = read(url)
        self._fetching = _Line(parameters, self._forget_tags)
        self._pushing = _Line(parameters, self._declare)
        # What was fetched and not acknowledged, by queue, with what RabbitMQ calls it on this connection: after a
        # broken one nothing until it is delivered anew.
        self._mine: dict[str, dict[DeliveryId, list[int]]] = defaultdict(dict)
        self._big: dict[DeliveryId, bytes] = {}
        # Pushed, and not confirmed: perhaps there.
        self._unsure: set[tuple[str, str]] = set()
        self._written_at = 0.0

    def name(self, queue: str) -> str:
        """The queue's name in RabbitMQ: ``prefix:queue``"""
        return f"{redis_prefix()}:{queue}"

    def push(self, messages: Sequence[tuple[str, Envelope]]) -> None:
        """Each is confirmed before the next one goes; the first that is not ends it."""
        now_ms = int(time.time() * 1000)
        self._unsure |= {(queue, envelope.redis_id) for queue, envelope in messages}
        with self._pushing.open() as channel:
            for queue, envelope in messages:
                properties = pika.BasicProperties(message_id=envelope.redis_id, delivery_mode=_IN_MEMORY)
                channel.basic_publish("", self.name(queue), encode(envelope, queue, now_ms), properties, mandatory=True)
                self._unsure.discard((queue, envelope.redis_id))
        self._written_at = time.monotonic()

    def missing(self, messages: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
        """Pushes that nobody confirmed. One that is there all the same does no harm: its delivery is over."""
        found = [pair for pair in messages if pair in self._unsure]
        self._unsure.clear()
        return found

    def lost_memory(self) -> bool:
        """A queue or the marker is gone: it was deleted, or RabbitMQ began anew.

        A write is tried as well, unless one went a moment ago: when RabbitMQ is short of memory or disk, that raises.
        """
        with self._pushing.open() as channel:
            try:
                for queue in QUEUES:
                    channel.queue_declare(self.name(queue), passive=True)
                marker = channel.queue_declare(self.name(MEMORY), passive=True)
                lost: bool = marker.method.message_count == 0
                if lost or time.monotonic() - self._written_at > _WRITE_SECONDS:
                    self._mark(channel)  # on the channel that was asked: what a new one had lost would not be noticed
                return lost
            except exceptions.ChannelClosedByBroker as error:
                if error.reply_code != _NOT_FOUND:
                    raise
        with self._pushing.open() as channel:  # which makes the queues again
            self._mark(channel)
        return True

    def _mark(self, channel: Any) -> None:
        properties = pika.BasicProperties(delivery_mode=_IN_MEMORY)
        channel.basic_publish("", self.name(MEMORY), b"1", properties, mandatory=True)
        self._written_at = time.monotonic()

    def maintain(self) -> None:
        """RabbitMQ does it."""

    def fetch(
        self, queue: str, count: int, max_bytes: int, done: Iterable[DeliveryId] = ()
    ) -> list[tuple[DeliveryId, int, bytes]]:
        found: list[tuple[DeliveryId, int, bytes]] = []
        with self._fetching.open() as channel:
            self._ack(channel, queue, done)
            mine = self._mine[queue]
            while len(found) < count:
                got, properties, body = channel.basic_get(self.name(queue))
                if got is None:
                    break
                delivery = _named(properties)
                anew = delivery in mine
                mine.setdefault(delivery, []).append(got.delivery_tag)
                if anew:
                    continue  # in hand already
                if len(body) > max_bytes:
                    self._big[delivery] = body
                found.append((delivery, len(body), body if len(body) <= max_bytes else b""))
        return found

    def listen(self, queue: str, seconds: float) -> bool:
        """It has no way to wait that lets one process have a part of what comes."""
        return False

    def body(self, queue: str, delivery: DeliveryId) -> bytes:
        return self._big.get(delivery, b"")

    def fetched(self, queue: str) -> set[DeliveryId]:
        with self._fetching.lock:
            return set(self._mine[queue])

    def show_alive(self) -> None:
        """Answers RabbitMQ's own question."""
        with self._fetching.open() as channel:
            channel.connection.process_data_events(0)

    def ack(self, queue: str, *deliveries: DeliveryId) -> None:
        with self._fetching.open() as channel:
            self._ack(channel, queue, deliveries)

    def requeue(self, queue: str, *deliveries: DeliveryId) -> None:
        with self._fetching.open() as channel:
            for delivery in deliveries:
                for tag in self._take(queue, delivery):
                    channel.basic_nack(tag, requeue=True)

    def _ack(self, channel: Any, queue: str, deliveries: Iterable[DeliveryId]) -> None:
        for delivery in deliveries:
            for tag in self._take(queue, delivery):
                channel.basic_ack(tag)

    def _take(self, queue: str, delivery: DeliveryId) -> list[int]:
        self._big.pop(delivery, None)
        return self._mine[queue].pop(delivery, [])

    def _forget_tags(self, channel: Any) -> None:
        """A new connection: RabbitMQ delivers anew what was not acknowledged."""
        self._declare(channel)
        for mine in self._mine.values():
            for tags in mine.values():
                tags.clear()

    def _declare(self, channel: Any) -> None:
        for queue in QUEUES:
            channel.queue_declare(self.name(queue), durable=True)
        channel.queue_declare(self.name(MEMORY), durable=True, arguments=_MEMORY_OPTIONS)

    def try_all(self) -> None:
        """Do once what is always needed, with a queue of its own. RabbitTrouble when some of it does not go."""
        name = self.name(f"check:{uuid4()}")
        with self._pushing.open() as channel:
            channel.queue_declare(name, exclusive=True, auto_delete=True)
            channel.basic_publish("", name, b"1", mandatory=True)
            got, _, _ = channel.basic_get(name)
            if got is not None:
                channel.basic_ack(got.delivery_tag)
            channel.queue_delete(name)

    def close(self) -> None:
        """Leave RabbitMQ."""
        self._fetching.close()
        self._pushing.close()


class _Line:
    """One connection with one channel, used by one thread at a time and made anew after trouble."""

    def __init__(self, parameters: pika.ConnectionParameters, begin: Callable[[Any], None]) -> None:
        self.parameters = parameters
        self.begin = begin
        self.connection: Any = None
        self.channel: Any = None
        self.used_at = 0.0
        self.lock = threading.RLock()

    @contextmanager
    def open(self) -> Iterator[Any]:
        """The channel. RabbitTrouble for whatever goes wrong on it; the next one gets another connection."""
        with self.lock:
            try:
                if not self._is_open():
                    self._connect()
                yield self.channel
                self.used_at = time.monotonic()
            except _BROKEN as error:
                self.close()
                raise RabbitTrouble(type(error).__name__) from error

    def _is_open(self) -> bool:
        if self.connection is not None and time.monotonic() - self.used_at > _IDLE_SECONDS:
            with suppress(*_BROKEN):
                self.connection.process_data_events(0)  # it may have ended while nobody looked
        return self.channel is not None and self.channel.is_open and self.connection.is_open

    def _connect(self) -> None:
        self.close()
        self.connection = pika.BlockingConnection(self.parameters)
        self.channel = self.connection.channel()
        self.channel.confirm_delivery()
        self.begin(self.channel)

    def close(self) -> None:
        connection, self.connection, self.channel = self.connection, None, None
        with suppress(*_BROKEN):
            if connection is not None and connection.is_open:
                connection.close()


def _named(properties: Any) -> DeliveryId:
    name = properties.message_id
    return name if isinstance(name, str) and len(name) < 60 else f"foreign-{uuid4()}"
