"""A message that gave up, kept until an operator replays or discards it (or retention ends it)."""

from __future__ import annotations

from enum import StrEnum


class DeadLetterState(StrEnum):
    OPEN = "open"
    REPLAYED = "replayed"
    SUPERSEDED = "superseded"
    DISCARDED = "discarded"


class BatchState(StrEnum):
    RUNNING = "running"
    DONE = "done"
    STOPPED = "stopped"
    CANCELLED = "cancelled"
