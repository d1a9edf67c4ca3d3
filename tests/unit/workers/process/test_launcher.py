"""What runs beside the messages of a worker process is watched."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import dramatiq
import pytest
from dramatiq.brokers.stub import StubBroker

from workers.process import launcher
from workers.process.launcher import Running


@pytest.fixture
def over() -> Iterator[threading.Event]:
    """Set at the end: what a step of a test waits for."""
    event = threading.Event()
    yield event
    event.set()


@pytest.mark.parametrize("name", ["heartbeat", "relay"])
def test_a_heartbeat_or_relay_that_hangs_counts_as_ended(
    name: str, over: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a step that does not come back
    running = Running(dramatiq.Worker(StubBroker(middleware=[])), runners=1, connections=1, watch_parent=False)
    loop = getattr(running, name)
    monkeypatch.setattr(loop, "step", lambda: over.wait(60))
    loop.start()
    while not loop.busy_seconds():
        time.sleep(0.01)
    assert name not in running.ended_or_stuck()
    # when it takes longer than any step may
    monkeypatch.setattr(launcher, "STUCK_SECONDS", 0.0)
    # then
    assert name in running.ended_or_stuck()
    loop.stopping.set()
