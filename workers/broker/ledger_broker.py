"""The broker: dramatiq on Redis, holding nothing that the ledger does not know.

dramatiq's own layout is used (``ns:Q`` list of ids, ``ns:Q.msgs`` bodies, ``ns:__acks__.broker.Q`` fetched ones), with
differences: messages are pushed by the relay in bulk under ids that name the delivery, there are no delay queues,
maintenance is done when the leader asks for it instead of by chance, and scripts name every key they touch, all below
this installation's own prefix: so a user of Redis may be limited to it. Only this file knows Redis keys.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Sequence
from typing import Any

import redis
from dramatiq.broker import Consumer
from dramatiq.brokers.redis import RedisBroker

import settings
from clients.pluvo import waiting
from models.installation import redis_prefix
from models.worker import STANDING_BY
from tenancy import redis_connection
from workers.messages.delivery import HOOKS
from workers.messages.envelope import Envelope, encode
from workers.messages.time_limit import LeaseTimeLimit

# Ours are text; a foreign one may be any bytes.
RedisId = str | bytes
QUEUES = ("enrollments", "completions")
HEARTBEAT_TIMEOUT_MS = 30_000
MEMORY = "memory"
# The id names the delivery: if its body is there already, it was pushed before.
_PUSH = b"""
for i = 1, #ARGV, 2 do
    if redis.call('HSETNX', KEYS[2], ARGV[i], ARGV[i + 1]) == 1 then redis.call('RPUSH', KEYS[1], ARGV[i]) end
end
"""
# Like dramatiq's fetch, and also tells each message's id and size; a body that is too big stays where it is. First it
# forgets what is done: that also goes when Redis is full. ARGV: time, process, how many, size; the ids that are done.
_FETCH = b"""
for i = 5, #ARGV do
    if redis.call('SREM', KEYS[4], ARGV[i]) > 0 then redis.call('HDEL', KEYS[3], ARGV[i]) end
end
redis.call('ZADD', KEYS[1], ARGV[1], ARGV[2])
local out = {}
for _ = 1, tonumber(ARGV[3]) do
    local id = redis.call('LPOP', KEYS[2])
    if not id then break end
    redis.call('SADD', KEYS[4], id)
    local size = redis.call('HSTRLEN', KEYS[3], id)
    out[#out + 1] = id
    out[#out + 1] = size
    out[#out + 1] = size <= tonumber(ARGV[4]) and redis.call('HGET', KEYS[3], id) or ''
end
return out
"""
# KEYS: fetched ids, bodies.
_ACK = b"""
for i = 1, #ARGV do
    if redis.call('SREM', KEYS[1], ARGV[i]) > 0 then redis.call('HDEL', KEYS[2], ARGV[i]) end
end
"""
# KEYS: fetched ids, bodies, queue.
_REQUEUE = b"""
for i = 1, #ARGV do
    if redis.call('SREM', KEYS[1], ARGV[i]) > 0 and redis.call('HEXISTS', KEYS[2], ARGV[i]) > 0 then
        redis.call('RPUSH', KEYS[3], ARGV[i])
    end
end
"""
# Requeue what a silent process had fetched, unless it showed a sign of life meanwhile.
# KEYS: signs of life, then fetched ids, bodies and queue of each queue. ARGV: the process, the time it must be before.
_BURY = b"""
local seen = redis.call('ZSCORE', KEYS[1], ARGV[1])
if not seen or tonumber(seen) > tonumber(ARGV[2]) then return end
for i = 2, #KEYS, 3 do
    for _, id in ipairs(redis.call('SMEMBERS', KEYS[i])) do
        if redis.call('HEXISTS', KEYS[i + 1], id) > 0 then redis.call('RPUSH', KEYS[i + 2], id) end
    end
    redis.call('DEL', KEYS[i])
end
redis.call('ZREM', KEYS[1], ARGV[1])
"""
_SCRIPTS = {"push": _PUSH, "fetch": _FETCH, "ack": _ACK, "requeue": _REQUEUE, "bury": _BURY}


class LedgerBroker(RedisBroker):
    """dramatiq's Redis broker. It connects at first use, to what the settings say at that moment."""

    def __init__(self, consumer_class: type[Consumer]) -> None:
        super().__init__(  # type: ignore[no-untyped-call]  # dramatiq's Redis broker has no types
            client=redis.Redis(),
            heartbeat_timeout=HEARTBEAT_TIMEOUT_MS,
            middleware=[LeaseTimeLimit()],
        )
        self._consumer_class = consumer_class
        self.actor_options |= HOOKS
        self._connecting = threading.Lock()
        # Redis ids that this process holds, by queue: fetched and not acknowledged yet.
        self.held: dict[str, set[RedisId]] = {}
        # The queues share the threads: one after the other looks for room and fills it, who finds none is in ``full``.
        self.fetching = threading.Lock()
        self.full: set[str] = set()
        # Done, and not forgotten by Redis yet.
        self.unacked: dict[str, set[RedisId]] = {}
        # Set when this process could fetch, or has something to acknowledge.
        self.news: dict[str, threading.Event] = {}

    @property
    def consumer_class(self) -> type[Consumer]:
        return self._consumer_class

    def connect(self) -> redis.Redis:
        """The client. Commands are never repeated by it: a repeated fetch or push would double messages."""
        client = redis_connection.connect(settings.get().need_redis())
        with self._connecting:
            if client is not self.client:
                self.scripts = {name: client.register_script(script) for name, script in _SCRIPTS.items()}
                self.client = client
            return client

    def key(self, *parts: str) -> str:
        """``prefix:part…``"""
        return ":".join((redis_prefix(), *parts))

    def acks_key(self, queue: str, broker_id: str | None = None) -> str:
        """The key of the ids that a process has fetched from a queue."""
        return self.key(f"__acks__.{broker_id or self.broker_id}.{queue}")

    def room(self, threads: int) -> int:
        """How many messages more this process can work on. Who waits for another thread's call leaves room for one."""
        return threads + min(len(waiting), STANDING_BY * threads) - sum(map(len, self.held.values()))

    def wake(self) -> None:
        """There may be room again: let the queues look that found none."""
        for queue in set(self.full):
            self.news[queue].set()

    def do_fetch(
        self, queue: str, count: int, max_bytes: int, done: Iterable[RedisId] = ()
    ) -> list[tuple[RedisId, int, bytes]]:
        """Forget what is ``done``; (id, size, body) of the next ones, an empty body where it is above ``max_bytes``."""
        keys = [self.key("__heartbeats__"), self.key(queue), self.key(f"{queue}.msgs"), self.acks_key(queue)]
        found = self._run("fetch", keys, [int(time.time() * 1000), self.broker_id, count, max_bytes, *done])
        return [(_text(found[i]), int(found[i + 1]), found[i + 2]) for i in range(0, len(found), 3)]

    def body(self, queue: str, redis_id: RedisId) -> bytes:
        """The whole body of a message, however big; empty when it has none."""
        found: Any = self.connect().hget(self.key(f"{queue}.msgs"), redis_id)
        return found or b""

    def fetched(self, queue: str) -> set[RedisId]:
        """What Redis says this process has fetched and not acknowledged."""
        found: Any = self.connect().smembers(self.acks_key(queue))
        return {_text(each) for each in found}

    def show_alive(self) -> None:
        """A sign of life: without one for 30 s, what this process fetched is given back."""
        self.connect().zadd(self.key("__heartbeats__"), {self.broker_id: int(time.time() * 1000)})

    def do_ack(self, queue: str, *ids: RedisId) -> None:
        """Forget fetched messages."""
        self._run("ack", [self.acks_key(queue), self.key(f"{queue}.msgs")], ids)

    def do_requeue(self, queue: str, *ids: RedisId) -> None:
        """Give fetched messages back."""
        self._run("requeue", [self.acks_key(queue), self.key(f"{queue}.msgs"), self.key(queue)], ids)

    def _run(self, script: str, keys: list[str], args: Iterable[Any]) -> Any:
        self.connect()
        return self.scripts[script](keys=keys, args=list(args))

    def declare_queue(self, queue_name: str) -> None:
        """Declare a queue, without the delay queue that dramatiq adds: times to wait live in the ledger."""
        if queue_name not in self.queues:
            self.emit_before("declare_queue", queue_name)
            self.queues.add(queue_name)
            self.held.setdefault(queue_name, set())
            self.unacked.setdefault(queue_name, set())
            self.news.setdefault(queue_name, threading.Event())
            self.emit_after("declare_queue", queue_name)

    def maintain(self) -> None:
        """Give back what processes that are silent for 30 s had fetched. Redis trouble raises."""
        before = int(time.time() * 1000) - HEARTBEAT_TIMEOUT_MS
        silent: Any = self.connect().zrangebyscore(self.key("__heartbeats__"), 0, before)
        for name in (each.decode() for each in silent):
            parts = [(self.acks_key(queue, name), self.key(f"{queue}.msgs"), self.key(queue)) for queue in QUEUES]
            keys = [self.key("__heartbeats__"), *(key for part in parts for key in part)]
            self._run("bury", keys, [name, before])

    # What the relay needs of a broker; another one would have to offer these three.

    def push(self, messages: Sequence[tuple[str, Envelope]]) -> None:
        """Put (queue, message) pairs on their queues, in order, each delivery at most once. RedisError when away."""
        self.connect()
        now_ms = int(time.time() * 1000)
        for queue in dict.fromkeys(queue for queue, _ in messages):
            parts = [envelope for name, envelope in messages if name == queue]
            args = [x for e in parts for x in (e.redis_id, encode(e, queue, now_ms))]
            self.scripts["push"](keys=[self.key(queue), self.key(f"{queue}.msgs")], args=args)
            self.news[queue].set()

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
        return self.connect().set(self.key(MEMORY), 1, get=True) is None


def _text(value: bytes | str) -> RedisId:
    try:
        return value.decode() if isinstance(value, bytes) else value
    except UnicodeDecodeError:
        return value
