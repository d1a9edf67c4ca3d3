"""Let the room of what was erased be used again."""

from __future__ import annotations

from collections.abc import Iterable

from psycopg import sql

from models.session import connect_alone


def tidy_up(tables: Iterable[str]) -> None:
    """Let PostgreSQL reuse the room of what was erased now; until then it stands in the files. After the commit."""
    from models.tables import metadata  # noqa: PLC0415  all tables, which most commands do without

    with connect_alone("tidy", "-c statement_timeout=15min") as connection:
        for table in sorted(set(tables) & set(metadata.tables)):
            connection.execute(sql.SQL("VACUUM (SKIP_LOCKED, INDEX_CLEANUP ON) {}").format(sql.Identifier(table)))
