"""Keeps child processes running: starts them, starts killed ones again, and stops them all when told."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import FrameType

import structlog
from sqlalchemy import Connection, text

from models.session import transaction
from workers.messages.lease_expiry import release_worker
from workers.process import parent
from workers.process.heartbeat import machine

STOP_SECONDS = 30.0
QUICK_DEATH_SECONDS = 10.0
BACKOFF_MAX_SECONDS = 30.0
TICK_SECONDS = 0.2
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
log = structlog.get_logger("workers.process.supervisor")


@dataclass(frozen=True)
class ChildSpec:
    """A process to keep running. ``env`` is added to this process's own."""

    name: str
    argv: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict, repr=False)


class Child:
    """A child and how often it died soon after its start."""

    def __init__(self, spec: ChildSpec) -> None:
        self.spec = spec
        self.process: subprocess.Popen[bytes] | None = None
        self.started_at = 0.0
        self.quick_deaths = 0
        self.again_at = 0.0

    def start(self) -> None:
        # A session of its own: Ctrl-C of a terminal reaches us alone, and we say it to each child once.
        self.process = subprocess.Popen(  # noqa: S603  our own program
            list(self.spec.argv),
            env={**os.environ, **self.spec.env, parent.NAME: str(os.getpid())},
            start_new_session=True,
        )
        self.started_at = time.monotonic()
        log.info("child_started", name=self.spec.name, pid=self.process.pid)

    def reaped(self) -> int | None:
        """The exit code of a child that ended since the last call (negative: killed by that signal), else None."""
        if self.process is None or self.process.poll() is None:
            return None
        code = self.process.returncode
        quick = time.monotonic() - self.started_at < QUICK_DEATH_SECONDS
        self.quick_deaths = self.quick_deaths + 1 if quick else 0
        wait = min(BACKOFF_MAX_SECONDS, 0.5 * 2 ** (self.quick_deaths - 1)) if quick else 0.0
        self.again_at = time.monotonic() + wait
        return code


class Supervisor:
    """Runs ``children`` until ``stop`` or a signal. Construct and run it in the main thread."""

    def __init__(self, children: Sequence[ChildSpec]) -> None:
        self.children = [Child(spec) for spec in children]
        self.stop_requested = False
        self.asked = 0
        self._to_release: list[tuple[int, bool]] = []
        self._said: set[int] = set()

    def run(self) -> int:
        """Start the children, keep them running until a signal, stop them. 0, or 1 when one had to be killed."""
        self.install_signals()
        self.start()
        while not self.stop_requested:
            self.tick()
            time.sleep(TICK_SECONDS)
        return self.stop()

    def install_signals(self) -> None:
        """SIGTERM, SIGINT and SIGHUP ask to stop; a second one kills the children."""
        for number in SIGNALS:
            signal.signal(number, self._told)

    def _told(self, number: int, frame: FrameType | None) -> None:
        self.asked += 1
        self.stop_requested = True
        if self.asked > 1:
            self._signal(signal.SIGKILL)

    def start(self) -> None:
        """Start every child once."""
        for child in self.children:
            child.start()

    def tick(self) -> None:
        """Reap, release what the dead held, start them again. Call it several times a second."""
        for child in self.children:
            try:
                self._tend(child)
            except OSError as error:  # no memory, no process free: the others are looked after, it comes again
                child.again_at = time.monotonic() + BACKOFF_MAX_SECONDS / 6
                log.warning("child_not_started", name=child.spec.name, error=type(error).__name__)
        self._release()

    def _tend(self, child: Child) -> None:
        code = child.reaped()
        if code is not None and child.process is not None:
            log.warning("child_ended", name=child.spec.name, pid=child.process.pid, code=code)
            self._to_release.append((child.process.pid, code != 0))
            child.process = None
        if child.process is None and time.monotonic() >= child.again_at and not self.stop_requested:
            child.start()

    def stop(self) -> int:
        """Tell the children to stop, wait 30 s, kill the rest. 0, or 1 when one had to be killed."""
        self.stop_requested = True
        self._signal(signal.SIGTERM)
        deadline = time.monotonic() + STOP_SECONDS
        while time.monotonic() < deadline and any(self._running()):
            time.sleep(0.05)
        left = list(self._running())
        self._signal(signal.SIGKILL)
        for child in self.children:
            if child.process is not None:
                code = child.process.wait()
                self._to_release.append((child.process.pid, code != 0))
                child.process = None
        self._release()
        return 1 if left else 0

    def _running(self) -> list[Child]:
        return [child for child in self.children if child.process is not None and child.process.poll() is None]

    def _signal(self, number: signal.Signals) -> None:
        for child in self._running():
            if child.process is not None:
                child.process.send_signal(number)

    def _release(self) -> None:
        """Free at once what a reaped worker process held; while PostgreSQL is away, at the next tick."""
        while self._to_release:
            pid, killed = self._to_release[0]
            try:
                with transaction() as connection:
                    for worker in _workers_of(pid, connection):
                        count = release_worker(connection, worker, killed=killed)
                        log.info("worker_released", worker=worker, messages=count)
                    connection.execute(text("NOTIFY koppeling_runs"))  # its runs begin again
            except Exception as error:  # tried again at the next tick; at the latest it is free when its lease ends
                if pid not in self._said:
                    self._said.add(pid)
                    log.warning("not_released_yet", pid=pid, error=type(error).__name__)
                return
            self._to_release.pop(0)


def _workers_of(pid: int, connection: Connection) -> list[str]:
    rows = connection.execute(
        text("SELECT id FROM worker WHERE host = :host AND pid = :pid"), {"host": machine(), "pid": pid}
    )
    return [row.id for row in rows]
