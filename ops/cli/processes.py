"""``koppeling up, worker, scheduler, migrate``: one process type each, or all of them."""

from __future__ import annotations

import signal
import sys
import threading
from types import FrameType
from typing import Annotated

import typer

import logs
from ops.cli.common import Child, Yes, confirm, example, group
from ops.runs import timetable
from ops.servers import environment
from ops.servers.parent import end_with_parent
from ops.servers.up import Options, up
from ops.terminal import output
from workers.process.supervisor import ChildSpec, Supervisor
from workers.process.worker import run_worker

app = group()
Threads = Annotated[int, typer.Option("--threads", min=1, max=128, help="Messages worked on at once, per process.")]


@app.command("up", epilog=example("koppeling up --workers 4"))
def up_(
    workers: Annotated[int, typer.Option("--workers", min=1, max=64, help="Worker processes.")] = 2,
    threads: Threads = 8,
    port: Annotated[int, typer.Option("--port", min=1, max=65535, help="Of the web server, on 127.0.0.1.")] = 8000,
    no_scheduler: Annotated[bool, typer.Option("--no-scheduler", help="Without the timetable.")] = False,
    no_console: Annotated[
        bool, typer.Option("--no-console", help="Health and webhooks only: neither pages nor the API.")
    ] = False,
) -> None:
    """Run everything on this machine until Ctrl-C; embedded servers where no URL is set."""
    logs.configure()
    raise typer.Exit(up(Options(workers, threads, port, not no_scheduler, not no_console)))


@app.command("worker", epilog=example("koppeling worker --processes 4 --threads 8"))
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


@app.command("scheduler", epilog=example("koppeling scheduler"))
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
    if not child:
        output.say("ready: the timetable is kept")
    timetable.run(stopping)


@app.command("migrate", epilog=example("koppeling migrate", "koppeling migrate --back-to 20261122_1"))
def migrate(
    back_to: Annotated[
        str | None,
        typer.Option("--back-to", help="An older revision, for an older version: what newer tables hold is lost."),
    ] = None,
    yes: Yes = False,
) -> None:
    """Bring the database to the newest schema. Safe from several machines at once."""
    logs.configure(level=30)
    if back_to is not None:
        confirm(f"Go back to {back_to}, and lose what only newer versions store?", yes)
    output.say(f"The database is at {environment.migrate(back_to)}.")
