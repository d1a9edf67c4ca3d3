"""``koppeling up, worker, scheduler, serve, migrate``: one process type each, or all of them."""

from __future__ import annotations

import signal
import sys
import threading
from types import FrameType
from typing import Annotated

import typer

import logs
import settings
from loops import Loop
from migrations.run import head, upgrade
from models import session
from ops.cli.common import example
from ops.runs import timetable
from ops.servers import environment
from ops.servers.embedded import ensure_postgres, running
from ops.servers.parent import end_with_parent
from ops.servers.up import Options, up
from ops.terminal import output
from workers.process import connections, startup
from workers.process.worker import ChildSpec, Supervisor, run_worker

Threads = Annotated[int, typer.Option("--threads", min=1, max=128, help="Messages worked on at once, per process.")]
Child = Annotated[bool, typer.Option("--child", hidden=True, help="End with the process that started this one.")]


def add_to(app: typer.Typer) -> None:
    """Put the commands into the application."""
    app.command("up", epilog=example("koppeling up --workers 4"))(up_)
    app.command("worker", epilog=example("koppeling worker --processes 4 --threads 8"))(worker)
    app.command("scheduler", epilog=example("koppeling scheduler"))(scheduler)
    app.command("serve", epilog=example("koppeling serve --port 8000"))(serve)
    app.command("migrate", epilog=example("koppeling migrate"))(migrate)


def up_(
    workers: Annotated[int, typer.Option("--workers", min=1, max=64, help="Worker processes.")] = 2,
    threads: Threads = 8,
    port: Annotated[int, typer.Option("--port", min=1, max=65535, help="Of the web server, on 127.0.0.1.")] = 8000,
    no_scheduler: Annotated[bool, typer.Option("--no-scheduler", help="Without the timetable.")] = False,
    no_console: Annotated[
        bool, typer.Option("--no-console", hidden=True, help="Health and webhooks only, which is all there is.")
    ] = False,
) -> None:
    """Run everything on this machine until Ctrl-C; embedded servers where no URL is set."""
    logs.configure()
    raise typer.Exit(up(Options(workers, threads, port, not no_scheduler, not no_console)))


def worker(
    processes: Annotated[int, typer.Option("--processes", min=1, max=64, help="Processes on this machine.")] = 1,
    threads: Threads = 8,
    child: Child = False,
) -> None:
    """Work on messages and runs until told to stop. Start as many as you like, on any machine."""
    logs.configure()
    environment.need_all()
    if processes == 1:
        raise typer.Exit(run_worker(threads, child=child))
    one = [sys.executable, "-m", "ops.cli", "worker", "--processes", "1", "--threads", str(threads), "--child"]
    raise typer.Exit(Supervisor([ChildSpec(f"worker {number + 1}", one) for number in range(processes)]).run())


def scheduler(child: Child = False) -> None:
    """Keep the timetable until told to stop: due runs, the nightly full ones, holds that expire."""
    logs.configure()
    environment.need_all()
    if child:
        end_with_parent()
    stopping = threading.Event()

    def stop(number: int, frame: FrameType | None) -> None:
        stopping.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    timetable.run(stopping)


def serve(
    host: Annotated[str, typer.Option("--host", help="Address to bind to.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=1, max=65535)] = 8000,
    no_console: Annotated[
        bool, typer.Option("--no-console", hidden=True, help="Health and webhooks only, which is all there is.")
    ] = False,
    child: Child = False,
) -> None:
    """Serve health and webhooks over HTTP until told to stop."""
    from ops.http.app import check_bind, make_app  # noqa: PLC0415 - every other command starts faster without it
    from ops.http.health import look  # noqa: PLC0415 - the same
    from ops.http.server import run  # noqa: PLC0415 - the same

    logs.configure()
    check_bind(host)
    environment.need_all()
    if child:
        end_with_parent()
    session.use_pool(connections.SERVE_POOL)
    Loop("idle connections", _give_back_idle).start()
    Loop("health", look).start()
    run(make_app(host), host, port)


def _give_back_idle() -> float:
    session.close_idle()
    return session.IDLE_SECONDS / 3


def migrate() -> None:
    """Bring the database to the newest schema. Safe from several machines at once."""
    logs.configure(level=30)
    found = settings.get()
    if found.database_url:
        environment.check_url()
        startup.refuse_pooler(found.need_database())
        upgrade(found.need_database())
    else:
        url = running(found.home).database_url
        if url:
            upgrade(url)
        else:
            with ensure_postgres(found.home) as postgres:
                upgrade(postgres.url)
    output.say(f"The database is at {head()}.")
