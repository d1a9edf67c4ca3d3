"""What all workers on all machines keep to together: a rate (GCRA), and what an outside system asked for last.

A place is given in advance; whoever waited for its place asks once more when it is about to leave. So callers that were
held up meanwhile (a process that stood still, a busy machine) leave at their distance too, not all at once. What a
caller still looks at comes before that: nothing but the call itself is left to do when it leaves.

One round trip to Redis a call, one more for who had to wait or looks at something. Redis's own clock is used, so
machines need not agree on the time. When Redis is away each process falls back to the same rate on its own: slower or a
little faster for a moment, never unlimited; then only the direction that was told to wait does.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache

import redis

import settings
from clients.errors import NoPlace
from clients.http import waiting
from models.installation import redis_prefix
from tenancy.redis_connection import connect

# Of what one caller was told, others hear at most so much; after that they ask, and are told themselves. Nobody's
# ``Retry-After`` of a day outlives here what an operator does about it.
TOLD_MOST_SECONDS = 60.0
# Calls that leave at their distance may arrive a little closer together: so much of it is spare.
SPARE = 0.045
# Who has made a call already waits for so many places more: giving up would mean to make that call again, for ever
# where others come in between each time.
PLACES_MORE = 10
# A place may be over for so long, or for the distance of two.
LATE_SECONDS = 0.25
# Where Redis takes so long to say that a call may leave, what was seen before may be over.
SLOW_SECONDS = 0.5
# How many calls are counted that left last: those of a second, where these are no more.
COUNTED = 100
# ``KEYS[1]`` has two numbers, in microseconds: the theoretical arrival time of the next call, and when that was
# written. A clock that was set back since takes the first one back with it. ``KEYS[3]`` has when the last calls left,
# the newest first: of so many (``most``) the first one left that many distances ago when the next one leaves. Whoever
# can't leave for that, and has a place that is over for ``late``, takes another one: otherwise there would be more and
# more who wait for a place that is over. ``ARGV[6]``: whether it leaves if it may.
# Returns whether there is a place, how long to wait (0: leave now), whether that was told by the other side, the place.
# Where that ends, callers go on at their distance, not all at once.
_SCRIPT = """
local now = redis.call('TIME')
local at = now[1] * 1000000 + now[2]
local interval, patience = tonumber(ARGV[1]), tonumber(ARGV[2])
local most, late, place = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local told = redis.call('PTTL', KEYS[2]) * 1000
if told > patience then return {0, told, 1, 0} end
local left = {}
for time in string.gmatch(redis.call('GET', KEYS[3]) or '', '%d+') do
    if tonumber(time) <= at and #left < most then left[#left + 1] = time end
end
local wait = math.max(told, 0)
local crowded = left[most] and left[most] + most * interval - at or 0
if place == 0 or (crowded > 0 and at - place > late) then
    local due, seen = string.match(redis.call('GET', KEYS[1]) or '', '^(%d+) (%d+)$')
    due, seen = tonumber(due or at), tonumber(seen or at)
    if seen > at then due = due - (seen - at) end
    if due < at + wait then due = at + wait end
    wait = due - at
    if wait > patience then return {0, wait, 0, 0} end
    local ttl = math.ceil((due + interval - at) / 1000) + 1000
    redis.call('SET', KEYS[1], string.format('%.0f %.0f', due + interval, at), 'PX', ttl)
    place = due
end
wait = math.max(wait, crowded)
if wait > 0 or ARGV[6] == '0' then return {1, wait, 0, place} end
table.insert(left, 1, string.format('%.0f', at))
redis.call('SET', KEYS[3], table.concat(left, ' '), 'PX', math.ceil(most * interval / 1000) + 1000)
return {1, 0, 0, place}
"""
# The longest one counts.
_TELL = """
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[1]) then redis.call('SET', KEYS[1], 1, 'PX', ARGV[1]) end
"""


class RateLimited(NoPlace):
    """The next free place is further away than the caller wants to wait."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"next call allowed in {seconds:.1f} s")
        self.seconds = seconds


class ToldToWait(RateLimited):
    """The other side asked everybody to wait, longer than the caller wants to."""


class _Alone:
    """When the next call may go, as far as this process knows."""

    def __init__(self) -> None:
        self.due = 0.0
        self.lock = threading.Lock()


@lru_cache(maxsize=1024)
def _alone(key: str) -> _Alone:
    """One for all clients of a process: each message has a client of its own."""
    return _Alone()


def _told_key(key: str) -> str:
    return f"{redis_prefix()}:told_to_wait:{key}"


def tell(key: str, seconds: float) -> None:
    """Nobody on any machine calls this outside system in the next ``seconds``. Without Redis nobody hears of it."""
    milliseconds = int(1000 * min(seconds, TOLD_MOST_SECONDS))
    if milliseconds <= 0:
        return
    with suppress(redis.RedisError, settings.SettingsError):
        connect(settings.get().need_redis()).register_script(_TELL)(keys=[_told_key(key)], args=[milliseconds])


def wait_as_told(key: str, patience_seconds: float) -> None:
    """Wait as long as the outside system asked for, for as long as it goes on asking; ToldToWait for the impatient."""
    give_up = time.monotonic() + patience_seconds
    with suppress(redis.RedisError, settings.SettingsError):
        while (told := connect(settings.get().need_redis()).pttl(_told_key(key)) / 1000) > 0:
            if time.monotonic() + told > give_up:
                raise ToldToWait(told)
            with waiting:
                time.sleep(told + 0.001)


def _sleep(seconds: float) -> None:
    if seconds > 0:
        with waiting:
            time.sleep(seconds)


class RateLimit:
    """At most ``per_second`` calls in any second under ``key``, 0: any number.

    Whoever is told to wait by the other side (``tell``) does so for all under this key.
    """

    def __init__(self, key: str, per_second: float, patience_seconds: float) -> None:
        self.key = key
        self.per_second = per_second
        self.patience_seconds = patience_seconds

    def __call__(self, begun: bool = False, look: Callable[[], None] | None = None) -> None:
        """Wait for a place; RateLimited when it is further away than the patience. ``begun``: see ``PLACES_MORE``.

        ``look`` is called when there is one, before it is taken, and again after each wait, also one for a slow Redis.
        What it raises keeps the call back.
        """
        if self.per_second <= 0:
            wait_as_told(self.key, self.patience_seconds)
            if look:
                look()
            return
        patience = self.patience_seconds + (PLACES_MORE * self._interval if begun else 0.0)
        place, looked, looked_at = 0, look is None, 0.0
        while True:
            try:
                seconds, place = self._ask(patience, place, leaving=looked)
                away = False
            except (redis.RedisError, settings.SettingsError):
                # Whoever has a place by then waited for it.
                seconds, away = 0.0 if place else self._wait_locally(patience), True
            if seconds <= 0 and looked:
                if look and time.monotonic() - looked_at > SLOW_SECONDS:
                    look()
                return
            _sleep(seconds)
            # After each wait: what was seen before it is not true any more.
            if look:
                look()
                looked, looked_at = True, time.monotonic()
            if away:
                return

    def _ask(self, patience: float, place: int, *, leaving: bool) -> tuple[float, int]:
        """For a place (0), or whether to leave by the one it has: the seconds to wait, 0 when this call may go; and the
        place. Unless ``leaving``, nobody is counted as having left.
        """
        most = min(math.ceil(self.per_second), COUNTED)
        late = max(self._interval, LATE_SECONDS)
        name = f"{redis_prefix()}:rate_limit:{self.key}"
        granted, wait, told, place = connect(settings.get().need_redis()).register_script(_SCRIPT)(
            keys=[name, _told_key(self.key), f"{name}:left"],
            args=[int(self._interval * 1e6), int(patience * 1e6), most, int(late * 1e6), place, int(leaving)],
        )
        if not granted:
            raise (ToldToWait if told else RateLimited)(int(wait) / 1e6)
        return int(wait) / 1e6, int(place)

    @property
    def _interval(self) -> float:
        return (1.0 + SPARE) / self.per_second

    def _wait_locally(self, patience: float) -> float:
        here = _alone(self.key)
        with here.lock:
            now = time.monotonic()
            wait = max(0.0, here.due - now)
            if wait > patience:
                raise RateLimited(wait)
            here.due = now + wait + self._interval
            return wait
