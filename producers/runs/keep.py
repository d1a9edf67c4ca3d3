"""What a dry run tells may have millions of rows: read some hundred at a time, and kept as the caller says."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from sqlalchemy import Connection, Row, TextClause

T = TypeVar("T")
AT_ONCE = 500


class Keep(Protocol):
    """Makes a list of what is told once, such as ``list`` does."""

    def __call__(self, found: Iterable[T], /) -> Sequence[T]:
        """All of it."""
        ...


def streamed(connection: Connection, statement: TextClause, values: Mapping[str, Any]) -> Iterator[Row[Any]]:
    """The rows of a statement, of which few are in memory. They are read in the same transaction."""
    # A cursor is planned for its first rows; here all are read.
    connection.exec_driver_sql("SET LOCAL cursor_tuple_fraction = 1")
    yield from connection.execute(statement, values, execution_options={"yield_per": AT_ONCE})
