"""One run of the product: how long it took, what it cost and which calls it made."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from benchmarks.bare import Entry
from benchmarks.cost import cpu_seconds
from benchmarks.system import System
from models.direction import Direction
from ops.documents import RunDocument
from ops.runs import start
from simulators.sample_data.tenant import SampleCourse, SampleTenant

COURSE = SampleCourse(100, "Load")


def tenant_of(people: int) -> SampleTenant:
    """A tenant of one event."""
    return SampleTenant("bench", "Bench", "45678", people, (COURSE,))


@dataclass
class Timed:
    """Its seconds (asked for → over), and what was done meanwhile."""

    seconds: float
    document: RunDocument
    calls: dict[str, list[Entry]] = field(default_factory=dict, repr=False)
    cpu: dict[str, float] = field(default_factory=dict)

    def result(self) -> dict[str, Any]:
        """For the JSON result."""
        made = {name: sum(entry["operation"] != "token" for entry in entries) for name, entries in self.calls.items()}
        return {
            "seconds": round(self.seconds, 2),
            "cpu_seconds": self.cpu,
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
    if not start.wait(started, timeout):
        raise TimeoutError(f"{direction} was not over after {timeout:.0f} s")
    seconds = time.perf_counter() - begun
    used = {name: round(total - cpu[name], 2) for name, total in cpu_seconds(made).items()}
    calls = {"afas": made.afas.log(after=before["afas"]), "pluvo": made.pluvo.log(after=before["pluvo"])}
    return Timed(seconds, start.document(started)["runs"][0], calls, used)


def _last(made: System, system: str) -> int:
    entries = getattr(made, system).log()
    return int(entries[-1]["n"]) if entries else 0
