"""The record of calls that change something outside: the table ``change``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from json import dumps

from sqlalchemy import Connection, text

from clients.errors import Rejected, RemoteError, Unknown
from workers.messages.delivery import Delivery

# A person who was erased meanwhile leaves nothing behind.
_INSERT = text(
    """
    INSERT INTO change (tenant_id, run_id, message_id, system, operation, internal_id, event_id, pluvo_id, result, code,
                        status, before, after, seconds)
    SELECT tenant_id, CAST(:run AS text), :message, :system, :operation, internal_id, :event, CAST(:pluvo AS text),
           :result, CAST(:code AS text), CAST(:status AS integer), CAST(:before AS jsonb), CAST(:after AS jsonb),
           CAST(:seconds AS double precision)
      FROM person WHERE tenant_id = :tenant AND internal_id = CAST(:internal AS text) FOR KEY SHARE
    """
)


@dataclass(frozen=True)
class WritingCall:
    """One call that changes something outside, and what came of it: done, refused, failed or unknown.

    ``account``: the Pluvo account it was about, where that is not the person's.
    """

    operation: str
    before: Mapping[str, object] | None = None
    after: Mapping[str, object] | None = None
    result: str = "done"
    code: str | None = None
    status: int | None = None
    seconds: float | None = None
    account: str | None = None


def failed_call(operation: str, error: RemoteError, account: str | None = None) -> WritingCall:
    """A call that raised this."""
    return WritingCall(operation, result=result_of(error), code=error.code, status=error.status, account=account)


def result_of(error: RemoteError | None) -> str:
    """What came of a call that raised this."""
    if error is None:
        return "done"
    return "unknown" if isinstance(error, Unknown) else "refused" if isinstance(error, Rejected) else "failed"


def record_call(
    connection: Connection,
    delivery: Delivery,
    call: WritingCall,
    *,
    system: str,
    internal_id: str | None,
    event_id: str,
    pluvo_id: str | None,
) -> None:
    """Write a call down."""
    values = {
        "tenant": delivery.tenant_id,
        "run": delivery.run_id,
        "message": delivery.message_id,
        "system": system,
        "operation": call.operation,
        "internal": internal_id,
        "event": event_id,
        "pluvo": call.account or pluvo_id,
        "result": call.result,
        "code": call.code,
        "status": call.status,
        "before": dumps(call.before) if call.before is not None else None,
        "after": dumps(call.after) if call.after is not None else None,
        "seconds": call.seconds,
    }
    connection.execute(_INSERT, values)
