"""What all commands share: their common options, how they find the servers, how they print and end."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer

import logs
import settings
from ops import access
from ops.cli.lazy import HELP
from ops.language import Language, language_of
from ops.listing import Page
from ops.problems import First, Problem
from ops.servers import environment
from ops.terminal import csv_file, output, watch
from settings import parse_duration

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Who = Annotated[str | None, typer.Option("--who", help="Who does this, for the record.", show_default="your user name")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Don't ask for confirmation.")]
InLanguage = Annotated[
    Language | None,
    typer.Option("--language", help="In English (en) or Dutch (nl).", show_default="that of the terminal"),
]
Limit = Annotated[int, typer.Option("--limit", help="At most so many items (1 to 1000).")]
Cursor = Annotated[str | None, typer.Option("--cursor", help="The 'next' of the page before.")]
Everything = Annotated[bool, typer.Option("--all", help="Whatever their state.")]
Watch = Annotated[bool, typer.Option("--watch", help="Show it anew every few seconds, until Ctrl-C.")]
Csv = Annotated[
    Path | None, typer.Option("--csv", help=f"Write them, older ones too, to this CSV file. {csv_file.AS_EXCEL}")
]
Slug = Annotated[str, typer.Argument(help="A tenant's slug.", show_default=False)]
Child = Annotated[bool, typer.Option("--child", hidden=True, help="End with the process that started this one.")]
TenantFilter = Annotated[str | None, typer.Option("--tenant", help="Only of this tenant.")]


def group(help_text: str | None = None) -> typer.Typer:
    """The verbs of one file; with a help line they stand behind a noun."""
    return typer.Typer(help=help_text, no_args_is_help=True, rich_markup_mode=None, context_settings=HELP)


def example(*lines: str) -> str:
    """The end of a command's help."""
    return "Example: " + "   ".join(lines)


@contextmanager
def at_database(*, create: bool = False, keys: bool = False, lost_keys: bool = False) -> Iterator[None]:
    """A database for the length of the command; the broker too where one is known. Logs only what is a warning.

    The arguments are those of ``environment.database``.
    """
    logs.configure(level=30)
    with environment.database(create=create, keys=keys, lost_keys=lost_keys):
        environment.use_broker_if_running()
        yield


def wanted_state(state: str | None, everything: bool) -> str | None:
    """Of which state a listing shows: the one asked for, open ones, or (None) all."""
    if state is not None and everything:
        raise Problem("state_or_all")
    return None if everything else state or "open"


def named(who: str | None) -> str:
    """Who does it."""
    return (who or "").strip() or access.current_user()


def confirm(question: str, yes: bool) -> None:
    """Ask before something that can't be undone. Without a terminal only ``--yes`` will do."""
    if yes:
        return
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise Problem("say_yes", question=question)
    if not typer.confirm(question):
        raise Problem("nothing_done")


def flagged(slug: str, environment: str | None) -> str:
    """A tenant's slug, with what its AFAS environment is for where it is not production."""
    return slug if environment in (None, "production") else f"{slug} [{environment.upper()}]"


def show_page(found: Any, as_json: bool, columns: Sequence[str], empty: str) -> None:
    """Print a page of a listing: ``{"items", "next"}`` or a table with the cursor of the next page below it."""
    if as_json:
        output.show_json(found.document())
        return
    if not found.items:
        output.say(empty)
        return
    output.show_table(columns, [[item.get(column) for column in columns] for item in found.items])
    show_next(found.next)


def write_csv(
    path: Path, columns: Sequence[str], listed: Callable[[int, str | None], Page], cursor: str | None
) -> None:
    """Write all of a listing from ``cursor`` on; ``listed`` gets the size of a page and where it begins."""
    csv_file.write(path, columns, csv_file.every(listed, cursor), language_of(None))


def show_next(cursor: str | None) -> None:
    """Say how to see what comes after this page."""
    if cursor:
        output.say(f"More: --cursor {cursor}")


def show(document: Any, as_json: bool, human: Callable[[Any], None], *, page: str | None = None) -> None:
    """Print a document as JSON or for people; with the address of its ``page`` where the console has one that is known.

    ``page`` is a path such as ``/runs/01J…``: with KOPPELING_PUBLIC_URL before it, that is ``url`` in JSON.
    """
    url = page_url(page) if page else None
    if as_json:
        output.show_json(document | {"url": url} if url else document)
        return
    human(document)
    if url:
        output.say(url)


def by(first: First | None) -> str:
    """Who was first, behind a sentence that says what was done already."""
    return f" ({first['who']}, {output.shown(first['at'])} UTC)" if first else ""


def with_first(first: First | None) -> dict[str, First]:
    """The same in a document; nothing where nobody was first."""
    return {"first": first} if first else {}


def page_url(path: str) -> str | None:
    """Where the console shows this; None where KOPPELING_PUBLIC_URL does not say."""
    public = settings.get().public_url
    return f"{public}{quote(path)}" if public else None


def shown_again(draw: Callable[[], None], wanted: bool) -> None:
    """Draw once, or until Ctrl-C."""
    if wanted:
        watch.watch(draw)
    else:
        draw()


def instant(value: str | None, option: str) -> datetime | None:
    """A day or a time; without a zone it is UTC."""
    if value is None:
        return None
    try:
        found = datetime.fromisoformat(value)
    except ValueError:
        raise Problem("no_instant", option=option) from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def day(value: str | None, option: str) -> str | None:
    """A day as ``YYYY-MM-DD``."""
    try:
        return date.fromisoformat(value).isoformat() if value is not None else None
    except ValueError:
        raise Problem("no_day", option=option) from None


def duration(value: str, option: str) -> int:
    """Seconds of ``45s``, ``15m``, ``2h`` or ``7d``."""
    try:
        return parse_duration(value)
    except ValueError as error:
        raise Problem("no_duration", option=option, said=error) from None
