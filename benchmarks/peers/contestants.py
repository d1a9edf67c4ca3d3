"""The programs beside the product, as processes: started, told to begin, killed, started again."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from itertools import count
from pathlib import Path

import psutil

from benchmarks.peers.job import GO, JOB, Job
from benchmarks.peers.ours import Stage, cpu, process, servers_used, wait_for_line, wait_until

HERE = "benchmarks.peers"
READY_SECONDS = 120.0
PROCESSES, THREADS = 2, 8
CELERY = ("celery", "-A", f"{HERE}.celery_app", "worker", "--loglevel", "INFO", "--without-gossip", "--without-mingle")
DRAMATIQ = ("dramatiq", f"{HERE}.dramatiq_app", "--processes", str(PROCESSES), "--threads", str(THREADS))


@dataclass(frozen=True)
class Contestant:
    """What to run. Without workers the main program does the work; else it puts it into the queue and they do it."""

    name: str
    main: tuple[str, ...]
    workers: tuple[str, ...] = ()
    ready: tuple[str, int] = ("", 0)
    """What the workers' log says once they are ready, and how often."""
    acks_late: bool = True
    stores: bool = True
    needs: str = "requests"
    """The package without which it can't be measured."""

    @property
    def installed(self) -> bool:
        return find_spec(self.needs) is not None


def _script(name: str, *arguments: str, stores: bool = True) -> Contestant:
    return Contestant(name, (f"{HERE}.script", *arguments), stores=stores)


def _celery(name: str, pool: str, *, acks_late: bool = True) -> Contestant:
    workers = (*CELERY, "--pool", pool, "--concurrency", str(PROCESSES * THREADS))
    return Contestant(name, (f"{HERE}.celery_app",), workers, (" ready.", 1), acks_late, needs="celery")


FLOOR = _script("floor: the calls alone, 16 threads", "--threads", "16", stores=False)
NAIVE = _script("script, one after the other")
DRAMATIQ_PEER = Contestant(
    "dramatiq, 2 x 8 threads", (f"{HERE}.dramatiq_app",), DRAMATIQ, ("Worker process is ready", PROCESSES)
)
CONTESTANTS = (
    NAIVE,
    _script("script, 8 threads", "--threads", "8"),
    _script("script, 16 threads", "--threads", "16"),
    _celery("Celery, prefork 16, acks late", "prefork"),
    _celery("Celery, 16 threads, acks late", "threads"),
    _celery("Celery, 16 threads, acks early", "threads", acks_late=False),
    DRAMATIQ_PEER,
)


class Peer:
    """One contestant at work."""

    def __init__(self, what: Contestant, stage: Stage, stack: ExitStack, job: Job) -> None:
        self.pluvo = stage.pluvo
        self._what, self._stage, self._stack, self._numbers = what, stage, stack, count(1)
        self._job = stage.folder / "job.json"
        self._job.write_text(json.dumps(asdict(job)), encoding="utf-8")
        self._go = stage.folder / "go"
        self._go.unlink(missing_ok=True)
        self._workers: subprocess.Popen[bytes] | None = None
        self._start_workers()
        self._start_main()

    def _start_workers(self) -> None:
        if self._what.workers:
            self._workers, log = self._start("workers", *self._what.workers)
            words, times = self._what.ready
            if not wait_until(lambda: log.read_text(errors="replace").count(words) >= times, READY_SECONDS):
                raise TimeoutError(f"{self._what.name} did not start: {log.read_text(errors='replace')[-2000:]}")

    def _start_main(self) -> None:
        self._main, self._log = self._start("main", *self._what.main)
        wait_for_line(self._main, self._log, "ready ")

    def _start(self, name: str, *module: str) -> tuple[subprocess.Popen[bytes], Path]:
        log = self._stage.folder / f"{name}-{next(self._numbers)}.log"
        variables = (f"{JOB}={self._job}", f"{GO}={self._go}")
        return self._stack.enter_context(process(["env", *variables, sys.executable, "-m", *module], log)), log

    def go(self) -> None:
        """Let it begin."""
        self._go.touch()

    def done(self) -> bool:
        """Whether everybody is done, as far as it can be told from outside."""
        if not self._what.workers:
            return "done" in self._log.with_suffix(".out").read_text(encoding="utf-8")
        return self.count() >= len(self._stage.people)

    def count(self) -> int:
        """How many it has recorded."""
        return self._stage.count()

    def waiting(self) -> int:
        """How many are still in the queue."""
        return self._stage.waiting()

    def recorded(self) -> set[str]:
        """Their refs."""
        return self._stage.recorded()

    def kill(self) -> None:
        """kill -9 of all its workers, or of the script."""
        root = psutil.Process((self._workers or self._main).pid)
        root.send_signal(signal.SIGSTOP)  # so that nothing is started meanwhile
        for each in (*root.children(recursive=True), root):
            with suppress(psutil.NoSuchProcess):
                each.kill()

    def restart(self) -> None:
        """Start again what was killed."""
        if self._workers:
            self._start_workers()
        else:
            self._start_main()

    def used(self) -> dict[str, float]:
        """Processor seconds so far: its own, PostgreSQL's and Valkey's."""
        mine = [psutil.Process(each.pid) for each in (self._main, self._workers) if each and each.poll() is None]
        return {"own": cpu(mine), **servers_used()}


@contextmanager
def peer(what: Contestant, stage: Stage, delay_ms: int, comes_back_after: int | None = None) -> Iterator[Peer]:
    """Start a contestant with nothing done yet; its processes are gone afterwards."""
    stage.reset(delay_ms)
    job = Job(
        stage.url, stage.client_id, stage.client_secret, stage.document, stage.people, stage.database_url,
        stage.redis_url, what.stores, what.acks_late, comes_back_after,
    )  # fmt: skip
    with ExitStack() as stack:
        yield Peer(what, stage, stack, job)
