"""The broker: dramatiq on Redis, holding nothing that the ledger does not know.

dramatiq's own layout and scripts are used (``ns:Q`` list of ids, ``ns:Q.msgs`` bodies, ``ns:__acks__.broker.Q`` fetched
ones), with three differences: messages are pushed by the relay in bulk under ids that name the delivery, there are no
delay queues, and maintenance is done when the leader asks for it instead of by chance. Only this file, ``consumer.py``
and ``sweeping.py`` know Redis keys.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Sequence
from typing import Any

import dramatiq
import redis
from dramatiq.brokers.redis import RedisBroker
from redis.backoff import NoBackoff
from redis.retry import Retry

import settings
from workers.consumer import FETCH_SCRIPT, LedgerConsumer, RedisId
from workers.envelope import Envelope, encode
from workers.middleware import LeaseTimeLimit, Services

NAMESPACE = "koppeling"
QUEUES = ("enrollments", "completions")
SOCKET_TIMEOUT_SECONDS = 3
HEARTBEAT_TIMEOUT_MS = 30_000
MEMORY_KEY = f"{NAMESPACE}:memory"
# A body that is there already was pushed before: the id names the delivery, so it is the same one.
_PUSH = b"""
for i = 1, #ARGV, 2 do
    if redis.call('HSETNX', KEYS[2], ARGV[i], ARGV[i + 1]) == 1 then redis.call('RPUSH', KEYS[1], ARGV[i]) end
end
"""


class LedgerBroker(RedisBroker):
    """dramatiq's Redis broker, connected at first use and told where by the settings of that moment."""

    def __init__(self) -> None:
        super().__init__(  # type: ignore[no-untyped-call]  # dramatiq's Redis broker has no types
            client=redis.Redis(),
            namespace=NAMESPACE,
            heartbeat_timeout=HEARTBEAT_TIMEOUT_MS,
            middleware=[LeaseTimeLimit(), Services()],
        )
        self._url: str | None = None
        self._connecting = threading.Lock()
        # Redis ids that this process holds, by queue: fetched and not acknowledged yet.
        self.held: dict[str, set[RedisId]] = {}
        self.unacked: dict[str, set[RedisId]] = {}

    @property
    def consumer_class(self) -> type[LedgerConsumer]:
        return LedgerConsumer

    def connect(self) -> redis.Redis:
        """The client. Commands are never repeated by it: a repeated fetch or push would double messages."""
        url = settings.get().need_redis()
        with self._connecting:
            if url != self._url:
                self.client = redis.Redis.from_url(
                    url,
                    socket_timeout=SOCKET_TIMEOUT_SECONDS,
                    socket_connect_timeout=SOCKET_TIMEOUT_SECONDS,
                    retry=Retry(NoBackoff(), 0),
                )
                self.scripts = {name: self.client.register_script(s.script) for name, s in self.scripts.items()}
                self.scripts |= {"push": self.client.register_script(_PUSH)}
                self.scripts |= {"fetch": self.client.register_script(FETCH_SCRIPT)}
                self._url = url
            return self.client

    def key(self, *parts: str) -> str:
        """``ns:part…`` as dramatiq spells it."""
        return ":".join((self.namespace, *parts))

    def _dispatch(self, command: str) -> Any:
        self.connect()
        return super()._dispatch(command)  # type: ignore[no-untyped-call]  # as above

    def _should_do_maintenance(self, command: str) -> int:
        return int(command == "qsize")

    def declare_queue(self, queue_name: str) -> None:
        """Declare a queue, without the delay queue that dramatiq adds: times to wait live in the ledger."""
        if queue_name not in self.queues:
            self.emit_before("declare_queue", queue_name)
            self.queues.add(queue_name)
            self.held.setdefault(queue_name, set())
            self.unacked.setdefault(queue_name, set())
            self.emit_after("declare_queue", queue_name)

    def maintain(self) -> None:
        """Give back what processes that are silent for 30 s had fetched. Redis trouble raises."""
        for queue in QUEUES:
            self.do_qsize(queue)

    # What the relay needs of a broker; another one would have to offer these three.

    def push(self, messages: Sequence[tuple[str, Envelope]]) -> None:
        """Put (queue, message) pairs on their queues, in order, each delivery at most once. RedisError when away."""
        self.connect()
        now_ms = int(time.time() * 1000)
        for queue in dict.fromkeys(queue for queue, _ in messages):
            parts = [envelope for name, envelope in messages if name == queue]
            args = [x for e in parts for x in (e.redis_id, encode(e, queue, now_ms))]
            self.scripts["push"](keys=[self.key(queue), self.key(f"{queue}.msgs")], args=args)

    def missing(self, messages: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
        """Those of the (queue, redis id) pairs that Redis does not know. RedisError when away."""
        asked = list(messages)
        pipeline = self.connect().pipeline(transaction=False)
        for queue, redis_id in asked:
            pipeline.hexists(self.key(f"{queue}.msgs"), redis_id)
        return [pair for pair, there in zip(asked, pipeline.execute(), strict=True) if not there]

    def lost_memory(self) -> bool:
        """True when Redis does not remember having been asked before.

        It is asked by a write: one that refuses writes (full, a replica) raises here, before anything is claimed.
        """
        return self.connect().set(MEMORY_KEY, 1, get=True) is None


broker = LedgerBroker()
dramatiq.set_broker(broker)
for _queue in QUEUES:
    broker.declare_queue(_queue)
