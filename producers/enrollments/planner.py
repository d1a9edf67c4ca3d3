"""What a run would do about everybody who is in AFAS: action, reason, before and after, row by row.

The same code builds a preview and a real plan. Lines are stored some hundreds at a time; guards then judge them there,
and only ``commit.py`` turns what is left into desired state and messages.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row

from models.enrollment import Applied, Desired
from models.tenant import Tenant
from producers.enrollments.facts import FactReader, PersonFacts
from producers.enrollments.matching import (
    Candidate,
    Facts,
    Match,
    Move,
    Verdict,
    changes_email,
    is_linked,
    match,
    order_moves,
    takes_over,
)
from producers.enrollments.plan_lines import PLANNED, Line, our_ref, store
from producers.enrollments.snapshot import Snapshot
from producers.runs.context import RunContext


class Planner:
    """Builds the lines of everybody who is in AFAS. Leavers are planned in ``leavers.py``."""

    def __init__(
        self,
        connection: Connection,
        context: RunContext,
        tenant: Tenant,
        snapshots: Sequence[Snapshot],
        *,
        unread: frozenset[str] = frozenset(),
    ) -> None:
        """``unread``: folded addresses that a user may have whom Pluvo can't read."""
        self.unread = unread
        self.connection = connection
        self.context = context
        self.tenant = tenant
        self.facts = FactReader(connection, context, snapshots)
        self.verdicts: dict[str, Verdict] = {}
        self.rivals: dict[str, Candidate] = {}

    def build(self) -> int:
        """Plan everybody with work; returns the number of lines."""
        self._settle_moves()
        planned = 0
        for chunk in self.facts.chunks(lambda internal_id: our_ref(self.tenant.afas.member_id, internal_id)):
            moving = self._moving_away(chunk)
            lines = [line for person in chunk for line in self.person(person, moving)]
            planned += store(self.connection, self.context, lines)
        return planned

    def _settle_moves(self) -> None:
        self.rivals = self.facts.rivals()
        moves = {move.internal_id: move for move in self.facts.moves()}
        moves |= {internal_id: Move(internal_id, None, foreign=True) for internal_id in self.rivals}
        movers = self.facts.movers([move.holder for move in moves.values() if move.holder] + list(moves))
        self.verdicts = order_moves(moves, movers)

    def _moving_away(self, chunk: Sequence[PersonFacts]) -> frozenset[str]:
        holders = {c.linked_to for person in chunk for c in person.by_email if c.linked_to}
        movers = self.facts.movers(sorted(holders))
        return frozenset(m for m in movers if self.verdicts.get(m, Verdict(True)).possible)

    # ------------------------------------------------------------------------------------------------- one person

    def person(self, person: PersonFacts, moving_away: frozenset[str]) -> list[Line]:
        """All lines of one person: the row of the lowest event speaks for name and address."""
        first = person.rows[0]
        if first.link_state == "ignored":
            return [_refused(row, "ignored") for row in person.rows]
        if any(row.refused_fingerprint == row.fingerprint for row in person.rows):
            return [_refused(row, "refused_by_operator") for row in person.rows if self._open(row)]
        if is_linked(first.link_state, first.pluvo_id):
            return self._linked(person)
        return self._unlinked(person, moving_away)

    def _unlinked(self, person: PersonFacts, moving_away: frozenset[str]) -> list[Line]:
        first = person.rows[0]
        found = match(
            Facts(
                internal_id=person.internal_id,
                name=person.name,
                email=person.email,
                our_ref=our_ref(self.tenant.afas.member_id, person.internal_id),
                decision=first.decision,
                by_afas_id=person.by_afas_id,
                by_ref=person.by_ref,
                by_email=person.by_email,
                alike=person.alike,
                peers=person.peers,
                moving_away=moving_away,
                unread=person.email_folded in self.unread,
            )
        )
        if found.action == "ambiguous":
            return [self._parked(row, found) for row in person.rows]
        action = "create" if found.action == "create" else "link"
        refused = next((failed for row in person.rows if (failed := self._still_failed(row))), None)
        if refused:  # their account was refused: no event of theirs can go on
            return [
                _line(
                    row, action="none", outcome="failed", reason=refused.reason, todo={"send": False, "person": False}
                )
                for row in person.rows
            ]
        lines: list[Line] = []
        for row in person.rows:
            if not lines:
                before = _shown_candidate(found.candidate)
                lines.append(
                    self._send(
                        row,
                        action,
                        before=before,
                        kind=self._counted_as(action, found.candidate, person),
                        reason=_match_reason(found),
                        todo={"match": _match_json(found), "person": True, "after": found.after or found.share_with},
                    )
                )
            else:
                lines.append(self._send(row, "enroll", before=None, todo={"person": False}))
        return lines

    def _linked(self, person: PersonFacts) -> list[Line]:
        first = person.rows[0]
        verdict = self.verdicts.get(person.internal_id)
        email_changes = changes_email(first.applied_email, person.email)
        preset = first.applied_email is None
        adopted = person.account if preset else None
        if verdict and not verdict.possible and (email_changes or preset):
            return [self._parked(row, self._taken(person, verdict)) for row in person.rows if self._open(row)]
        # What was wanted before but not applied yet counts too: going back to what is applied is a change of that.
        known = {(first.applied_name, first.applied_email), (first.stored_name, first.stored_email)}
        changed = known != {(person.name, person.email)}
        # A preset link (nothing applied yet) is made now; a changed one is updated; both with the first open row.
        after = verdict.after if verdict and (email_changes or preset) else None
        todo = _wanted(person) | {"person": True, "after": after}
        lines: list[Line] = []
        carried = not (changed or first.link_state == "ambiguous")
        for row in person.rows:
            if not self._open(row):
                continue
            if failed := self._still_failed(row):
                lines.append(failed)
            elif not carried:
                carried = True
                lines.append(
                    self._send(
                        row,
                        "link" if preset else _return_or(row, "update"),
                        before=_before_update(person, preset),
                        kind="email_change" if email_changes else self._counted_as("link", adopted, person),
                        todo=todo,
                    )
                )
            else:
                lines.append(self._row_only(row))
        return lines

    @staticmethod
    def _counted_as(action: str, account: Candidate | None, person: PersonFacts) -> str | None:
        """What the guards count an account's first line as."""
        if action == "create":
            return "create"
        return "email_change" if takes_over(account, person.name, person.email) else None

    def _open(self, row: Row[Any]) -> bool:
        return self.facts.full or not row.settled

    def _row_only(self, row: Row[Any]) -> Line:
        """The account is as it should be; only this enrollment may need something."""
        enrolled = row.state == Applied.ENROLLED and row.desired == Desired.ENROLLED and row.in_place
        if enrolled and row.waiting and row.applied_version == row.version:
            todo = {"person": False, "full": True}
            return self._send(row, "none", before=_enrolled(row, False), reason="waiting_list", todo=todo)
        look = self.facts.full or row.unsure
        if enrolled and row.applied_version == row.version and not look:
            return _line(row, action="none", outcome="unchanged", todo=_content(row) | {"person": False, "send": False})
        if enrolled and look:
            return self._send(row, "none", before=_enrolled(row, True), todo={"person": False, "full": True})
        todo = {"person": False}
        return self._send(row, _return_or(row, "enroll"), before=_enrolled(row, False), reason=_moved(row), todo=todo)

    def _send(
        self,
        row: Row[Any],
        action: str,
        *,
        todo: dict[str, Any],
        before: dict[str, Any] | None,
        kind: str | None = None,
        reason: str | None = None,
    ) -> Line:
        return _line(
            row,
            action=action,
            outcome="pending",
            reason=reason or PLANNED,
            kind=kind,
            before=before,
            todo=_content(row) | {"send": True} | todo,
        )

    def _still_failed(self, row: Row[Any]) -> Line | None:
        same = row.failed_code and row.failed_version == row.version and row.known_fingerprint == row.fingerprint
        if not same or row.failed_settings != self.tenant.settings_version:
            return None
        return _failed(row, row.failed_code)

    def _parked(self, row: Row[Any], found: Match) -> Line:
        park = {"reason": found.reason, "candidates": [candidate.shown() for candidate in found.candidates]}
        return _line(
            row,
            action="none",
            outcome="ambiguous",
            reason=found.reason,
            before={"candidates": park["candidates"]},
            todo=_content(row) | {"park": park, "send": False, "person": False},
        )

    def _taken(self, person: PersonFacts, verdict: Verdict) -> Match:
        pluvo_id = person.rows[0].pluvo_id
        others = [candidate for candidate in person.by_email if candidate.pluvo_id != pluvo_id]
        rival = self.rivals.get(person.internal_id)
        return Match("ambiguous", reason=verdict.reason, candidates=others or ([rival] if rival else []))


def _line(row: Row[Any], **given: Any) -> Line:
    after = {"name": row.name, "email": row.email, "enrolled": True} if given["outcome"] != "rejected" else None
    return Line(
        row.course_id,
        row.event_id,
        row.internal_id,
        enrollment_id=row.enrollment_id,
        **({"after": after} | given),
    )


def _failed(row: Row[Any], reason: str | None) -> Line:
    return _line(row, action="none", outcome="failed", reason=reason, todo={"send": False, "person": False})


def _refused(row: Row[Any], reason: str) -> Line:
    return _line(row, action="none", outcome="rejected", reason=reason, todo={"send": False, "person": False})


def _content(row: Row[Any]) -> dict[str, Any]:
    return {
        "name": row.name,
        "email": row.email,
        "email_folded": row.email_folded,
        "external_id": row.external_id,
        "fp": row.fingerprint,
    }


def _wanted(person: PersonFacts) -> dict[str, Any]:
    return {"name": person.name, "email": person.email, "email_folded": person.email_folded}


def _enrolled(row: Row[Any], enrolled: bool) -> dict[str, Any]:
    return {"name": row.applied_name, "email": row.applied_email, "enrolled": enrolled}


def _moved(row: Row[Any]) -> str | None:
    """Why somebody who is enrolled is enrolled once more."""
    if row.state != Applied.ENROLLED or row.in_place:
        return None
    return "target_changed" if row.told_account == row.pluvo_id else "account_changed"


def _before_update(person: PersonFacts, preset: bool) -> dict[str, Any]:
    """Name and address as last told; of an account that was given beforehand, as it has them now."""
    if preset and person.account:
        return {"name": person.account.name, "email": person.account.email}
    return {"name": person.rows[0].applied_name, "email": person.rows[0].applied_email}


def _return_or(row: Row[Any], action: str) -> str:
    return "restore" if row.state in (Applied.REMOVED, Applied.KEPT) or row.archived else action


def _shown_candidate(candidate: Candidate | None) -> dict[str, Any] | None:
    return candidate.shown() if candidate else None


def _match_reason(found: Match) -> str:
    if found.action == "create":
        return found.reason or "no_account"
    if found.share_with:
        return f"same_person_as:{found.share_with}"
    return f"by_{found.linked_by.value}" if found.linked_by else PLANNED


def _match_json(found: Match) -> dict[str, Any]:
    if found.share_with:
        return {"action": "share", "internal_id": found.share_with}
    if found.candidate is None:
        return {"action": "create"}
    account = found.candidate
    return {
        "action": "link",
        "pluvo_id": account.pluvo_id,
        "ref": account.ref,
        "linked_by": found.linked_by,
        "name": account.name,
        "email": account.email,
        "archived": account.archived,
        "fill_person_id": not account.afas_person_id,
        "fill_contact_id": not account.afas_contact_id,
    }
