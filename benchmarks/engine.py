"""How many messages a second go through ledger, relay, Redis and a handler that does nothing, and how soon one begins.

    .venv/bin/python -m benchmarks.engine [--processes 2] [--threads 8] [--messages 20000] [--tenants 10] [--pooler]

Starts servers of its own, removes them afterwards and prints one line for each measurement.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil
from cryptography.fernet import Fernet
from sqlalchemy import text

import settings
from benchmarks.fleet.pooler import pgbouncer
from migrations.run import upgrade
from models.ledger import NewMessage, enqueue
from models.session import transaction
from ops.servers.embedded import start_postgres, start_valkey
from workers.messages.delivery import Delivery
from workers.messages.execute import actor
from workers.process.worker import run_worker

KIND = "bench.noop"


@actor(KIND)
def nothing(delivery: Delivery) -> None:
    """Settle at once; the first of a measurement of latency says when it began."""
    with delivery.settle() as connection:
        if delivery.full:
            connection.execute(
                text("INSERT INTO bench_begun VALUES (:s, clock_timestamp())"), {"s": delivery.subject_id}
            )


def say(words: str) -> None:
    sys.stdout.write(words + "\n")
    sys.stdout.flush()


def put(tenants: list[int], subjects: range, *, full: bool = False) -> None:
    """Enqueue one message a subject, tenants taking turns."""
    with transaction() as connection:
        enqueue(
            connection,
            [NewMessage(tenants[s % len(tenants)], KIND, "enrollments", s, f"bench:{s}", full=full) for s in subjects],
        )


def waiting() -> int:
    with transaction() as connection:
        return int(connection.execute(text("SELECT count(*) FROM message")).scalar_one())


def cpu_seconds() -> dict[str, float]:
    """What the workers and the servers, all children of this process, have used by now. The machine may be shared."""
    used: dict[str, float] = {}
    for child in psutil.Process().children(recursive=True):
        times = child.cpu_times()
        used[child.name()] = used.get(child.name(), 0.0) + times.user + times.system
    return used


def throughput(tenants: list[int], messages: int) -> None:
    """Put all, then measure the slope between nine tenths and one tenth left."""
    before = cpu_seconds()
    began = time.monotonic()
    put(tenants, range(1, messages + 1))
    say(f"enqueue      {messages / (time.monotonic() - began):8.0f} messages/s in transactions of {messages}")
    marks = {}
    while (left := waiting()) > 0:
        for mark in (0.9, 0.1):
            if left <= messages * mark:
                marks.setdefault(mark, (time.monotonic(), left))
        time.sleep(0.02)
    (first, high), (last, low) = marks[0.9], marks[0.1]
    say(f"throughput   {(high - low) / (last - first):8.0f} messages/s, {len(tenants)} tenants")
    used = cpu_seconds()
    for name in used:
        say(f"cpu          {(used[name] - before.get(name, 0.0)) / messages * 1000:8.2f} ms a message in {name}")


def latency(tenants: list[int], samples: int = 200) -> None:
    """From the commit that enqueues to the handler's beginning, one message at a time in an idle system."""
    found = []
    for sample in range(samples):
        subject = 10_000_000 + sample
        put(tenants, range(subject, subject + 1), full=True)
        with transaction() as connection:
            committed = connection.execute(text("SELECT clock_timestamp()")).scalar_one()
        while waiting():
            time.sleep(0.005)
        with transaction() as connection:
            begun = connection.execute(
                text("SELECT at FROM bench_begun WHERE subject = :s"), {"s": subject}
            ).scalar_one()
        found.append(max(0.0, (begun - committed).total_seconds() * 1000))
        time.sleep(0.05)
    cuts = statistics.quantiles(found, n=100)
    say(f"latency      {cuts[49]:8.0f} ms p50, {cuts[98]:.0f} ms p99, {max(found):.0f} ms most, idle")


@contextmanager
def servers(*, pooler: bool) -> Iterator[None]:
    """PostgreSQL and Valkey for the moment, in force in this process and its children; with PgBouncer between."""
    with tempfile.TemporaryDirectory(prefix="koppeling-bench-") as home, ExitStack() as stack:
        postgres, valkey = start_postgres(Path(home)), start_valkey(Path(home))
        os.environ |= {
            "KOPPELING_HOME": home,
            "KOPPELING_DATABASE_URL": postgres.url,
            "KOPPELING_REDIS_URL": valkey.url,
            "KOPPELING_SECRET_KEYS": Fernet.generate_key().decode(),
        }
        if pooler:
            found = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin") or "pgbouncer"
            through = stack.enter_context(pgbouncer(found, postgres.url, "transaction"))
            os.environ |= {"KOPPELING_DATABASE_URL": through, "KOPPELING_DATABASE_DIRECT_URL": postgres.url}
        settings.get.cache_clear()
        upgrade(postgres.url)
        try:
            yield
        finally:
            valkey.stop()
            postgres.stop()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("processes", 2), ("threads", 8), ("messages", 20000), ("tenants", 10)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--pooler", action="store_true", help="through PgBouncer in transaction mode")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.worker:
        return run_worker(threads=given.threads, runners=1)
    with servers(pooler=given.pooler):
        with transaction() as connection:
            connection.execute(text("CREATE TABLE bench_begun (subject bigint, at timestamptz)"))
            tenants = [
                int(
                    connection.execute(
                        text(
                            """INSERT INTO tenant (slug, name, timezone, interval_seconds, afas, pluvo)
                               VALUES (:slug, :slug, 'UTC', 3600, '{"member_id": "12345"}',
                                       '{"organisation": "acme", "client_id": "koppeling"}') RETURNING id"""
                        ),
                        {"slug": f"t{number}"},
                    ).scalar_one()
                )
                for number in range(given.tenants)
            ]
        argv = [sys.executable, "-m", "benchmarks.engine", "--worker", "--threads", str(given.threads)]
        workers = [subprocess.Popen(argv, stdout=subprocess.DEVNULL) for _ in range(given.processes)]  # noqa: S603  ourselves
        try:
            put(tenants, range(1, 2))
            while waiting():
                time.sleep(0.05)
            time.sleep(2)
            say(f"processes    {given.processes:8d} x {given.threads} threads")
            throughput(tenants, given.messages)
            latency(tenants)
        finally:
            for worker in workers:
                worker.terminate()
            for worker in workers:
                worker.wait(timeout=40)
    return 0


if __name__ == "__main__":
    sys.exit(main())
