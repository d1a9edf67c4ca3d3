"""Does what was decided still hold? Asked when a message begins, and again right before each call that writes.

A message only says which enrollment; between the plan and the call AFAS, an operator or the settings may have changed
their mind. What no longer holds is dropped with a reason, and the next run plans it afresh:

======================  ===========================================================================================
reason                  what is true now
======================  ===========================================================================================
course_inactive         the course was taken out of the tenants file: its people are not touched
came_back               to be removed, but the newest usable listing (or AFAS, asked just now) shows a row
absence_unproven        to be removed, but AFAS, asked just now, does not prove that they are gone
policy_keep             to be removed, but the policy removes nobody any more
policy_unenroll         taken out, but not archived as planned: the policy archives nobody any more
refused_by_operator     an operator refused this very removal
row_absent, …           to be enrolled, but the newest usable listing has no row that may be acted on (``row_`` and
                        its state: absent, blocked, rejected, not_yet, ended)
plan_changed            the newest plan parks or holds it, or what a link was to be based on is not so any more
no_longer_linked        planned for an account that the person is no longer linked to
======================  ===========================================================================================
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Row, text

from models.enrollment import Desired, RowState
from models.outcomes import NOT_PLANNED
from workers.messages.interruptions import NotOurs, Overtaken

AWAY = (RowState.ABSENT, RowState.BLOCKED)

# Columns for ``obstacle`` and ``check``; e, p, l, c and t are enrollment, person, link, course and tenant.
FACTS = """
    e.version, e.desired, e.state, e.row_state, e.outcome, e.removal_refused, p.version AS person_version,
    p.match, p.match_account, p.match_by, p.match_with,
    l.pluvo_id, l.state AS link_state, l.decision, coalesce(l.revision, 0) AS revision, c.active, c.target,
    t.removals->>'policy' AS policy
"""
JOINED = """
      FROM enrollment e
      JOIN person p ON p.id = e.person_id
      JOIN course c ON c.id = e.course_id
      JOIN tenant t ON t.id = e.tenant_id
      LEFT JOIN link l ON l.person_id = p.id
"""
_NOW = text(f"SELECT {FACTS} {JOINED} WHERE e.id = :id AND e.tenant_id = :tenant")


class Dropped(Exception):
    """What was planned may not be done now; ``reason`` is one of the table above."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def obstacle(now: Row[Any]) -> str | None:
    """Why what was planned may not be done, None when it may. Pure; ``now`` has the columns of ``FACTS``."""
    if not now.active:
        return "course_inactive"
    reason = _against_removing(now) if now.desired == Desired.REMOVED else _against_enrolling(now)
    return reason or ("plan_changed" if now.outcome in NOT_PLANNED else None)


def _against_removing(now: Row[Any]) -> str | None:
    if now.row_state not in AWAY:
        return "came_back"
    if now.policy == "keep":
        return "policy_keep"
    return "refused_by_operator" if now.removal_refused else None


def _against_enrolling(now: Row[Any]) -> str | None:
    if now.row_state != RowState.PRESENT:
        return f"row_{now.row_state}"
    # Every plan for someone without an account says where it is to come from.
    return "no_longer_linked" if now.pluvo_id is None and now.match is None else None


def against(connection: Connection, enrollment_id: int, tenant_id: int) -> str | None:
    """Why what is wanted of an enrollment may not be done now, None when it may."""
    now = connection.execute(_NOW, {"id": enrollment_id, "tenant": tenant_id}).first()
    return obstacle(now) if now is not None else None


def check(connection: Connection, loaded: Row[Any], link: tuple[int, str | None]) -> None:
    """Compare with what the work was loaded from; ``link``: revision and account that are worked on.

    Raises Dropped for what no longer holds, Overtaken where newer content or another target waits (begin again),
    NotOurs when the person was erased.
    """
    now = connection.execute(_NOW, {"id": loaded.id, "tenant": loaded.tenant_id}).first()
    if now is None:
        raise NotOurs("the enrollment is gone")
    if reason := obstacle(now):
        raise Dropped(reason)
    content = [(row.version, row.person_version, row.target) for row in (now, loaded)]
    if (now.revision, now.pluvo_id) != link or content[0] != content[1]:
        raise Overtaken("newer content is waiting")


def link_now(connection: Connection, person_id: int) -> tuple[int, str | None]:
    """Revision and account of a person's link; no verb changes it before this transaction ends.

    Raises NotOurs when the person was erased.
    """
    person = text("SELECT id FROM person WHERE id = :person FOR NO KEY UPDATE")
    if connection.execute(person, {"person": person_id}).first() is None:
        raise NotOurs("the person is gone")
    link = text("SELECT revision, pluvo_id FROM link WHERE person_id = :person")
    found = connection.execute(link, {"person": person_id}).first()
    return (found.revision, found.pluvo_id) if found else (0, None)
