"""``koppeling workers, doctor``"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

import logs
from ops import workers
from ops.cli.common import InLanguage, Json, at_database, example, group, show
from ops.language import language_of
from ops.terminal import output

if TYPE_CHECKING:
    from ops.workers import Workers

app = group()


Here = Annotated[bool, typer.Option("--here", help="Only this machine's; end with 1 when none of them is alive.")]


@app.command("workers", epilog=example("koppeling workers --json", "koppeling workers --here"))
def workers_(here: Here = False, json: Json = False) -> None:
    """List worker processes by host, with version, threads, what they do and who leads."""
    with at_database():
        found = workers.document(here=here)
    show(found, json, _show_workers)
    if here and not found["alive"]:
        raise typer.Exit(1)


def _show_workers(found: Workers) -> None:
    if not found["workers"]:
        output.say("No worker is running, so nothing is done: `koppeling up` or `koppeling worker` starts one.")
    else:
        columns = ("host", "pid", "version", "threads", "messages", "runs", "leads", "heartbeat_at")
        shown = [
            [one["host"], one["pid"], one["version"], one["threads"], one["messages"], one["runs"],
             ", ".join(one["leads"]) or ("-" if one["alive"] else "gone"), one["heartbeat_at"]]
            for one in found["workers"]
        ]  # fmt: skip
        output.show_table(columns, shown)
    output.say("")
    output.show_table(
        ("service", "state", "by", "seen_at"),
        [[one["name"], one["state"], one["worker"], one["seen_at"]] for one in found["services"]],
    )


@app.command("doctor", epilog=example("koppeling doctor"))
def doctor(language: InLanguage = None, json: Json = False) -> None:
    """Look whether this installation is as it must be, one line a question; ends with 1 when something is wrong."""
    from ops.doctor import document  # noqa: PLC0415  it knows all of the servers, and `workers` needs none of that

    logs.configure(level=40)
    found = document(language_of(language), ask_mail_server=True)
    if json:
        output.show_json(found)
    else:
        for one in found["checks"]:
            mark = {"fault": "FAIL", "warning": "warn", "ok": "ok"}[one["severity"]]
            output.say(f"{mark:4}  {one['check']:14} {one['code']:22} {one['cause']}".rstrip())
            if one["action"]:
                output.say(f"      {one['action']}")
    raise typer.Exit(0 if found["ok"] else 1)
