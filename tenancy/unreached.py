"""Directions that are ``degraded``: nothing stopped them, and yet a system they need gives no answer.

Known from the newest run, where it failed at a call, and from messages that are tried again. A run leaves an alert,
with direction, system and code in its subject; the next run that gets through closes it, and so does a pause.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, text

from clients.errors import RemoteError
from clients.redaction import clean
from models.direction import Direction, Health
from models.message import Kind
from models.run import RunStatus
from tenancy.alerts import open_alert

UNREACHED = "unreached"
# What a whole system does, and not one record of it.
OF_THE_SYSTEM = (
    "connect_failed", "tls_failed", "timeout", "connection_broken", "server_error", "server_timeout", "maintenance",
    "gateway", "front_proxy", "not_json", "unexpected_status",
)  # fmt: skip
GOT_THROUGH = (RunStatus.DONE, RunStatus.DONE_WITH_HOLDS, RunStatus.DONE_WITH_FAILURES)

# Locked: of a pause and a run that fails, the second sees what the first did.
_STATE = text("SELECT state FROM tenant_direction WHERE tenant_id = :tenant AND direction = :direction FOR SHARE")
_CLOSE = text(
    """
    UPDATE alert SET closed_at = now()
     WHERE tenant_id = :tenant AND kind = :kind AND starts_with(subject, :direction || ' ') AND subject <> :subject
       AND closed_at IS NULL
    """
)
_RUNS = text("SELECT tenant_id, subject, opened_at FROM alert WHERE kind = :kind AND closed_at IS NULL ORDER BY id")
_LAST = text(
    """
    SELECT subject FROM alert
     WHERE tenant_id = :tenant AND kind = :kind
       AND subject IN (:direction || ' afas ' || :code, :direction || ' pluvo ' || :code)
     ORDER BY id DESC LIMIT 1
    """
)
_MESSAGES = text(
    """
    SELECT DISTINCT ON (tenant_id, direction) tenant_id, direction, kind, history->-1->>'code' AS code,
           history->-1->>'system' AS system,
           CAST(history->0->>'at' AS timestamptz) AS since
      FROM message
     WHERE state = 'scheduled' AND attempts > 0 AND history->-1->>'code' = ANY(:codes)
     ORDER BY tenant_id, direction, id
    """
)


@dataclass(frozen=True)
class Unreached:
    """``system`` is afas or pluvo; ``since`` when it was first seen, by the database's clock."""

    system: str
    code: str
    since: datetime

    @property
    def reason(self) -> str:
        return f"{self.system}: {self.code}"


def failed(connection: Connection, tenant_id: int, direction: str, error: RemoteError) -> None:
    """A run of this direction failed at a call. Of one that is paused it is only noted."""
    if error.system:
        subject = f"{direction} {error.system.lower()} {error.code}"
        _close(connection, tenant_id, direction, subject)
        words = f"the last {direction} run failed at a call to {error.system}, {error.code}: {clean(error.message)}"
        told = {"direction": direction, "system": error.system.lower(), "code": error.code}
        open_alert(connection, tenant_id, UNREACHED, subject, words, told)
        if connection.execute(_STATE, {"tenant": tenant_id, "direction": direction}).scalar() == Health.PAUSED:
            paused(connection, tenant_id, direction)


def ended(connection: Connection, tenant_id: int, direction: str, status: str) -> None:
    """A run of this direction ended."""
    if status in GOT_THROUGH:
        _close(connection, tenant_id, direction, "")


def paused(connection: Connection, tenant_id: int, direction: str) -> None:
    """This direction was stopped: nothing of it calls anybody, and after the pause its next run tells."""
    _close(connection, tenant_id, direction, "")


def found(connection: Connection) -> dict[tuple[int, str], Unreached]:
    """By tenant and direction, of all tenants."""
    known: dict[tuple[int, str], Unreached] = {}
    for row in connection.execute(_MESSAGES, {"codes": list(OF_THE_SYSTEM)}):
        # What an earlier version tried tells no system: nearly always it was this one.
        system = row.system or ("afas" if row.kind == Kind.WRITE_BACK else "pluvo")
        known[row.tenant_id, row.direction] = Unreached(system, row.code, row.since)
    for tenant_id, subject, since in connection.execute(_RUNS, {"kind": UNREACHED}):
        direction, system, code = subject.split(" ", 2)
        known[tenant_id, Direction(direction)] = Unreached(system, code, since)
    return known


def system_of(connection: Connection, tenant_id: int, direction: str, code: str) -> str | None:
    """Which system gave this code to a failed run last: afas or pluvo; None when nothing is known of it."""
    names = {"tenant": tenant_id, "kind": UNREACHED, "direction": direction, "code": code}
    subject = connection.execute(_LAST, names).scalar()
    return subject.split(" ", 2)[1] if subject else None


def _close(connection: Connection, tenant_id: int, direction: str, subject: str) -> None:
    names = {"tenant": tenant_id, "kind": UNREACHED, "direction": direction, "subject": subject}
    connection.execute(_CLOSE, names)
