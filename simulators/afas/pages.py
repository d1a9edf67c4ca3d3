"""How a page of rows, or metainfo, goes wrong without any error: the faults AFAS is feared for."""

from __future__ import annotations

import random
from typing import Any

from simulators.afas.tenant import AfasTenant
from simulators.core.faults import Fault

PAGE_KINDS = frozenset(
    {
        "short",
        "empty",
        "doubled",
        "contradicting",
        "shuffled",
        "hundred",
        "column_renamed",
        "column_missing",
        "replaced",
        "deleted_between",
    }
)
REPLACED = "(vervangen)"
"""What AFAS shows in the column of a field that was removed."""

Rows = list[dict[str, Any]]


def spoil(rows: Rows, faults: list[Fault]) -> Rows:
    """Apply the page faults, in their order, to one page."""
    for fault in faults:
        if fault.kind in PAGE_KINDS:
            rows = _spoilt(rows, fault)
    return rows


def delete_after_page(tenant: AfasTenant, connector_rows: Rows, faults: list[Fault], keys: tuple[str, str]) -> None:
    """Delete the first ``count`` people of a page that was just given: what follows shifts under a skip."""
    event, person = keys
    for fault in faults:
        if fault.kind == "deleted_between":
            for row in connector_rows[: fault.count]:
                tenant.remove(row[event], row[person])


def _spoilt(rows: Rows, fault: Fault) -> Rows:  # noqa: PLR0911 - a table: one line per kind
    column = fault.column or ""
    match fault.kind:
        case "short":
            return rows[: max(len(rows) - fault.count, 0)]
        case "empty":
            return []
        case "doubled":
            return rows + [dict(row) for row in rows[-fault.count :]]
        case "contradicting":
            return rows + [{**row, column: fault.to or "?"} for row in rows[-fault.count :]]
        case "shuffled":
            return random.Random(fault.seed).sample(rows, len(rows))  # noqa: S311 - no secret depends on it
        case "hundred":
            return rows[:100]
        case "column_renamed":
            return [{fault.to or f"{column}_1" if name == column else name: row[name] for name in row} for row in rows]
        case "column_missing":
            return [{name: row[name] for name in row if name != column} for row in rows]
        case "replaced":
            return [{**row, column: REPLACED} for row in rows]
        case _:
            return rows
