"""Draw the same again every few seconds, until Ctrl-C. Only on a terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

from ops.problems import Problem

EVERY_SECONDS = 3.0


def watch(draw: Callable[[], None], every: float = EVERY_SECONDS) -> None:
    """Draw until somebody presses Ctrl-C, which is how it ends well. Raises Problem where there is no terminal."""
    if not sys.stdout.isatty():
        raise Problem("watch_terminal")
    try:
        while True:
            sys.stdout.write("\x1b[2J\x1b[H")
            draw()
            sys.stdout.flush()
            time.sleep(every)
    except KeyboardInterrupt:
        sys.stdout.write("\n")
