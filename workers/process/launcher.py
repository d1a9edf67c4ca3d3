"""Starts and stops, with a worker process, what runs beside the messages: heartbeat, relay, maintenance and runners.

It is a middleware of dramatiq, so every command that boots a worker process starts them, also ``dramatiq workers``.
"""

from __future__ import annotations

import os
import signal
import threading
from typing import Any

import dramatiq
import structlog
from dramatiq.common import iter_queue
from dramatiq.middleware import Middleware, TimeLimit

import logs
from loops import Loop
from models.worker import STANDING_BY
from workers.maintenance.periodic import Maintenance
from workers.messages.interruptions import STOPPING, UNFIT
from workers.process import connections, startup, tracing
from workers.process.heartbeat import Heartbeat
from workers.process.parent import started_by
from workers.relay.relay import Relay
from workers.runs.runner import Runners

# Beside a web server on the same machine, the server answers first. Alone on a machine it changes nothing.
NICENESS = 5
STOP_SECONDS = 25.0
WATCH_SECONDS = 1.0
# No step of heartbeat or relay lasts so long: all they wait for has a limit.
STUCK_SECONDS = 180.0
log = structlog.get_logger("workers.process.launcher")


class Launcher(Middleware):
    """dramatiq's hooks. A ``dramatiq.Worker`` made without booting a process (tests) starts nothing."""

    def __init__(self) -> None:
        self.booted = False
        self.runners = connections.RUNNERS
        self.watch_parent = True
        self.connections = 0
        self.running: Running | None = None

    def after_process_boot(self, broker: dramatiq.Broker) -> None:
        self.booted = True
        startup.check_or_exit()
        if not structlog.is_configured():  # under ``dramatiq workers``
            logs.configure()
        tracing.begin()

    def before_worker_boot(self, broker: dramatiq.Broker, worker: dramatiq.Worker) -> None:
        # Nothing is held that no thread is free for: so little has to be given back.
        worker.queue_prefetch = threads = worker.worker_threads
        worker.worker_threads += STANDING_BY * threads
        worker.worker_timeout = 500
        if self.booted:
            os.nice(NICENESS)  # on Linux that is this thread, and those that it starts from here on
            self.connections = connections.join(threads, self.runners)

    def after_worker_boot(self, broker: dramatiq.Broker, worker: dramatiq.Worker) -> None:
        if self.booted:
            self.running = Running(worker, self.runners, self.connections, self.watch_parent)
            self.running.start()

    def before_worker_shutdown(self, broker: dramatiq.Broker, worker: dramatiq.Worker) -> None:
        """No new work from here on; what was only fetched goes back at once, not after the slowest delivery."""
        STOPPING.set()
        if self.running:
            self.running.stop_claiming()
        give_back_fetched(worker)

    def after_worker_shutdown(self, broker: dramatiq.Broker, worker: dramatiq.Worker) -> None:
        if self.booted:
            tracing.end()
        if self.running:
            self.running.stop()
        if not self.booted:
            STOPPING.clear()  # the process lives on


# The one that ``workers`` adds to the broker.
launcher = Launcher()


class Running:
    """Heartbeat, relay, maintenance, runners, and the watch over all threads and the parent process."""

    def __init__(self, worker: dramatiq.Worker, runners: int, connections: int, watch_parent: bool) -> None:
        self.heartbeat = Heartbeat(worker.queue_prefetch, connections)
        self.maintenance = Maintenance()
        self.runners = Runners(runners)
        self.relay = Relay(heard=self._heard)
        self.ended = threading.Event()
        # A thread that must not end has ended or hangs: this process is of no use any more.
        self.broken = False
        self.parent = started_by() if watch_parent else None
        limits: list[Any] = [m.manager for m in worker.broker.middleware if isinstance(m, TimeLimit)]
        self._dramatiq: list[threading.Thread] = [*worker.consumers.values(), *worker.workers, *limits]
        self._watch = Loop("watch", self._look, self.ended)

    def start(self) -> None:
        for service in (self.heartbeat, self.relay, self.maintenance, self.runners, self._watch):
            service.start()

    def _heard(self, runs: bool) -> None:
        self.runners.heard(runs)
        if runs:
            self.maintenance.heard()

    def stop_claiming(self) -> None:
        """No new work; from now on the process has 25 s to end, then it is gone whatever still runs."""
        for service in (self.runners, self.relay, self.maintenance):
            service.stopping.set()
        threading.Thread(target=self._limit, name="stop limit", daemon=True).start()

    def stop(self) -> None:
        """End all of them. Call it when no message is being worked on any more, or time is up."""
        self.relay.stop()
        self.maintenance.stop()
        self.runners.stop(timeout=5)
        self.heartbeat.stop()
        self.ended.set()
        if self.broken:
            os._exit(1)

    def _limit(self) -> None:
        if not self.ended.wait(STOP_SECONDS):
            log.warning("stopped_with_work_left")
            os._exit(int(self.broken))

    def ended_or_stuck(self) -> list[str]:
        """Names of the threads that must be alive until this process is told to stop, and are not or hang."""
        threads = [*self._dramatiq, self.heartbeat, self.relay, self.maintenance, *self.runners.threads]
        ended = [thread.name for thread in threads if not thread.is_alive()]
        return ended + [loop.name for loop in (self.heartbeat, self.relay) if loop.busy_seconds() > STUCK_SECONDS]

    def _look(self) -> float | None:
        """Stop in an orderly way when a thread ended or hangs that may not, a key is missing or the parent is gone.

        Without its keys a process would hand its work back for ever: others may have them.
        Without a parent this process would not be started again; with a dead thread it would look alive and do only a
        part of its work.
        """
        if STOPPING.is_set():
            return None
        dead = self.ended_or_stuck()
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


def give_back_fetched(worker: dramatiq.Worker) -> None:
    """Hand the messages that wait in this process's memory back to Redis."""
    waiting: dict[str, list[Any]] = {}
    for item in iter_queue(worker.work_queue):  # type: ignore[no-untyped-call]  # dramatiq's own helper
        waiting.setdefault(item.message.queue_name, []).append(item.message)
    for queue, messages in waiting.items():
        thread = worker.consumers[queue]
        if thread.consumer:
            thread.consumer.requeue(messages)
