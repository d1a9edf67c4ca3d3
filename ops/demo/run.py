"""From raising the curtain to cleaning up, whatever happens in between."""

from __future__ import annotations

import signal
from contextlib import suppress
from types import FrameType
from typing import NoReturn

from ops.demo import narration
from ops.demo.acts import Story, tell
from ops.demo.assertions import wrongs
from ops.demo.setup import Stage, stage

INTERRUPTED = 1


class Interrupted(BaseException):
    """Ctrl-C, SIGTERM, or the terminal went away: not an error, so no ``except Exception`` may keep it."""


def play(*, keep: bool = False) -> int:
    """Run the demo. 0 when both systems ended up as they must, 1 when not or when it was interrupted.

    Raises Problem or EmbeddedError when it can't begin here. ``keep`` leaves all running until Ctrl-C.
    """
    previous = {number: signal.signal(number, _interrupt) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        with stage() as built:
            return _play(built, keep)
    except Interrupted:
        with suppress(OSError):  # the terminal may be what went away
            narration.say("Interrupted; everything is stopped and cleaned up.")
        return INTERRUPTED
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _play(built: Stage, keep: bool) -> int:
    story = Story(built)
    tell(story)
    found = wrongs(story)
    narration.closing_table(story.totals())
    narration.verdict(found)
    if keep:
        with suppress(Interrupted):
            narration.keeping(built)
            built.wait_until_it_ends()
        narration.say("Stopping …")
    return 1 if found else 0


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    # Once is enough: what cleans up must not be interrupted by the second, impatient Ctrl-C.
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, signal.SIG_IGN)
    raise Interrupted
