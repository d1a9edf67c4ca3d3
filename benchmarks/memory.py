"""How much memory a roster takes, however large: a first plan, nothing to do, and half of the people gone.

    .venv/bin/python -m benchmarks.memory [--rows 1000000]

Measured is the worker that plans, and the command of a dry run, beside the same with a thousand rows. Nobody is made at
Pluvo: the plan is taken as carried out. Prints a line each; ends with 1 when one takes 60 MB more than a thousand rows.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence

from benchmarks.cost import command_memory, peak_memory
from benchmarks.flows import tenant_of
from benchmarks.scale import pretend_applied
from benchmarks.system import System, system, wait_until
from models.direction import Direction
from ops.runs import start
from ops.terminal import output
from simulators.sample_data.tenants import world

FEW, MORE_MB, PATIENCE_SECONDS = 1_000, 60.0, 3600.0


def measure(rows: int) -> dict[str, float]:
    """Most memory of one process, in MB, by what was done."""
    found: dict[str, float] = {}
    # All are in one event; of more than it may have, nothing would be planned.
    with system(workers=1, variables={"KOPPELING_MAX_EVENT_ROWS": str(2 * max(rows, FEW))}) as made:
        made.fill(world((tenant_of(rows),)))
        found["a first plan, dry"] = _dry(rows, code=0)
        found["a first plan"] = _run(made, "a first plan", "status = 'applying'")
        pretend_applied(made)
        found["nothing to do"] = _run(made, "nothing to do")
        found["nothing to do, dry"] = _dry(rows, code=0)
        made.afas.replace(world((tenant_of(rows // 2),)).afas.state()["tenants"])
        found["half of them gone, dry"] = _dry(rows, code=3)  # they are held back
        found["half of them gone"] = _run(made, "half of them gone")
    return found


def _run(made: System, what: str, until: str = "finished_at IS NOT NULL") -> float:
    """A run in the worker, until it is so far."""
    begun = time.perf_counter()
    with peak_memory(made.workers()) as used:
        (run,) = start.start(Direction.ENROLLMENTS, ["bench"], everyone=False, options={}, need_worker=True).run_ids
        state = f"SELECT {until} AS over FROM run WHERE id = :run"  # noqa: S608  words of this file
        if not wait_until(lambda: made.rows(state, run=run)[0]["over"], PATIENCE_SECONDS, pause=0.1):
            raise TimeoutError(f"{what}: the run was not over in time")
    output.say(f"  {what}: {time.perf_counter() - begun:.1f} s, {used['peak']} MB")
    return used["peak"]


def _dry(rows: int, *, code: int) -> float:
    begun = time.perf_counter()
    ended, most = command_memory("sync", "bench", "--dry-run", "--json")
    output.say(f"  dry run of {rows:,}: {time.perf_counter() - begun:.1f} s, {most} MB")
    if ended != code:
        raise AssertionError(
            f"a dry run of {rows:,} ended with {ended} instead of {code}: its plan is not what is measured"
        )
    return most


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure a thousand rows and very many."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory", description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    rows = parser.parse_args(arguments).rows
    few, many = measure(FEW), measure(rows)
    for what, most in many.items():
        output.say(f"{what}: {most:.0f} MB with {rows:,} rows, {few[what]:.0f} MB with {FEW:,}")
    return 1 if any(most - few[what] > MORE_MB for what, most in many.items()) else 0


if __name__ == "__main__":
    sys.exit(main())
