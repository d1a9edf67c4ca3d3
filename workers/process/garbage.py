"""How often a long-lived process looks for garbage: objects that refer to each other, which nothing else frees."""

from __future__ import annotations

import gc

# When so many objects more came than went; Python's standard is 700.
THRESHOLD = 20_000


def look_seldom() -> None:
    """Call it when all is loaded: that stays, and is never looked through again.

    A message or a page leaves little behind. To look through everything all the time took a twentieth of a worker's
    processor time, and one page in twenty waited a tenth of a second for it.
    """
    gc.freeze()
    gc.set_threshold(THRESHOLD)
