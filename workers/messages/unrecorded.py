"""Deliveries of this process that could not be recorded because PostgreSQL was away.

They are given back as soon as it answers, so that its trouble costs neither an attempt nor the rest of a lease, and
never looks like a message that kills its worker.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection

from models import ledger
from models.session import transaction
from models.worker import worker_id

_unrecorded: set[tuple[int, int, int]] = set()


def remember(message_id: int, tenant_id: int, number: int) -> None:
    """Give this delivery back later: it ended, and nothing of that is recorded."""
    _unrecorded.add((message_id, tenant_id, number))


def some() -> bool:
    """Whether this process has something to give back."""
    return bool(_unrecorded)


@contextmanager
def given_back() -> Iterator[Connection]:
    """A transaction that begins with putting what is remembered back to ready; forgotten once it is committed."""
    remembered = set(_unrecorded)
    with transaction() as connection:
        for message_id, tenant_id, number in sorted(remembered):
            key = {"id": message_id, "tenant": tenant_id, "delivery": number}
            ledger.give_back(connection, key, worker=worker_id())
        yield connection
    _unrecorded.difference_update(remembered)
