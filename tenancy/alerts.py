"""One alert when something begins that a person should know, closed when it ends. Who is told: ``ops/alerts``."""

from __future__ import annotations

import json
from collections.abc import Mapping

from sqlalchemy import Connection, text

_OPEN = text(
    """
    INSERT INTO alert (tenant_id, kind, subject, text, parameters, step)
    VALUES (:tenant, :kind, :subject, :words, CAST(:parameters AS jsonb), :step)
    ON CONFLICT (tenant_id, kind, subject) WHERE closed_at IS NULL DO NOTHING
    """
)
_CLOSE = text(
    """
    UPDATE alert SET closed_at = now()
     WHERE tenant_id IS NOT DISTINCT FROM :tenant AND kind = :kind
       AND subject IS NOT DISTINCT FROM :subject AND closed_at IS NULL
    """
)


def open_alert(  # noqa: PLR0917  what, where, and in which words, in the order in which one says it
    connection: Connection,
    tenant_id: int | None,
    kind: str,
    subject: str | None,
    words: str,
    parameters: Mapping[str, object] | None = None,
    step: int = 0,
) -> bool:
    """Open an alert; False when the same one (tenant, kind, subject) is open already.

    ``words`` may quote what AFAS or Pluvo said, so they stay here; mails say the sentence of the kind with the
    ``parameters``: codes, numbers and days, nobody's names.
    """
    return bool(
        connection.execute(
            _OPEN,
            {
                "tenant": tenant_id,
                "kind": kind,
                "subject": subject,
                "words": words,
                "parameters": json.dumps(parameters or {}),
                "step": step,
            },
        ).rowcount
    )


def close_alert(connection: Connection, tenant_id: int | None, kind: str, subject: str | None) -> bool:
    """Close the open alert; False when there was none."""
    return bool(
        connection.execute(
            _CLOSE,
            {"tenant": tenant_id, "kind": kind, "subject": subject},
        ).rowcount
    )
