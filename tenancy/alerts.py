"""One alert when something begins that a person should know, closed when it ends."""

from __future__ import annotations

from sqlalchemy import Connection, text

_OPEN = text(
    """
    INSERT INTO alert (tenant_id, kind, subject, text) VALUES (:tenant, :kind, :subject, :words)
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


def open_alert(connection: Connection, tenant_id: int | None, kind: str, subject: str | None, words: str) -> bool:
    """Open an alert; False when the same one (tenant, kind, subject) is open already."""
    return bool(
        connection.execute(
            _OPEN,
            {"tenant": tenant_id, "kind": kind, "subject": subject, "words": words},
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
