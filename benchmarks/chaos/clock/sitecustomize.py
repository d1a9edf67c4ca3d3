"""Make one process believe in another time: ``time.time`` is off by the seconds in the file ``CHAOS_CLOCK`` names.

Python runs this at its start when its folder is on ``PYTHONPATH``. The machine's clock stays as it is.
"""

import os
import time

_path = os.environ.get("CHAOS_CLOCK")
_real = time.time


def _shifted() -> float:
    try:
        with open(str(_path), encoding="ascii") as file:
            return _real() + float(file.read() or 0)
    except (OSError, ValueError):
        return _real()


if _path:
    time.time = _shifted
