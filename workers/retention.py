"""What is forgotten, and when. One table, a bite at a time, so that no statement runs long.

The statements are built from the names in RULES and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass

import structlog
from sqlalchemy import text

import settings
from models.session import transaction

BITE = 5000
log = structlog.get_logger("workers.retention")


@dataclass(frozen=True)
class Rule:
    """Rows of ``table`` whose ``column`` is older than the setting are deleted, or emptied by ``empty``."""

    table: str
    column: str
    setting: str
    empty: str | None = None
    where: str = "true"


RULES = (
    Rule("change", "at", "payload_retention", empty="before = NULL, after = NULL",
         where="(before IS NOT NULL OR after IS NOT NULL)"),
    Rule("webhook_event", "received_at", "payload_retention", empty="body = NULL", where="body IS NOT NULL"),
    Rule("run", "created_at", "ledger_retention", where="status NOT IN ('queued', 'running', 'applying')"),
    Rule("change", "at", "ledger_retention"),
    Rule("webhook_event", "received_at", "ledger_retention"),
    Rule("dead_letter", "last_failed_at", "dead_letter_retention"),
)  # fmt: skip


def apply() -> dict[str, int]:
    """Apply every rule once; how many rows each touched, by ``table.column``."""
    touched: dict[str, int] = {}
    for rule in RULES:
        age = getattr(settings.get(), rule.setting)
        act = f"UPDATE {rule.table} SET {rule.empty}" if rule.empty else f"DELETE FROM {rule.table}"  # noqa: S608  the rules are constants
        old = f"{rule.column} < now() - make_interval(secs => :age) AND {rule.where}"
        bite = f"SELECT id FROM {rule.table} WHERE {old} ORDER BY {rule.column} LIMIT {BITE}"  # noqa: S608  as above
        statement = text(f"{act} WHERE id = ANY(ARRAY({bite}))")
        while True:
            with transaction() as connection:
                count = connection.execute(statement, {"age": age}).rowcount
            name = f"{rule.table} {'emptied' if rule.empty else 'deleted'}"
            touched[name] = touched.get(name, 0) + count
            if count < BITE:
                break
    if any(touched.values()):
        log.info("retention", **{name.replace(" ", "_"): count for name, count in touched.items() if count})
    return touched
