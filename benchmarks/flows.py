"""First sync, unchanged second sync, completions: each beside the bare script doing the same calls."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from benchmarks.bare import Entry, replay_afas, replay_pluvo
from benchmarks.cost import cpu_seconds, own_cpu_seconds
from benchmarks.system import System, wait_until
from models.direction import Direction
from ops.documents import RunDocument
from ops.runs import start
from simulators.sample_data.tenant import SampleCourse, SampleTenant
from simulators.sample_data.tenants import World, world

COURSE = SampleCourse(100, "Load")


def tenant_of(people: int) -> SampleTenant:
    """A tenant of one event."""
    return SampleTenant("bench", "Bench", "45678", people, (COURSE,))


@dataclass
class Timed:
    """One run: the product's seconds (asked for → over), the bare script's, and what the product did meanwhile."""

    seconds: float
    document: RunDocument
    calls: dict[str, list[Entry]] = field(default_factory=dict, repr=False)
    cpu: dict[str, float] = field(default_factory=dict)
    bare_seconds: float = 0.0
    bare_cpu: float = 0.0

    def result(self) -> dict[str, Any]:
        """For the JSON result."""
        made = {name: sum(entry["operation"] != "token" for entry in entries) for name, entries in self.calls.items()}
        return {
            "seconds": round(self.seconds, 2),
            "bare_seconds": round(self.bare_seconds, 2),
            "times_bare": round(self.seconds / self.bare_seconds, 2) if self.bare_seconds else None,
            "cpu_seconds": self.cpu,
            "bare_cpu_seconds": round(self.bare_cpu, 2),
            "calls": made,
            "calls_per_second": round(sum(made.values()) / self.seconds, 1),
            "status": self.document["status"],
            "rows": self.document["rows"],
            "outcomes": {name: count for name, count in self.document["outcomes"].items() if count},
        }


def timed_run(made: System, direction: Direction, timeout: float = 1200.0) -> Timed:
    """Ask for a run and wait until it is over, as ``koppeling sync --wait`` does."""
    before = {"afas": _last(made, "afas"), "pluvo": _last(made, "pluvo")}
    cpu, begun = cpu_seconds(made), time.perf_counter()
    started = start.start(direction, ["bench"], everyone=False, options={}, need_worker=True)
    if not wait_until(lambda: start.wait(started, 0), timeout, pause=0.02):
        raise TimeoutError(f"{direction} was not over after {timeout:.0f} s")
    seconds = time.perf_counter() - begun
    used = {name: round(total - cpu[name], 2) for name, total in cpu_seconds(made).items()}
    calls = {"afas": made.afas.log(after=before["afas"]), "pluvo": made.pluvo.log(after=before["pluvo"])}
    return Timed(seconds, start.document(started)["runs"][0], calls, used)


def _last(made: System, system: str) -> int:
    entries = getattr(made, system).log()
    return int(entries[-1]["n"]) if entries else 0


def beside_bare(made: System, tenant: SampleTenant, run: Timed, before: dict[str, dict[str, Any]]) -> Timed:
    """Put both simulators back as they were before a run, do its calls bare, and put them as they were after it."""
    after = {"afas": made.afas.state(), "pluvo": made.pluvo.state()}
    made.afas.replace(before["afas"])
    made.pluvo.replace(before["pluvo"])
    cpu = own_cpu_seconds()
    run.bare_seconds = replay_afas(made.afas_url, tenant, run.calls["afas"])
    if any(entry["fields"] for entry in run.calls["pluvo"]):
        run.bare_seconds += replay_pluvo(made.pluvo_url, tenant, run.calls["pluvo"])
    run.bare_cpu = own_cpu_seconds() - cpu
    made.afas.replace(after["afas"])
    made.pluvo.replace(after["pluvo"])
    return run


def state(made: System) -> dict[str, dict[str, Any]]:
    """Both simulators as they are."""
    return {"afas": made.afas.state(), "pluvo": made.pluvo.state()}


def measure(made: System, people: int, completions: int) -> dict[str, Any]:
    """First sync, second sync, completion run; the system is empty before."""
    tenant = tenant_of(people)
    filled: World = world((tenant,))
    made.fill(filled)
    found: dict[str, Any] = {}
    before = state(made)
    found["first_sync"] = beside_bare(made, tenant, timed_run(made, Direction.ENROLLMENTS), before).result()
    before = state(made)
    found["unchanged_sync"] = beside_bare(made, tenant, timed_run(made, Direction.ENROLLMENTS), before).result()
    made.pluvo.do(tenant.slug, "finish", title=COURSE.title, count=completions, at="2026-06-30T22:30:00.000Z")
    before = state(made)
    found["completions"] = beside_bare(made, tenant, timed_run(made, Direction.COMPLETIONS), before).result()
    return found
