"""Deliveries of this process that could not be recorded because PostgreSQL was away.

They are given back as soon as it answers, so that its trouble costs neither an attempt nor the rest of a lease, and
never looks like a message that kills its worker.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, text

from models.session import transaction

_GIVE_BACK = text(
    """
    UPDATE message SET state = 'ready', run_at = now(), started_at = NULL, worker = NULL, lease_until = NULL
     WHERE (id, deliveries) IN (SELECT * FROM unnest(CAST(:ids AS bigint[]), CAST(:numbers AS int[])))
       AND state = 'sent'
    """
)
_unrecorded: set[tuple[int, int]] = set()


def remember(message_id: int, number: int) -> None:
    """Give this delivery back later: it ended, and nothing of that is recorded."""
    _unrecorded.add((message_id, number))


def some() -> bool:
    """Whether this process has something to give back."""
    return bool(_unrecorded)


@contextmanager
def given_back() -> Iterator[Connection]:
    """A transaction that begins with putting what is remembered back to ready; forgotten once it is committed."""
    remembered = set(_unrecorded)
    with transaction() as connection:
        if remembered:
            names = {"ids": [each[0] for each in remembered], "numbers": [each[1] for each in remembered]}
            connection.execute(_GIVE_BACK, names)
            connection.execute(text("NOTIFY koppeling_ledger"))
        yield connection
    _unrecorded.difference_update(remembered)
