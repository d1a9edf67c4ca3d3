"""What all workers on all machines keep to together: a rate (GCRA), and what an outside system asked for last.

A place is given in advance; whoever waited for its place asks once more when it is about to leave. So callers that were
held up meanwhile (a process that stood still, a busy machine) leave at their distance too, not all at once.

One round trip to Redis a call, one more for who had to wait. Redis's own clock is used, so machines need not agree on
the time. When Redis is away each process falls back to the same rate on its own: slower or a little faster for a
moment, never unlimited; then only the direction that was told to wait does.
"""

from __future__ import annotations

import threading
import time
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
# Places are further apart by so much than the rate says, and calls that leave by so much: the difference lets those
# catch up that left late, the rest is for those that are held up on their way.
SPARE = 0.03
SPARE_ON_THE_WAY = 0.02
# Who has made a call already waits for so many places more: giving up would mean to make that call again, for ever
# where others come in between each time.
PLACES_MORE = 10
# How many calls are counted that left last: those of a second, where these are no more.
COUNTED = 100
# ``KEYS[1]`` has two numbers, in microseconds: the theoretical arrival time of the next call, and when that was
# written. A clock that was set back since takes the first one back with it. ``KEYS[3]`` has when the last calls left,
# the newest first; of so many (``most``) the first one left ``window`` ago when the next one leaves.
# Returns whether there is a place, how long to wait for it (0: leave now), and whether that was told by the other side.
# Where that ends, callers go on at their distance, not all at once.
_SCRIPT = """
local now = redis.call('TIME')
local at = now[1] * 1000000 + now[2]
local interval, patience = tonumber(ARGV[1]), tonumber(ARGV[2])
local most, window, has_place = tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5] == '1'
local told = redis.call('PTTL', KEYS[2]) * 1000
if told > patience then return {0, told, 1} end
local wait = math.max(told, 0)
if not has_place then
    local due, seen = string.match(redis.call('GET', KEYS[1]) or '', '^(%d+) (%d+)$')
    due, seen = tonumber(due or at), tonumber(seen or at)
    if seen > at then due = due - (seen - at) end
    if due < at + wait then due = at + wait end
    wait = due - at
    if wait > patience then return {0, wait, 0} end
    local ttl = math.ceil((due + interval - at) / 1000) + 1000
    redis.call('SET', KEYS[1], string.format('%.0f %.0f', due + interval, at), 'PX', ttl)
end
local left = {}
for time in string.gmatch(redis.call('GET', KEYS[3]) or '', '%d+') do
    if tonumber(time) <= at and #left < most then left[#left + 1] = time end
end
if left[most] then wait = math.max(wait, left[most] + window - at) end
if wait > 0 then return {1, wait, 0} end
table.insert(left, 1, string.format('%.0f', at))
redis.call('SET', KEYS[3], table.concat(left, ' '), 'PX', math.ceil(window / 1000) + 1000)
return {1, 0, 0}
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


class RateLimit:
    """At most ``per_second`` calls in any second under ``key``, 0: any number.

    Whoever is told to wait by the other side (``tell``) does so for all under this key.
    """

    def __init__(self, key: str, per_second: float, patience_seconds: float) -> None:
        self.key = key
        self.per_second = per_second
        self.patience_seconds = patience_seconds

    def __call__(self, begun: bool = False) -> None:
        """Wait for a place; RateLimited when it is further away than the patience. ``begun``: see ``PLACES_MORE``."""
        if self.per_second <= 0:
            wait_as_told(self.key, self.patience_seconds)
            return
        patience = self.patience_seconds + (PLACES_MORE * self._interval if begun else 0.0)
        has_place = False
        try:
            while (seconds := self._ask(patience, has_place=has_place)) > 0:
                has_place = True
                with waiting:
                    time.sleep(seconds)
        except (redis.RedisError, settings.SettingsError):
            # Whoever has a place by then waited for it.
            if not has_place and (seconds := self._wait_locally(patience)) > 0:
                with waiting:
                    time.sleep(seconds)

    def _ask(self, patience: float, *, has_place: bool) -> float:
        """For a place, or whether to leave now by the one it has; the seconds to wait, 0 when this call may go."""
        most = max(1, min(int(self.per_second), COUNTED))
        window = most * (1.0 + SPARE_ON_THE_WAY) / self.per_second
        name = f"{redis_prefix()}:rate_limit:{self.key}"
        granted, wait, told = connect(settings.get().need_redis()).register_script(_SCRIPT)(
            keys=[name, _told_key(self.key), f"{name}:left"],
            args=[int(self._interval * 1e6), int(patience * 1e6), most, int(window * 1e6), int(has_place)],
        )
        if not granted:
            raise (ToldToWait if told else RateLimited)(int(wait) / 1e6)
        return int(wait) / 1e6

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
