"""Something in Redis that is no message this program can work on. Nothing of it is believed or kept.

Its size and digest stay in a dead letter of no tenant. The one exception is a message that the ledger really handed out
and this version does not understand (a rolling upgrade): the ledger keeps it and tries again by the retry schedule.
"""

from __future__ import annotations

from sqlalchemy import text

from models import ledger
from models.session import transaction
from workers.messages import outcome
from workers.messages.dead_letters import insert_unknown
from workers.messages.delivery import delivery_of
from workers.messages.envelope import Defect, Envelope
from workers.messages.interruptions import UnknownKind
from workers.messages.policy import classify


def record(read: Defect | Envelope, size: int, digest: str) -> None:
    """Record what was found; database trouble raises and nothing is recorded."""
    if isinstance(read, Envelope):
        if _from_ledger(read):
            return
        read = Defect("unknown_actor", "names a kind of message that does not exist here", read.kind)
    with transaction() as connection:
        insert_unknown(connection, read.kind, read.code, f"A message {read.text}; {size} bytes, sha256 {digest}")


def _from_ledger(envelope: Envelope) -> bool:
    """Put back for later what is the ledger's and this version does not understand; to rest after the last try."""
    with transaction() as connection:
        row = connection.execute(
            text(
                f"""SELECT {ledger.DELIVERY} FROM message m
                     WHERE m.id = :id AND m.tenant_id = :tenant AND m.kind = :kind AND m.deliveries = :delivery
                       AND m.state = 'sent' AND m.started_at IS NULL FOR UPDATE"""  # noqa: S608  names of columns
            ),
            {
                "id": envelope.message_id,
                "tenant": envelope.tenant_id,
                "kind": envelope.kind,
                "delivery": envelope.delivery,
            },
        ).first()
        if row is None:
            return False
        error = UnknownKind(f"{envelope.kind} version {envelope.version} is not known to this worker")
        outcome.carry_out(connection, delivery_of(row), classify(error))
        return True
