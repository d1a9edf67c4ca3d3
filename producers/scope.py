"""What a producer works under: a run with a lease that can be lost, or a preview that only looks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol

from sqlalchemy import Connection, text

from models.session import transaction

BULK_ROWS = 500


def expect_many(connection: Connection) -> None:
    """Join by hashing until the end of this transaction.

    PostgreSQL does not know yet how many rows a run has just written and takes them for a handful, for which it loops
    within loops: 3,000 rows took 18 s, 5,000 more than a statement may.
    """
    connection.execute(text("SET LOCAL enable_nestloop = off; SET LOCAL work_mem = '64MB'"))


class Scope(Protocol):
    """The part of a run's lease that reading and planning need."""

    @property
    def run_id(self) -> str: ...
    @property
    def tenant_id(self) -> int: ...
    @property
    def options(self) -> dict[str, Any]: ...
    def check(self) -> None:
        """Raise when the run was stopped or taken over."""

    def writing(self) -> AbstractContextManager[Connection]:
        """A transaction in which this run still is ours."""

    def progress(self, **counts: int) -> None:
        """Tell whoever watches how far it is."""


class PreviewScope:
    """A dry run: its run row belongs to nobody else, so there is nothing to lose and nobody to check with."""

    def __init__(self, run_id: str, tenant_id: int, options: dict[str, Any]) -> None:
        self.run_id = run_id
        self.tenant_id = tenant_id
        self.options = options
        self._rows = 0

    def check(self) -> None:
        """A preview is stopped with Ctrl-C."""

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A plain transaction."""
        with transaction() as connection:
            if self._rows > BULK_ROWS:
                expect_many(connection)
            yield connection

    def progress(self, **counts: int) -> None:
        """Nobody watches a preview through the database; it is only known how large it is."""
        self._rows += counts.get("rows", 0)
