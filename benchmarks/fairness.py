"""Who waits for whom: many small tenants beside a large one, and beside some whose systems are in trouble.

    .venv/bin/python -m benchmarks.fairness [--small] [--only large,trouble] [--rounds 3]

Two workers of ``koppeling up``, simulators, every sync asked for at once. *Large*: 99 tenants of 50 rows beside one of
100,000: when the work of each begins and ends. *Trouble*: 40 tenants whose Pluvo answers after 300 ms, so that threads
are what is scarce, without and with troublemakers, who have the first grip; each measurement in a system of its own,
those without trouble before and after the others. Results and a picture in ``benchmarks/result-fairness-….json``
and ``.svg``.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import spans
from benchmarks.flows import COURSE, tenant_of
from benchmarks.system import System, system, wait_until
from models.direction import Direction
from ops.runs import start
from ops.terminal import output
from simulators.sample_data.tenant import SampleTenant
from simulators.sample_data.tenants import many_tenants, world

Entry = dict[str, Any]
START_LIMIT_SECONDS, COST_LIMIT = 60.0, 5.0
PATIENCE_SECONDS = 1800.0
# The documents that change something
WRITES = {"body_contains": "mutation"}
ANSWER_SECONDS = 0.3


def ask(*slugs: str, direction: Direction = Direction.ENROLLMENTS) -> list[str]:
    """Ask for a run of each of these tenants, or of all; gives their ids."""
    return list(start.start(direction, slugs, everyone=not slugs, options={}, need_worker=True).run_ids)


def wait_for(made: System, runs: Sequence[str], *states: str) -> None:
    """Wait until no run is in one of these states any more."""
    left = "SELECT count(*) AS left FROM run WHERE id = ANY(:ids) AND status = ANY(:states)"
    if not wait_until(
        lambda: made.rows(left, ids=list(runs), states=list(states))[0]["left"] == 0, PATIENCE_SECONDS, pause=0.5
    ):
        raise TimeoutError(f"runs were still {' or '.join(states)} after {PATIENCE_SECONDS:.0f} s")


def writes(made: System) -> list[Entry]:
    """The calls that changed something at Pluvo, and were answered."""
    return [e for e in made.pluvo.log() if str(e["body"]).startswith("mutation") and e["status"]]


def seconds(at: str, since: datetime) -> float:
    """How long after ``since`` a moment of a simulator's log was."""
    return (datetime.fromisoformat(at) - since).total_seconds()


def large(rows: int, tenants: int, people: int) -> dict[str, Any]:
    """One large tenant and many small ones: when the work of each small one begins and ends, and how far the large."""
    with system() as made:
        made.fill(world((tenant_of(rows), *many_tenants(tenants, people))))
        asked = datetime.now(UTC)
        runs = ask()
        small = (
            "SELECT r.id FROM run r JOIN tenant t ON t.id = r.tenant_id WHERE t.slug <> 'bench' AND r.id = ANY(:ids)"
        )
        wait_for(made, [row["id"] for row in made.rows(small, ids=runs)], "queued", "running", "applying")
        took = (datetime.now(UTC) - asked).total_seconds()
        ended = made.rows(
            "SELECT t.slug, r.status, extract(epoch FROM r.started_at - r.created_at)::float AS begun,"
            " extract(epoch FROM r.finished_at - r.created_at)::float AS ended"
            " FROM run r JOIN tenant t ON t.id = r.tenant_id WHERE r.id = ANY(:ids)",
            ids=runs,
        )
        calls = writes(made)
    first = {entry["tenant"]: seconds(entry["at"], asked) for entry in reversed(calls)}
    lanes = [
        {"tenant": row["slug"], "run": row["begun"], "first_write": first.get(row["slug"]), "end": row["ended"]}
        for row in ended
        if row["slug"] != "bench"
    ]
    of_large = [seconds(entry["ended_at"], asked) for entry in calls if entry["tenant"] == "bench"]
    return {
        "rows_of_the_large_one": rows,
        "small_tenants": len(lanes),
        "people_each": people,
        "seconds": round(took, 1),
        "last_small_run_begun": round(max(lane["run"] for lane in lanes), 1),
        "last_small_first_write": round(max(lane["first_write"] for lane in lanes), 1),
        "small_ended": {
            "first": round(min(lane["end"] for lane in lanes), 1),
            "median": round(median(lane["end"] for lane in lanes), 1),
            "last": round(max(lane["end"] for lane in lanes), 1),
        },
        "not_done": [row for row in ended if row["slug"] != "bench" and row["status"] != "done"],
        "large_done_by_then": len(of_large),
        "lanes": lanes,
        "large": of_large,
    }


def crowd(prefix: str, count: int, people: int, first_member: int) -> tuple[SampleTenant, ...]:
    """Tenants of one course."""
    return tuple(
        SampleTenant(f"{prefix}-{n:02}", f"{prefix} {n:02}", str(first_member + n), people, (COURSE,))
        for n in range(1, count + 1)
    )


def _hangs(made: System, slug: str, member: str) -> None:
    made.pluvo.fault("hang", tenant=slug, match=WRITES, seconds=110)


def _reads_hang(made: System, slug: str, member: str) -> None:
    made.afas.fault("delay", tenant=member, match={"operation": "page"}, seconds=110)


def _fails(made: System, slug: str, member: str) -> None:
    made.pluvo.fault("status", tenant=slug, match=WRITES, status=500)


def _slow(made: System, slug: str, member: str) -> None:
    made.pluvo.fault("delay", tenant=slug, match=WRITES, seconds=5)


def _bad_token(made: System, slug: str, member: str) -> None:
    made.pluvo.fault("status", tenant=slug, match=WRITES, status=401)


# name → what it is, and how its systems are broken
TROUBLE: dict[str, tuple[str, Callable[[System, str, str], None]]] = {
    "hangs": ("Pluvo never answers (the client gives up after 30 s)", _hangs),
    "reads": ("AFAS answers each page after 110 s, in both directions", _reads_hang),
    "fails": ("Pluvo answers 500", _fails),
    "slow": ("Pluvo answers after 5 s", _slow),
    "token": ("Pluvo refuses the token", _bad_token),
}


def others(tenants: int, people: int, troubles: Sequence[str]) -> dict[str, Any]:
    """People a second of those without trouble, between the first and the last tenth of their calls."""
    good = crowd("good", tenants, people, 60_000)
    bad = {name: crowd(name, 1, 20 * people, 70_000 + 100 * n)[0] for n, name in enumerate(TROUBLE) if name in troubles}
    with system() as made:
        made.fill(world((*good, *bad.values())))
        made.pluvo.fault("delay", match=WRITES, seconds=ANSWER_SECONDS)
        runs = []
        for name, tenant in bad.items():
            TROUBLE[name][1](made, tenant.slug, tenant.member_id)
            asked = ask(tenant.slug)
            if name == "reads":
                ask(tenant.slug, direction=Direction.COMPLETIONS)
            else:
                runs += asked
        wait_for(made, runs, "queued", "running")  # their messages are there first
        begun = time.perf_counter()
        wait_for(made, ask(*(tenant.slug for tenant in good)), "queued", "running", "applying")
        took = time.perf_counter() - begun
        names = {tenant.slug for tenant in good}
        calls = writes(made)
    ends = sorted(datetime.fromisoformat(e["ended_at"]).timestamp() for e in calls if e["tenant"] in names)
    tenth = len(ends) // 10
    rate = (len(ends) - 2 * tenth - 1) / (ends[-1 - tenth] - ends[tenth])
    return {
        "seconds": round(took, 1),
        "calls": len(ends),
        "calls_of_the_others": len(calls) - len(ends),
        "a_second": round(rate, 2),
        "most_at_once": most_at_once([entry for entry in calls if entry["tenant"] in names]),
        "load": round(os.getloadavg()[0], 1),
    }


def most_at_once(calls: Sequence[Entry]) -> int:
    """The most of these calls that were under way at one moment: unlike their rate, no matter of a busy machine."""
    steps = sorted([(entry["at"], 1) for entry in calls] + [(entry["ended_at"], -1) for entry in calls])
    most = now = 0
    for _, step in steps:
        now += step
        most = max(most, now)
    return most


def trouble(tenants: int, people: int, rounds: int, only: Sequence[str]) -> dict[str, Any]:
    """Each trouble alone and all together, in turns with none."""
    names = [name for name in (*TROUBLE, "all") if not only or name in only]
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in ("none", *names)}
    for number in range(rounds):
        for name in ["none", *names, *(["none"] if number == rounds - 1 else [])]:
            told = others(tenants, people, [*TROUBLE] if name == "all" else [name] if name != "none" else [])
            found[name].append(told)
            said = f"{told['a_second']:7.2f} people/s, {told['most_at_once']:2} calls at once"
            output.say(f"{name:6} {said}   load {told['load']}")
    base = median(each["a_second"] for each in found["none"])
    cost = {name: round(100 * (1 - median(each["a_second"] for each in found[name]) / base), 1) for name in names}
    return {
        "tenants": tenants,
        "people_each": people,
        "answers_after_ms": round(1000 * ANSWER_SECONDS),
        "people_a_second": round(base, 2),
        "cost_percent": cost,
        "measured": found,
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Run both parts; 1 when a target is missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fairness", description=__doc__)
    parser.add_argument("--small", action="store_true", help="a short form: 5,000 rows beside 20 of 20, one round")
    parser.add_argument("--only", default="large,trouble", help="large, trouble, or names of troubles")
    parser.add_argument("--rounds", type=int, default=0)
    given = parser.parse_args(arguments)
    only = given.only.split(",")
    troubles = [word for word in only if word in (*TROUBLE, "all")]
    result: dict[str, Any] = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {"cores": os.cpu_count(), "load": [round(load, 1) for load in os.getloadavg()]},
    }
    missed = []
    if "large" in only:
        found = large(*((5_000, 20, 20) if given.small else (100_000, 99, 50)))
        result["large"] = found
        output.say(
            f"the last of {found['small_tenants']} small tenants: run begun after {found['last_small_run_begun']} s,"
            f" first person after {found['last_small_first_write']} s, done after {found['small_ended']['last']} s;"
            f" by then {found['large_done_by_then']} of {found['rows_of_the_large_one']} of the large one"
        )
        if found["last_small_first_write"] > START_LIMIT_SECONDS or found["not_done"]:
            missed.append("a small tenant waited for the large one")
    if "trouble" in only or troubles:
        rounds = given.rounds or (1 if given.small else 3)
        result["trouble"] = trouble(*((20, 20) if given.small else (40, 40)), rounds, troubles)
        for name, percent in result["trouble"]["cost_percent"].items():
            output.say(f"{name:6} costs the others {percent:5.1f} %")
            if percent > COST_LIMIT:
                missed.append(f"{name}: {percent} %")
    result["load_at_the_end"] = round(os.getloadavg()[0], 1)
    path = Path(__file__).parent / f"result-fairness-{datetime.now(UTC):%Y%m%d-%H%M%S}.json"
    path.write_text(json.dumps(result, indent=1), encoding="utf-8")
    if "large" in result:
        path.with_suffix(".svg").write_text(spans.svg(result["large"]), encoding="utf-8")
    output.say(f"{path.name}; " + ("; ".join(missed) if missed else "all targets met"))
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
