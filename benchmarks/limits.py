"""Limits that all workers share, as the simulators count them: AFAS calls in flight, Pluvo's rate, ``Retry-After``.

    .venv/bin/python -m benchmarks.limits [--small] [--only afas,pluvo,told] [--processes 1,2,4]

Each with one tenant, and with two that share one AFAS environment (two events) or one Pluvo organisation. *Used* is the
share of what is allowed, between the first and the last tenth of the calls, while there is work all the time; for AFAS,
*floor* is what two bare sessions use that send the same calls one after the other, on the same machine. ``told``:
one call is answered ``Retry-After: 5``; counted are the calls of anybody there that arrived during those five seconds.
Results in ``benchmarks/result-limits-….json``.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.bare import replay_afas
from benchmarks.fairness import WRITES, Entry, ask, crowd, wait_for
from benchmarks.flows import COURSE
from benchmarks.system import System, system, wait_until
from models.direction import Direction
from ops.tenants import file, importing
from ops.terminal import output
from simulators.afas.tenant import OAuthClient
from simulators.sample_data.tenant import SampleCourse, SampleTenant
from simulators.sample_data.tenants import World, world

OTHER = SampleCourse(101, "Other")
PUT_SECONDS, ANSWER_SECONDS, TOLD_SECONDS = 0.3, 0.1, 5
IN_FLIGHT = 2
USED_PERCENT = 95.0
# What an answer takes to be read and passed on to every process
GRACE_SECONDS = 0.25


def fill(made: System, people: int, shared: str, rate: int) -> tuple[SampleTenant, ...]:
    """Put one tenant into the simulators, or two that share an ``afas`` environment or a ``pluvo`` organisation."""
    first, second = crowd("one", 2, people, 60_000)
    if not shared:
        made.fill(world((first,)), calls_per_second=rate)
        return (first,)
    if shared == "afas":  # each links an event of its own there
        both = SampleTenant(
            first.slug,
            first.name,
            first.member_id,
            2 * people,
            (
                SampleCourse(COURSE.event_id, COURSE.title, share=(0, 0.5)),
                SampleCourse(101, OTHER.title, share=(0.5, 1)),
            ),
        )
        second = SampleTenant(second.slug, second.name, second.member_id, people, (OTHER,))
        filled = world((both, second))
        environment = filled.afas.tenants[first.member_id]
        environment.oauth_clients[second.slug] = OAuthClient([second.secret("afas")])
    else:
        filled = world((first, second))
        filled.pluvo.tenants[first.slug].clients |= filled.pluvo.tenants[second.slug].clients
    filled = World(filled.afas, filled.pluvo, (first, second))
    made.afas.replace(filled.afas.state()["tenants"])
    made.pluvo.replace(filled.pluvo.state()["tenants"])
    text = filled.tenants_toml(made.afas_url, made.pluvo_url, calls_per_second=rate)
    if shared == "afas":
        text = text.replace(second.member_id, first.member_id).replace(second.completion_field, first.completion_field)
    else:
        text = text.replace(f'organisation = "{second.slug}"', f'organisation = "{first.slug}"')
        text = text.replace(f"{made.pluvo_url}/t/{second.slug}", f"{made.pluvo_url}/t/{first.slug}")
    path = made.home / "tenants.toml"
    path.write_text(text, encoding="utf-8")
    importing.apply(file.read(path), who="benchmark")
    return first, second


def at(entry: Entry, what: str = "at") -> float:
    """A moment of a simulator's log, in seconds."""
    return datetime.fromisoformat(entry[what]).timestamp()


def middle(entries: Sequence[Entry]) -> tuple[float, float]:
    """When the first tenth of these calls has arrived, and when the last tenth begins."""
    begins = sorted(map(at, entries))
    return begins[len(begins) // 10], begins[-1 - len(begins) // 10]


def most_in(entries: Sequence[Entry], seconds: float) -> int:
    """The most calls that arrived in any so many seconds."""
    begins = sorted(map(at, entries))
    most = first = 0
    for last, begin in enumerate(begins):
        while begins[first] <= begin - seconds:
            first += 1
        most = max(most, last - first + 1)
    return most


def busy(puts: Sequence[Entry]) -> float:
    """How much of the calls that may be in flight was, in percent, without the first and the last tenth."""
    begin, end = middle(puts)
    together = sum(max(0.0, min(at(e, "ended_at"), end) - max(at(e), begin)) for e in puts)
    return round(100 * together / (IN_FLIGHT * (end - begin)), 1)


def afas(processes: int, dates: int, shared: str) -> dict[str, Any]:
    """Dates written back at ``parallel_calls = 2``, each PUT answered after 0.3 s."""
    with system(workers=processes, threads=8) as made:
        tenants = fill(made, dates, shared, 0)
        slugs = [tenant.slug for tenant in tenants]
        wait_for(made, ask(*slugs), "queued", "running", "applying")
        for tenant in tenants:
            made.pluvo.do(tenant.slug, "finish", title=tenant.courses[0].title, count=dates, at="2026-06-30T22:30:00Z")
        before = made.afas.state()
        made.afas.clear_log()
        made.afas.fault("delay", match={"operation": "put"}, seconds=PUT_SECONDS)
        wait_for(made, ask(*slugs, direction=Direction.COMPLETIONS), "queued", "running", "applying")
        log = [entry for entry in made.afas.log(tenants[0].member_id) if entry["ended_at"]]
        made.afas.replace(before)
        puts = [entry for entry in log if entry["operation"] == "put"]
        replay_afas(made.afas_url, tenants[0], puts, IN_FLIGHT)
        again = [entry for entry in made.afas.log(tenants[0].member_id, after=log[-1]["n"]) if entry["ended_at"]]
    used, bare = busy(puts), busy([entry for entry in again if entry["operation"] == "put"])
    return {
        "calls": len(puts),
        "allowed": IN_FLIGHT,
        "most": max(entry["in_flight"] for entry in log),
        "used_percent": used,
        "floor_percent": bare,
        "kept": max(entry["in_flight"] for entry in log) <= IN_FLIGHT,
    }


def pluvo(processes: int, people: int, shared: str, rate: int = 5) -> dict[str, Any]:
    """Accounts made at a rate, each answered after 0.1 s; the simulator refuses what is above it."""
    with system(workers=processes, threads=8) as made:
        tenants = fill(made, people // (2 if shared else 1), shared, rate)
        made.pluvo.do(tenants[0].slug, "change_switches", calls_per_second=float(rate), rate_burst=rate)
        made.pluvo.fault("delay", match=WRITES, seconds=ANSWER_SECONDS)
        wait_for(made, ask(*(tenant.slug for tenant in tenants)), "queued", "running", "applying")
        log = [entry for entry in made.pluvo.log(tenants[0].slug) if entry["operation"] != "token"]
    writes = [entry for entry in log if str(entry["body"]).startswith("mutation")]
    begin, end = middle(writes)
    inside = [entry for entry in log if begin <= at(entry) < end]
    refused = sum(entry["status"] == 429 for entry in log)
    return {
        "calls": len(log),
        "allowed": rate,
        "most": most_in(log, 1.0),
        "most_in_10_seconds": most_in(log, 10.0),
        "refused": refused,
        "used_percent": round(100 * len(inside) / (rate * (end - begin)), 1),
        "kept": not refused and most_in(log, 1.0) <= rate,
    }


def told(processes: int, people: int, shared: str) -> dict[str, Any]:
    """One call is told to wait five seconds: nobody calls there meanwhile, on any machine, for any tenant."""
    with system(workers=processes, threads=8) as made:
        tenants = fill(made, people, shared, 0)
        slugs = [tenant.slug for tenant in tenants]
        system_of, key = made.pluvo, tenants[0].slug
        if shared == "afas":
            wait_for(made, ask(*slugs), "queued", "running", "applying")
            for one in tenants:
                made.pluvo.do(one.slug, "finish", title=one.courses[0].title, count=people, at="2026-06-30T22:30:00Z")
            made.afas.clear_log()
            made.afas.fault("delay", match={"operation": "put"}, seconds=ANSWER_SECONDS)
            system_of, key = made.afas, tenants[0].member_id
            asked = ask(*slugs, direction=Direction.COMPLETIONS)
        else:
            made.pluvo.fault("delay", match=WRITES, seconds=ANSWER_SECONDS)
            asked = ask(*slugs)
        match = {"operation": "put"} if shared == "afas" else WRITES
        wait_until(lambda: len(_of(system_of.log(key), match)) >= people // 4, 600)
        system_of.fault("retry_after", tenant=key, match=match, times=1, seconds=TOLD_SECONDS)
        wait_for(made, asked, "queued", "running", "applying")
        log = [entry for entry in system_of.log(key) if entry["ended_at"] and entry["operation"] != "token"]
    answer = next(at(entry, "ended_at") for entry in log if entry["status"] == 429)
    after = sorted(at(entry) - answer for entry in log if at(entry) > answer)
    early = [seconds for seconds in after if seconds < TOLD_SECONDS]
    return {
        "calls": len(log),
        "early": len([seconds for seconds in early if seconds > GRACE_SECONDS]),
        "within_grace": len([seconds for seconds in early if seconds <= GRACE_SECONDS]),
        "went_on_after_seconds": round(min((s for s in after if s >= TOLD_SECONDS), default=0.0), 1),
        "kept": all(seconds <= GRACE_SECONDS for seconds in early),
    }


def _of(log: Sequence[Entry], match: dict[str, str]) -> list[Entry]:
    put = match.get("operation")
    return [e for e in log if (e["operation"] == put if put else str(e["body"]).startswith("mutation"))]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure each limit with each number of processes; 1 when one was not kept or too little of it used."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.limits", description=__doc__)
    parser.add_argument("--small", action="store_true", help="fewer calls")
    parser.add_argument("--only", default="afas,pluvo,told")
    parser.add_argument("--processes", default="1,2,4")
    given = parser.parse_args(arguments)
    only, size = given.only.split(","), 60 if given.small else 150
    rows = []
    for processes in map(int, given.processes.split(",")):
        plan = [
            ("afas", lambda n, s: afas(n, size if not s else size // 2, s), ("", "afas")),
            ("pluvo", lambda n, s: pluvo(n, size, s), ("", "pluvo")),
            ("told", lambda n, s: told(n, 60, s), ("pluvo", "afas")),
        ]
        for name, measure, ways in plan:
            for shared in ways if name in only else ():
                begun = time.perf_counter()
                row = {"limit": name, "processes": processes, "shared": shared} | measure(processes, shared)
                row |= {"seconds": round(time.perf_counter() - begun, 1), "load": round(os.getloadavg()[0], 1)}
                used = row.get("used_percent", 100.0) / row.get("floor_percent", 100.0)
                row["met"] = row["kept"] and 100 * used >= USED_PERCENT
                rows.append(row)
                output.say(" ".join(f"{key}={value}" for key, value in row.items() if value != ""))
    path = Path(__file__).parent / f"result-limits-{datetime.now(UTC):%Y%m%d-%H%M%S}.json"
    path.write_text(json.dumps({"at": datetime.now(UTC).isoformat(), "rows": rows}, indent=1), encoding="utf-8")
    output.say(path.name)
    return 0 if all(row["met"] for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
