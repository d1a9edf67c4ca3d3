"""How long a delivery may take: dramatiq's time limit, set by the lease."""

from __future__ import annotations

import threading

import dramatiq
from dramatiq.middleware import TimeLimit

import settings

# The limit under which a thread's message runs.
_running = threading.local()


class LeaseTimeLimit(TimeLimit):
    """Interrupts a delivery before its lease ends, so that no other process begins the message while it runs."""

    def before_process_message(self, broker: dramatiq.Broker, message: dramatiq.MessageProxy) -> None:
        self.time_limit = time_limit_seconds() * 1000
        _running.limit = self
        super().before_process_message(broker, message)  # type: ignore[no-untyped-call]  # dramatiq's has no types

    def after_process_boot(self, broker: dramatiq.Broker) -> None:
        if not getattr(self.manager, "ident", None):
            super().after_process_boot(broker)  # type: ignore[no-untyped-call]  # dramatiq's has no types


def time_limit_seconds() -> float:
    """The longest a delivery may take: the lease without a tenth, at most 20 s, to record the failure in."""
    lease = settings.get().lease
    return lease - min(20.0, lease / 5)


def restart_time_limit() -> None:
    """Let the message of this thread have the whole time once more: its lease was renewed."""
    limit: LeaseTimeLimit | None = getattr(_running, "limit", None)
    if limit is not None:
        again_ms = time_limit_seconds() * 1000
        limit.manager.add_timeout(threading.get_ident(), again_ms)  # type: ignore[no-untyped-call]  # as above
