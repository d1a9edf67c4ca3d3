"""Which threads only wait just now: for their turn, for another one's call, for a slow answer.

They need no processor, so their process takes other messages in hand meanwhile (``workers/broker``), and other runs
(``workers/runs``): systems that hang, and limits that are reached, cost the other tenants no threads.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Container, Iterator
from contextlib import contextmanager

# An answer that takes longer keeps nobody else waiting.
LONG_SECONDS = 1.0


class Waiting:
    """The waiting threads of this process. ``begun`` hears of each that waits at once.

    ``len`` says how many of those in ``working`` wait, ``among`` how many of others. By thread, so that one which a
    time limit interrupted in here is put right when it waits again.
    """

    def __init__(self) -> None:
        self._working: set[int] = set()
        # Since when each waits (monotonic); one that lies ahead does not count yet.
        self._since: dict[int, float] = {}
        self.begun: Callable[[], object] = lambda: None

    def __len__(self) -> int:
        return self.among(self._working)

    def among(self, threads: Container[int]) -> int:
        """How many of these threads (by ``threading.get_ident``) wait."""
        now = time.monotonic()
        return sum(since <= now and thread in threads for thread, since in list(self._since.items()))

    def __enter__(self) -> None:
        self._since[threading.get_ident()] = time.monotonic()
        self.begun()

    def __exit__(self, *_: object) -> None:
        self._since.pop(threading.get_ident(), None)

    @contextmanager
    def if_long(self) -> Iterator[None]:
        """This thread waits for something that is usually over soon: it counts after ``LONG_SECONDS``."""
        self._since[threading.get_ident()] = time.monotonic() + LONG_SECONDS
        try:
            yield
        finally:
            self._since.pop(threading.get_ident(), None)

    @contextmanager
    def working(self) -> Iterator[None]:
        """This thread works on a message."""
        thread = threading.get_ident()
        self._working.add(thread)
        try:
            yield
        finally:
            self._working.discard(thread)
            self._since.pop(thread, None)


waiting = Waiting()
