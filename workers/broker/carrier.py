"""What carries messages from the relay to the workers must offer: three things to the relay, the rest to consumers.

redis_carrier.py knows Redis and Valkey, rabbitmq_carrier.py RabbitMQ. Neither holds anything that the ledger does not.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

import redis

from workers.messages.envelope import Envelope

# The name of a delivery where it is carried. Ours are text; a foreign one may be any bytes.
DeliveryId = str | bytes
QUEUES = ("enrollments", "completions")


class RabbitTrouble(Exception):
    """RabbitMQ is away, refuses, or takes nothing more; the text says which."""


# What any method of a carrier raises when its server does not do as it should.
TROUBLE = (redis.RedisError, RabbitTrouble)


class Carrier(Protocol):
    """One server, as one process uses it. Any thread may call any method; TROUBLE when the server does not answer."""

    # For the relay.

    def push(self, messages: Sequence[tuple[str, Envelope]]) -> None:
        """Put (queue, message) pairs on their queues, in order."""

    def missing(self, messages: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
        """Those of the (queue, delivery id) pairs that are certainly not there."""

    def lost_memory(self) -> bool:
        """Whether it does not remember having been asked before. Asked by a write: one that takes none raises."""

    # For the leader, every second.

    def maintain(self) -> None:
        """Give back what silent processes had fetched."""

    # For consumers.

    def fetch(
        self, queue: str, count: int, max_bytes: int, done: Iterable[DeliveryId] = ()
    ) -> list[tuple[DeliveryId, int, bytes]]:
        """Forget what is ``done``; (id, size, body) of the next ones, an empty body where it is above ``max_bytes``.

        Fewer than there are, where others are to have their share: who has room asks again.
        """

    def listen(self, queue: str, seconds: float) -> bool:
        """Wait until something is put on a queue, so long at most. False, at once, where the server can't tell."""

    def body(self, queue: str, delivery: DeliveryId) -> bytes:
        """The whole body of a fetched message, however big; empty when it has none."""

    def fetched(self, queue: str) -> set[DeliveryId]:
        """What the server thinks this process has fetched and not acknowledged."""

    def show_alive(self) -> None:
        """A sign of life."""

    def ack(self, queue: str, *deliveries: DeliveryId) -> None:
        """Forget fetched messages."""

    def requeue(self, queue: str, *deliveries: DeliveryId) -> None:
        """Give fetched messages back."""
