"""The lines of a run: what it planned for whom, and what came of it.

A plan that was only looked at shows before and after with names and addresses, as a dry run does. The lines of a run
that was carried out say what changed without them: who may know more opens the person.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from sqlalchemy import Connection

from models.outcomes import ALL, WOULD_BE
from models.run import PREVIEW, Action, RunStatus
from models.session import transaction
from ops import lookup
from ops.documents import RunLine, RunLines, Values
from ops.listing import Row, checked_limit, number_cursor, page, rows, where
from ops.problems import Problem

PERSONAL = ("name", "email", "candidates")
COLUMNS = (
    *("id", "event_id", "internal_id", "is_row", "action", "kind", "outcome", "reason", "before", "after", "changes"),
    *("hold", "calls", "settled_at"),
)
_RUN = """
    SELECT r.id, r.tenant_id, r.status, r.trigger, t.slug AS tenant, t.timezone
      FROM run r JOIN tenant t ON t.id = r.tenant_id WHERE r.id = :run
"""
# In the order of their index, as ``listing.of_tenant`` says; those of the newest run stand together at the end.
_LINES = "tenant_id = :tenant AND (run_id, id) > (:run, :after) AND run_id <= :run"
_FILTERS = {
    "outcome": "came_to = :outcome",
    "reason": "reason = :reason",
    "action": "action = :action",
    "event": "event_id = :event",
}


@dataclass(frozen=True)
class LineFilters:
    """Which lines of a run. ``reason`` is a code, ``event`` an AFAS event id."""

    outcome: str | None = None
    reason: str | None = None
    action: str | None = None
    event: str | None = None

    def check(self) -> None:
        """Raise Problem for an outcome or an action that there isn't."""
        if self.outcome is not None and self.outcome not in set(ALL):
            raise Problem("outcome_one_of", listed=", ".join(ALL))
        if self.action is not None and self.action not in set(Action):
            raise Problem("action_one_of", listed=", ".join(Action))


ANY = LineFilters()


def lines(run_id: str, chosen: LineFilters = ANY, *, limit: int = 1000, cursor: str | None = None) -> RunLines:
    """The lines of a run that fit, in the order of the plan. Raises NotThere for an unknown run."""
    with transaction() as connection:
        run_id = lookup.full_id(connection, "run", run_id)
        run = rows(connection, _RUN, run=run_id)[0]
        items, after = read(connection, run, chosen, limit=limit, cursor=cursor)
    return {"run": run_id, "tenant": run["tenant"], "timezone": run["timezone"], "items": items, "next": after}


def read(
    connection: Connection, run: Row, chosen: LineFilters, *, limit: int, cursor: str | int | None
) -> tuple[list[RunLine], str | None]:
    """The same in a transaction; ``run`` has ``id``, ``tenant_id``, ``status`` and ``trigger``."""
    chosen.check()
    looked_at = run["status"] == RunStatus.DRY_RUN
    after = number_cursor(None if cursor is None else str(cursor)) or 0
    outcome = WOULD_BE if looked_at else "outcome"
    statement = f"""
        SELECT id, event_id, internal_id, is_row, action, kind, came_to AS outcome, reason, before, after,
               hold_id AS hold, calls, settled_at
          FROM (SELECT *, {outcome} AS came_to FROM plan_line WHERE {_LINES}) l
        {where(_FILTERS, vars(chosen))} ORDER BY run_id, id LIMIT :limit
    """  # noqa: S608  constants only
    key = {"run": run["id"], "tenant": run["tenant_id"], "after": after}
    found = rows(connection, statement, limit=checked_limit(limit) + 1, **key, **vars(chosen))
    cut = page(found, limit, "id")
    with_names = looked_at or run["trigger"] == PREVIEW
    return [_line(row, with_names) for row in cut.items], cut.next


def _line(row: Row, with_names: bool) -> RunLine:
    before, after = row["before"], row["after"]
    # Who is only changed was enrolled before, which "before" of an account does not say.
    same = {"enrolled": True} if row["action"] in (Action.UPDATE, Action.NONE) else {}
    known = same | (before or {})
    changes = [key for key, value in (after or {}).items() if key in known and known[key] != value]
    shown = {"before": _shown(before, with_names), "after": _shown(after, with_names)}
    return cast(RunLine, row | shown | {"changes": changes})


def _shown(values: Values | None, with_names: bool) -> Values | None:
    if values is None or with_names:
        return values
    return {key: value for key, value in values.items() if key not in PERSONAL} or None
