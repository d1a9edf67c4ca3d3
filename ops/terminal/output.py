"""Print: JSON for scripts, tables for people. What comes from outside is made harmless for a terminal first."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import islice
from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ops.local_time import told_at

WIDE = 2000  # columns, where there is no terminal: one row is one line
GAP = 2  # between two columns
PIECE = 10_000  # words and signs of JSON that are written at once


def console(*, error: bool = False) -> Console:
    """Standard output or standard error as it is now (tests replace them)."""
    stream = sys.stderr if error else sys.stdout
    return Console(file=stream, width=None if stream.isatty() else WIDE, soft_wrap=False, highlight=False)


def plain(value: Any) -> Any:
    """What JSON can't say by itself: times become ISO 8601 in UTC, a list in a file one in memory."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, Sequence):
        return list(value)
    return str(value)


class _Walked(list[Any]):
    """A list in a file as the encoder takes one: it asks whether there is anything, and walks it once."""

    def __init__(self, rows: Sequence[Any]) -> None:
        super().__init__()
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._rows)


def _walked(value: Any) -> Any:
    return _Walked(value) if isinstance(value, Sequence) else plain(value)


def as_json(document: Any) -> Iterator[str]:
    """One JSON document, in ASCII so that any terminal and any pipe takes it: piece by piece."""
    # In pieces, JSON is made by Python's own encoder, which walks a list; the one in C would look into it.
    signs = json.JSONEncoder(default=_walked, indent=2).iterencode(document)
    while piece := "".join(islice(signs, PIECE)):
        yield piece
    yield "\n"


def show_json(document: Any) -> None:
    """Print one JSON document."""
    for piece in as_json(document):
        sys.stdout.write(piece)
    sys.stdout.flush()


def say(line: str, *, error: bool = False) -> None:
    """Print one line."""
    stream = sys.stderr if error else sys.stdout
    stream.write(harmless(line) + "\n")
    stream.flush()


def counts(outcomes: Mapping[str, int]) -> list[str]:
    """The outcomes that occurred: ``10 created``, ``1183 unchanged``."""
    return [f"{number} {name}" for name, number in outcomes.items() if number]


def counted(outcomes: Mapping[str, int]) -> str:
    """The same as one cell."""
    return ", ".join(counts(outcomes)) or "-"


def harmless(text: str) -> str:
    """Without control and other invisible characters: a name must not move the cursor or hide what follows."""
    return "".join(letter if letter.isprintable() or letter == "\n" else "�" for letter in text)


def shown(value: Any) -> str:
    """A value in a table's cell."""
    if value is None or (isinstance(value, Mapping | list) and not value):
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {shown(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(shown(item) for item in value)
    return harmless(str(value)).replace("\n", " ")


def show_table(
    columns: Sequence[str], found: Iterable[Sequence[Any]], *, title: str | None = None, header: bool = True
) -> None:
    """Print a table; numbers to the right, nothing cut. On a terminal too narrow for it: each row as a record."""
    listed = [list(row) for row in found]
    cells = [[shown(value) for value in row] for row in listed]
    to = console()
    widths = _widths([[name, *(row[number] for row in cells)] for number, name in enumerate(columns)], to.width)
    if widths is None and header:
        for row in cells:
            show_table(["", ""], zip(columns, row, strict=True), title=title, header=False)
            to.print()
            title = None
        return
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold", show_header=header)
    for number, name in enumerate(columns):
        counts = bool(listed) and all(isinstance(row[number], int | float) for row in listed)
        table.add_column(
            Text(name),
            justify="right" if counts else "left",
            overflow="fold",
            width=widths[number] if widths else None,
        )
    for row in cells:
        table.add_row(*map(Text, row))
    to.print(table)


def _widths(texts: Sequence[Sequence[str]], room: int) -> list[int] | None:
    """How wide each column becomes: no word is broken, and those that need little get all they need.

    None where the longest words don't fit side by side.
    """
    full = [max(map(cell_len, column)) for column in texts]
    widths = [max((cell_len(word) for text in column for word in text.split()), default=0) for column in texts]
    spare = room - sum(widths) - GAP * (len(texts) - 1)
    if spare < 0:
        return None
    by_need = sorted(range(len(texts)), key=lambda number: full[number] - widths[number])
    for place, number in enumerate(by_need):
        more = min(full[number] - widths[number], spare // (len(texts) - place))
        widths[number] += more
        spare -= more
    return widths


def show_fields(document: Mapping[str, Any], *, skip: Sequence[str] = ()) -> None:
    """Print a record, one line a field."""
    show_table(["", ""], [(key, value) for key, value in document.items() if key not in skip], header=False)


def in_zone(row: Mapping[str, Any], zone: str) -> dict[str, Any]:
    """A row as people see it: its times in a tenant's zone, which is named."""
    return {key: told_at(value, zone) if isinstance(value, datetime) else value for key, value in row.items()}


def ago(at: datetime | None) -> str:
    """``3 m ago`` or ``in 2 h``."""
    if at is None:
        return "-"
    seconds = (datetime.now(UTC) - at).total_seconds()
    size = abs(seconds)
    unit, length = next(((u, n) for u, n in (("d", 86400), ("h", 3600), ("m", 60)) if size >= n), ("s", 1))
    count = f"{size / length:.0f} {unit}"
    return f"{count} ago" if seconds >= 0 else f"in {count}"
