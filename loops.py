"""Loops that must not end: no exception of one step or of one item stops them.

Every service of ours is such a loop: relay, heartbeat, maintenance, runners, timetable. What a step raises is logged
once for each kind of trouble, and the step comes again after a moment. A thread that ends all the same, because of
something that no ``except`` here catches, is noticed by ``workers.process.launcher``, which ends the process.
"""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TypeVar

import structlog

from models.session import is_away, is_contended

PAUSE_SECONDS = 0.2
PAUSE_MAX_SECONDS = 2.0
BROKEN_KEPT = 1000
# Items that broke, and where, as it was said last.
_broken: dict[tuple[str, str], str] = {}
_ROOT = Path(__file__).resolve().parent
Item = TypeVar("Item")
log = structlog.get_logger("loops")


class Loop(threading.Thread):
    """A thread that does ``step`` again and again until ``stopping`` is set.

    ``step`` returns the seconds to wait before the next one, or None when there is nothing left to do for ever. The
    first one comes ``after`` seconds.
    """

    def __init__(
        self,
        name: str,
        step: Callable[[], float | None] | None = None,
        stopping: threading.Event | None = None,
        *,
        after: float = 0.0,
    ) -> None:
        super().__init__(name=name, daemon=True)
        self.stopping = stopping or threading.Event()
        # How many steps in a row went wrong.
        self.failures = 0
        # When the step began that runs now.
        self._begun: float | None = None
        self._step = step
        self._after = after
        self._said = ""

    def step(self) -> float | None:
        """Do one round; how many seconds to wait then, or None to end."""
        return self._step() if self._step else None

    def trouble(self, error: Exception) -> None:
        """What else to do after a step went wrong; for subclasses."""

    def end(self) -> None:
        """What to do after the last step; for subclasses."""

    def run(self) -> None:
        self.stopping.wait(self._after)
        while not self.stopping.is_set():
            wait = self.once()
            if wait is None:
                break
            self.stopping.wait(wait)
        self.end()

    def once(self) -> float | None:
        """One step, whatever it raises; the seconds to wait then, None to end."""
        self._begun = time.monotonic()
        try:
            return self._once()
        finally:
            self._begun = None

    def busy_seconds(self) -> float:
        """How long the step takes that runs now; 0 between two."""
        begun = self._begun
        return 0.0 if begun is None else time.monotonic() - begun

    def _once(self) -> float | None:
        try:
            wait = self.step()
        except Exception as error:
            self.failures += 1
            self._say(error)
            try:
                self.trouble(error)
            except Exception as another:
                self._say(another)
            return float(min(PAUSE_MAX_SECONDS, PAUSE_SECONDS * 2 ** min(self.failures - 1, 8)))
        if self.failures:
            log.info("loop_works_again", loop=self.name, failures=self.failures)
            self.failures, self._said = 0, ""
        return wait

    def stop(self, timeout: float = 10.0) -> None:
        """End after the step that runs."""
        self.stopping.set()
        if self.is_alive():
            self.join(timeout=timeout)

    def _say(self, error: Exception) -> None:
        """Each kind of trouble once, until a step works again."""
        said = where(error)
        if said != self._said:
            self._said = said
            log.warning("loop_troubled", loop=self.name, error=type(error).__name__, where=said)


class Chores:
    """Things to do every so many seconds, one after the other; one in trouble keeps no other from being done."""

    def __init__(self, *chores: tuple[float, Callable[[], object]]) -> None:
        self.chores = chores
        self._due: dict[Callable[[], object], float] = {}
        self._said: dict[Callable[[], object], str] = {}

    def do_due(self) -> None:
        """Do what is due."""
        for every_seconds, chore in self.chores:
            now = time.monotonic()
            if now < self._due.get(chore, 0.0):
                continue
            self._due[chore] = now + every_seconds
            try:
                chore()
                self._said.pop(chore, None)
            except Exception as error:
                said = where(error)
                if said != self._said.get(chore):
                    self._said[chore] = said
                    log.warning("chore_troubled", chore=chore.__name__, error=type(error).__name__, where=said)


def each(what: str, items: Iterable[Item], act: Callable[[Item], object]) -> int:
    """Do ``act`` for every item; how many went well. What one raises is logged and keeps no other from its turn.

    Raises only when PostgreSQL is away, which is no fault of an item; that others hold what one needs is.
    """
    done = 0
    for item in items:
        try:
            act(item)
            done += 1
            _broken.pop((what, _id(item)), None)
        except Exception as error:
            if is_away(error) and not is_contended(error):
                raise
            _say_once(what, _id(item), error)
    return done


def _say_once(what: str, item: str, error: Exception) -> None:
    """An item that breaks every second would fill the log."""
    said = where(error)
    if _broken.get((what, item)) != said:
        if len(_broken) >= BROKEN_KEPT:
            _broken.clear()
        _broken[what, item] = said
        log.error("item_broke", what=what, item=item, error=type(error).__name__, where=said)


def _id(item: object) -> str:
    """The id of an item, never its content."""
    if isinstance(item, Mapping):
        return str(item.get("id", "?"))
    return str(item if isinstance(item, str | int) else getattr(item, "id", "?"))


def where(error: BaseException) -> str:
    """Type and place of a fault of our own; never its text, which may hold data."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [f for f in frames if Path(f.filename).is_relative_to(_ROOT) and "site-packages" not in f.filename]
    if not ours:
        return type(error).__name__
    frame = ours[-1]
    return f"{type(error).__name__} at {Path(frame.filename).relative_to(_ROOT)}:{frame.lineno} in {frame.name}"
