"""First sync of newcomers beside scripts that make the same calls: one after the other, and in threads."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from benchmarks.bare import Entry, replay_afas, replay_pluvo
from benchmarks.flows import Timed, timed_run
from benchmarks.peers.ours import Pluvo, calls, newcomers
from benchmarks.system import System, system
from benchmarks.targets import Found
from models.direction import Direction
from simulators.sample_data.tenant import SampleTenant
from simulators.sample_data.tenants import World

# Half of a worker's threads may be one tenant's: 2 x 16 for as many calls at once as 16 threads make.
THREADS, MANY_THREADS = 8, 16


@dataclass
class Scene:
    """A system that is to make accounts for so many newcomers, and what a script sends for them."""

    system: System
    tenant: SampleTenant
    pluvo: Pluvo
    creations: list[Entry]
    delay_ms: int

    def first_sync(self) -> Timed:
        """The product does it."""
        run = timed_run(self.system, Direction.ENROLLMENTS)
        done = run.document["outcomes"]["created"]
        if done != len(self.creations):
            raise AssertionError(f"{done} of {len(self.creations)} accounts were made: {run.document['outcomes']}")
        return run

    def bare(self, run: Timed, threads: int) -> float:
        """A script reads as the run did, and makes each account by a call of its own; seconds."""
        self.pluvo.reset(self.delay_ms)
        lists = [entry for entry in run.calls["pluvo"] if not entry["operation"].startswith(("create", "several"))]
        seconds = replay_afas(self.system.afas_url, self.tenant, run.calls["afas"])
        return seconds + replay_pluvo(self.system.pluvo_url, self.tenant, [*lists, *self.creations], threads)


@contextmanager
def scene(
    people: int, *, delay_ms: int = 0, per_call: int = 1, rate: int = 0, workers: int = 2, threads: int = THREADS
) -> Iterator[Scene]:
    """A system with nothing done yet."""
    made: World = newcomers(people)
    text, variables = calls(made)
    creations = [{"operation": "createUser", "fields": True, "body": text, "variables": one} for one in variables]
    with system(workers=workers, threads=threads) as running:
        running.fill(made, people_per_call=per_call, calls_per_second=rate)
        pluvo = Pluvo(running.pluvo, made.tenants[0].slug, made.pluvo.state()["tenants"])
        pluvo.reset(delay_ms)
        yield Scene(running, made.tenants[0], pluvo, creations, delay_ms)


def at_once(people: int) -> dict[str, Found]:
    """Answers at once: processor time, and times a script."""
    with scene(people) as made:
        run = made.first_sync()
        before = time.process_time()
        alone = made.bare(run, 1)
        script = 1000 * (time.process_time() - before) / people
        eight = made.bare(run, 8)
    cpu = {name: used * 1000 / people for name, used in run.cpu.items()}
    more = {"people": people, "seconds": run.seconds, "cpu_ms_a_person": cpu, "calls": _made(run)}
    with scene(people, per_call=10) as made:
        shared = made.first_sync()
        alone_again = made.bare(shared, 1)
    told = {"people": people, "seconds": shared.seconds, "calls": _made(shared)}
    return {
        "first-sync-python": Found(cpu["koppeling"], f"{script:.1f} ms, the script", more),
        "first-sync-postgres": Found(cpu["postgres"], "the script stores nothing", more),
        "first-sync": Found(run.seconds / alone, f"{alone:.1f} s", more | _rates(people, run, alone)),
        "first-sync-8": Found(run.seconds / eight, f"{eight:.1f} s", more | _rates(people, run, eight)),
        "first-sync-shared": Found(
            shared.seconds / alone_again, f"{alone_again:.1f} s", told | _rates(people, shared, alone_again)
        ),
    }


def with_answers_after_20_ms(people: int) -> dict[str, Found]:
    """Answers as from another machine: people a second beside 16 threads."""
    found = {}
    for name, per_call in (("first-sync-20ms", 1), ("first-sync-20ms-shared", 10)):
        with scene(people, delay_ms=20, per_call=per_call, threads=MANY_THREADS) as made:
            run = made.first_sync()
            floor = made.bare(run, 16)
        more = {"people": people, "threads": f"2 x {MANY_THREADS}", "calls": _made(run)} | _rates(people, run, floor)
        found[name] = Found(100 * floor / run.seconds, f"{people / floor:.0f} people/s", more)
    return found


def at_pluvos_limit(people: int) -> dict[str, Found]:
    """Five calls a second, which Pluvo enforces; between the first call that makes accounts and the last."""
    with scene(people, per_call=10, rate=5) as made:
        made.system.pluvo.do(made.tenant.slug, "change_switches", calls_per_second=5, rate_burst=5)
        run = made.first_sync()
    sent = [entry for entry in run.calls["pluvo"] if "createUser" in entry["fields"]]
    first, last = (datetime.fromisoformat(entry["at"]) for entry in (sent[0], sent[-1]))
    # One call takes a fifth of a second of what is allowed: the first one's counts too.
    rate = people / ((last - first).total_seconds() + 0.2)
    more = {"people": people, "calls": len(sent), "whole_run_seconds": run.seconds}
    return {"pluvo-limit": Found(rate, "50 people/s", more)}


def with_another_worker(people: int) -> dict[str, Found]:
    """What a second worker process adds."""
    rates = []
    for workers in (1, 2):
        with scene(people, delay_ms=20, workers=workers) as made:
            rates.append(people / made.first_sync().seconds)
    floor = f"{rates[0]:.0f} people/s"
    return {"two-workers": Found(rates[1] / rates[0], floor, {"people": people, "people_a_second": rates})}


def _made(run: Timed) -> int:
    return sum(entry["operation"] != "token" for entries in run.calls.values() for entry in entries)


def _rates(people: int, run: Timed, floor: float) -> dict[str, Any]:
    return {"people_a_second": people / run.seconds, "bare_people_a_second": people / floor}
