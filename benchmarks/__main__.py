"""``python -m benchmarks [--people 2000] [--rows 100000]``: tables for people, ``result-….json`` for later."""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import flows, scale
from benchmarks.system import system
from ops.terminal import output

FLOWS = ("first_sync", "unchanged_sync", "completions")


def main() -> int:
    """Measure, print, and keep the result."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--people", type=int, default=2000, help="of the tenant whose flows are measured")
    parser.add_argument("--completions", type=int, default=500)
    parser.add_argument("--rows", type=int, default=100_000, help="of the big tenant; 0 leaves it out")
    given = parser.parse_args()
    result: dict[str, Any] = {"at": datetime.now(UTC).isoformat(timespec="seconds"), "machine": machine()}
    with system() as made:
        result |= flows.measure(made, given.people, given.completions)
        result["memory"] = [scale.memory(made)]
    show_flows(result)
    if given.rows:
        with system() as made:
            result["fairness"] = scale.fairness(made, given.rows)
            scale.pretend_applied(made)
            result["memory"].append(scale.memory(made))
        output.say(f"\nfairness: {output.shown(result['fairness'])}")
    show_memory(result["memory"])
    engine = subprocess.run([sys.executable, "-m", "benchmarks.engine"], capture_output=True, text=True, check=False)
    result["engine"] = engine.stdout.splitlines()
    output.say("\n" + engine.stdout)
    path = Path(__file__).parent / f"result-{datetime.now(UTC):%Y%m%d-%H%M%S}.json"
    path.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    output.say(f"written to {path}")
    return 0


def machine() -> dict[str, Any]:
    """What it was measured on, and how busy that was."""
    return {
        "cores": os.cpu_count(),
        "load": [round(load, 1) for load in os.getloadavg()],
        "python": platform.python_version(),
        "system": platform.platform(),
    }


def show_flows(result: dict[str, Any]) -> None:
    """One line per flow."""
    columns = ("flow", "seconds", "bare", "times", "CPU", "bare CPU", "PostgreSQL CPU", "calls", "outcomes")
    rows = []
    for name in FLOWS:
        found = result[name]
        cpu = found["cpu_seconds"]
        rows.append(
            [name, found["seconds"], found["bare_seconds"], found["times_bare"], cpu["koppeling"],
             found["bare_cpu_seconds"], cpu["postgres"], found["calls"], found["outcomes"]]
        )  # fmt: skip
    output.show_table(columns, rows)


def show_memory(found: list[dict[str, Any]]) -> None:
    """One line per size."""
    columns = ("rows", "unchanged run, s", "worker before, MB", "peak, MB", "dry run, MB", "any command, MB", "calls")
    output.say("")
    output.show_table(
        columns,
        [[one["rows"], one["seconds"], one["worker_mb"]["before"], one["worker_mb"]["peak"], one["dry_run_mb"],
          one["small_command_mb"], one["calls"]] for one in found],
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
