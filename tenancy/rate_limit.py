"""A rate that all workers on all machines share: GCRA, one round trip to Redis a call.

Redis's own clock is used, so machines need not agree on the time. When Redis is away each process falls back to the
same rate on its own: slower or a little faster for a moment, never unlimited.
"""

from __future__ import annotations

import threading
import time
from functools import lru_cache

import redis

import settings
from models.installation import redis_prefix
from tenancy.redis_connection import connect

# Keeps two numbers per key, in microseconds: the theoretical arrival time of the next call, and when that was written.
# A clock that was set back since takes the first one back with it. Returns how long to wait.
_SCRIPT = """
local now = redis.call('TIME')
local at = now[1] * 1000000 + now[2]
local interval, burst, patience = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local due, seen = string.match(redis.call('GET', KEYS[1]) or '', '^(%d+) (%d+)$')
due, seen = tonumber(due or at), tonumber(seen or at)
if seen > at then due = due - (seen - at) end
if due < at then due = at end
local wait = due - burst - at
if wait < 0 then wait = 0 end
if wait > patience then return {0, wait} end
local ttl = math.ceil((due + interval - at) / 1000) + 1000
redis.call('SET', KEYS[1], string.format('%.0f %.0f', due + interval, at), 'PX', ttl)
return {1, wait}
"""


class RateLimited(Exception):
    """The next free place is further away than the caller wants to wait."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"next call allowed in {seconds:.1f} s")
        self.seconds = seconds


class _Alone:
    """When the next call may go, as far as this process knows."""

    def __init__(self) -> None:
        self.due = 0.0
        self.lock = threading.Lock()


@lru_cache(maxsize=1024)
def _alone(key: str) -> _Alone:
    """One for all clients of a process: each message has a client of its own."""
    return _Alone()


class RateLimit:
    """At most ``per_second`` calls a second under ``key``; a short burst of a fifth of a second's worth."""

    def __init__(self, key: str, per_second: float, patience_seconds: float) -> None:
        self.key = key
        self.per_second = per_second
        self.patience_seconds = patience_seconds

    def __call__(self) -> None:
        """Wait for a place; RateLimited when it is further away than the patience."""
        if self.per_second <= 0:
            return
        interval = 1.0 / self.per_second
        burst = max(0.2, interval)
        try:
            script = connect(settings.get().need_redis()).register_script(_SCRIPT)
            granted, wait = script(
                keys=[f"{redis_prefix()}:rate_limit:{self.key}"],
                args=[int(interval * 1e6), int(burst * 1e6), int(self.patience_seconds * 1e6)],
            )
            seconds = int(wait) / 1e6
            if not granted:
                raise RateLimited(seconds)
        except (redis.RedisError, settings.SettingsError):
            seconds = self._wait_locally(interval)
        if seconds > 0:
            time.sleep(seconds)

    def _wait_locally(self, interval: float) -> float:
        here = _alone(self.key)
        with here.lock:
            now = time.monotonic()
            wait = max(0.0, here.due - now)
            if wait > self.patience_seconds:
                raise RateLimited(wait)
            here.due = now + wait + interval
            return wait
