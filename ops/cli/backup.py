"""``koppeling backup, restore``"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import logs
from ops.cli.common import Json, Who, at_database, example, group, named, show
from ops.problems import Problem
from ops.terminal import output
from ops.terminal.files import read_text

if TYPE_CHECKING:
    from ops.servers.backup import BackedUp
    from ops.servers.restore import Restored

app = group()
File = Annotated[Path, typer.Argument(help="The file of the backup.", show_default=False)]


@app.command("backup", epilog=example("koppeling backup monday.backup --with-key"))
def backup_(
    file: File,
    with_key: Annotated[
        bool | None,
        typer.Option(
            "--with-key/--without-key",
            help="Put the key of the stored secrets in too: who has the file can read them. Without it, keep the key.",
            show_default="asks",
        ),
    ] = None,
    who: Who = None,
    json: Json = False,
) -> None:
    """Write the embedded database into one file, as it is at one moment, while all goes on."""
    from ops.servers import backup  # noqa: PLC0415  it knows the tables, and `--help` needs none of them

    backup.refuse_named()
    if with_key is None:
        if not (sys.stdin.isatty() and sys.stdout.isatty()):
            raise Problem("backup_which_key")
        with_key = typer.confirm("Put the key of the stored secrets in too? Who has the file can then read them.")
    with at_database(keys=with_key):
        done = backup.backup(file, with_key=with_key, who=named(who))
    show(done, json, lambda _: _show_backup(done))


def _show_backup(done: BackedUp) -> None:
    size = max(1, done["bytes"] // 1000)
    output.say(f"{done['file']}: {done['tenants']} tenants, {size:,} kB, tables of {done['revision']}.")
    if done["with_key"]:
        output.say("The key is in it: keep it as safe as the secrets of all tenants.")
    elif done["keys"]:
        marks = ", ".join(done["keys"])
        output.say(f"The key is not in it: without the one with fingerprint {marks} its secrets can't be read.")


@app.command(
    "restore", epilog=example("koppeling restore monday.backup", "koppeling restore monday.backup --replace-tenants")
)
def restore_(
    file: File,
    replace: Annotated[
        bool, typer.Option("--replace-tenants", help="Also where there are tenants, which are lost then.")
    ] = False,
    key_file: Annotated[
        Path | None, typer.Option("--key-file", help="A file with the key, where the backup does not have it.")
    ] = None,
    who: Who = None,
    json: Json = False,
) -> None:
    """Put a backup in the place of the embedded database, while nothing runs. Older tables are migrated."""
    from ops.servers import restore  # noqa: PLC0415  as above

    logs.configure(level=30)
    key = read_text(key_file, 10_000) if key_file else None
    done = restore.restore(file, replace=replace, key=key, who=named(who))
    show(done, json, lambda _: _show_restored(done))


def _show_restored(done: Restored) -> None:
    migrated = "" if done["was"] == done["revision"] else f", migrated from {done['was']}"
    output.say(f"{done['tenants']} tenants are as they were at {done['made_at']}{migrated}.")
    output.say(
        "The next run of each tenant looks at every account and enrollment in Pluvo. To see first what it would do: "
        "`koppeling up --no-scheduler`, then `koppeling sync SLUG --dry-run`."
    )
