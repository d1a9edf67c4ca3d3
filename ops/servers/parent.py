"""A process that ``koppeling up`` started ends with it, also when ``up`` was killed."""

from __future__ import annotations

import os
import signal
import threading
import time

from workers.process.parent import started_by

CHECK_SECONDS = 1.0


def end_with_parent() -> None:
    """Send this process a SIGTERM once its parent is gone."""
    threading.Thread(target=_watch, args=(started_by(),), name="parent watch", daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(CHECK_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)
