"""A worker process of a test: the real one, with the test kinds. Arguments: threads, runners.

``TEST_STOP_SECONDS`` is how long it may take to stop, else what it is in real life.
"""

from __future__ import annotations

import logging
import os
import sys

from tests.integration.engine import kinds
from workers.process import launcher
from workers.process.worker import run_worker

if __name__ == "__main__":
    kinds.produce_nothing()
    launcher.STOP_SECONDS = float(os.environ.get("TEST_STOP_SECONDS", launcher.STOP_SECONDS))
    logging.basicConfig(level=logging.WARNING)
    sys.exit(run_worker(threads=int(sys.argv[1]), runners=int(sys.argv[2])))
