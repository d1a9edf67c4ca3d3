"""Draw the same again every few seconds, until Ctrl-C. Only on a terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

from ops.problems import Problem
from ops.terminal import output

EVERY_SECONDS = 3.0


def watch(draw: Callable[[], None], every: float = EVERY_SECONDS) -> None:
    """Draw until somebody presses Ctrl-C, which is how it ends well. Raises Problem where there is no terminal.

    A database that is away for a while ends nothing: who watches wants to see when it is back.
    """
    from models.session import is_away  # noqa: PLC0415  most commands draw once

    if not sys.stdout.isatty():
        raise Problem("watch_terminal")
    try:
        while True:
            sys.stdout.write("\x1b[2J\x1b[H")
            try:
                draw()
            except Exception as error:
                if not is_away(error):
                    raise
                output.say("The database does not answer; it is asked again in a moment.")
            sys.stdout.flush()
            time.sleep(every)
    except KeyboardInterrupt:
        sys.stdout.write("\n")
