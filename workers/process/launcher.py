"""dramatiq's hooks, used for two things: the time limit, and what runs beside the messages in every worker process."""

from __future__ import annotations

import os
import threading
from typing import Any

import dramatiq
import structlog
from dramatiq.common import iter_queue
from dramatiq.middleware import Middleware, TimeLimit

import logs
import settings
from workers.messages.interruptions import STOPPING

# Beside a web server on the same machine, the server answers first. Alone on a machine it changes nothing.
NICENESS = 5
log = structlog.get_logger("workers.process.launcher")
# The limit under which a thread's message runs.
_running = threading.local()


class LeaseTimeLimit(TimeLimit):
    """Interrupts a delivery before its lease ends, so that nobody else begins it while it runs."""

    def before_process_message(self, broker: dramatiq.Broker, message: dramatiq.MessageProxy) -> None:
        self.time_limit = time_limit_seconds() * 1000
        _running.limit = self
        super().before_process_message(broker, message)  # type: ignore[no-untyped-call]  # dramatiq's has no types

    def after_process_boot(self, broker: dramatiq.Broker) -> None:
        if not getattr(self.manager, "ident", None):
            super().after_process_boot(broker)  # type: ignore[no-untyped-call]  # as above


def time_limit_seconds() -> float:
    """The longest a delivery may take: the lease without a tenth, at most 20 s, to record the failure in."""
    lease = settings.get().lease
    return lease - min(20.0, lease / 5)


def restart_time_limit() -> None:
    """Let the message of this thread have the whole time once more: its lease was renewed."""
    limit: LeaseTimeLimit | None = getattr(_running, "limit", None)
    if limit is not None:
        again_ms = time_limit_seconds() * 1000
        limit.manager.add_timeout(threading.get_ident(), again_ms)  # type: ignore[no-untyped-call]  # as above


class Services(Middleware):
    """Starts relay, runners, upkeep and heartbeat with a worker process, under any command that boots one.

    A ``dramatiq.Worker`` made without booting a process (tests) gets none of them.
    """

    def __init__(self) -> None:
        self.booted = False
        self.runners = 4
        self.watch_parent = True
        self.connections = 0
        self.running: Any = None

    def after_process_boot(self, broker: dramatiq.Broker) -> None:
        from workers.process import startup  # noqa: PLC0415  it uses the broker, which has this middleware

        self.booted = True
        startup.check_or_exit()
        if not structlog.is_configured():  # under ``dramatiq workers``
            logs.configure()

    def before_worker_boot(self, broker: dramatiq.Broker, worker: dramatiq.Worker) -> None:
        # Little is held, so that little has to be given back; what is idle is polled often.
        worker.queue_prefetch = worker.worker_threads
        worker.worker_timeout = 100
        if self.booted:
            from workers.process.connections import join  # noqa: PLC0415  as below

            os.nice(NICENESS)  # on Linux that is this thread, and those that it starts from here on
            self.connections = join(worker.worker_threads, self.runners)

    def after_worker_boot(self, broker: dramatiq.Broker, worker: dramatiq.Worker) -> None:
        if self.booted:
            from workers.process.services import start  # noqa: PLC0415  they use the broker, which has this middleware

            self.running = start(worker, self.runners, self.connections, self.watch_parent)

    def before_worker_shutdown(self, broker: dramatiq.Broker, worker: dramatiq.Worker) -> None:
        """No new work from here on; what was only fetched goes back at once, not after the slowest delivery."""
        STOPPING.set()
        if self.running:
            self.running.stop_claiming()
        give_back_fetched(worker)

    def after_worker_shutdown(self, broker: dramatiq.Broker, worker: dramatiq.Worker) -> None:
        if self.running:
            self.running.stop()
        if not self.booted:
            STOPPING.clear()  # the process lives on


def give_back_fetched(worker: dramatiq.Worker) -> None:
    """Hand the messages that wait in this process's memory back to Redis."""
    waiting: dict[str, list[Any]] = {}
    for item in iter_queue(worker.work_queue):  # type: ignore[no-untyped-call]  # dramatiq's own helper
        waiting.setdefault(item.message.queue_name, []).append(item.message)
    for queue, messages in waiting.items():
        thread = worker.consumers[queue]
        if thread.consumer:
            thread.consumer.requeue(messages)
