"""How soon something begins: a run that is asked for, and a command."""

from __future__ import annotations

import os
import statistics
import subprocess

from benchmarks.flows import tenant_of, timed_run
from benchmarks.system import KOPPELING, ROOT, System, system
from benchmarks.targets import Found
from models.direction import Direction
from simulators.sample_data.tenants import world

PEOPLE, RUNS, COMMANDS = 5, 20, 7


def measure() -> dict[str, Found]:
    """On an idle system with one small tenant."""
    with system() as made:
        made.fill(world((tenant_of(PEOPLE),)))
        for _ in range(RUNS + 1):
            timed_run(made, Direction.ENROLLMENTS)
        picked_up = _picked_up(made)
        commands = {name: _cpu_seconds(*arguments) for name, *arguments in (("help", "--help"), ("status", "status"))}
    python = _cpu_seconds_of(KOPPELING[0], "-c", "pass")
    floor = f"{python:.2f} s, Python alone"
    return {"picked-up": Found(statistics.median(picked_up), "", {"ms": picked_up})} | {
        name: Found(seconds, floor, {"runs": COMMANDS}) for name, seconds in commands.items()
    }


def _picked_up(made: System) -> list[float]:
    """Milliseconds from asking to picking up; the first run warmed everything up."""
    waits = "SELECT 1000 * extract(epoch FROM started_at - created_at)::float AS ms FROM run ORDER BY id OFFSET 1"
    return [round(row["ms"], 1) for row in made.rows(waits)]


def _cpu_seconds(*arguments: str) -> float:
    return _cpu_seconds_of(*KOPPELING, *arguments)


def _cpu_seconds_of(*command: str) -> float:
    """Processor seconds of a command, the median of several; the first fills the disk's cache."""
    found = []
    for _ in range(COMMANDS + 1):
        child = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)  # noqa: S603  our own command
        _, status, used = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode:
            raise RuntimeError(f"{command} ended with {child.returncode}")
        found.append(used.ru_utime + used.ru_stime)
    return statistics.median(found[1:])
