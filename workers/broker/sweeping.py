"""Empties dramatiq's dead-letter sets: what could not be parked while PostgreSQL was away becomes a dead letter now."""

from __future__ import annotations

import hashlib
from typing import Any

import structlog

from workers.broker.ledger_broker import QUEUES, LedgerBroker, broker
from workers.broker.unknown_messages import park
from workers.messages.envelope import MAX_BYTES, VERSION, Defect, Envelope, parse

BITE = 100
log = structlog.get_logger("workers.broker.sweeping")


def sweep(of: LedgerBroker = broker) -> int:
    """Park what is there, at most 100 a queue; how many. Trouble of either server raises, the rest comes next time."""
    client = of.connect()
    count = 0
    for queue in QUEUES:
        dead, bodies = of.key(f"{queue}.XQ"), of.key(f"{queue}.XQ.msgs")
        ids: Any = client.zrange(dead, 0, BITE - 1)
        for redis_id in ids:
            size = client.hstrlen(bodies, redis_id)
            data: Any = client.hget(bodies, redis_id) if 0 < size <= MAX_BYTES else b""
            read = Defect("oversized", f"is {size} bytes long") if size > MAX_BYTES else parse(data or b"")
            # A good one needs no grave: the ledger has it, or has done it.
            if not (isinstance(read, Envelope) and read.version == VERSION and read.kind in of.actors):
                park(read, size, hashlib.sha256(data or b"").hexdigest() if data else "not read")
            client.zrem(dead, redis_id)
            client.hdel(bodies, redis_id)
            count += 1
    if count:
        log.warning("swept", count=count)
    return count
