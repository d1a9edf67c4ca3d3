"""Whether a person costs more where very many are stored already."""

from __future__ import annotations

import time
from dataclasses import replace

import psycopg

import settings
from benchmarks.flows import Timed, tenant_of, timed_run
from benchmarks.seed import Sizes, seed
from benchmarks.system import System, system
from benchmarks.targets import Found
from models.direction import Direction
from simulators.sample_data.tenants import world

FEW = 1_000
# Longer than from one look to the next
REST_SECONDS = 25
PATIENCE_SECONDS = 300
_ALERTS = "SELECT count(*), count(told_at) AS told, count(closed_at) AS closed, count(over_told_at) AS over FROM alert"
_BLOCKS = """
    SELECT relname, coalesce(heap_blks_hit, 0) + coalesce(heap_blks_read, 0) + coalesce(idx_blks_hit, 0)
                    + coalesce(idx_blks_read, 0) + coalesce(toast_blks_hit, 0) + coalesce(toast_blks_read, 0) AS blocks
      FROM pg_statio_user_tables
"""


def measure(people: int, enrollments: int) -> dict[str, Found]:
    """A first sync of so many people with few enrollments in the database, and with very many."""
    (few, few_blocks), (many, many_blocks) = (_first_sync(people, size) for size in (FEW, enrollments))
    cost = [1000 * (run.cpu["koppeling"] + run.cpu["postgres"]) / people for run in (few, many)]
    more = {
        "people": people,
        "enrollments": [FEW, enrollments],
        "cpu_ms_a_person": cost,
        # A busy machine changes nothing about these.
        "blocks_a_person": [few_blocks, many_blocks],
        "seconds": [few.seconds, many.seconds],
        "cpu_seconds": [few.cpu, many.cpu],
    }
    return {"million": Found(cost[1] / cost[0], f"{cost[0]:.1f} ms with {FEW:,} stored", more)}


def _first_sync(people: int, enrollments: int) -> tuple[Timed, dict[str, int]]:
    """The run, and how many blocks (8 kB, nearly always in memory) PostgreSQL read of each table for a person."""
    # Nothing of what is stored waits to be done.
    sizes = replace(Sizes.of(enrollments / 1_000_000), messages=0, applying=0, reading=0)
    with system() as made:
        plain = settings.get().need_database().replace("+psycopg", "", 1)
        with psycopg.connect(plain, autocommit=True) as connection:
            seed(connection, sizes)
        made.fill(world((tenant_of(people),)))
        _rest(made)
        before = _blocks(made)
        run = timed_run(made, Direction.ENROLLMENTS)
        return run, {table: (blocks - before[table]) // people for table, blocks in _blocks(made).items()}


def _rest(made: System) -> None:
    """Wait until whoever looks for alerts has found, and told of, what a database that is new to it has."""
    begun = same_since = time.monotonic()
    known = made.rows(_ALERTS)
    while time.monotonic() - same_since < REST_SECONDS:
        if time.monotonic() - begun > PATIENCE_SECONDS:
            raise TimeoutError(f"alerts were still being told after {PATIENCE_SECONDS} s")
        time.sleep(1)
        if (now := made.rows(_ALERTS)) != known:
            known, same_since = now, time.monotonic()


def _blocks(made: System) -> dict[str, int]:
    return {row["relname"]: row["blocks"] for row in made.rows(_BLOCKS)}
