"""A live line per tenant while runs are waited for, on standard error and only on a terminal."""

from __future__ import annotations

import sys
from types import TracebackType

from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from ops.documents import Watched
from ops.terminal import output


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
        for run in found:
            bar = self._bars.get(run["id"])
            if bar is None:
                bar = self._bars[run["id"]] = self._progress.add_task(run["tenant"], said="", total=None)
            # The total is known once the plan is made: its lines.
            total = run["planned"] or (1 if run["over"] else None)
            done = total if run["over"] else run["applied"]
            self._progress.update(bar, total=total, completed=done, said=said(run))


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
