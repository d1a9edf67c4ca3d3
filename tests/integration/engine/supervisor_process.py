"""A supervisor of a test, over worker processes with the test kinds. Arguments: processes, threads, runners."""

from __future__ import annotations

import sys

from workers.process.supervisor import ChildSpec, Supervisor

if __name__ == "__main__":
    worker = [sys.executable, "-m", "tests.integration.engine.worker_process", sys.argv[2], sys.argv[3]]
    sys.exit(Supervisor([ChildSpec(f"worker {number}", worker) for number in range(int(sys.argv[1]))]).run())
