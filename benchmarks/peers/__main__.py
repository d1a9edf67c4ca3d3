"""``python -m benchmarks.peers [--people 2000] [--delays 0,20]``: the product beside what people would build instead.

Prints tables, and writes ``benchmarks/peers/result-….json`` and ``.svg``. For Celery, once:
``.venv/bin/pip install -r benchmarks/peers/requirements.txt``.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from itertools import product
from pathlib import Path
from typing import Any

from benchmarks.__main__ import machine
from benchmarks.peers.chart import svg
from benchmarks.peers.contestants import CONTESTANTS, FLOOR, PROCESSES, THREADS, Contestant, peer
from benchmarks.peers.measure import Running, differences, killed, timed
from benchmarks.peers.ours import Stage, koppeling, output, servers, stage, temporary_folder

INSTALL = ".venv/bin/pip install -r benchmarks/peers/requirements.txt"
KOPPELING = f"Koppeling, {PROCESSES} x {THREADS} threads"
COMES_BACK_AFTER = 10
"""Seconds after which the queues take over a dead worker's messages when they are killed: see docs/benchmarks.md."""
LACKS = {
    "script": "one run on one machine; no retry; nothing but newcomers: no AFAS, no renames, moves or removals, no "
    "match with accounts that exist, no holds, no completions, no tenants side by side, no pace, no record of why",
    "Celery, dramatiq": "the same, but for retries and several machines; work is put into Redis apart from the "
    "database, and is lost with it; a call whose answer was lost is made again without looking",
    "Koppeling": "it does these; and pays for it with a plan, a message row, a lease and an outcome for each person",
}


def main() -> int:
    """Measure, print, and keep the result."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    parser.add_argument("--people", type=int, default=2000)
    parser.add_argument("--delays", default="0,20", help="milliseconds each answer of Pluvo takes, several with commas")
    parser.add_argument("--killed", type=int, default=300, help="people at each kill; 0 leaves the kills out")
    parser.add_argument("--kills", type=int, default=3, help="how often each is killed, at different moments")
    parser.add_argument("--seed", type=int, default=1, help="of the moments of the kills")
    given = parser.parse_args()
    delays = [int(delay) for delay in given.delays.split(",")]
    contestants = [what for what in CONTESTANTS if what.installed]
    for what in CONTESTANTS:
        if not what.installed:
            output.say(f"{what.name}: not measured, {what.needs} is missing: {INSTALL}")
    now = datetime.now(UTC)
    result: dict[str, Any] = {
        "at": now.isoformat(timespec="seconds"), "machine": machine(), "people": given.people, "seed": given.seed,
        "versions": {name: version(name) for name in ("celery", "dramatiq", "requests") if _has(name)},
        "timed": [], "killed": [], "lacks": LACKS,
    }  # fmt: skip
    for delay in delays:
        result["timed"] += measured_rows([FLOOR, *contestants], given.people, delay)
    show_timed(result["timed"])
    if given.killed:
        dice = random.Random(given.seed)  # noqa: S311 - no secret
        shares = [round(dice.uniform(0.3, 0.7), 2) for _ in range(given.kills)]
        result |= {"killed_at_shares": shares, "killed_delay_ms": delays[-1]}
        result["killed"] = killed_rows(contestants, given.killed, delays[-1], shares)
        show_killed(result["killed"])
    for name, words in LACKS.items():
        output.say(f"\n{name}: {words}")
    path = Path(__file__).parent / f"result-{now:%Y%m%d-%H%M%S}.json"
    path.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    caption = f"people a second, {given.people} newcomers, {now:%Y-%m-%d}, {result['machine']['cores']} cores"
    path.with_suffix(".svg").write_text(svg(bars(result["timed"]), caption), encoding="utf-8")
    output.say(f"\nwritten to {path} and .svg")
    return 0


def _has(name: str) -> bool:
    return name != "celery" or any(what.needs == "celery" and what.installed for what in CONTESTANTS)


@contextmanager
def peers_stage(people: int) -> Iterator[Stage]:
    """A stage with servers of its own."""
    with (
        temporary_folder("koppeling-peers-") as name,
        servers(Path(name)) as urls,
        stage(people, Path(name), *urls) as made,
    ):
        yield made


def measured_rows(contestants: list[Contestant], people: int, delay: int) -> list[dict[str, Any]]:
    """Each contestant undisturbed, the product last; ``times_floor`` compares with the first."""
    rows = []

    def note(name: str, running: Running) -> None:
        row = {"name": name, "delay_ms": delay, **timed(running, people)}
        row["times_floor"] = round(row["seconds"] / (rows[0] if rows else row)["seconds"], 2)
        rows.append(row)
        wrong = differences(refs, running)
        if any(wrong.values()) and row["name"] != FLOOR.name:
            raise AssertionError(f"{name} did not do the work, so its time says nothing: {wrong}")
        output.say(f"{name}, {delay} ms: {row['seconds']} s")

    with peers_stage(people) as made:
        refs = {person["ref"] for person in made.people}
        for what in contestants:
            with peer(what, made, delay) as running:
                note(what.name, running)
        document = made.document
    with koppeling(people, delay, workers=PROCESSES, threads=THREADS) as ours:
        note(KOPPELING, ours)
        sent = {entry["body"] for entry in ours.pluvo.creations()}
    if sent != {document}:
        raise AssertionError("the product sent another document than the others: the comparison is not fair")
    return rows


def killed_rows(contestants: list[Contestant], people: int, delay: int, shares: list[float]) -> list[dict[str, Any]]:
    """Each contestant killed by SIGKILL and started again, once a share; the counts of all kills together."""
    found: dict[str, list[dict[str, Any]]] = {}

    def note(name: str, one: dict[str, Any]) -> None:
        found.setdefault(name, []).append(one)
        output.say(f"{name}, killed: {one}")

    with peers_stage(people) as made:
        refs = {person["ref"] for person in made.people}
        for what, share in product(contestants, shares):
            with peer(what, made, delay, COMES_BACK_AFTER) as running:
                note(what.name, killed(running, refs, share))
    for share in shares:
        with koppeling(people, delay, workers=PROCESSES, threads=THREADS) as ours:
            note(KOPPELING, killed(ours, refs, share))
    return [
        {"name": name, "people": people * len(all_), "longest": max(one.pop("seconds_after_the_kill") for one in all_)}
        | {count: sum(one[count] for one in all_) for count in all_[0]}
        for name, all_ in found.items()
    ]


def show_timed(rows: list[dict[str, Any]]) -> None:
    """One line per contestant and delay."""
    columns = ("program", "delay, ms", "seconds", "times floor", "people/s", "CPU ms each", "PostgreSQL", "Valkey")
    output.say("")
    output.show_table(
        columns,
        [[row["name"], row["delay_ms"], row["seconds"], row["times_floor"], row["people_a_second"],
          *row["cpu_ms_a_person"].values()] for row in rows],
    )  # fmt: skip


def show_killed(rows: list[dict[str, Any]]) -> None:
    """One line per contestant."""
    names = [name for name in rows[0] if name != "name"]
    output.say("")
    output.show_table(
        ["killed", *(name.replace("_", " ") for name in names)],
        [[row["name"], *(row[name] for name in names)] for row in rows],
    )


def bars(rows: list[dict[str, Any]]) -> list[tuple[str, dict[int, float]]]:
    """What the picture shows: people a second by name and delay."""
    found: dict[str, dict[int, float]] = {}
    for row in rows:
        found.setdefault(row["name"], {})[row["delay_ms"]] = row["people_a_second"]
    return list(found.items())


if __name__ == "__main__":
    sys.exit(main())
