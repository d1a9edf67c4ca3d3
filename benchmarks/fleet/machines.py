"""Worker hosts with networks of their own: one is added, one killed, one frozen, one cut off, in the middle of runs."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.fleet.hosts import Host, Net, net
from benchmarks.fleet.postgres import server
from benchmarks.fleet.stage import PATIENCE, Stage, broker, stage
from benchmarks.system import temporary_folder, wait_until

LEASE_SECONDS = float(PATIENCE["KOPPELING_LEASE"].rstrip("s"))
THREADS = 4


@dataclass
class Fleet:
    """Machines that work, and what is done to them."""

    net: Net
    stage: Stage
    logs: Path

    def add(self) -> Host:
        """One more machine that works; waits until it has shown a sign of life."""
        alive = self.alive()
        made = self.begin()
        if not wait_until(lambda: self.alive() > alive, 60):
            raise AssertionError((self.logs / f"{made.name}.log").read_text(encoding="utf-8")[-2000:])
        return made

    def begin(self) -> Host:
        """One more machine, which is still starting."""
        made = self.net.host()
        made.worker(self.logs / f"{made.name}.log", THREADS)
        return made

    def alive(self) -> int:
        """Worker processes that gave a sign of life."""
        rows = self.stage.system.rows("SELECT count(*) AS n FROM worker WHERE heartbeat_at > now() - interval '15 s'")
        return int(rows[0]["n"])

    def wait_for_accounts(self, count: int) -> None:
        """Wait until so many accounts were made."""
        at_start = sum(len(users) for users in self.stage.scene.accounts_at_start.values())
        if not wait_until(lambda: self.stage.made() - at_start >= count, 120):
            raise AssertionError("too few accounts were made")

    def leads(self, host: Host) -> bool:
        """Whether the relay is on this machine, by the address that PostgreSQL sees."""
        rows = self.stage.system.rows(
            "SELECT host(a.client_addr) AS at FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid"
            " WHERE l.locktype = 'advisory' AND l.granted AND a.application_name = 'koppeling relay'"
        )
        return any(row["at"] == host.address for row in rows)


@dataclass
class Struck:
    """What became of it. ``gap_seconds``: the longest time in which nobody made an account, from the blow on."""

    what: str
    led: bool = False
    gap_seconds: float = 0.0
    mended_seconds: float = 0.0
    losses: list[str] = field(default_factory=list)

    def result(self) -> dict[str, Any]:
        """For people and programs."""
        return {
            "what": self.what,
            "leader": self.led,
            "gap_seconds": round(self.gap_seconds, 1),
            "mended_seconds": round(self.mended_seconds, 1),
            "losses": self.losses,
        }


@contextmanager
def fleet(program: str | None = None, *, people: int = 75, delay_ms: int = 0) -> Iterator[Fleet]:
    """Servers on a bridge, and no machine yet. Raises NoNamespaces."""
    with ExitStack() as stack:
        bridge = stack.enter_context(net(program))
        postgres = stack.enter_context(server(bridge.address))
        urls = {
            "KOPPELING_DATABASE_URL": postgres.url(),
            "KOPPELING_REDIS_URL": stack.enter_context(broker(bridge.address)),
        }
        made = stack.enter_context(stage(urls, people=people, address=bridge.address, delay_ms=delay_ms))
        yield Fleet(bridge, made, Path(stack.enter_context(temporary_folder("koppeling-fleet-"))))


def power(host: Host) -> Callable[[], None]:
    """It is off, and nobody is told."""
    host.lose_power()
    return lambda: None


def freeze(host: Host) -> Callable[[], None]:
    """Everything on it stands still; how it goes on."""
    host.signal(signal.SIGSTOP)
    return lambda: host.signal(signal.SIGCONT)


def pull(host: Host) -> Callable[[], None]:
    """Its cable is out; how it comes in again."""
    host.cut("link")
    return host.join


def silence(host: Host) -> Callable[[], None]:
    """Its packets vanish; how they come through again."""
    host.cut("silent")
    return host.join


BLOWS: dict[str, Callable[[Host], Callable[[], None]]] = {
    "switched off": power,
    "frozen": freeze,
    "cable out": pull,
    "packets dropped": silence,
}


def strike(made: Fleet, what: str, host: Host, *, seconds: float = LEASE_SECONDS + 4) -> Struck:
    """Do it to a machine in the middle of runs, end it after so long, and see what came of it."""
    told, stage_ = Struck(what, led=made.leads(host)), made.stage
    with stage_.struck(after=40):
        begun = last = time.monotonic()
        undo, undone = BLOWS[what](host), False
        count = stage_.made()
        while not (undone and stage_.over()):
            now = stage_.made()
            if now > count:
                told.gap_seconds = max(told.gap_seconds, time.monotonic() - last)
                count, last = now, time.monotonic()
            if not undone and time.monotonic() - begun > seconds:
                undo()
                undone = True
            if time.monotonic() - begun > 300:
                raise AssertionError(f"{what}: not over after 300 s")
            time.sleep(0.2)
    told.mended_seconds = time.monotonic() - begun
    return told


def held_by_the_silent(made: Fleet) -> float:
    """How long PostgreSQL keeps what a machine held whose packets vanish: a call to AFAS counts that long."""
    host = made.net.host()
    words = "import time; from models.session import connect_alone; c = connect_alone('calls')"
    words += "; c.execute('SELECT pg_advisory_lock(7301002, 42)'); print('held', flush=True); time.sleep(600)"
    log = made.logs / "held.log"
    host.run([sys.executable, "-c", words], log)
    if not wait_until(lambda: "held" in log.read_text(encoding="utf-8"), 60):
        raise AssertionError(log.read_text(encoding="utf-8"))
    begun = time.monotonic()
    host.cut("silent")
    sql = "SELECT count(*) AS n FROM pg_locks WHERE locktype = 'advisory' AND classid = 7301002 AND objid = 42"
    if not wait_until(lambda: not made.stage.system.rows(sql)[0]["n"], 200):
        raise AssertionError("it was held for more than 200 s")
    return time.monotonic() - begun
