"""A short storm over everything at once, the same for the same seed: nothing is lost, nothing is recorded twice."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import redis
from pika.exceptions import AMQPError

from models.session import engine as pool
from tests.fixtures.rabbitmq import RabbitMQ
from tests.fixtures.redis_servers import Server, Watched
from tests.integration.engine.conftest import Engine, OwnRedis, closed_database
from tests.integration.engine.kinds import KIND
from tests.integration.engine.test_processes import supervised
from tests.integration.engine.test_redis_failover import use
from workers.messages.envelope import Envelope, encode

SECONDS = 12
MESSAGES = 200
PART = 20
Fault = Callable[[], None]


@dataclass
class Storm:
    """Two processes at work on three tenants' messages, and what strikes them whatever carries the messages."""

    engine: Engine
    postgres_url: str
    database_url: str
    chance: random.Random

    def kill_worker(self) -> None:
        pids = [row[0] for row in self.engine.execute("SELECT pid FROM worker")]
        if pids:
            os.kill(self.chance.choice(pids), signal.SIGKILL)

    def close_postgresql(self) -> None:
        with closed_database(self.postgres_url, self.database_url):
            time.sleep(0.5)
        pool().dispose()  # the connections of this process are dead as well, and it only asks and counts

    def rage(self, *faults: Fault, seconds: float = SECONDS, settles: float = 90) -> None:
        """Let the faults strike at random while all is done. Some of the work is quick, some slow."""
        engine = self.engine
        struck: list[str] = []
        tenants = [engine.tenant(f"t{number}") for number in range(3)]
        subjects = list(range(1, 3 * MESSAGES + 1))
        for subject in subjects[::7]:
            engine.script(subject, "sleep", self.chance.uniform(0.01, 0.3))
        parts = [
            (tenants[(first - 1) // MESSAGES], subjects[first - 1 : first - 1 + PART]) for first in subjects[::PART]
        ]
        self.chance.shuffle(parts)
        with supervised(engine, 2, threads=4):
            # when
            end = time.monotonic() + seconds
            while time.monotonic() < end or parts:
                for tenant, part in parts[:2]:  # so that there is work all the while
                    engine.enqueue(tenant, *part)
                del parts[:2]
                fault = self.chance.choice([self.kill_worker, self.kill_worker, self.close_postgresql, *faults])
                try:
                    fault()
                except (ProcessLookupError, redis.RedisError, AMQPError):
                    continue  # the one to be hit was gone already
                struck.append(fault.__name__)
                time.sleep(self.chance.uniform(0.1, 1.0))
            engine.empty(settles)
        # then
        assert len(struck) > 3
        assert sorted(engine.effects()) == subjects, struck
        assert engine.letters() == []
        owners = engine.execute("SELECT DISTINCT tenant_id, (subject_id - 1) / :n FROM test_effect", n=MESSAGES)
        assert len(owners) == 3


@pytest.fixture
def storm(engine: Engine, postgres_url: str, database_url: str) -> Storm:
    return Storm(engine, postgres_url, database_url, random.Random(20261122))


def test_every_message_has_one_effect_whatever_is_killed(storm: Storm, own_redis: OwnRedis) -> None:
    def flush() -> None:
        with redis.Redis.from_url(own_redis.url) as client:
            client.flushall()

    def kill_redis() -> None:
        own_redis.kill()
        time.sleep(0.3)
        own_redis.start()

    def double_and_delay() -> None:
        """Copies of what is out and of what was out long ago, in any order, beside the real ones."""
        rows = storm.engine.execute("SELECT id, tenant_id, deliveries FROM message WHERE deliveries > 0 LIMIT 40")
        copies = [Envelope(KIND, row.tenant_id, row.id, d) for row in rows for d in range(1, row.deliveries + 1)]
        storm.chance.shuffle(copies)
        with redis.Redis.from_url(own_redis.url) as client:
            for number, copy in enumerate(copies):
                redis_id = f"copy-{number}-{copy.redis_id}"
                client.hset("koppeling:enrollments.msgs", redis_id, encode(copy, "enrollments", 0))
                client.rpush("koppeling:enrollments", redis_id)

    storm.rage(flush, kill_redis, double_and_delay)


@contextmanager
def frozen(server: Server | RabbitMQ) -> Iterator[None]:
    server.send(signal.SIGSTOP)
    try:
        yield
    finally:
        server.send(signal.SIGCONT)


def test_every_message_has_one_effect_whatever_becomes_of_masters_and_sentinels(
    storm: Storm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    servers = Watched(tmp_path)

    def kill_master() -> None:
        master = servers.master()
        master.kill()
        servers.wait_for_another(master)
        master.start()  # a master without memory, until a Sentinel sees it

    def freeze_master() -> None:
        with frozen(servers.master()):
            time.sleep(storm.chance.uniform(0.2, 2.0))

    def flush() -> None:
        with servers.master().client() as client:
            client.flushall()

    def kill_sentinel() -> None:
        sentinel = storm.chance.choice(servers.sentinels[1:])
        sentinel.kill()
        sentinel.start()

    try:
        servers.start()
        use(storm.engine, servers.url, monkeypatch)
        storm.rage(kill_master, freeze_master, flush, kill_sentinel)
    finally:
        servers.stop()


@pytest.mark.xdist_group("rabbitmq")
def test_every_message_has_one_effect_whatever_becomes_of_rabbitmq(storm: Storm, on_rabbitmq: RabbitMQ) -> None:
    storm.engine.environment["KOPPELING_LEASE"] = "15s"  # what ends the wait for a message that nobody can ask for

    def kill_rabbitmq() -> None:
        on_rabbitmq.kill()
        on_rabbitmq.start()

    def freeze_rabbitmq() -> None:
        with frozen(on_rabbitmq):
            time.sleep(storm.chance.uniform(0.5, 3.0))

    def double_and_delay() -> None:
        rows = storm.engine.execute("SELECT id, tenant_id, deliveries FROM message WHERE deliveries > 0 LIMIT 40")
        with on_rabbitmq.connect() as other:
            channel = other.channel()
            for row in rows:
                copy = Envelope(KIND, row.tenant_id, row.id, storm.chance.randint(1, row.deliveries))
                channel.basic_publish("", "koppeling:enrollments", encode(copy, "enrollments", 0))

    storm.rage(kill_rabbitmq, freeze_rabbitmq, on_rabbitmq.empty, double_and_delay, seconds=20, settles=120)
