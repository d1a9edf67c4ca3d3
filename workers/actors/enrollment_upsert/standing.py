"""Does what was decided still hold? Asked with the claim, and again before each call that writes a second later.

A message names only the enrollment. Between the plan and the call the AFAS row, the settings or an operator's decision
may have changed. What no longer holds is dropped with a reason, and the next run plans it again:

======================  ===========================================================================================
reason                  what is true now
======================  ===========================================================================================
course_inactive         the course was taken out of the tenants file: its people are not touched
came_back               to be removed, but the newest usable listing (or AFAS, asked just now) shows a row
absence_unproven        to be removed, but AFAS, asked just now, does not prove that they are gone
policy_keep             to be removed (or out of an old place), but the policy removes nobody any more
policy_unenroll         taken out, but not archived as planned: the policy archives nobody any more
account_needed          the same: another enrollment came to need the account
refused_by_operator     an operator refused this very removal
row_absent, …           to be enrolled, but the newest usable listing has no row that may be acted on (``row_`` and
                        its state: absent, blocked, rejected, not_yet, ended)
plan_changed            the newest plan holds it or asks an operator, or the evidence for a link is gone
no_longer_linked        planned for an account that the person is no longer linked to
======================  ===========================================================================================
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

from sqlalchemy import Connection, text

from models.enrollment import Desired, RowState
from models.outcomes import NOT_PLANNED
from models.session import fetch
from workers.messages.interruptions import NotOurs, Overtaken

AWAY = (RowState.ABSENT, RowState.BLOCKED)

# The columns of ``Standing``; e, p, l, c and t are enrollment, person, link, course and tenant.
COLUMNS = """
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
_NOW = text(f"SELECT {COLUMNS} {JOINED} WHERE e.id = :id AND e.tenant_id = :tenant")
_NOW_OF_MANY = text(
    f"""SELECT e.id, {COLUMNS} {JOINED}
         WHERE e.id = ANY(:ids) AND e.tenant_id = ANY(:tenants)"""
)
_LOCK_PERSON = text("SELECT id FROM person WHERE id = :person AND tenant_id = :tenant FOR NO KEY UPDATE")
_LINK_NOW = text("SELECT revision, pluvo_id FROM link WHERE person_id = :person AND tenant_id = :tenant")


class Dropped(Exception):
    """What was planned may not be done now; ``reason`` is one of the table above."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class LinkVersion(NamedTuple):
    """Which version of a link; (0, None) where there is none."""

    revision: int
    pluvo_id: str | None


NO_LINK = LinkVersion(0, None)


@dataclass(frozen=True)
class Standing:
    """Everything that decides whether an enrollment may be acted on."""

    version: int
    desired: str
    state: str
    row_state: str
    outcome: str | None
    removal_refused: bool
    person_version: int
    # What the plan decided for a person without an account: "create", "link" or "share"; None without such a plan.
    match: str | None
    match_account: str | None
    match_by: str | None
    match_with: str | None
    pluvo_id: str | None
    link_state: str | None
    decision: str | None
    revision: int
    active: bool
    target: str
    policy: str

    @classmethod
    def from_row(cls, row: Any) -> Self:
        """Take the fields from the columns of the same names."""
        return cls(**{name: getattr(row, name) for name in cls.__dataclass_fields__})

    @property
    def link(self) -> LinkVersion:
        """The link that this was read with."""
        return LinkVersion(self.revision, self.pluvo_id)


def obstacle(now: Standing) -> str | None:
    """Why what was planned may not be done, None when it may. Pure."""
    if not now.active:
        return "course_inactive"
    reason = _against_removing(now) if now.desired == Desired.REMOVED else _against_enrolling(now)
    return reason or ("plan_changed" if now.outcome in NOT_PLANNED else None)


def _against_removing(now: Standing) -> str | None:
    if now.row_state not in AWAY:
        return "came_back"
    if now.policy == "keep":
        return "policy_keep"
    return "refused_by_operator" if now.removal_refused else None


def _against_enrolling(now: Standing) -> str | None:
    if now.row_state != RowState.PRESENT:
        return f"row_{now.row_state}"
    # Every plan for a person without an account says where the account is to come from.
    return "no_longer_linked" if now.pluvo_id is None and now.match is None else None


def against(connection: Connection, enrollments: Sequence[int], tenants: Sequence[int]) -> dict[int, str | None]:
    """Why what is wanted of each of these enrollments, of these tenants, may not be done now; None when it may."""
    found = connection.execute(_NOW_OF_MANY, {"ids": list(enrollments), "tenants": list(tenants)}).mappings()
    return {row["id"]: obstacle(Standing.from_row(row)) for row in found}


def check(connection: Connection, enrollment_id: int, tenant_id: int, loaded: Standing, link: LinkVersion) -> None:
    """Compare what is true now with what the work was loaded from, and with the link that is worked on.

    Raises Dropped for what no longer holds, Overtaken where newer content or another target waits (begin again),
    NotOurs when the person was erased.
    """
    now = _now(connection, enrollment_id, tenant_id)
    if now is None:
        raise NotOurs("the enrollment is gone")
    if reason := obstacle(now):
        raise Dropped(reason)
    content = [(one.version, one.person_version, one.target) for one in (now, loaded)]
    if now.link != link or content[0] != content[1]:
        raise Overtaken("newer content is waiting")


def _now(connection: Connection, enrollment_id: int, tenant_id: int) -> Standing | None:
    found = fetch(connection, _NOW, {"id": enrollment_id, "tenant": tenant_id})
    return Standing.from_row(found[0]) if found else None


def link_now(connection: Connection, person_id: int, tenant_id: int) -> LinkVersion:
    """The person's link, which no verb changes before this transaction ends. Raises NotOurs when they were erased."""
    person = {"person": person_id, "tenant": tenant_id}
    if connection.execute(_LOCK_PERSON, person).first() is None:
        raise NotOurs("the person is gone")
    found = connection.execute(_LINK_NOW, person).first()
    return LinkVersion(found.revision, found.pluvo_id) if found else NO_LINK
