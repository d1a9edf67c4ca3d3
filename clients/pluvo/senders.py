"""Threads that send what several callers want sent together, so that no caller's interruption reaches the others.

They are kept: connections belong to threads (``clients.http.transport``). There are never more than callers.
"""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable


class Senders:
    """As many threads as were ever busy at once."""

    def __init__(self) -> None:
        self._begin()
        os.register_at_fork(after_in_child=self._begin)

    def _begin(self) -> None:
        self._jobs: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._free = 0
        self._lock = threading.Lock()

    def submit(self, job: Callable[[], None]) -> None:
        """Let a thread do the job, which must not raise. The caller may be interrupted anywhere in here."""
        with self._lock:
            if self._free:
                self._free -= 1
            else:
                threading.Thread(target=self._serve, name="pluvo-sender", daemon=True).start()
            self._jobs.put(job)

    def _serve(self) -> None:
        while True:
            self._jobs.get()()
            with self._lock:
                self._free += 1


senders = Senders()
