"""CSV for spreadsheets, as a file or as an answer: nothing in a cell is run as a formula.

Excel splits at the sign of the language it runs in, so Dutch gets semicolons and English commas. Both begin with a byte
order mark, without which Excel takes names for Latin-1.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ops.language import Language
from ops.listing import MAX_LIMIT, Page, Row
from ops.terminal import files, output

MARK = "\ufeff"
# Said in the help of every --csv.
AS_EXCEL = "Columns are split by ; where the language is Dutch, as Dutch Excel wants it, else by a comma."
# A sign that begins a formula, at the start of what may become a cell; wide forms count in Japanese spreadsheets.
_SIGNS = "=+\\-@\uff1d\uff0b\uff0d\uff20"
_FORMULA = re.compile(rf"\A(?=[\s\"]*[{_SIGNS}]|[\t\r])|(?<=[;,|\t\r\n])(?=[\s\"']*[{_SIGNS}])")


def write(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]], language: Language) -> None:
    """Write a private file: a head with the names of the columns, and a line a row. Raises Problem where it can't."""
    with files.private_file(path) as file:  # which begins with the mark
        file.writelines(_lines(columns, rows, language))


def lines(columns: Sequence[str], rows: Iterable[Mapping[str, Any]], language: Language) -> Iterator[str]:
    """The same as text, the mark first, a piece a row: for an answer over HTTP (``text/csv; charset=utf-8``)."""
    yield MARK
    yield from _lines(columns, rows, language)


def every(page: Callable[[int, str | None], Page], cursor: str | None = None) -> Iterator[Row]:
    """All that a listing has from ``cursor`` on, a page at a time: ``page`` gets its size and where it begins."""
    while True:
        found = page(MAX_LIMIT, cursor)
        yield from found.items
        if found.next is None:
            return
        cursor = found.next


def _lines(columns: Sequence[str], rows: Iterable[Mapping[str, Any]], language: Language) -> Iterator[str]:
    buffer = io.StringIO()
    writer = csv.writer(buffer, delimiter=";" if language == "nl" else ",")
    for cells in _cells(columns, rows):
        writer.writerow(cells)
        yield buffer.getvalue()
        buffer.seek(0)
        buffer.truncate()


def _cells(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> Iterator[list[str]]:
    yield list(columns)
    for row in rows:
        yield [harmless_cell(row[column]) for column in columns]


def harmless_cell(value: Any) -> str:
    """Text for a spreadsheet: nothing in it is run as a formula.

    A spreadsheet may split at another sign than we wrote, so what follows such a sign is made harmless like what begins
    a cell. A sign alone is none, and neither is the lack of a value.
    """
    text = "" if value is None or value in ([], {}) else output.shown(value)
    return text if text == "-" else _FORMULA.sub("'", text)
