"""A short storm over everything at once, the same for the same seed: nothing is lost, nothing is recorded twice."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable

import pytest
import redis

from models.session import engine as pool
from tests.integration.engine.conftest import Engine, OwnRedis, closed_database
from tests.integration.engine.kinds import KIND
from tests.integration.engine.test_processes import supervised
from workers.messages.envelope import Envelope, encode

SECONDS = 12
MESSAGES = 200


@pytest.mark.parametrize("seed", [20261122])
def test_every_message_has_one_effect_whatever_is_killed(
    engine: Engine, own_redis: OwnRedis, postgres_url: str, database_url: str, seed: int
) -> None:
    # given three tenants with work, some of it quick, some slow
    chance = random.Random(seed)
    tenants = [engine.tenant(f"t{number}") for number in range(3)]
    subjects = list(range(1, 3 * MESSAGES + 1))
    for subject in subjects[::7]:
        engine.script(subject, "sleep", chance.uniform(0.01, 0.3))
    survived: list[str] = []

    def kill_worker() -> None:
        pids = [row[0] for row in engine.execute("SELECT pid FROM worker")]
        if pids:
            os.kill(chance.choice(pids), signal.SIGKILL)

    def flush() -> None:
        with redis.Redis.from_url(own_redis.url) as client:
            client.flushall()

    def kill_redis() -> None:
        own_redis.kill()
        time.sleep(0.3)
        own_redis.start()

    def close_postgresql() -> None:
        with closed_database(postgres_url, database_url):
            time.sleep(0.5)
        pool().dispose()  # the connections of this process are dead as well, and it only asks and counts

    def double_and_delay() -> None:
        """Copies of what is out and of what was out long ago, in any order, beside the real ones."""
        rows = engine.execute("SELECT id, tenant_id, deliveries FROM message WHERE deliveries > 0 LIMIT 40")
        copies = [Envelope(KIND, row.tenant_id, row.id, d) for row in rows for d in range(1, row.deliveries + 1)]
        chance.shuffle(copies)
        with redis.Redis.from_url(own_redis.url) as client:
            for number, copy in enumerate(copies):
                redis_id = f"copy-{number}-{copy.redis_id}"
                client.hset("koppeling:enrollments.msgs", redis_id, encode(copy, "enrollments", 0))
                client.rpush("koppeling:enrollments", redis_id)

    faults: list[Callable[[], None]] = [kill_worker, kill_worker, flush, kill_redis, close_postgresql, double_and_delay]
    with supervised(engine, 2, threads=4):
        # when
        for number, tenant in enumerate(tenants):
            engine.enqueue(tenant, *subjects[number * MESSAGES : (number + 1) * MESSAGES])
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            fault = chance.choice(faults)
            try:
                fault()
            except (ProcessLookupError, redis.RedisError):
                continue  # the one to be hit was gone already
            survived.append(fault.__name__)
            time.sleep(chance.uniform(0.1, 1.0))
        engine.empty(90)
    # then
    assert len(survived) > 5
    assert sorted(engine.effects()) == subjects, survived
    assert engine.letters() == []
    owners = engine.execute("SELECT DISTINCT tenant_id, (subject_id - 1) / :n FROM test_effect", n=MESSAGES)
    assert len(owners) == 3
