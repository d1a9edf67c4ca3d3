"""May this user of Redis do all that the engine needs? Tried under keys of our own, at the start and by ``/readyz``."""

from __future__ import annotations

import secrets

import redis
from redis.exceptions import AskError, ClusterCrossSlotError

# What docs/deployment.md gives to a user of a shared server; the prefix of the keys stands before it.
ACL = "resetchannels -@all +@connection +@read +@write +@scripting +time -@dangerous"
CLUSTER = "CLUSTER"
_SECONDS = 60
_WAIT_SECONDS = 0.01
_SCRIPT = "redis.call('HSETNX', KEYS[1], ARGV[1], 1); redis.call('HDEL', KEYS[1], ARGV[1]); return redis.call('TIME')"


def fault(client: redis.Redis, prefix: str) -> str | None:
    """The first command that is refused, with Redis's words; None when all go. RedisError when it does not answer."""
    key = f"{prefix}:check:{secrets.token_hex(8)}"
    asked = client.pipeline(transaction=False)
    asked.set(f"{key}:s", 1, get=True, px=_SECONDS * 1000)
    asked.get(f"{key}:s")
    asked.pttl(f"{key}:s")
    asked.zadd(f"{key}:z", {"a": 1})
    asked.zrangebyscore(f"{key}:z", 0, 1)
    asked.zscore(f"{key}:z", "a")
    asked.zcard(f"{key}:z")
    asked.zrem(f"{key}:z", "a")
    asked.sadd(f"{key}:u", "a")
    asked.smembers(f"{key}:u")
    asked.srem(f"{key}:u", "a")
    asked.hsetnx(f"{key}:h", "a", "1")
    asked.hget(f"{key}:h", "a")
    asked.hexists(f"{key}:h", "a")
    asked.hstrlen(f"{key}:h", "a")
    asked.hdel(f"{key}:h", "a")
    asked.rpush(f"{key}:l", "a", "a")
    asked.llen(f"{key}:l")
    asked.lpop(f"{key}:l")
    asked.blpop([f"{key}:l"], timeout=_WAIT_SECONDS)  # waits only where nothing could be put there
    asked.script_load(_SCRIPT)
    asked.evalsha(client.register_script(_SCRIPT).sha, 1, f"{key}:e", "a")
    asked.delete(f"{key}:s", f"{key}:z", f"{key}:u", f"{key}:h", f"{key}:l", f"{key}:e")
    for result in asked.execute(raise_on_error=False):
        if isinstance(result, AskError | ClusterCrossSlotError):
            return f"{CLUSTER} {result}"
        if isinstance(result, redis.ResponseError):
            return str(result)
        if isinstance(result, redis.RedisError):
            raise result
    return None
