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


# Which batches have letters of a tenant, or had some: the reason that somebody gave for one may name a person of it.
BATCHES_OF_TENANT = "id IN (SELECT subject FROM operator_action WHERE tenant_id = :tenant AND verb = 'replays start')"
