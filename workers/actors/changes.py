"""The record of calls that change something outside: the table ``change``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from json import dumps

from sqlalchemy import Connection, text

from clients.errors import Rejected, RemoteError, Unknown
from workers.messages.delivery import Delivery

# To be put into a statement of a transaction that holds the person; the values are those of ``named``.
RECORD_CALLS = """
    INSERT INTO change (tenant_id, run_id, message_id, system, operation, internal_id, event_id, pluvo_id, result, code,
                        status, before, after, seconds)
    SELECT p.tenant_id, CAST(:run AS text), :message, :system, c.operation, p.internal_id, :event, c.pluvo_id, c.result,
           c.code, c.status, c.before, c.after, c.seconds
      FROM person p CROSS JOIN jsonb_to_recordset(CAST(:calls AS jsonb)) AS c(
               operation text, pluvo_id text, result text, code text, status integer, before jsonb, after jsonb,
               seconds double precision)
     WHERE p.tenant_id = :tenant AND p.internal_id = CAST(:internal AS text)
"""
# The same where nobody holds the person: one who was erased meanwhile leaves nothing behind.
CALLS_RECORDED = f"{RECORD_CALLS} FOR KEY SHARE OF p"
_RECORD = text(CALLS_RECORDED)


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


def named(
    delivery: Delivery, calls: Sequence[WritingCall], system: str, about: tuple[str | None, str, str | None]
) -> dict[str, object]:
    """The values of ``RECORD_CALLS``. ``about``: the person's id in AFAS, the event's, and the Pluvo account."""
    internal_id, event_id, pluvo_id = about
    rows = [{**vars(call), "pluvo_id": call.account or pluvo_id} for call in calls]
    return {
        "tenant": delivery.tenant_id,
        "run": delivery.run_id,
        "message": delivery.message_id,
        "system": system,
        "internal": internal_id,
        "event": event_id,
        "calls": dumps(rows),
    }


def record_calls(connection: Connection, values: Mapping[str, object]) -> None:
    """Write calls down, as ``named`` gives them."""
    connection.execute(_RECORD, values)
