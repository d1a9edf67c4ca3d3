"""Keep who did what: one row for every verb that changed something."""

from __future__ import annotations

import getpass
import json
from collections.abc import Mapping

from sqlalchemy import Connection, text

from ops.problems import Problem

_INSERT = text(
    """
    INSERT INTO operator_action (tenant_id, who, verb, subject, reason, detail)
    VALUES (:tenant_id, :who, :verb, :subject, :reason, CAST(:detail AS jsonb))
    """
)


def current_user() -> str:
    """The name of the user of this machine; ``unknown`` where the system has none for the number."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container's bare user id
        return "unknown"


def need_reason(reason: str, why: str) -> None:
    """Refuse an empty reason; ``why`` says what it is for."""
    if not reason.strip():
        raise Problem(f"--reason is empty: say why, {why}.")


def record(
    connection: Connection,
    *,
    who: str,
    verb: str,
    tenant_id: int | None = None,
    subject: str | None = None,
    reason: str | None = None,
    detail: Mapping[str, object] | None = None,
) -> None:
    """Write the row, in the transaction of the change itself. ``detail`` holds ids and counts, never names."""
    row = {"tenant_id": tenant_id, "who": who, "verb": verb, "subject": subject, "reason": reason}
    connection.execute(_INSERT, row | {"detail": json.dumps(detail) if detail is not None else None})
