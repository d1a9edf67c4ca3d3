"""What goes wrong. Each fault is a method that does its harm and, where that is needed, ends it again."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, LiteralString
from urllib.parse import urlsplit, urlunsplit

import psutil
import psycopg
import redis
import requests
from psycopg import sql
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from benchmarks.chaos.servers import Postgres, Valkey
from benchmarks.system import System
from models.installation import redis_prefix
from models.session import transaction

QUEUES = ("enrollments", "completions")
PLUVO_WRITES = (
    "createUser",
    "updateUser",
    "createOfferEventEnrollments",
    "addUsersToGroup",
    "unenrollUserFromOfferEvent",
)
SERVE_MEGABYTES = 400
SHIFTS = (-86_400.0, -3600.0, -60.0, 0.0, 60.0, 3600.0, 86_400.0)


@dataclass
class Faults:
    """Everything that can be done to a running system; ``done`` counts it, ``unclear`` says when answers got lost."""

    system: System
    postgres: Postgres
    valkey: Valkey
    restart: Callable[[], subprocess.Popen[bytes]]
    dice: random.Random
    clock: Path
    done: Counter[str] = field(default_factory=Counter)
    unclear: list[tuple[datetime, datetime]] = field(default_factory=list)
    """Whatever was called for between these times may have been done without anyone having been told."""
    complaints: list[str] = field(default_factory=list)
    """What the system did not stand while it was struck: a loss each."""

    def strike(self) -> str:
        """Do one at random; gives its name."""
        names = list(WEIGHTS)
        name = self.dice.choices(names, [WEIGHTS[each] for each in names])[0]
        begun = datetime.now(UTC)
        with suppress(psutil.NoSuchProcess, redis.RedisError, SQLAlchemyError, psycopg.Error):
            getattr(self, name)()
        self.done[name] += 1
        self.unclear.append((begun - timedelta(seconds=3), datetime.now(UTC) + timedelta(seconds=5)))
        return name

    # -- processes ---------------------------------------------------------------------------------------------------

    def kill_worker(self) -> None:
        """kill -9 of a worker."""
        self._kill(self.system.workers())

    def kill_producer(self) -> None:
        """kill -9 of the worker that is doing a run."""
        with transaction() as connection:
            owners = connection.execute(text("SELECT lease_owner FROM run WHERE status = 'running'")).scalars().all()
        pids = {int(owner.split(":")[1]) for owner in owners if owner}
        self._kill([each for each in self.system.workers() if each.pid in pids] or self.system.workers())

    def kill_scheduler(self) -> None:
        """kill -9 of the timetable."""
        self._kill(self.system.children("scheduler"))

    def kill_everything(self) -> None:
        """kill -9 of ``koppeling up``; it is started again."""
        if self.system.up:
            self.system.up.kill()
            self.system.up.wait()
        self.system.up = self.restart()

    def freeze_worker(self) -> None:
        """Stop a worker for longer than a lease, then let it go on as if nothing had happened."""
        workers = self.system.workers()
        if workers:
            frozen = self.dice.choice(workers)
            frozen.send_signal(signal.SIGSTOP)
            try:
                time.sleep(float(os.environ["KOPPELING_LEASE"].rstrip("s")) + 2)
            finally:
                frozen.send_signal(signal.SIGCONT)

    def jump_clock(self) -> None:
        """Let the clock that one worker believes in jump, up to a day either way."""
        self.clock.write_text(str(self.dice.choice(SHIFTS)), encoding="ascii")

    def _kill(self, among: list[psutil.Process]) -> None:
        if among:
            self.dice.choice(among).kill()

    # -- servers -----------------------------------------------------------------------------------------------------

    def stop_postgres(self) -> None:
        """Immediate stop of PostgreSQL."""
        self._crash_postgres(signal.SIGQUIT)

    def kill_postgres(self) -> None:
        """kill -9 of PostgreSQL."""
        self._crash_postgres(signal.SIGKILL)

    def _crash_postgres(self, number: signal.Signals) -> None:
        self.postgres.crash(number)
        time.sleep(self.dice.uniform(0.1, 3))
        self.postgres.start()

    def cut_connections(self) -> None:
        """PostgreSQL and Valkey throw everybody out."""
        with self.valkey.client() as client:
            client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        with transaction() as connection:
            connection.execute(
                text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
                     " AND datname = current_database()")
            )  # fmt: skip

    def blink_postgres(self) -> None:
        """PostgreSQL throws everybody out and lets nobody in for 50 ms to 2 s: a failover, a fast restart, a proxy."""
        with self._elsewhere() as (connection, name):
            self._alter(connection, name, "ALLOW_CONNECTIONS false")
            try:
                self._throw_out(connection, name)
                time.sleep(self.dice.uniform(0.05, 2))
            finally:
                self._alter(connection, name, "ALLOW_CONNECTIONS true")

    def forbid_writing(self) -> None:
        """PostgreSQL answers for a while and takes no writes."""
        with self._elsewhere() as (connection, name):
            self._alter(connection, name, "SET default_transaction_read_only = on")
            try:
                self._throw_out(connection, name)
                time.sleep(self.dice.uniform(0.5, 4))
            finally:
                self._alter(connection, name, "SET default_transaction_read_only = off")
                self._throw_out(connection, name)

    @contextmanager
    def _elsewhere(self) -> Iterator[tuple[psycopg.Connection, str]]:
        """A connection to the server's own database, and the name of ours."""
        url = urlsplit(self.postgres.url)
        other = urlunsplit(url._replace(path="/template1"))
        with psycopg.connect(other, autocommit=True) as connection:
            yield connection, url.path.removeprefix("/")

    def _alter(self, connection: psycopg.Connection, name: str, what: LiteralString) -> None:
        connection.execute(sql.SQL("ALTER DATABASE {} {}").format(sql.Identifier(name), sql.SQL(what)))

    def _throw_out(self, connection: psycopg.Connection, name: str) -> None:
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])

    def kill_valkey(self) -> None:
        """kill -9 of Valkey; it comes back empty."""
        self.valkey.crash()
        time.sleep(self.dice.uniform(0.1, 3))
        self.valkey.start()

    def kill_both(self) -> None:
        """Both servers at once."""
        self.valkey.crash()
        self.postgres.crash(signal.SIGQUIT)
        time.sleep(self.dice.uniform(0.1, 2))
        self.postgres.start()
        self.valkey.start()

    def flush_valkey(self) -> None:
        """FLUSHALL."""
        with self.valkey.client() as client:
            client.flushall()

    def fill_valkey(self) -> None:
        """Give Valkey less memory than it uses, for a while: every write is refused, as on a full disk."""
        with self._setting("maxmemory", "1"):
            time.sleep(self.dice.uniform(0.5, 3))

    def stall_valkey(self) -> None:
        """Valkey answers nobody for longer than anyone waits."""
        with self.valkey.client() as client:
            client.execute_command("CLIENT", "PAUSE", "4000", "ALL")
        time.sleep(4.1)

    @contextmanager
    def _setting(self, name: str, value: str) -> Iterator[None]:
        with self.valkey.client() as client:
            before: Any = client.config_get(name)
            client.config_set(name, value)
            try:
                yield
            finally:
                client.config_set(name, before[name])

    # -- callers -----------------------------------------------------------------------------------------------------

    def besiege_serve(self) -> None:
        """Strangers hold half-open connections to ``serve``, and one sends headers without end."""
        for server in self.system.children("serve"):
            port = next(each.laddr.port for each in server.net_connections("tcp") if each.status == psutil.CONN_LISTEN)
            with ExitStack() as held:
                for _ in range(300):
                    line = held.enter_context(socket.create_connection(("127.0.0.1", port), timeout=5))
                    line.sendall(b"POST /webhooks/pluvo/x HTTP/1.1\r\nHost: x\r\n")
                with suppress(OSError):  # it hangs up on whoever sends too much
                    for _ in range(1000):
                        line.sendall(b"X-Endless: " + b"x" * 8000 + b"\r\n")
                self._must_answer(server, port)

    def _must_answer(self, server: psutil.Process, port: int) -> None:
        """The health check answers, and nothing of what was sent is kept."""
        with suppress(psutil.NoSuchProcess):
            size = server.memory_info().rss / 1_000_000
            if size > SERVE_MEGABYTES:
                self.complaints.append(f"serve takes {size:.0f} MB under a siege")
            try:
                requests.get(f"http://127.0.0.1:{port}/healthz", timeout=20)
            except requests.RequestException as error:
                if server.is_running():
                    self.complaints.append(f"serve did not answer under a siege: {type(error).__name__}")

    # -- messages ----------------------------------------------------------------------------------------------------

    def double_messages(self) -> None:
        """Every message in Redis twice: the same id again, and its body under another id."""
        with self.valkey.client() as client:
            for queue in QUEUES:
                bodies: Any = client.hgetall(f"{redis_prefix()}:{queue}.msgs")
                for redis_id, body in bodies.items():
                    copy = redis_id + b"-copy"
                    client.hset(f"{redis_prefix()}:{queue}.msgs", copy, body)
                    client.rpush(f"{redis_prefix()}:{queue}", copy, redis_id)

    def shuffle_messages(self) -> None:
        """Messages in another order."""
        with self.valkey.client() as client:
            for queue in QUEUES:
                taken = self._take_all(client, queue)
                self.dice.shuffle(taken)
                if taken:
                    client.rpush(f"{redis_prefix()}:{queue}", *taken)

    def delay_messages(self) -> None:
        """Messages that come seconds later."""
        with self.valkey.client() as client:
            taken = {queue: self._take_all(client, queue) for queue in QUEUES}
            time.sleep(self.dice.uniform(1, 4))
            for queue, ids in taken.items():
                if ids:
                    client.rpush(f"{redis_prefix()}:{queue}", *ids)

    def _take_all(self, client: redis.Redis, queue: str) -> list[Any]:
        taken: Any = client.lpop(f"{redis_prefix()}:{queue}", 10_000)
        return list(taken or [])

    # -- the two systems -----------------------------------------------------------------------------------------------

    def lose_pluvo_answers(self) -> None:
        """Pluvo does what it is asked, and the answer gets lost."""
        kind = self.dice.choice(("lost_answer", "half_body"))
        self._pluvo(kind, times=self.dice.randint(1, 8))

    def lose_afas_answers(self) -> None:
        """AFAS writes, and the answer gets lost."""
        self.system.afas.fault("lost_answer", match={"operation": "put"}, times=self.dice.randint(1, 5))

    def break_pluvo(self) -> None:
        """Pluvo answers 502, cuts the line, says nothing for a while, or asks to come back later."""
        kind, more = self.dice.choice(
            (("status", {"status": 502}), ("reset", {}), ("delay", {"seconds": 3.0}), ("retry_after", {"seconds": 1}),
             ("status", {"status": 504, "applies": True}), ("reset", {"applies": True}), ("bad_json", {}))
        )  # fmt: skip
        self._pluvo(kind, times=self.dice.randint(1, 10), **more)

    def break_afas(self) -> None:
        """AFAS answers 502, cuts the line, is in use, or times out after having written."""
        kind, more = self.dice.choice(
            (("status", {"status": 502}), ("reset", {}), ("record_in_use", {}), ("delay", {"seconds": 3.0}),
             ("time_out", {"applies": True}))
        )  # fmt: skip
        self.system.afas.fault(kind, match={"operation": "put"}, times=self.dice.randint(1, 5), **more)

    def break_pages(self) -> None:
        """One page of AFAS fails, or comes slowly."""
        kind, more = self.dice.choice((("status", {"status": 502}), ("reset", {}), ("delay", {"seconds": 2.0})))
        self.system.afas.fault(kind, match={"operation": "page"}, times=1, **more)

    def slow_looks(self) -> None:
        """AFAS takes its time over tokens, fields and pages: what was looked at is older when it is written."""
        if self.dice.random() < 0.2:  # one that takes nearly as long as anyone waits for AFAS
            self.system.afas.fault("delay", times=1, seconds=self.dice.uniform(60, 110))
        self.system.afas.fault("delay", times=self.dice.randint(1, 6), seconds=self.dice.uniform(2, 20))

    def refuse_tokens(self) -> None:
        """Both systems forget the tokens they gave out, and refuse a few calls of one tenant."""
        for tenant in self.system.afas.state():
            self.system.afas.do(tenant, "expire_tokens")
        for tenant in self.system.pluvo.state():
            self.system.pluvo.do(tenant, "expire_tokens")
        self._pluvo("status", status=401, times=2)

    def _pluvo(self, kind: str, *, times: int, **more: Any) -> None:
        self.system.pluvo.fault(kind, match={"operation": self.dice.choice(PLUVO_WRITES)}, times=times, **more)


WEIGHTS = {
    "kill_worker": 4, "kill_producer": 4, "kill_scheduler": 1, "kill_everything": 1, "freeze_worker": 1,
    "jump_clock": 1, "stop_postgres": 3, "kill_postgres": 1, "cut_connections": 1, "blink_postgres": 4,
    "forbid_writing": 1, "slow_looks": 1, "kill_valkey": 3, "kill_both": 1,
    "besiege_serve": 1,
    "flush_valkey": 2, "fill_valkey": 1, "stall_valkey": 1, "double_messages": 2, "shuffle_messages": 1,
    "delay_messages": 1, "lose_pluvo_answers": 4, "lose_afas_answers": 4, "break_pluvo": 3, "break_afas": 2,
    "break_pages": 1, "refuse_tokens": 1,
}  # fmt: skip
"""How often each comes, relative to the others."""
