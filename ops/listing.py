"""Listings by key: a page, and where the next one begins. Never by offset, so a page costs the same everywhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, text

from ops.problems import Problem

MAX_LIMIT = 1000
# A row of a query by column: shown, as it is or with more beside it, or read once right beside the query.
Row = dict[str, Any]


@dataclass(frozen=True)
class Page:
    """``{"items": […], "next": null or a cursor}``."""

    items: list[Row]
    next: str | None = None

    def document(self) -> Row:
        """The JSON shape."""
        return {"items": self.items, "next": self.next}


def checked_limit(limit: int) -> int:
    """Refuse what can't be a page size."""
    if not 1 <= limit <= MAX_LIMIT:
        raise Problem("limit", most=MAX_LIMIT)
    return limit


def number_cursor(cursor: str | None) -> int | None:
    """Read a cursor that is a row's number."""
    if cursor is None:
        return None
    if not cursor.isascii() or not cursor.isdigit() or len(cursor) > 18:
        raise Problem("cursor")
    return int(cursor)


def rows(connection: Connection, sql: str, **parameters: Any) -> list[Row]:
    """Run a query and give its rows as dicts."""
    return [dict(row) for row in connection.execute(text(sql), parameters).mappings()]


def where(filters: Mapping[str, str], wanted: Mapping[str, Any]) -> str:
    """``WHERE`` with the conditions of those filters that ``wanted`` has a value for.

    A condition that also holds where its value is missing could use no index once the statement is prepared.
    """
    return "WHERE " + (" AND ".join(filters[name] for name in filters if wanted[name] is not None) or "true")


def of_tenant(column: str) -> str:
    """A condition that a row is of ``:tenant``, for a statement that sorts by this column first, and then by number.

    With "=" PostgreSQL leaves the column out of the order, and may go through the rows of all by their number: of a
    tenant that has many it expects some everywhere, and they may stand together at the other end.
    """
    return f"{column} >= :tenant AND {column} <= :tenant"


def page(found: Sequence[Mapping[str, Any]], limit: int, key: str) -> Page:
    """Cut ``limit + 1`` rows to a page; ``key`` names the column the cursor is made of."""
    items = [dict(row) for row in found[:limit]]
    return Page(items, str(items[-1][key]) if len(found) > limit else None)
