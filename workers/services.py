"""What runs beside the messages in a worker process, started and stopped as one."""

from __future__ import annotations

import os
import signal
import threading

import structlog

from workers.presence import Heartbeat
from workers.relay import Relay
from workers.runs import Runners
from workers.upkeep import Upkeep

STOP_SECONDS = 25.0
PARENT_SECONDS = 1.0
log = structlog.get_logger("workers.services")


class RunningServices:
    """Heartbeat, relay, upkeep, runners and the watch over the parent process."""

    def __init__(self, threads: int, runners: int, watch_parent: bool) -> None:
        self.heartbeat = Heartbeat(threads)
        self.relay = Relay()
        self.upkeep = Upkeep()
        self.runners = Runners(runners)
        self.ended = threading.Event()
        self.watches_parent = watch_parent

    def start(self) -> None:
        for service in (self.heartbeat, self.relay, self.upkeep, self.runners):
            service.start()
        if self.watches_parent:
            threading.Thread(target=self._watch_parent, args=(os.getppid(),), name="parent watch", daemon=True).start()

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

    def _limit(self) -> None:
        if not self.ended.wait(STOP_SECONDS):
            log.warning("stopped_with_work_left")
            os._exit(0)

    def _watch_parent(self, parent: int) -> None:
        """A worker whose parent was killed would go on unsupervised: it stops gracefully instead."""
        while not self.ended.wait(PARENT_SECONDS):
            if os.getppid() != parent:
                log.warning("parent_gone")
                os.kill(os.getpid(), signal.SIGTERM)
                return


def start(threads: int, runners: int, watch_parent: bool) -> RunningServices:
    """Start the services of this process."""
    services = RunningServices(threads, runners, watch_parent)
    services.start()
    return services
