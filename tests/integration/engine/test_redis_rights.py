"""What the start and ``/readyz`` try of Redis is all that the engine does there."""

from __future__ import annotations

import redis

import settings
from models.installation import redis_prefix
from tenancy import rate_limit
from tenancy.redis_connection import read
from tenancy.redis_rights import fault
from tests.integration.engine.conftest import Engine, OwnRedis
from tests.integration.engine.test_shared_redis import acl
from workers.broker.redis_carrier import RedisCarrier
from workers.messages.envelope import Envelope

QUEUE = "enrollments"
# What redis-py says when it connects, and what this test asks.
OTHERS = {"hello", "client", "auth", "select", "ping", "config", "info", "acl"}


def work(name: str) -> None:
    """Everything once that relay, workers and limits do."""
    carrier = RedisCarrier(settings.get().need_redis(), name)
    carrier.lost_memory()
    carrier.show_alive()
    carrier.push([(QUEUE, Envelope("test.do", 1, number, 1)) for number in range(4)])
    carrier.listen(QUEUE, 0.1)
    ids = [each for each, _, _ in carrier.fetch(QUEUE, 3, 1000)]
    carrier.body(QUEUE, ids[0])
    carrier.fetched(QUEUE)
    carrier.missing([(QUEUE, str(ids[0]))])
    carrier.ack(QUEUE, ids[0])
    carrier.requeue(QUEUE, ids[1])
    carrier.client.zadd(carrier.key("__heartbeats__"), {name: 1})
    carrier.maintain()
    rate_limit.tell("https://a.example.org", 0.05)
    rate_limit.wait_as_told("https://a.example.org", 5.0)
    rate_limit.RateLimit("https://a.example.org", 10, 5.0)()


def used(server: redis.Redis) -> set[str]:
    """The commands that somebody gave since the last ``CONFIG RESETSTAT``."""
    names = [str(each).removeprefix("cmdstat_") for each in server.info("commandstats")]
    return {name.replace("|", " ").split()[0] for name in names} - OTHERS


def test_a_user_that_lacks_one_command_of_the_engines_is_refused(engine: Engine, own_redis: OwnRedis) -> None:
    with redis.Redis.from_url(own_redis.url) as server:
        # given the commands that the engine really gives
        server.config_resetstat()
        work("one")
        commands = used(server)
        assert {"evalsha", "blpop", "zcard", "pttl"} <= commands
        # when a user lacks one of them
        passed = []
        for command in sorted(commands):
            acl(server, "SETUSER", "lacks", "reset", "on", ">word", "~*", "+@all", f"-{command}")
            client = read(own_redis.url.replace("://", "://lacks:word@")).client()
            if fault(client, redis_prefix()) is None:
                passed.append(command)
            client.close()
    # then the start says so, instead of a process that works on by halves
    assert passed == []
