"""What the guards held back: list, show, release, refuse."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, text
from typing_extensions import TypedDict

from models.hold import Guard, HoldState
from models.session import transaction
from ops import access, audit, lookup
from ops.language import Words
from ops.listing import Page, Row, checked_limit, page, rows, where
from ops.lookup import checked_id
from ops.problems import AlreadyDecided, Problem

_COLUMNS = """
    SELECT h.id, t.slug AS tenant, h.run_id AS run, h.guard, h.event_id, h.state, h.created_at, h.expires_at, h.measure,
           h.plan_hash, h.decided_at, h.decided_by, h.decided_reason, h.tenant_id,
           (SELECT count(*) FROM hold_line l WHERE l.hold_id = h.id) AS lines,
           (SELECT count(*) FROM hold_line l WHERE l.hold_id = h.id AND l.state = 'open') AS open_lines
      FROM hold h JOIN tenant t ON t.id = h.tenant_id
"""
_FILTERS = {
    "tenant": "h.tenant_id = :tenant",
    "tenants": "h.tenant_id = ANY(:tenants)",
    "state": "h.state = :state",
    "cursor": "h.id < :cursor",
}
_LINES = """
    SELECT event_id, internal_id, action, before, after, state, decided_at FROM hold_line
     WHERE hold_id = :hold AND tenant_id = :tenant ORDER BY event_id, length(internal_id), internal_id
"""
_KEPT = Words("why.hold")


class Refused(TypedDict):
    """What ``holds refuse`` tells; ``refused`` counts lines."""

    hold: str
    tenant: str
    run: str
    refused: int


class Released(TypedDict):
    """What ``holds release`` tells: how many lines went, how many were dropped, and how many are still open."""

    hold: str
    tenant: str
    run: str
    released: int
    dropped: int
    open: int


def listing(
    limit: int = 100, cursor: str | None = None, *, tenant: str | None = None, state: str | None = None
) -> Page:
    """Holds, newest first."""
    if state is not None and state not in set(HoldState):
        raise Problem("state_one_of", listed=", ".join(HoldState))
    with transaction() as connection:
        number = lookup.tenant_id(connection, tenant) if tenant else None
        wanted = {"tenant": number, "tenants": lookup.visible_ids(connection), "state": state, "cursor": cursor}
        newest_first = f"{_COLUMNS} {where(_FILTERS, wanted)} ORDER BY h.id DESC LIMIT :limit"
        found = rows(connection, newest_first, limit=checked_limit(limit) + 1, **wanted)
    cut = page(found, limit, "id")
    return Page([_item(row) for row in cut.items], cut.next)


def _item(row: Row) -> Row:
    return {key: value for key, value in row.items() if key != "tenant_id"}


def show(hold_id: str) -> Row:
    """One hold with its lines (names and addresses included: an operator must see what would happen)."""
    with transaction() as connection:
        hold_id = lookup.full_id(connection, "hold", hold_id)
        hold = _one(connection, hold_id)
        lines = rows(connection, _LINES, hold=hold_id, tenant=hold["tenant_id"])
    return _item(hold) | {"count": hold["lines"], "lines": lines}


def _one(connection: Connection, hold_id: str) -> Row:
    found = rows(connection, f"{_COLUMNS} WHERE h.id = :hold", hold=hold_id)
    if not found:  # gone with its tenant while somebody waited for it
        raise lookup.none_of("hold", hold_id)
    return found[0]


def release(hold_id: str, *, events: Sequence[str], persons: Sequence[str], reason: str, who: str) -> Released:
    """Let held lines go on, each checked again against the newest state: all, or those of events or persons."""
    from producers.enrollments import decide_holds  # noqa: PLC0415  it brings all of planning, and lists need none

    audit.need_reason(reason, _KEPT)
    persons = [checked_id(one) for one in persons]
    chosen = {"events": list(events), "persons": persons}
    with transaction() as connection:
        hold_id = lookup.full_id(connection, "hold", hold_id)
        hold = _open(connection, hold_id, "holds.release")
        done = decide_holds.release(
            connection, hold_id, reason=reason, who=who, events=events or None, persons=persons or None
        )
        only_base = hold["guard"] == Guard.SHORT_SNAPSHOT and not hold["open_lines"] and not events and not persons
        if not done["released"] and not done["dropped"] and not only_base:
            raise Problem("hold_no_lines", hold=hold_id)
        about = {"tenant_id": hold["tenant_id"], "subject": hold_id, "reason": reason}
        audit.record(connection, who=who, verb="holds release", detail={**chosen, **done}, **about)
    return {
        "hold": hold_id,
        "tenant": hold["tenant"],
        "run": hold["run"],
        "released": done["released"],
        "dropped": done["dropped"],
        "open": done["open"],
    }


def refuse(hold_id: str, *, reason: str, who: str) -> Refused:
    """Never do what is held; the same lines are not raised again."""
    from producers.enrollments import decide_holds  # noqa: PLC0415  as above

    audit.need_reason(reason, _KEPT)
    with transaction() as connection:
        hold_id = lookup.full_id(connection, "hold", hold_id)
        hold = _open(connection, hold_id, "holds.refuse")
        done = decide_holds.refuse(connection, hold_id, reason=reason, who=who)
        about = {"tenant_id": hold["tenant_id"], "subject": hold_id, "reason": reason}
        audit.record(connection, who=who, verb="holds refuse", **about)
    return {"hold": hold_id, "tenant": hold["tenant"], "run": hold["run"], "refused": done["refused"]}


def _open(connection: Connection, hold_id: str, verb: str) -> Row:
    """The hold that somebody may decide, locked: of two operators the second sees what the first decided."""
    access.check(verb, _one(connection, hold_id)["tenant"])
    connection.execute(text("SELECT id FROM hold WHERE id = :hold FOR UPDATE"), {"hold": hold_id})
    hold = _one(connection, hold_id)
    if hold["state"] != HoldState.OPEN:
        raise AlreadyDecided("hold_decided", hold=hold_id, state=hold["state"])
    return hold
