"""The name of a worker process: one, whoever asks first."""

from __future__ import annotations

import sys
import threading

import pytest

from models import worker


def test_threads_that_ask_at_the_same_moment_get_one_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a process holds is given back under the name that its sign of life has."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(30):
            monkeypatch.setattr(worker, "_names", {})
            begin = threading.Barrier(8)
            names: list[str] = []

            def ask(begin: threading.Barrier = begin, names: list[str] = names) -> None:
                begin.wait()
                names.append(worker.worker_id())

            threads = [threading.Thread(target=ask) for _ in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert len(set(names)) == 1
    finally:
        sys.setswitchinterval(interval)
