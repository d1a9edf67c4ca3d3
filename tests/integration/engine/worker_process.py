"""A worker process of a test: the real one, with the test kinds. Arguments: threads, runners."""

from __future__ import annotations

import logging
import sys

import tests.integration.engine.kinds  # noqa: F401  declares the test actors
from workers.process.worker import run_worker

if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    sys.exit(run_worker(threads=int(sys.argv[1]), runners=int(sys.argv[2])))
