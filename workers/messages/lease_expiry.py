"""Leases that ended: messages whose worker never finished them are ready again.

Twice so, and they get a process of their own (``isolation.py``), which tells a killer from a bystander. One that takes
its whole machine along never gets that far: it rests after the eighth time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import structlog
from sqlalchemy import Connection, Row, text

from models import ledger
from models.session import transaction
from workers.messages.dead_letters import bury
from workers.messages.delivery import delivery_of
from workers.messages.policy import Failure

MAX_KILLS = 8
POISON = Failure("poison", "A worker died on it eight times")
log = structlog.get_logger("workers.messages.lease_expiry")


def expire() -> int:
    """Take back what is overdue, at most 500 at once; how many."""
    with transaction() as connection:
        rows = connection.execute(
            text(
                f"""SELECT {ledger.DELIVERY} FROM message m WHERE state = 'sent' AND lease_until < now()
                    ORDER BY lease_until LIMIT 500 FOR UPDATE SKIP LOCKED"""  # noqa: S608  names of columns
            )
        ).all()
        _take_back(connection, list(rows), killed=True)
    if rows:
        log.warning("leases_ended", count=len(rows))
    return len(rows)


def release_worker(connection: Connection, worker: str, *, killed: bool) -> int:
    """Take back what a worker process that is surely gone had begun; how many. Its runs are free at once too.

    ``killed``: it did not leave by itself, so what it worked on may be the reason.
    """
    rows = connection.execute(
        text(
            f"""SELECT {ledger.DELIVERY} FROM message m WHERE worker = :worker AND state = 'sent'
                 ORDER BY m.id FOR UPDATE"""  # noqa: S608  names of columns
        ),
        {"worker": worker},
    ).all()
    _take_back(connection, list(rows), killed=killed)
    connection.execute(
        text(
            """UPDATE run SET lease_until = now() - interval '1 second'
                WHERE lease_owner = :worker AND status = 'running'"""
        ),
        {"worker": worker},
    )
    connection.execute(text("DELETE FROM worker WHERE id = :worker"), {"worker": worker})
    return len(rows)


def _take_back(connection: Connection, rows: Sequence[Row[Any]], *, killed: bool) -> None:
    out = {delivery.message_id: delivery for delivery in map(delivery_of, rows)}
    if not out:
        return
    for message_id, kills in ledger.expire(connection, list(out), killed=killed).items():
        if kills >= MAX_KILLS:
            delivery = out[message_id]
            log.error("poison", **delivery.names)
            bury(connection, delivery, POISON)
