"""A live line per tenant while runs are waited for, on standard error and only on a terminal.

Of many tenants one line for all, and those of the runs that are under way.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from types import TracebackType

from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from models.run import RunStatus
from ops.documents import Watched
from ops.terminal import output

# Tenants with a line each; of more, so many of the runs that are under way.
MOST_LINES = 12


class RunProgress:
    """``with RunProgress() as progress: … progress.update(rows of runs)``. Silent without a terminal."""

    def __init__(self) -> None:
        self._bars: dict[str, TaskID] = {}
        self._progress: Progress | None = None
        if sys.stderr.isatty():
            self._progress = Progress(
                SpinnerColumn(),
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                TextColumn("{task.fields[said]}", markup=False),
                TimeElapsedColumn(),
                console=output.console(error=True),
            )

    def __enter__(self) -> RunProgress:
        if self._progress:
            self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._progress:
            self._progress.stop()

    def update(self, found: list[Watched]) -> None:
        """Show how far each run is."""
        if self._progress is None:
            return
        if len(found) > MOST_LINES:
            self._update_all(found)
            found = [run for run in found if run["id"] in self._bars or run["status"] in ("running", "applying")]
        for run in found:
            if len(self._bars) > MOST_LINES and run["id"] not in self._bars:
                continue
            bar = self._bars.get(run["id"])
            if bar is None:
                bar = self._bars[run["id"]] = self._progress.add_task(run["tenant"], said="", total=None)
            # The total is known once the plan is made: its lines.
            total = run["planned"] or (1 if run["over"] else None)
            done = total if run["over"] else run["applied"]
            self._progress.update(bar, total=total, completed=done, said=said(run))

    def _update_all(self, found: list[Watched]) -> None:
        """How many are over; the lines of those that are make room for others."""
        if self._progress is None:
            return
        over = [run for run in found if run["over"]]
        for run in over:
            if (bar := self._bars.pop(run["id"], None)) is not None:
                self._progress.remove_task(bar)
        if "" not in self._bars:
            self._bars[""] = self._progress.add_task("all tenants", said="", total=len(found))
        told = counted(found)
        self._progress.update(self._bars[""], completed=len(over), said=told)


def counted(found: Sequence[Watched]) -> str:
    """``41 done, 3 failed, 2 running, 54 queued``."""
    states = Counter(run["status"] for run in found)
    return ", ".join(f"{states[status]} {status}" for status in RunStatus if states[status])


def said(run: Watched) -> str:
    """``applying: 3 pages, 1200 rows read, 40 planned, 12 applied``."""
    progress = run["progress"] or {}
    parts = [
        f"{progress[name]} {words}" for name, words in (("pages", "pages"), ("rows", "rows read")) if name in progress
    ]
    planned = run["planned"] or progress.get("planned")
    if planned:
        parts += [f"{planned} planned", f"{run['applied']} applied"]
    return f"{run['status']}: {', '.join(parts)}" if parts else str(run["status"])
