"""Redis and Valkey as carriers of messages.

dramatiq's own layout is used (``ns:Q`` list of ids, ``ns:Q.msgs`` bodies, ``ns:__acks__.broker.Q`` fetched ones), with
differences: messages are pushed by the relay in bulk under ids that name the delivery, there are no delay queues,
maintenance is done when the leader asks for it instead of by chance, and scripts name every key they touch, all below
this installation's own prefix: so a user of Redis may be limited to it. Only this file knows Redis keys.

``ns:Q.bell`` tells processes that have room that something was put there. Redis wakes the one that has waited longest,
and each takes no more than its share of what stands there: else the process that pushes would do all the work.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Any

from models.installation import redis_prefix
from tenancy import redis_connection
from workers.broker.carrier import QUEUES, DeliveryId
from workers.messages.envelope import Envelope, encode

HEARTBEAT_TIMEOUT_MS = 30_000
MEMORY = "memory"
LATE_SECONDS = 1.2
# The id names the delivery: if its body is there already, it was pushed before. KEYS: queue, bodies, bell, signs of
# life.
_PUSH = b"""
for i = 1, #ARGV, 2 do
    if redis.call('HSETNX', KEYS[2], ARGV[i], ARGV[i + 1]) == 1 then redis.call('RPUSH', KEYS[1], ARGV[i]) end
end
for _ = 1, math.min(#ARGV / 2, redis.call('ZCARD', KEYS[4]) - redis.call('LLEN', KEYS[3])) do
    redis.call('RPUSH', KEYS[3], 1)
end
"""
# Like dramatiq's fetch, and also tells each message's id and size; a body that is too big stays where it is. First it
# forgets what is done: that also goes when Redis is full. ARGV: time, process, how many, size; the ids that are done.
# One process takes no more than its share of what is there, rounded up.
_FETCH = b"""
for i = 5, #ARGV do
    if redis.call('SREM', KEYS[4], ARGV[i]) > 0 then redis.call('HDEL', KEYS[3], ARGV[i]) end
end
redis.call('ZADD', KEYS[1], ARGV[1], ARGV[2])
local out = {}
local share = math.ceil(redis.call('LLEN', KEYS[2]) / redis.call('ZCARD', KEYS[1]))
for _ = 1, math.min(tonumber(ARGV[3]), share) do
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


class RedisCarrier:
    """The queues in Redis, as the process ``broker_id`` uses them. It connects at first use."""

    def __init__(self, url: str, broker_id: str) -> None:
        # Commands are never repeated by the client: a repeated fetch or push would double messages.
        self.client = redis_connection.connect(url)
        self.broker_id = broker_id
        self.scripts = {name: self.client.register_script(script) for name, script in _SCRIPTS.items()}

    def key(self, *parts: str) -> str:
        """``prefix:part…``"""
        return ":".join((redis_prefix(), *parts))

    def acks_key(self, queue: str, broker_id: str | None = None) -> str:
        """The key of the ids that a process has fetched from a queue."""
        return self.key(f"__acks__.{broker_id or self.broker_id}.{queue}")

    def bell(self, queue: str) -> str:
        """The key of the signs that something was put on a queue, one for a process at most."""
        return self.key(f"{queue}.bell")

    def push(self, messages: Sequence[tuple[str, Envelope]]) -> None:
        """Each delivery goes there at most once."""
        now_ms = int(time.time() * 1000)
        for queue in dict.fromkeys(queue for queue, _ in messages):
            parts = [envelope for name, envelope in messages if name == queue]
            args = [x for e in parts for x in (e.redis_id, encode(e, queue, now_ms))]
            keys = [self.key(queue), self.key(f"{queue}.msgs"), self.bell(queue), self.key("__heartbeats__")]
            self.scripts["push"](keys=keys, args=args)

    def missing(self, messages: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
        asked = list(messages)
        pipeline = self.client.pipeline(transaction=False)
        for queue, redis_id in asked:
            pipeline.hexists(self.key(f"{queue}.msgs"), redis_id)
        return [pair for pair, there in zip(asked, pipeline.execute(), strict=True) if not there]

    def lost_memory(self) -> bool:
        """It is asked by a write: one that refuses writes (full, a replica) raises here, before anything is claimed."""
        return self.client.set(self.key(MEMORY), 1, get=True) is None

    def maintain(self) -> None:
        """Give back what processes that are silent for 30 s had fetched."""
        before = int(time.time() * 1000) - HEARTBEAT_TIMEOUT_MS
        silent: Any = self.client.zrangebyscore(self.key("__heartbeats__"), 0, before)
        for name in (each.decode() for each in silent):
            parts = [(self.acks_key(queue, name), self.key(f"{queue}.msgs"), self.key(queue)) for queue in QUEUES]
            keys = [self.key("__heartbeats__"), *(key for part in parts for key in part)]
            self.scripts["bury"](keys=keys, args=[name, before])

    def fetch(
        self, queue: str, count: int, max_bytes: int, done: Iterable[DeliveryId] = ()
    ) -> list[tuple[DeliveryId, int, bytes]]:
        keys = [self.key("__heartbeats__"), self.key(queue), self.key(f"{queue}.msgs"), self.acks_key(queue)]
        args = [int(time.time() * 1000), self.broker_id, count, max_bytes, *done]
        found: Any = self.scripts["fetch"](keys=keys, args=args)
        return [(_text(found[i]), int(found[i + 1]), found[i + 2]) for i in range(0, len(found), 3)]

    def listen(self, queue: str, seconds: float) -> bool:
        # Redis looks ten times a second who has waited long enough, by its setting ``hz`` perhaps once. Where the
        # address has a time-out that is shorter, a server with nothing to tell would look like one that is away.
        if 0 < (self.client.get_connection_kwargs().get("socket_timeout") or 0) < seconds + LATE_SECONDS:
            return False
        self.client.blpop([self.bell(queue)], timeout=seconds)
        return True

    def body(self, queue: str, delivery: DeliveryId) -> bytes:
        found: Any = self.client.hget(self.key(f"{queue}.msgs"), delivery)
        return found or b""

    def fetched(self, queue: str) -> set[DeliveryId]:
        found: Any = self.client.smembers(self.acks_key(queue))
        return {_text(each) for each in found}

    def show_alive(self) -> None:
        """Without one for 30 s, what this process fetched is given back."""
        self.client.zadd(self.key("__heartbeats__"), {self.broker_id: int(time.time() * 1000)})

    def ack(self, queue: str, *deliveries: DeliveryId) -> None:
        self.scripts["ack"](keys=[self.acks_key(queue), self.key(f"{queue}.msgs")], args=deliveries)

    def requeue(self, queue: str, *deliveries: DeliveryId) -> None:
        keys = [self.acks_key(queue), self.key(f"{queue}.msgs"), self.key(queue)]
        self.scripts["requeue"](keys=keys, args=deliveries)


def _text(value: bytes | str) -> DeliveryId:
    try:
        return value.decode() if isinstance(value, bytes) else value
    except UnicodeDecodeError:
        return value
