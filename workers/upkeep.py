"""The slow chores, done by one leader: runs that are over, probes, sweeping, forgetting."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import psycopg
import redis
import structlog

from workers import finalizer, retention
from workers.leader import Leader
from workers.presence import DATABASE_TROUBLE
from workers.probes import PROBES, probe
from workers.sweeping import sweep

__all__ = ["PROBES", "Upkeep"]

LOCK = 7_301_003
TICK_SECONDS = 0.5
log = structlog.get_logger("workers.upkeep")

CHORES: tuple[tuple[float, Callable[[], object]], ...] = (
    (0.5, finalizer.finalize),
    (1.0, probe),
    (5.0, finalizer.recount),
    (15.0, sweep),
    (3600.0, retention.apply),
)


class Upkeep(threading.Thread):
    """The chores of one process; idle while another process leads."""

    def __init__(self) -> None:
        super().__init__(name="upkeep", daemon=True)
        self.leader = Leader(LOCK, "upkeep")
        self.stopping = threading.Event()
        self.due: dict[Callable[[], object], float] = {}
        self.troubled: set[str] = set()

    def run(self) -> None:
        while not self.stopping.is_set():
            try:
                connection = self.leader.lead()
                if connection is not None:
                    connection.execute("SELECT 1")  # the lead is ours as long as this answers
                    self.do_chores()
            except (psycopg.Error, OSError) as error:
                self._trouble("lead", error)
            self.stopping.wait(TICK_SECONDS)
        self.leader.resign()

    def stop(self) -> None:
        """End after the chore that runs."""
        self.stopping.set()
        if self.is_alive():
            self.join(timeout=10)

    def do_chores(self) -> None:
        """Do what is due. One chore in trouble does not keep the others from being done."""
        for every_seconds, chore in CHORES:
            now = time.monotonic()
            if now < self.due.get(chore, 0.0):
                continue
            self.due[chore] = now + every_seconds
            try:
                chore()
                self.troubled.discard(chore.__name__)
            except (redis.RedisError, *DATABASE_TROUBLE) as error:
                self._trouble(chore.__name__, error)

    def _trouble(self, what: str, error: BaseException) -> None:
        if what not in self.troubled:
            log.warning("upkeep_troubled", chore=what, error=type(error).__name__)
        self.troubled.add(what)
