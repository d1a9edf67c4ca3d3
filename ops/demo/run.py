"""Run the demo from its setup to the cleaning up, whatever happens in between."""

from __future__ import annotations

import signal
from contextlib import suppress
from types import FrameType
from typing import NoReturn

from ops.demo import narration
from ops.demo.acts import Demo, run_acts
from ops.demo.assertions import failures
from ops.demo.leftovers import leave
from ops.demo.setup import Setup, set_up

INTERRUPTED = 1


class Interrupted(BaseException):
    """Ctrl-C, SIGTERM, or the terminal went away: not an error, so no ``except Exception`` may keep it."""


def run_demo(*, keep: bool = False) -> int:
    """Run the demo. 0 when both systems ended up as they must, 1 when not or when it was interrupted.

    Raises Problem or EmbeddedError when it can't begin here. ``keep`` leaves all running until Ctrl-C.
    """
    previous = {number: signal.signal(number, _interrupt) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        with set_up() as built:
            return _run(built, keep)
    except Interrupted:
        with suppress(OSError):  # the terminal may be what went away
            narration.say("Interrupted; everything is stopped and cleaned up.")
        return INTERRUPTED
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _run(built: Setup, keep: bool) -> int:
    demo = Demo(built)
    run_acts(demo)
    found = failures(demo)
    narration.closing_table(demo.totals())
    narration.result(found)
    if keep:
        leave(demo)
        with suppress(Interrupted):
            built.keep_timetable()
            narration.keeping(built)
            built.wait_until_it_ends()
        narration.say("Stopping …")
    return 1 if found else 0


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    # Once is enough: what cleans up must not be interrupted by the second, impatient Ctrl-C.
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, signal.SIG_IGN)
    raise Interrupted
