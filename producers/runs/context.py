"""What a producer works under: a run with a lease that can be lost, or a preview that only looks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from sqlalchemy import Connection, text

from models.run import RunOptions
from models.session import transaction

BULK_ROWS = 500
WRITTEN = ("snapshot_row", "directory_user", "plan_line", "person", "enrollment", "message")


class Sizes:
    """Tells PostgreSQL how much a large run has written so far.

    It looks by itself only once in a while, and until then takes many new rows for a handful, for which it loops within
    loops: 3,000 rows took 18 s, 5,000 more than a statement may. Small runs are not worth a look.
    """

    def __init__(self) -> None:
        self._rows = 0
        self._told = 0

    def add(self, counts: dict[str, int]) -> None:
        """Count what was read or planned."""
        self._rows += sum(counts.get(name, 0) for name in ("rows", "users", "planned"))

    def tell(self, connection: Connection, *, again: bool = False) -> None:
        """Have it look when there is half as much again as the last time, or now; never waits for another look."""
        if self._rows > BULK_ROWS and (again or self._rows > 1.5 * self._told):
            connection.execute(text(f"ANALYZE (SKIP_LOCKED) {', '.join(WRITTEN)}"))
            self._told = self._rows


class RunContext(Protocol):
    """The part of a run's lease that reading and planning need."""

    @property
    def run_id(self) -> str: ...
    @property
    def tenant_id(self) -> int: ...
    @property
    def options(self) -> RunOptions: ...
    def check(self) -> None:
        """Raise when the run was stopped or taken over."""

    def writing(self) -> AbstractContextManager[Connection]:
        """A transaction in which this run still is ours."""

    def progress(self, **counts: int) -> None:
        """Show how far it is."""

    def tell_sizes(self, connection: Connection) -> None:
        """Let PostgreSQL know about the many rows this transaction has just written."""


class PreviewContext:
    """A dry run: no other process works on its run, so it can't be lost or stopped."""

    def __init__(self, run_id: str, tenant_id: int, options: RunOptions) -> None:
        self.run_id = run_id
        self.tenant_id = tenant_id
        self.options = options
        self._sizes = Sizes()

    def check(self) -> None:
        """A preview is stopped with Ctrl-C."""

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A plain transaction."""
        with transaction() as connection:
            self._sizes.tell(connection)
            yield connection

    def progress(self, **counts: int) -> None:
        """Nobody watches a preview through the database; it is only known how large it is."""
        self._sizes.add(counts)

    def tell_sizes(self, connection: Connection) -> None:
        """As for a run."""
        self._sizes.tell(connection, again=True)
