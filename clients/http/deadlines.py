"""End what takes too long: one thread for all calls of the process, however many there are.

Callers may be interrupted anywhere (dramatiq raises its time limit in their thread), so they only take a plain lock,
for a moment, and never wait for the thread.
"""

from __future__ import annotations

import contextlib
import math
import os
import queue
import threading
import time
from collections.abc import Callable


class Deadlines:
    """What is to be called, and when, unless it is removed before."""

    def __init__(self) -> None:
        self._begin()
        os.register_at_fork(after_in_child=self._begin)  # a fork has no threads but its own, and no calls

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._due: dict[Callable[[], None], float] = {}
        self._wakes_at = math.inf
        self._wake: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def add(self, expire: Callable[[], None], seconds: float) -> None:
        """Call ``expire`` after so many seconds, in another thread; it must be quick and not raise."""
        due = time.monotonic() + seconds
        with self._lock:
            self._due[expire] = due
            if due < self._wakes_at:
                self._wake.put(None)
            if self._thread is None:
                thread = threading.Thread(target=self._run, name="deadlines", daemon=True)
                thread.start()
                self._thread = thread

    def remove(self, expire: Callable[[], None]) -> None:
        """Forget it. It may be under way all the same."""
        with self._lock:
            self._due.pop(expire, None)

    def _run(self) -> None:
        while True:
            now = time.monotonic()
            with self._lock:
                over = [expire for expire, due in self._due.items() if due <= now]
                for expire in over:
                    del self._due[expire]
                self._wakes_at = min(self._due.values(), default=math.inf)
            for expire in over:
                expire()
            with contextlib.suppress(queue.Empty):
                self._wake.get(timeout=None if self._wakes_at == math.inf else max(self._wakes_at - now, 0.0))
