"""The rate that all machines share survives a broker's clock that is set back."""

from __future__ import annotations

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
