"""Be a worker process.

``run_worker`` is what ``koppeling worker`` runs in each child; ``dramatiq workers`` boots the same services by itself.
"""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType

import dramatiq
import structlog

from workers.broker import broker
from workers.process import garbage
from workers.process.launcher import launcher

RUNNING_SECONDS = 23
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
log = structlog.get_logger("workers.process.worker")


def run_worker(threads: int = 8, runners: int = 4, *, child: bool = True) -> int:
    """Be a worker process until SIGTERM, SIGINT or SIGHUP; its exit code. A second signal ends it at once.

    ``child``: end with the process that started this one, which would otherwise leave it unsupervised.

    Stopping: nothing new is fetched, claimed or begun; what runs has 23 s to end; the rest is left for others.
    """
    told = threading.Event()

    def stop(number: int, frame: FrameType | None) -> None:
        if told.is_set():
            os._exit(1)
        told.set()

    for number in SIGNALS:
        signal.signal(number, stop)
    launcher.runners = runners
    launcher.watch_parent = child
    broker.emit_after("process_boot")
    garbage.look_seldom()
    worker = dramatiq.Worker(broker, worker_threads=threads)
    worker.start()
    log.info("worker_ready", threads=threads, runners=runners)
    while not told.wait(1.0):
        pass
    log.info("worker_stops")
    worker.stop(timeout=RUNNING_SECONDS * 1000)
    log.info("worker_stopped")
    return 0
