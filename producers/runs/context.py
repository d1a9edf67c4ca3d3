"""What a producer works under: a run with a lease that can be lost, or a preview that only looks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from sqlalchemy import Connection, text

from models.run import RunOptions
from models.session import transaction

BULK_ROWS = 500
# A statement may take a minute (models/session.py), and one more for each so many rows of its run.
ROWS_A_MINUTE = 100_000
# What a run counts, and the table into which it goes
WRITTEN = {
    "rows": "snapshot_row",
    "users": "directory_user",
    "planned": "plan_line",
    "people": "person",
    "enrollments": "enrollment",
    "messages": "message",
    "held": "hold_line",
}


# Of tables that are looked at in a transaction it has this lock until the end of it.
_LOOKED_AT = text(
    """
    SELECT count(DISTINCT relation) FROM pg_locks
     WHERE pid = pg_backend_pid() AND locktype = 'relation' AND mode = 'ShareUpdateExclusiveLock' AND granted
       AND relation = ANY(CAST(:tables AS regclass[]))
    """
)


class Sizes:
    """Tells PostgreSQL how much a large run has written so far.

    It looks by itself only once in a while, and until then takes many new rows for a handful, for which it loops within
    loops: 3,000 rows took 18 s, 5,000 more than a statement may. A look costs as much as storing thousands of rows, so
    only tables that grew by many are looked at, and only before the step that reads them.

    While something else looks at a table it can't, and goes on knowing nothing. Until it can, the run does without
    loops, and forgets the plans that were made while tables were small: those with which foreign keys are checked read
    a whole table for each row. Nobody else does without them: whoever changes little would read all that there is.
    """

    def __init__(self) -> None:
        self._written: Counter[str] = Counter()
        self._told: Counter[str] = Counter()
        # A table that grew by many could not be looked at
        self._blind = False
        # This transaction does without loops
        self._hashes = False

    def add(self, counts: Mapping[str, int]) -> None:
        """Count what was written."""
        self._written.update({name: counts[name] for name in WRITTEN.keys() & counts.keys()})

    @contextmanager
    def planning(self, connection: Connection) -> Iterator[None]:
        """The statements of a transaction, which may be without loops."""
        self._hashes = False
        if more := max(self._written.values(), default=0) // ROWS_A_MINUTE:
            connection.execute(text(f"SET LOCAL statement_timeout = '{1 + more}min'"))
        self._avoid_loops(connection)
        yield
        if self._hashes:  # the connection goes to others, and its plans with it
            connection.execute(text("DISCARD PLANS"))

    def tell(self, connection: Connection) -> None:
        """Have it look at what has half as much again as the last time; never waits for another look."""
        grown = [name for name, rows in self._written.items() if rows > max(BULK_ROWS, 1.5 * self._told[name])]
        if not grown:
            return
        tables = sorted(WRITTEN[name] for name in grown)
        connection.execute(text(f"ANALYZE (SKIP_LOCKED) {', '.join(tables)}"))
        self._blind = connection.execute(_LOOKED_AT, {"tables": tables}).scalar_one() < len(tables)
        if self._blind:
            self._avoid_loops(connection)
        else:
            self._told.update({name: self._written[name] - self._told[name] for name in grown})

    def _avoid_loops(self, connection: Connection) -> None:
        """Have it join what it does not know by hashing, whatever it is taken for."""
        if self._blind:
            connection.execute(text("SET LOCAL enable_nestloop = off"))
            connection.execute(text("DISCARD PLANS"))
            self._hashes = True


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

    def writing(self, **progress: int) -> AbstractContextManager[Connection]:
        """A transaction in which this run still is ours; it also shows how far the run is with it."""

    def progress(self, **counts: int) -> None:
        """Show how far it is."""

    def tell_sizes(self, connection: Connection, **written: int) -> None:
        """Let PostgreSQL know about the many rows that were written so far, and these: ``people=2100``."""


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
    def writing(self, **progress: int) -> Iterator[Connection]:
        """A plain transaction."""
        self.progress(**progress)
        with transaction() as connection, self._sizes.planning(connection):
            yield connection

    def progress(self, **counts: int) -> None:
        """Nobody watches a preview through the database; it is only known how large it is."""
        self._sizes.add(counts)

    def tell_sizes(self, connection: Connection, **written: int) -> None:
        """As for a run."""
        self._sizes.add(written)
        self._sizes.tell(connection)
