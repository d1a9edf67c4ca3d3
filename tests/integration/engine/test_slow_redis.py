"""A Redis that stands still while a caller of Pluvo asks it for its place."""

from __future__ import annotations

import pytest
import redis

import settings
from tenancy.rate_limit import RateLimit
from tests.integration.engine.conftest import OwnRedis


@pytest.mark.parametrize("time_out", [0.9, 30.0], ids=["given up", "answered late"])
def test_who_was_kept_waiting_by_redis_itself_looks_once_more(
    own_redis: OwnRedis, monkeypatch: pytest.MonkeyPatch, time_out: float
) -> None:
    # given a caller who has looked, and a Redis that stands still when it is asked whether the call may go
    monkeypatch.setenv("KOPPELING_REDIS_URL", f"{own_redis.url}?socket_timeout={time_out}")
    settings.get.cache_clear()
    looks: list[int] = []

    def look() -> None:
        looks.append(len(looks))
        if len(looks) == 1:
            with redis.Redis.from_url(own_redis.url) as server:
                server.client_pause(1500)

    # when
    RateLimit("https://j.example.org", 1.0, 5.0)(look=look)
    # then what it saw before is not taken for true: a run that was stopped a second ago makes no call
    assert looks == [0, 1]
