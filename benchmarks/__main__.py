"""``make bench``: the table of targets, each row beside its floor in the same run.

    make bench                                   # all of it, in a quarter of an hour
    make bench ARGS="--only write-backs,status"  # rows whose names begin so
    make bench ARGS="--people 300 --rows 0"      # smaller; 0 leaves a row out

Always the same people and courses. Prints a table, writes ``benchmarks/result-….json`` and a picture (``.svg``), and
with ``--write`` the table of docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import first_sync, million, pages, scale, starting, write_backs
from benchmarks.peers.chart import svg
from benchmarks.system import ROOT
from benchmarks.targets import TARGETS, Found, Target
from ops.terminal import output

PAGE = ROOT / "docs" / "benchmarks.md"
BEGIN, END = "<!-- written by make bench -->\n", "<!-- until here -->\n"
SIZES = {
    "people": (2000, "newcomers of a first sync"),
    "write-backs": (500, "dates written back; and then four times as many"),
    "rows": (100_000, "of the unchanged tenant"),
    "enrollments": (1_000_000, "stored beside a first sync"),
    "messages": (20_000, "that do nothing"),
}
PAGE_TIMES = 20
Measured = dict[str, Found]


def arguments(words: list[str] | None = None) -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(
        prog="make bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name, (size, what) in SIZES.items():
        parser.add_argument(f"--{name}", type=int, default=size, help=f"{what} ({size:,}; 0 leaves it out)")
    parser.add_argument("--only", default="", help="rows whose names begin so, with commas: " + ", ".join(_names()))
    parser.add_argument("--write", action="store_true", help="put the table into docs/benchmarks.md")
    given = parser.parse_args(words)
    if not chosen(given.only):
        parser.error(f"--only: no row is called so; there are {', '.join(_names())}")
    return given


def main() -> int:
    """Measure, print, and keep the result."""
    given = arguments()
    wanted = chosen(given.only)
    now, began = datetime.now(UTC), time.perf_counter()
    result: dict[str, Any] = {"at": now.isoformat(timespec="seconds"), "machine": machine(), "sizes": vars(given)}
    rows: list[dict[str, Any]] = []
    failed = False
    for names, measure in measurements(given):
        if not wanted & set(names):
            continue
        try:
            found = measure()
        except Exception as error:  # the other rows are worth their time all the same
            failed = True
            output.say(f"{', '.join(names)}: not measured ({type(error).__name__}: {error})", error=True)
            continue
        for target in TARGETS:
            if target.name in found and target.name in wanted:
                rows.append(row_of(target, found[target.name]))
                output.say(f"{target.name}: {rows[-1]['value']:g} {target.unit}")
    rows.sort(key=lambda row: _names().index(row["name"]))
    result |= {"rows": rows, "seconds": round(time.perf_counter() - began)}
    output.say("")
    output.show_table(("target", "wanted", "measured", "floor", "met"), [_cells(row) for row in rows])
    path = Path(__file__).parent / f"result-{now:%Y%m%d-%H%M%S}.json"
    path.write_text(json.dumps(result, indent=2, default=str) + "\n", encoding="utf-8")
    if bars := rates(rows):
        caption = f"people a second, first sync of {given.people}, {now:%Y-%m-%d}, {_on(result['machine'])}"
        path.with_suffix(".svg").write_text(svg(bars, caption), encoding="utf-8")
    output.say(f"\n{_on(result['machine'])}; {result['seconds']} s; written to {path}")
    if given.write:
        write(result)
    return 1 if failed else 0


def measurements(given: argparse.Namespace) -> list[tuple[Sequence[str], Callable[[], Measured]]]:
    """What is measured together, the quick ones first; the names of the rows it gives."""
    everything: list[tuple[int, Sequence[str], Callable[[], Measured]]] = [
        (1, ("help", "status", "picked-up"), starting.measure),
        (given.messages, ("engine",), partial(engine, given.messages)),
        (
            given.people,
            ("first-sync-python", "first-sync-postgres", "first-sync", "first-sync-8", "first-sync-shared"),
            partial(first_sync.at_once, given.people),
        ),
        (
            given.people,
            ("first-sync-20ms", "first-sync-20ms-shared"),
            partial(first_sync.with_answers_after_20_ms, given.people),
        ),
        (given.people, ("pluvo-limit",), partial(first_sync.at_pluvos_limit, given.people // 2)),
        (given.people, ("two-workers",), partial(first_sync.with_another_worker, given.people // 2)),
        (
            given.write_backs,
            ("write-backs", "write-backs-8", "write-backs-none"),
            partial(write_backs.measure, given.write_backs, 4 * given.write_backs),
        ),
        (given.enrollments, ("million",), partial(million.measure, max(100, given.people // 4), given.enrollments)),
        (given.enrollments, ("pages",), partial(pages.measure, given.enrollments, PAGE_TIMES)),
        (given.rows, ("unchanged",), partial(scale.unchanged, given.rows)),
    ]
    return [(names, measure) for size, names, measure in everything if size]


def engine(messages: int) -> Measured:
    """Ledger, relay and worker alone, in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.engine", "--messages", str(messages)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603  our own
    said = re.search(r"^throughput +(\d+)", done.stdout, re.MULTILINE)
    if done.returncode or not said:
        raise RuntimeError(done.stderr[-500:] or done.stdout[-500:])
    return {"engine": Found(float(said[1]), "", {"said": done.stdout.splitlines()})}


def chosen(only: str) -> set[str]:
    """Rows whose names begin with one of these words, which have commas between them; all where there is none."""
    words = tuple(word.strip() for word in only.split(",") if word.strip()) or ("",)
    return {name for name in _names() if name.startswith(words)}


def _names() -> list[str]:
    return [target.name for target in TARGETS]


def row_of(target: Target, found: Found) -> dict[str, Any]:
    """One line of the table, with all its numbers."""
    about = {"what": target.what, "wanted": target.wanted, "unit": target.unit, "met": target.met(found.value)}
    return (
        {"name": target.name, "value": float(f"{found.value:.3g}")}
        | about
        | {name: value for name, value in asdict(found).items() if name != "value"}
    )


def _cells(row: dict[str, Any]) -> list[str]:
    return [row["what"], row["wanted"], f"{row['value']:g} {row['unit']}", row["floor"], "yes" if row["met"] else "NO"]


def machine() -> dict[str, Any]:
    """What it was measured on, and how busy that was."""
    return {
        "cores": os.cpu_count(),
        "load": [round(load, 1) for load in os.getloadavg()],
        "python": platform.python_version(),
        "system": platform.platform(),
    }


def _on(machine: dict[str, Any]) -> str:
    return f"{machine['cores']} cores, load {machine['load'][0]} at the start, Python {machine['python']}"


def rates(rows: Sequence[dict[str, Any]]) -> list[tuple[str, dict[int, float]]]:
    """What the picture shows: people a second by program and milliseconds that Pluvo takes."""
    more = {row["name"]: row["more"] for row in rows}
    bars: dict[str, dict[int, float]] = {}
    for program, key, places in (
        ("script, one after the other", "bare_people_a_second", {"first-sync": 0}),
        ("script, 8 threads", "bare_people_a_second", {"first-sync-8": 0}),
        ("script, 16 threads", "bare_people_a_second", {"first-sync-20ms": 20}),
        ("Koppeling", "people_a_second", {"first-sync": 0, "first-sync-20ms": 20}),
        ("Koppeling, 10 people a call", "people_a_second", {"first-sync-shared": 0, "first-sync-20ms-shared": 20}),
    ):
        found = {delay: more[name][key] for name, delay in places.items() if name in more}
        if found:
            bars[program] = found
    return list(bars.items())


def write(result: dict[str, Any]) -> None:
    """Put the table into the page, in place of the one that is there."""
    lines = ["| target | wanted | measured | floor | met |", "|---|---|---|---|---|"]
    lines += [f"| {' | '.join(_cells(row))} |" for row in result["rows"]]
    on = f"Measured {result['at'][:10]} by `make bench --write`: {_on(result['machine'])}; {result['seconds']} s."
    text = PAGE.read_text(encoding="utf-8")
    head, rest = text.split(BEGIN, 1)
    PAGE.write_text(head + BEGIN + "\n".join([on, "", *lines, ""]) + END + rest.split(END, 1)[1], encoding="utf-8")
    output.say(f"the table is in {PAGE}")


if __name__ == "__main__":
    sys.exit(main())
