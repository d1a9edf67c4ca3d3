"""A run in hand: who works on it, until when, and the fencing token that keeps a stale producer from writing.

The token rises with every take-over. ``writing`` locks the run's row and compares the token first, so what a producer
writes after it was taken over never gets in.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Row, text

from loops import Loop
from models.run import RunOptions, RunStatus
from models.session import transaction
from producers.runs.context import Sizes

LEASE_SECONDS = 45
RENEW_SECONDS = 10.0
_RENEW = text(
    """UPDATE run SET lease_until = clock_timestamp() + make_interval(secs => :lease)
        WHERE id = :id AND tenant_id = :tenant AND fence = :fence AND status = 'running'"""
)
_LOOK = text("SELECT fence, status, stop_requested FROM run WHERE id = :id AND tenant_id = :tenant")
_LOCK = text(f"{_LOOK.text} FOR UPDATE")
_PROGRESS = text(
    """UPDATE run SET progress = progress || CAST(:numbers AS jsonb)
        WHERE id = :id AND tenant_id = :tenant AND fence = :fence RETURNING fence, status, stop_requested"""
)


class RunLost(Exception):
    """Another producer took the run over, or it ended: stop, write nothing."""


class RunStopped(Exception):
    """An operator stopped the run."""


class PlanChanged(RunStopped):
    """The plan is not the one that was looked at: nothing of it is done."""


class RunInterrupted(Exception):
    """This process is about to end: the run goes back to the queue."""


@dataclass
class RunLease:
    """What a producer holds of its run. Call ``check`` between pages; write only through ``writing``."""

    run_id: str
    tenant_id: int
    direction: str
    options: RunOptions
    fence: int
    # It only plans, for somebody to look at
    preview: bool = False
    stopping: threading.Event = field(default_factory=threading.Event)
    _progress: dict[str, int] = field(default_factory=dict)
    _sizes: Sizes = field(default_factory=Sizes)
    _ended: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    @property
    def _key(self) -> dict[str, str | int]:
        return {"id": self.run_id, "tenant": self.tenant_id, "fence": self.fence}

    def check(self) -> None:
        """Raise RunLost, RunStopped or RunInterrupted when the producer must end."""
        with transaction() as connection:
            self._verify(connection.execute(_LOOK, self._key).first())

    @contextmanager
    def writing(self, **progress: int) -> Iterator[Connection]:
        """A transaction that only gets in while the run is still ours, not stopped and not taken over.

        With ``progress`` it shows how much further the run is with it.
        Nobody can renew the lease while it is open, so one that took long brings a fresh lease along.
        """
        begun = time.monotonic()
        with transaction() as connection:
            # Either locks the run's row.
            self._verify(self._show(connection, progress) if progress else connection.execute(_LOCK, self._key).first())
            with self._sizes.planning(connection):
                yield connection
            if time.monotonic() - begun > RENEW_SECONDS:
                connection.execute(_RENEW, {"lease": LEASE_SECONDS, **self._key})

    def progress(self, **numbers: int) -> None:
        """Show how much further it is: so many more ``pages``, ``rows``, ``planned``."""
        with transaction() as connection:
            self._show(connection, numbers)

    def _show(self, connection: Connection, numbers: dict[str, int]) -> Row[Any] | None:
        self._sizes.add(numbers)
        for name, number in numbers.items():
            self._progress[name] = self._progress.get(name, 0) + number
        return connection.execute(_PROGRESS, {"numbers": json.dumps(self._progress), **self._key}).first()

    def tell_sizes(self, connection: Connection, **written: int) -> None:
        """Let PostgreSQL know about the many rows that were written so far, and these."""
        self._sizes.add(written)
        self._sizes.tell(connection)

    def _verify(self, row: Row[Any] | None) -> None:
        if row is None or row.fence != self.fence or row.status != RunStatus.RUNNING:
            raise RunLost(self.run_id)
        if row.stop_requested:
            raise RunStopped(self.run_id)
        if self.stopping.is_set():
            raise RunInterrupted(self.run_id)

    def keep(self) -> None:
        """Renew the lease every 10 s in a thread until ``end``."""
        self._thread = Loop(f"lease {self.run_id}", self._renew, self._ended, after=RENEW_SECONDS)
        self._thread.start()

    def end(self) -> None:
        """Stop renewing."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join(timeout=RENEW_SECONDS)

    def _renew(self) -> float | None:
        with transaction() as connection:
            values = {"lease": LEASE_SECONDS, **self._key}
            renewed = connection.execute(_RENEW, values).rowcount
        return RENEW_SECONDS if renewed else None
