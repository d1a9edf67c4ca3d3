"""Does a person cost more where a million others are known? Counted in blocks that PostgreSQL reads, not in seconds.

    .venv/bin/python -m benchmarks.growth [--people 200] [--scale 1]

Seeds a database (scale 1: a million enrollments of a thousand tenants, see ``benchmarks/seed.py``), adds one tenant,
and lets real workers do its first sync and one in which nothing changed. A block is 8 kB, nearly always in memory.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterator

import psycopg

import settings
from benchmarks.flows import tenant_of, timed_run
from benchmarks.seed import Sizes, seed
from benchmarks.system import System, system
from models.direction import Direction
from simulators.sample_data.tenants import world

_BLOCKS = """
    SELECT relname, coalesce(heap_blks_hit, 0) + coalesce(heap_blks_read, 0) + coalesce(idx_blks_hit, 0)
                    + coalesce(idx_blks_read, 0) + coalesce(toast_blks_hit, 0) + coalesce(toast_blks_read, 0) AS blocks
      FROM pg_statio_user_tables
"""


def measure(scale: float, people: int) -> Iterator[tuple[str, Counter[str]]]:
    """Blocks of each table that a person's row took, in both runs."""
    with system(workers=1, threads=8) as made:
        # Nothing of what is seeded is to be done: only the new tenant's people are.
        sizes = Sizes.of(scale)
        sizes = Sizes(**(vars(sizes) | {"messages": 0, "applying": 0, "held_lines": min(sizes.held_lines, 1000)}))
        url = settings.get().need_database().replace("+psycopg", "", 1)
        with psycopg.connect(url, autocommit=True) as connection:
            seed(connection, sizes)
        made.fill(world((tenant_of(people),)))
        for name in ("first sync", "unchanged sync"):
            before = _blocks(made)
            timed_run(made, Direction.ENROLLMENTS)
            used = _blocks(made)
            used.subtract(before)
            yield name, Counter({table: blocks // people for table, blocks in used.items()})


def _blocks(made: System) -> Counter[str]:
    return Counter({row["relname"]: row["blocks"] for row in made.rows(_BLOCKS)})


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=200)
    parser.add_argument("--scale", type=float, default=1.0)
    given = parser.parse_args()
    for name, used in measure(given.scale, given.people):
        tables = ", ".join(f"{table} {blocks}" for table, blocks in used.most_common(8))
        sys.stdout.write(f"{name}: {used.total()} blocks a person ({tables})\n")
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
