"""``koppeling up``: everything on this machine until Ctrl-C.

    embedded servers where no URL is set → migrate → key → workers, scheduler, web server → "ready http://…"

What dies is started again, servers too. A signal, or the terminal going away, stops all that was started, last the
servers.
"""

from __future__ import annotations

import signal
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from types import FrameType

import requests
import structlog

import settings
from migrations import usable
from migrations.run import upgrade
from models.session import DATABASE_TROUBLE, transaction
from models.worker import live_workers
from ops.problems import Problem
from ops.servers import environment
from ops.servers.embedded import EmbeddedError, Postgres, Valkey, start_postgres, start_valkey
from ops.terminal import output
from workers.process import startup
from workers.process.supervisor import ChildSpec, Supervisor

READY_SECONDS = 120.0
TICK_SECONDS = 0.2
LOOK_SECONDS, BACKOFF_MAX_SECONDS = 1.0, 30.0
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
log = structlog.get_logger("ops.servers.up")


@dataclass(frozen=True)
class Options:
    workers: int = 2
    threads: int = 8
    port: int = 8000
    scheduler: bool = True
    console: bool = True


class _Stopped(BaseException):
    """A signal came while things were being started."""


def up(options: Options) -> int:
    """Run everything until told to stop; the exit code."""
    check_port(options.port)
    nohup = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    with ExitStack() as stack:
        try:
            with _interruptible(nohup):
                servers = _servers(stack)
        except _Stopped:
            return 0
        supervisor = Supervisor(children(options))
        supervisor.install_signals()
        if nohup:
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
        supervisor.start()
        try:
            ready = _wait_until_ready(supervisor, options)
            while not supervisor.stop_requested:
                supervisor.tick()
                servers.tick()
                time.sleep(TICK_SECONDS)
        finally:
            killed = supervisor.stop()
        if not ready and supervisor.asked == 0:
            output.say("It did not get ready: the lines above say why.", error=True)
            return 1
        return killed


@contextmanager
def _interruptible(nohup: bool) -> Iterator[None]:
    """Until the supervisor takes the signals over, one of them ends the start in an orderly way."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise _Stopped

    before = {number: signal.signal(number, stop) for number in SIGNALS if not (nohup and number == signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class Servers:
    """The embedded servers of this machine, if any: started again when they die, at the same address."""

    def __init__(self, started: list[tuple[str, Postgres | Valkey]]) -> None:
        self.started = started
        self.look_at = 0.0
        self.failures = 0

    def tick(self) -> None:
        """Look once a second, and less often while a server does not come back."""
        if time.monotonic() < self.look_at:
            return
        wait = LOOK_SECONDS
        for name, server in self.started:
            try:
                if server.revive():
                    log.warning("server_started_again", server=name)
            except EmbeddedError as error:
                self.failures += 1
                wait = min(BACKOFF_MAX_SECONDS, LOOK_SECONDS * 2**self.failures)
                log.error("server_not_started", server=name, reason=str(error))
        if wait == LOOK_SECONDS:
            self.failures = 0
        self.look_at = time.monotonic() + wait


def _servers(stack: ExitStack) -> Servers:
    """Start what the environment does not name, and see that everything fits together."""
    found = settings.get()
    started: list[tuple[str, Postgres | Valkey]] = []
    if found.database_url:
        environment.check_url()
        usable.addresses()
    else:
        postgres = start_postgres(found.home)
        stack.callback(postgres.stop)
        started.append(("PostgreSQL", postgres))
        environment.use(database_url=postgres.url)
    if not found.redis_url:
        valkey = start_valkey(found.home)
        stack.callback(valkey.stop)
        started.append(("Valkey", valkey))
        environment.use(redis_url=valkey.url)
    upgrade(settings.get().need_direct_database())
    environment.need_keys(make=True)
    startup.broker()
    return Servers(started)


def children(options: Options) -> list[ChildSpec]:
    """The processes to keep running. They find the servers in the environment or the home, as this one did."""
    koppeling = [sys.executable, "-m", "ops.cli"]
    worker = [*koppeling, "worker", "--processes", "1", "--threads", str(options.threads), "--child"]
    found = [ChildSpec(f"worker {number}", worker) for number in range(1, options.workers + 1)]
    if options.scheduler:
        found.append(ChildSpec("scheduler", [*koppeling, "scheduler", "--child"]))
    serve = [*koppeling, "serve", "--port", str(options.port), "--no-login", "--child"]
    found.append(ChildSpec("serve", serve if options.console else [*serve, "--no-console"]))
    return found


def check_port(port: int) -> None:
    """Say at once that a port is taken, instead of starting everything first."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
        except OSError as error:
            raise Problem("port_unusable", port=port, why=error.strerror) from None


def _wait_until_ready(supervisor: Supervisor, options: Options) -> bool:
    """Announce the address once every part runs. False when that takes too long or a signal came first."""
    url = f"http://127.0.0.1:{options.port}"
    give_up = time.monotonic() + READY_SECONDS
    while not supervisor.stop_requested:
        supervisor.tick()
        if _all_run(supervisor, options.workers) and _answers(url):
            output.say(f"ready {url}")
            return True
        if time.monotonic() > give_up:
            supervisor.stop_requested = True
            return False
        time.sleep(TICK_SECONDS)
    return False


def _all_run(supervisor: Supervisor, workers: int) -> bool:
    running = all(child.process is not None and child.process.poll() is None for child in supervisor.children)
    if not running:
        return False
    pids = {child.process.pid for child in supervisor.children if child.process is not None}
    try:
        with transaction() as connection:
            alive = {int(name.split(":")[1]) for name in live_workers(connection)}
    except DATABASE_TROUBLE:
        return False  # away for a moment: it is asked again
    return len(alive & pids) == workers


def _answers(url: str) -> bool:
    try:
        with requests.Session() as session:
            session.trust_env = False  # a proxy has nothing to do with this machine's own port
            return session.get(f"{url}/readyz", timeout=5).status_code == 200
    except requests.RequestException:
        return False
