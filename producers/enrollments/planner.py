"""What a run would do about everybody who is in AFAS: action, reason, before and after, row by row.

The same code builds a preview and a real plan. Lines are stored some hundreds at a time; guards then judge them there,
and only ``commit.py`` turns what is left into desired state and messages.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sqlalchemy import Connection

from models.enrollment import Applied, Desired
from models.folding import fold_email
from models.outcomes import RowOutcome
from models.person import AccountFrom
from models.run import Action, Counted
from models.tenant import Tenant
from producers.enrollments.facts import FactReader, PersonFacts, RosterRow
from producers.enrollments.matching import (
    Candidate,
    Match,
    MatchInput,
    Move,
    MoveVerdict,
    changes_email,
    is_linked,
    match,
    order_moves,
    takes_over,
)
from producers.enrollments.plan_lines import PLANNED, Line, Shown, our_ref, store
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
        self.verdicts: dict[str, MoveVerdict] = {}
        self.rivals: dict[str, Candidate] = {}

    def build(self) -> tuple[int, int]:
        """Plan everybody with work; returns the number of lines, and of rows that need nothing."""
        survey = self.facts.survey()
        if survey.readdressed:
            self._settle_moves()
        planned = 0
        if not (survey.open or self.facts.full):
            return planned, survey.settled
        for chunk in self.facts.chunks(lambda internal_id: our_ref(self.tenant.afas.member_id, internal_id)):
            moving = self._moving_away(chunk)
            lines = [line for person in chunk for line in self.person(person, moving)]
            planned += store(self.connection, self.context, lines)
        return planned, 0 if self.facts.full else survey.settled

    def _settle_moves(self) -> None:
        self.rivals = self.facts.rivals()
        moves = {move.internal_id: move for move in self.facts.moves()}
        moves |= {internal_id: Move(internal_id, None, foreign=True) for internal_id in self.rivals}
        movers = self.facts.movers([move.holder for move in moves.values() if move.holder] + list(moves))
        self.verdicts = order_moves(moves, movers)

    def _moving_away(self, chunk: Sequence[PersonFacts]) -> frozenset[str]:
        holders = {c.linked_to for person in chunk for c in person.by_email if c.linked_to}
        movers = self.facts.movers(sorted(holders))
        return frozenset(m for m in movers if self.verdicts.get(m, MoveVerdict(True)).possible)

    # ------------------------------------------------------------------------------------------------- one person

    def person(self, person: PersonFacts, moving_away: frozenset[str]) -> list[Line]:
        """All lines of one person: name and address come from the row of the lowest event."""
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
            MatchInput(
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
                other_name_waits=self.tenant.pluvo.other_name == "ambiguous",
            )
        )
        if found.action == "ambiguous":
            return [self._ambiguous(row, found) for row in person.rows]
        action = Action.CREATE if found.action == "create" else Action.LINK
        refused = next((failed for row in person.rows if (failed := self._still_failed(row))), None)
        if refused:  # their account was refused: no event of theirs can go on
            return [_line(row, Action.NONE, RowOutcome.FAILED, refused.reason) for row in person.rows]
        first_line = replace(
            _changing(_pending(first, action, _match_reason(found)), first.external_id, first.name, first.email),
            before=found.candidate.shown() if found.candidate else None,
            kind=self._counted_as(action, found.candidate, person),
            after_person=found.after or found.share_with,
            match=AccountFrom.SHARE if found.share_with else action,
            match_account=found.candidate.pluvo_id if found.candidate else None,
            match_by=found.linked_by if found.candidate else None,
            match_with=found.share_with,
        )
        return [first_line, *(_pending(row, Action.ENROLL) for row in person.rows[1:])]

    def _linked(self, person: PersonFacts) -> list[Line]:
        first = person.rows[0]
        verdict = self.verdicts.get(person.internal_id)
        email_changes = changes_email(first.applied_email, person.email)
        preset = first.applied_email is None
        adopted = person.account if preset else None
        if verdict and not verdict.possible and (email_changes or preset):
            return [self._ambiguous(row, self._taken(person, verdict)) for row in person.rows if self._open(row)]
        # What was wanted before but not applied yet counts too: going back to what is applied is a change of that.
        known = {(first.applied_name, first.applied_email), (first.stored_name, first.stored_email)}
        changed = known != {(person.name, person.email)}
        # A preset link (nothing applied yet) is made now; a changed one is updated; both with the first open row.
        after = verdict.after if verdict and (email_changes or preset) else None
        lines: list[Line] = []
        carried = not (changed or first.link_state == "ambiguous")
        for row in person.rows:
            if not self._open(row):
                continue
            if failed := self._still_failed(row):
                lines.append(failed)
            elif not carried:
                carried = True
                line = _pending(row, Action.LINK if preset else _return_or(row, Action.UPDATE))
                lines.append(
                    replace(
                        _changing(line, row.external_id, person.name, person.email),
                        before=_before_update(person, preset),
                        kind=Counted.EMAIL_CHANGE if email_changes else self._counted_as(Action.LINK, adopted, person),
                        after_person=after,
                    )
                )
            else:
                lines.append(self._row_only(row))
        return lines

    @staticmethod
    def _counted_as(action: str, account: Candidate | None, person: PersonFacts) -> str | None:
        """What the guards count an account's first line as."""
        if action == Action.CREATE:
            return Counted.CREATE
        return Counted.EMAIL_CHANGE if takes_over(account, person.name, person.email) else None

    def _open(self, row: RosterRow) -> bool:
        return self.facts.full or not row.settled

    def _row_only(self, row: RosterRow) -> Line:
        """The account is as it should be; only this enrollment may need something."""
        enrolled = row.state == Applied.ENROLLED and row.desired == Desired.ENROLLED and row.in_place
        if enrolled and row.waiting and row.applied_version == row.version:
            line = _pending(row, Action.NONE, "waiting_list")
            return replace(line, before=_enrolled(row, False), full=True)
        look = self.facts.full or row.unsure
        if enrolled and row.applied_version == row.version and not look:
            return _line(row, Action.NONE, RowOutcome.UNCHANGED)
        if enrolled and look:
            return replace(_pending(row, Action.NONE), before=_enrolled(row, True), full=True)
        line = _pending(row, _return_or(row, Action.ENROLL), _moved(row) or PLANNED)
        return replace(line, before=_enrolled(row, False))

    def _still_failed(self, row: RosterRow) -> Line | None:
        same = row.failed_code and row.failed_version == row.version and row.known_fingerprint == row.fingerprint
        if not same or row.failed_settings != self.tenant.settings_version:
            return None
        return _line(row, Action.NONE, RowOutcome.FAILED, row.failed_code)

    def _ambiguous(self, row: RosterRow, found: Match) -> Line:
        line = _line(row, Action.NONE, RowOutcome.AMBIGUOUS, found.reason)
        return replace(line, before={"candidates": [candidate.shown() for candidate in found.candidates]})

    def _taken(self, person: PersonFacts, verdict: MoveVerdict) -> Match:
        pluvo_id = person.rows[0].pluvo_id
        others = [candidate for candidate in person.by_email if candidate.pluvo_id != pluvo_id]
        rival = self.rivals.get(person.internal_id)
        return Match("ambiguous", reason=verdict.reason, candidates=others or ([rival] if rival else []))


def _line(row: RosterRow, action: str, outcome: str, reason: str | None = None) -> Line:
    return Line(
        row.course_id,
        row.event_id,
        row.internal_id,
        action=action,
        outcome=outcome,
        reason=reason,
        enrollment_id=row.enrollment_id,
        after={"name": row.name, "email": row.email, "enrolled": True} if outcome != RowOutcome.REJECTED else None,
        fingerprint=row.fingerprint,
    )


def _pending(row: RosterRow, action: str, reason: str = PLANNED) -> Line:
    return _line(row, action, RowOutcome.PENDING, reason)


def _refused(row: RosterRow, reason: str) -> Line:
    return _line(row, Action.NONE, RowOutcome.REJECTED, reason)


def _changing(line: Line, external_id: str | None, name: str, email: str) -> Line:
    """A line that gives the person's account this name and address."""
    folded = fold_email(email)
    return replace(line, changes_person=True, external_id=external_id, name=name, email=email, email_folded=folded)


def _enrolled(row: RosterRow, enrolled: bool) -> Shown:
    return {"name": row.applied_name, "email": row.applied_email, "enrolled": enrolled}


def _moved(row: RosterRow) -> str | None:
    """Why a person who is enrolled is enrolled once more."""
    if row.state != Applied.ENROLLED or row.in_place:
        return None
    return "target_changed" if row.told_account == row.pluvo_id else "account_changed"


def _before_update(person: PersonFacts, preset: bool) -> Shown:
    """Name and address as last told; of an account that was given beforehand, as it has them now."""
    if preset and person.account:
        return {"name": person.account.name, "email": person.account.email}
    return {"name": person.rows[0].applied_name, "email": person.rows[0].applied_email}


def _return_or(row: RosterRow, action: str) -> str:
    return Action.RESTORE if row.state in (Applied.REMOVED, Applied.KEPT) or row.archived else action


def _match_reason(found: Match) -> str:
    if found.action == "create":
        return found.reason or "no_account"
    if found.share_with:
        return f"same_person_as:{found.share_with}"
    return f"by_{found.linked_by.value}" if found.linked_by else PLANNED
