"""``koppeling users …``"""

from __future__ import annotations

import getpass
import sys
from typing import Annotated

import typer

from ops import users
from ops.cli.common import (
    Csv,
    Cursor,
    Json,
    Limit,
    Who,
    Yes,
    at_database,
    confirm,
    example,
    group,
    named,
    show,
    show_page,
    write_csv,
)
from ops.listing import Row
from ops.problems import Problem
from ops.terminal import output
from ops.users import UserDone

app = group("Who may log in to the console: list, add, change, disable.")
Name = Annotated[str, typer.Argument(help="The name to log in with, such as an address.", show_default=False)]
RoleOption = Annotated[str, typer.Option("--role", help="viewer, operator or admin.", show_default=False)]
Tenants = Annotated[
    list[str] | None,
    typer.Option("--tenant", help="Only of this tenant; may be repeated.", show_default="every tenant"),
]
Seen = Annotated[
    int | None,
    typer.Option(
        "--seen", min=0, help="The version that `users show` gave: refuse, if somebody changed the user since."
    ),
]
COLUMNS = ("name", "role", "tenants", "sessions", "last_login_at", "disabled_at")


@app.command("list", epilog=example("koppeling users list"))
def list_(*, csv: Csv = None, limit: Limit = 100, cursor: Cursor = None, json: Json = False) -> None:
    """List users by name."""
    with at_database():
        if csv:
            write_csv(csv, COLUMNS, users.listing, cursor)
            return
        found = users.listing(limit, cursor)
    show_page(found, json, COLUMNS, "Nobody can log in yet: `koppeling users add NAME --role admin`.")


@app.command("show", epilog=example("koppeling users show anna@example.nl"))
def show_(name: Name, json: Json = False) -> None:
    """Show a user with the open sessions, and what was done with them."""
    with at_database():
        found = users.show(name)
    show(found, json, _show_user, page=f"/settings/users/{found['id']}")


def _show_user(found: Row) -> None:
    output.show_fields(found, skip=("opened", "history"))
    for title, columns in (
        ("opened", ("seen_at", "address", "agent", "expires_at")),
        ("history", ("at", "who", "verb")),
    ):
        if found[title]:
            output.say("")
            output.show_table(columns, [[row[column] for column in columns] for row in found[title]])


@app.command(
    "add",
    epilog=example(
        "koppeling users add anna@example.nl --role operator --tenant acme",
        "koppeling users add anna@example.nl --role admin < password",
    ),
)
def add(name: Name, role: RoleOption, tenant: Tenants = None, who: Who = None, json: Json = False) -> None:
    """Let somebody log in. Asks for the password, twice; without a terminal it is one line of standard input."""
    with at_database():
        made = users.add(name, role, tenant, _new_password(), who=named(who))
    show(made, json, lambda _: output.say(f"{name} may log in as {role}."))


@app.command("edit", epilog=example("koppeling users edit anna@example.nl --role viewer"))
def edit(
    name: Name, *, role: RoleOption, tenant: Tenants = None, seen: Seen = None, who: Who = None, json: Json = False
) -> None:
    """Give somebody another role and other tenants, from their next click on. Without --tenant it is every tenant."""
    with at_database():
        done = users.edit(name, role, tenant, who=named(who), seen=seen)
    show(done, json, _say)


@app.command("passwd", epilog=example("koppeling users passwd anna@example.nl"))
def passwd(name: Name, who: Who = None, json: Json = False) -> None:
    """Give somebody another password, asked for as by ``add``; their sessions end."""
    with at_database():
        seen = users.show(name)["version"]  # who isn't there needs no password
        done = users.passwd(name, _new_password(), who=named(who), seen=seen)
    show(done, json, _say)


@app.command("disable", epilog=example("koppeling users disable anna@example.nl"))
def disable(name: Name, who: Who = None, json: Json = False) -> None:
    """Keep somebody out; their sessions end at once."""
    with at_database():
        done = users.disable(name, who=named(who))
    show(done, json, _say)


@app.command("enable", epilog=example("koppeling users enable anna@example.nl"))
def enable(name: Name, seen: Seen = None, who: Who = None, json: Json = False) -> None:
    """Let somebody in again."""
    with at_database():
        done = users.enable(name, who=named(who), seen=seen)
    show(done, json, _say)


@app.command("sign-out", epilog=example("koppeling users sign-out anna@example.nl"))
def sign_out(name: Name, who: Who = None, json: Json = False) -> None:
    """End all sessions of somebody; they may log in again."""
    with at_database():
        done = users.sign_out(name, who=named(who))
    show(done, json, _say)


@app.command("remove", epilog=example("koppeling users remove anna@example.nl"))
def remove(name: Name, yes: Yes = False, who: Who = None, json: Json = False) -> None:
    """Forget somebody. What they did stays in the record."""
    with at_database():
        found = users.show(name)
        confirm(f"Remove {found['name']}?", yes)
        done = users.remove(name, who=named(who), seen=found["version"])
    show(done, json, _say)


_SAID = {
    "unchanged": "{user} is so already.",
    "changed": "{user} is changed.",
    "disabled": "{user} can't log in any more.",
    "enabled": "{user} may log in again.",
    "removed": "{user} is removed.",
    "signed_out": "{user} is signed out.",
}


def _say(done: UserDone) -> None:
    ended = f" {done['sessions']} sessions ended." if done["sessions"] else ""
    output.say(_SAID[done["result"]].format(user=done["user"]) + ended)


def _new_password() -> str:
    """Never an argument: those stand in the list of processes and in the shell's history."""
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    first = getpass.getpass("Password: ")
    if getpass.getpass("Once more: ") != first:
        raise Problem("password_twice")
    return first
