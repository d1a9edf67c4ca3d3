"""``python -m benchmarks.scaling``: what grows with tenants and enrollments, each by itself on a database full of them.

    .venv/bin/python -m benchmarks.scaling [--enrollments 1000000] [--tenants 1000] [--runs 40000]

Sizes of tables and indexes, ticks of the relay, the timetable, what is counted for pages and ``/metrics``, and how
fast retention deletes, on the database of ``benchmarks/seed.py``. Of what is done several times the quickest is told,
and the processor time of it, of Python and PostgreSQL together, which hardly depends on what else runs.
docs/scaling.md says what follows.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Self

import psutil
import psycopg
import structlog
from cryptography.fernet import Fernet
from sqlalchemy import text

import settings
from benchmarks.seed import Sizes, seed
from benchmarks.system import temporary_folder
from migrations.run import upgrade
from models.session import engine_for, transaction
from ops import metrics, overview, status
from ops.alerts import watch
from ops.runs import timetable
from ops.servers.embedded import start_postgres, start_valkey
from ops.terminal import output
from tenancy import vital_signs
from workers.maintenance import retention
from workers.relay.fairness import in_flight_limit
from workers.relay.relay import Relay
from workers.runs import finalizer

TIMES = 9
BITES = 5
# Of 20 worker processes with 8 threads: 480 messages out at once.
WORKERS, THREADS = 20, 8
NOON = datetime(2026, 11, 26, 12, tzinfo=UTC)
_SIZES = """
    SELECT c.relname AS name, greatest(c.reltuples, 0)::bigint AS rows, pg_table_size(c.oid) AS heap,
           pg_indexes_size(c.oid) AS indexes
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE n.nspname = 'public' AND c.relkind = 'r' ORDER BY pg_total_relation_size(c.oid) DESC
"""
_WORKERS = """
    INSERT INTO worker (id, host, pid, threads, code_version, heartbeat_at)
    SELECT 'host:' || n, 'host', n, %s, '0', now() + interval '1 hour' FROM generate_series(1, %s) n
"""
# As when their workers are done with half of them
_HALF_DONE = "DELETE FROM message WHERE id IN (SELECT id FROM message WHERE state = 'sent' ORDER BY id LIMIT %s)"
# What is forgotten most of; the rest is small.
FORGOTTEN = ("change emptied", "plan_line emptied", "plan_line deleted", "change deleted")
_GONE = """
    UPDATE enrollment SET absent_since = now() - interval '500 days', state = 'removed'
     WHERE person_id IN (SELECT id FROM person ORDER BY id DESC LIMIT :people)
"""


@contextmanager
def servers() -> Iterator[str]:
    """PostgreSQL and Valkey of its own, migrated, and this process's settings; gives the URL of the database."""
    with ExitStack() as stack:
        home = Path(stack.enter_context(temporary_folder("koppeling-scaling-")))
        postgres, valkey = start_postgres(home), start_valkey(home)
        stack.callback(postgres.stop)
        stack.callback(valkey.stop)
        own = {"HOME": str(home), "DATABASE_URL": postgres.url, "REDIS_URL": valkey.url}
        for name, value in (own | {"SECRET_KEYS": Fernet.generate_key().decode()}).items():
            os.environ[settings.PREFIX + name] = value
            stack.callback(os.environ.pop, settings.PREFIX + name)
        settings.forget_found()
        upgrade(postgres.url)
        stack.callback(lambda: engine_for(settings.get().need_database()).dispose())
        yield postgres.url


@dataclass
class Timed:
    """What took the time of its ``with`` blocks: seconds of each, and processor seconds of all."""

    times: list[float] = field(default_factory=list)
    used: float = 0.0

    def __enter__(self) -> Self:
        self._servers, self._own, self._began = _postgres(), time.process_time(), time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        self.times.append(time.perf_counter() - self._began)
        self.used += time.process_time() - self._own + _postgres() - self._servers

    def ms(self) -> list[float]:
        """The quickest, and the processor time of each."""
        return [1000 * min(self.times), 1000 * self.used / len(self.times)]


def _postgres() -> float:
    """Processor seconds of PostgreSQL's sessions so far."""
    used = 0.0
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            if process.name() == "postgres" and "autovacuum" not in " ".join(process.cmdline()):
                times = process.cpu_times()
                used += times.user + times.system
    return used


def timed(do: Callable[[], object], before: Callable[[], object] = lambda: None) -> list[float]:
    """The quickest of several times and the processor time of each, in milliseconds; the first does not count."""
    before()
    do()
    found = Timed()
    for _ in range(TIMES):
        before()
        with found:
            do()
    return found.ms()


def sizes(connection: psycopg.Connection[Any], enrollments: int) -> Iterator[list[str]]:
    """Of each table of more than a megabyte: rows, MB of it and of its indexes, and MB for a million enrollments."""
    total = 0
    for name, rows, heap, indexes in connection.execute(_SIZES.encode()).fetchall():
        total += heap + indexes
        if heap + indexes > 2**20:
            yield [name, f"{rows:,}", *_mb(heap, indexes, (heap + indexes) * 1_000_000 // enrollments)]
    yield ["all", "", "", "", *_mb(total * 1_000_000 // enrollments)]


def _mb(*sizes: int) -> list[str]:
    return [f"{size / 2**20:,.0f}" for size in sizes]


def relay_ticks(connection: psycopg.Connection[Any]) -> Iterator[tuple[str, list[float]]]:
    """Ticks of the relay: all places taken; half of them came free; nothing to do."""
    connection.execute(_WORKERS.encode(), [THREADS, WORKERS])
    relay = Relay()
    leading = relay.leader.lead()
    if leading is None:
        raise AssertionError("another relay leads")
    try:
        half = in_flight_limit(WORKERS * THREADS) // 2
        lanes = connection.execute("SELECT count(DISTINCT tenant_id) FROM message WHERE state = 'ready'").fetchone()
        for _ in range(10):
            relay.tick(leading)
        about = f"work of {lanes[0] if lanes else 0:,} tenants"
        half_done = partial(connection.execute, _HALF_DONE.encode(), [half])
        yield f"relay, a tick that hands out {half}; {about}", timed(lambda: relay.tick(leading), half_done)
        yield f"relay, a tick with no place free; {about}", timed(lambda: relay.tick(leading))
        connection.execute("DELETE FROM message")
        connection.execute("VACUUM message")
        yield "relay, a tick with nothing to do", timed(lambda: relay.tick(leading))
    finally:
        relay.end()


def counted() -> Iterator[tuple[str, list[float]]]:
    """What is counted again and again, by whom how often."""
    for what, do in {
        "finalizer, 50 runs being applied; four times a second": finalizer.finalize,
        "finalizer, old runs counted again; each 5 s": finalizer.recount,
        "vital signs; each 15 s": vital_signs.watch,
        "alerts; each 30 s": watch.look,
        "/metrics; at most each 5 s": metrics.read,
        "status": status.document,
        "overview, a page of 100 tenants": overview.document,
        "inbox": overview.inbox,
        "timetable, what is far; each 30 s": timetable.bring_near,
        "timetable, whose night it is; each 30 s": lambda: timetable.request_full(NOON),
        "timetable, nothing due; each second": timetable.request_due,
    }.items():
        yield what, timed(do)


def due() -> tuple[str, list[float]]:
    """The timetable where everybody is due."""
    with transaction() as connection:
        connection.execute(text("UPDATE tenant_direction SET next_run_at = now() WHERE state = 'healthy'"))
    return f"timetable, everybody due; a tick of {timetable.MOST_AT_ONCE} runs", timed(timetable.request_due)


def forgetting() -> Iterator[list[str]]:
    """How many rows a minute retention empties and deletes; and what it costs when there is nothing to forget."""
    nothing = Timed()
    with nothing:
        retention.apply()
    yield ["nothing to forget; each hour", "", *_told(nothing), ""]
    with transaction() as connection:
        connection.execute(text(_GONE), {"people": BITES * 1000})
    rules = {rule.name: rule for rule in retention.RULES}
    for name, age in [*((name, 0) for name in FORGOTTEN), ("person deleted", 400 * 86400)]:
        rule, bites, rows = rules[name], Timed(), 0
        for _ in range(BITES):
            with bites, transaction() as connection:
                rows += connection.execute(text(rule.statement), {"age": age, "bite": rule.bite}).rowcount
        each = rows / BITES
        yield [name, f"{each:,.0f}", *_told(bites), f"{60 * each / min(bites.times):,.0f}"]


def _told(found: Timed) -> list[str]:
    return [f"{each:,.0f}" for each in found.ms()]


def measure(wanted: Sizes) -> None:
    """Print all tables."""
    with servers() as url, psycopg.connect(url, autocommit=True) as connection:
        began = time.perf_counter()
        seed(connection, wanted)
        took = time.perf_counter() - began
        kept = f"{wanted.tenants:,} tenants, {wanted.enrollments:,} enrollments, {wanted.runs:,} runs"
        output.say(f"{kept}; filled in {took:.0f} s")
        output.show_table(
            ("table", "rows", "MB", "indexes", "MB for a million enrollments"),
            list(sizes(connection, wanted.enrollments)),
        )
        output.say("")
        # Filling took long: some would be due.
        connection.execute("UPDATE tenant_direction SET next_run_at = now() + interval '1 hour'")
        # Before the relay, which takes all messages away in the end.
        done = [*counted(), *relay_ticks(connection), due()]
        rows = [[what, f"{quickest:,.1f}", f"{used:,.1f}"] for what, (quickest, used) in done]
        output.show_table(("what", "quickest ms", "processor ms"), rows)
        output.say("")
        output.show_table(
            ("retention", "rows of a bite", "quickest bite, ms", "processor ms", "rows a minute"), list(forgetting())
        )
        output.say("\nload of the machine: " + ", ".join(f"{load:.1f}" for load in os.getloadavg()))


def sizes_of(given: Mapping[str, int]) -> Sizes:
    """As many of all else as belong to so many enrollments."""
    scaled = Sizes.of(given["enrollments"] / 1_000_000)
    return replace(scaled, tenants=given["tenants"], runs=max(given["runs"], 4 * given["tenants"]))


def main() -> int:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--enrollments", type=int, default=1_000_000)
    parser.add_argument("--tenants", type=int, default=1_000)
    parser.add_argument("--runs", type=int, default=40_000, help="kept; 48,000 a day where 1,000 tenants run hourly")
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    measure(sizes_of(vars(parser.parse_args())))
    return 0


if __name__ == "__main__":
    sys.exit(main())
