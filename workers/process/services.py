"""What runs beside the messages in a worker process, started and stopped as one."""

from __future__ import annotations

import os
import signal
import threading
from typing import Any

import dramatiq
import structlog
from dramatiq.middleware import TimeLimit

from loops import Loop
from workers.maintenance.periodic import Upkeep
from workers.messages.interruptions import STOPPING, UNFIT
from workers.process.heartbeat import Heartbeat
from workers.process.parent import started_by
from workers.relay.relay import Relay
from workers.runs.runner import Runners

STOP_SECONDS = 25.0
WATCH_SECONDS = 1.0
# No step of heartbeat or relay lasts so long: all they wait for has a limit.
STUCK_SECONDS = 180.0
log = structlog.get_logger("workers.process.services")


class RunningServices:
    """Heartbeat, relay, upkeep, runners, and the watch over all threads and the parent process."""

    def __init__(self, worker: dramatiq.Worker, runners: int, connections: int, watch_parent: bool) -> None:
        self.heartbeat = Heartbeat(worker.worker_threads, connections)
        self.relay = Relay()
        self.upkeep = Upkeep()
        self.runners = Runners(runners)
        self.ended = threading.Event()
        # A thread that nothing may end has ended: this process is of no use any more.
        self.broken = False
        self.parent = started_by() if watch_parent else None
        limits: list[Any] = [m.manager for m in worker.broker.middleware if isinstance(m, TimeLimit)]
        self._dramatiq: list[threading.Thread] = [*worker.consumers.values(), *worker.workers, *limits]
        self._watch = Loop("watch", self._look, self.ended)

    def start(self) -> None:
        for service in (self.heartbeat, self.relay, self.upkeep, self.runners, self._watch):
            service.start()

    def stop_claiming(self) -> None:
        """No new work; from now on the process has 25 s to end, then it is gone whatever still runs."""
        self.runners.stopping.set()
        self.relay.stopping.set()
        self.upkeep.stopping.set()
        threading.Thread(target=self._limit, name="stop limit", daemon=True).start()

    def stop(self) -> None:
        """End all of them. Call it when no message is being worked on any more, or time is up."""
        self.relay.stop()
        self.upkeep.stop()
        self.runners.stop(timeout=5)
        self.heartbeat.stop()
        self.ended.set()
        if self.broken:
            os._exit(1)

    def _limit(self) -> None:
        if not self.ended.wait(STOP_SECONDS):
            log.warning("stopped_with_work_left")
            os._exit(int(self.broken))

    def threads(self) -> list[threading.Thread]:
        """What must be alive as long as nobody told this process to stop."""
        return [*self._dramatiq, self.heartbeat, self.relay, self.upkeep, *self.runners.threads]

    def _look(self) -> float | None:
        """Stop in an orderly way when a thread has ended that may not, when a key is missing or the parent is gone.

        Without its keys a process would hand its work back for ever: others may have them.
        Without a parent nobody would start this process again; with a dead thread it would look alive and do only a
        part of its work.
        """
        if STOPPING.is_set():
            return None
        dead = [thread.name for thread in self.threads() if not thread.is_alive()]
        if UNFIT.is_set():
            log.error("unfit", reason="a stored secret is under a key that this process does not have")
        elif dead and not STOPPING.is_set():
            self.broken = True
            log.error("thread_ended_or_hangs", threads=dead)
        elif self.parent in (None, os.getppid()):
            return WATCH_SECONDS
        else:
            log.warning("parent_gone")
        os.kill(os.getpid(), signal.SIGTERM)
        return None


def start(worker: dramatiq.Worker, runners: int, connections: int, watch_parent: bool) -> RunningServices:
    """Start the services of this process."""
    services = RunningServices(worker, runners, connections, watch_parent)
    services.start()
    return services
