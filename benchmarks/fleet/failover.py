"""PostgreSQL's primary is gone in the middle of runs, and its standby takes its place."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.fleet.postgres import Pair, Server, pair
from benchmarks.fleet.stage import Stage, broker, stage
from benchmarks.system import KOPPELING, process, temporary_folder, wait_until

WORKERS, THREADS = 2, 4
_RECORDED = "SELECT count(*) FROM enrollment WHERE applied_version IS NOT NULL"


@dataclass
class FailedOver:
    """What it came to. ``losses`` must be empty."""

    synchronous: bool
    # Enrollments whose effect was recorded on the primary when it went, and what the standby knew of them
    recorded: int = 0
    known: int = 0
    promoted_seconds: float = 0.0
    # From the primary's end to the next effect that is recorded
    held_up_seconds: float = 0.0
    # From the primary's end until all is as it must be
    mended_seconds: float = 0.0
    losses: list[str] = field(default_factory=list)

    def result(self) -> dict[str, Any]:
        """For people and programs."""
        return {
            "replication": "synchronous" if self.synchronous else "asynchronous",
            "recorded": self.recorded,
            "forgotten": self.recorded - self.known,
            "promoted_seconds": round(self.promoted_seconds, 1),
            "held_up_seconds": round(self.held_up_seconds, 1),
            "mended_seconds": round(self.mended_seconds, 1),
            "losses": self.losses,
        }


def fail_over(
    *, synchronous: bool, people: int = 75, delay_ms: int = 40, heard: float = 0.3, made_by: float = 0.5
) -> FailedOver:
    """A part of the accounts is made when the primary goes (``made_by``, of all people). Asynchronous: the standby has
    heard nothing since another part was (``heard``; 0: of the runs neither).
    """
    told = FailedOver(synchronous)
    with _scene(people, delay_ms) as (servers, made):
        servers.follow(synchronous=synchronous)
        if heard:
            made.begin_runs()
            _wait_for(made, heard * people)
        if not synchronous:
            servers.cut()
        if not heard:
            made.begin_runs()
        _wait_for(made, made_by * people)
        with made.struck():
            begun = time.monotonic()
            told.recorded = _recorded(servers.primary)
            told.promoted_seconds = servers.fail_over()
            told.known = _recorded(servers.standby)
            made.begin_runs()  # those that were asked for may be forgotten
            wait_until(lambda: _recorded(servers.standby) > told.known, 120)
            told.held_up_seconds = time.monotonic() - begun
        made.system.pluvo.clear_faults()
        made.quiet()
        told.losses = made.violations()
        told.mended_seconds = time.monotonic() - begun
    return told


@contextmanager
def _scene(people: int, delay_ms: int) -> Iterator[tuple[Pair, Stage]]:
    with ExitStack() as stack:
        servers = stack.enter_context(pair())
        urls = {"KOPPELING_DATABASE_URL": servers.url, "KOPPELING_REDIS_URL": stack.enter_context(broker())}
        made = stack.enter_context(stage(urls, people=people, delay_ms=delay_ms))
        folder = Path(stack.enter_context(temporary_folder("koppeling-fleet-")))
        for number in range(WORKERS):
            words = [*KOPPELING, "worker", "--threads", str(THREADS)]
            stack.enter_context(process(words, folder / f"worker{number}.log"))
        if not wait_until(lambda: made.system.rows("SELECT count(*) AS n FROM worker")[0]["n"] == WORKERS, 60):
            raise AssertionError((folder / "worker0.log").read_text(encoding="utf-8")[-2000:])
        yield servers, made


def _wait_for(made: Stage, people: float) -> None:
    """Wait until so many accounts were made."""
    at_start = sum(len(users) for users in made.scene.accounts_at_start.values())
    if not wait_until(lambda: made.made() - at_start >= people, 120, pause=0.02):
        raise AssertionError(f"{made.made() - at_start} accounts were made, not {people:.0f}")


def _recorded(server: Server) -> int:
    return int(server.ask(_RECORDED, "koppeling")[0][0])
