"""The rate that all machines share, also after a clock was set back and when callers are held up."""

from __future__ import annotations

import math
import threading
import time

import pytest

import settings
from models.installation import redis_prefix
from ops.servers.embedded.process import free_port
from tenancy.rate_limit import RateLimit, RateLimited
from tenancy.redis_connection import connect


def test_a_clock_that_is_set_back_delays_nobody(configured: settings.Settings) -> None:
    """What was written an hour ahead was written by a clock that stood an hour ahead."""
    rate_limit = RateLimit("https://a.example.org", 1.0, 5.0)
    rate_limit()
    client = connect(settings.get().need_redis())
    key = f"{redis_prefix()}:rate_limit:https://a.example.org"
    stored = client.get(key)
    assert isinstance(stored, bytes)
    due, seen = (int(part) for part in stored.split())
    hour = 3600 * 1_000_000
    client.set(key, f"{due + hour} {seen + hour}")
    client.set(f"{key}:left", str(seen + hour))

    began = time.monotonic()
    rate_limit()  # RateLimited, if it were to wait for an hour

    assert time.monotonic() - began < 5


def test_it_still_waits_for_who_came_before(configured: settings.Settings) -> None:
    rate_limit = RateLimit("https://b.example.org", 0.5, 0.5)
    rate_limit()
    with pytest.raises(RateLimited) as caught:
        rate_limit()
    assert 0.5 < caught.value.seconds <= 2.1


def test_without_redis_the_calls_of_all_messages_of_a_process_still_wait_for_each_other(
    configured: settings.Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KOPPELING_REDIS_URL", f"redis://127.0.0.1:{free_port()}/0")
    settings.get.cache_clear()
    RateLimit("https://c.example.org", 0.5, 0.5)()  # each message has a client of its own

    with pytest.raises(RateLimited) as caught:
        RateLimit("https://c.example.org", 0.5, 0.5)()
    RateLimit("https://d.example.org", 0.5, 0.5)()

    assert 0.5 < caught.value.seconds <= 2.1


@pytest.mark.parametrize("rate", [10, 2.5])
def test_callers_that_were_held_up_leave_at_their_distance_all_the_same(
    configured: settings.Settings, monkeypatch: pytest.MonkeyPatch, rate: float
) -> None:
    # given callers that each got a place, in a process that stands still until all of these are over
    in_a_second = math.ceil(rate)
    key, callers = f"https://e{rate}.example.org", in_a_second + 2
    asleep, goes_on = threading.Semaphore(0), threading.Event()
    left: list[float] = []
    sleep = time.sleep

    def stands_still(seconds: float) -> None:
        if goes_on.is_set():
            sleep(seconds)
        else:
            asleep.release()
            goes_on.wait(60)

    def call() -> None:
        RateLimit(key, rate, 60.0)()
        left.append(time.monotonic())

    RateLimit(key, rate, 60.0)()
    monkeypatch.setattr("tenancy.rate_limit.time.sleep", stands_still)
    threads = [threading.Thread(target=call) for _ in range(callers)]
    for thread in threads:
        thread.start()
    for _ in threads:
        asleep.acquire(timeout=60)
    sleep(2.0 * callers / rate)
    # when
    goes_on.set()
    for thread in threads:
        thread.join(60)
    # then they are no burst
    left.sort()
    assert len(left) == callers
    assert left[in_a_second] - left[0] > 0.9


def test_what_a_caller_looks_at_does_not_bring_calls_closer_together(configured: settings.Settings) -> None:
    # given a caller who has a place and looks at something for a while
    key, rate = "https://f.example.org", 1
    looked: list[float] = []

    def look() -> None:
        time.sleep(0.3)
        looked.append(time.monotonic())

    RateLimit(key, rate, 60.0)(look=look)
    # when
    RateLimit(key, rate, 60.0)()
    left = time.monotonic()
    # then it was counted as gone when it had looked, not before
    assert len(looked) == 1
    assert left - looked[0] >= 1.0


@pytest.mark.parametrize("seconds", [0.0, 0.7], ids=["long", "short"])
def test_who_has_to_wait_after_all_looks_once_more(configured: settings.Settings, seconds: float) -> None:
    # given a caller whose place turns out to be crowded when it has looked: what it saw may be over after the wait
    key, rate = f"https://g{seconds}.example.org", 1
    looks: list[int] = []

    def look() -> None:
        looks.append(len(looks))
        if len(looks) == 1:
            RateLimit(key, rate, 60.0)()  # another one leaves meanwhile
            time.sleep(seconds)

    RateLimit(key, rate, 60.0)(look=look)
    assert looks == [0, 1]


def test_what_is_seen_keeps_the_call_back(configured: settings.Settings) -> None:
    key = "https://h.example.org"

    def look() -> None:
        raise KeyError

    for rate in (0.5, 0):
        with pytest.raises(KeyError):
            RateLimit(key, rate, 0.5)(look=look)


def test_without_redis_a_caller_looks_too(configured: settings.Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KOPPELING_REDIS_URL", f"redis://127.0.0.1:{free_port()}/0")
    settings.get.cache_clear()
    looks: list[float] = []

    RateLimit("https://i.example.org", 1.0, 5.0)(look=lambda: looks.append(time.monotonic()))

    assert len(looks) == 1
