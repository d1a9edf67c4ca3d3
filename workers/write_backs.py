"""Write one completion date into one AFAS field: look first, write once, record what happened.

A human's date is never written over: the column is read at most a minute before the PUT. ``sending`` is committed
before the PUT, so after a crash or a lost answer the next delivery looks whether it arrived, and may otherwise send the
same value again. Where no column is mapped it can't look, and sends the same value again.
"""

from __future__ import annotations

import time
from functools import partial

from sqlalchemy import Connection, text

from clients.afas import AfasClient
from clients.errors import Rejected, RemoteError
from models.completion import CompletionState
from models.completion_dates import day_of
from models.enrollment import RowState
from models.message import Kind
from models.session import transaction
from producers.completion_rules import Rule, ask_fields, keep_fields, rules_of
from producers.completion_values import judge_due, read_one
from producers.outside import afas_of
from workers.control import Snooze
from workers.turns import Turn, handles
from workers.write_back_records import (
    Result,
    Work,
    describe,
    died,
    load,
    note_change,
    note_failure,
    settle_completion,
    waiting,
)

# A reading is good for 60 s; what lies between the look and the PUT gets the rest.
FRESH_SECONDS = 45.0
SLOT_PATIENCE_SECONDS = 15.0
# Connecting and AFAS's read time-out of 120 s, with some to spare.
PUT_SECONDS = 140.0
OPEN = (CompletionState.PENDING, CompletionState.SENDING, CompletionState.FAILED)


@handles(Kind.WRITE_BACK, died=died, waiting=waiting, describe=describe)
def write_back(turn: Turn) -> None:
    """Bring one completion into AFAS, or find out why not."""
    work = load(turn)
    if work is None:
        with turn.settle():
            return
    afas = afas_of(work.tenant, turn.call_log.append, SLOT_PATIENCE_SECONDS)
    rule = _rule(work, afas)
    result = _obstacle(work, rule) or (_look(work, rule, afas) if rule else None)
    if result is None and rule is not None:
        result = _write(turn, work, rule, afas)
    if result is not None:
        with turn.settle() as connection:
            settle_completion(connection, turn, result)


def _rule(work: Work, afas: AfasClient) -> Rule | None:
    """The rule that asks for this field, None when there is none any more."""
    course = work.course
    if not course.active or all(one["field"] != work.completion.field for one in course.rules):
        return None
    known = None
    if course.completion_types is None and work.completion.state in OPEN:
        asked = ask_fields(afas, [course])
        with transaction() as connection:
            keep_fields(connection, course.tenant_id, asked)
        known = asked[course.id or 0]
    return next(rule for rule in rules_of(course, known) if rule.field == work.completion.field)


def _obstacle(work: Work, rule: Rule | None) -> Result | None:
    """Why there is nothing to write: it is settled, or AFAS has no row or no fitting field for it."""
    completion, enrollment = work.completion, work.enrollment
    if completion.state not in OPEN or completion.completed_on is None:
        return Result(completion.state, completion.reason, completion.found_value)
    if enrollment is None or enrollment.row_state == RowState.ABSENT or completion.internal_id is None:
        return Result(CompletionState.ORPHAN, "not_in_afas")
    if rule is None or rule.target is None:
        return Result(CompletionState.REJECTED, rule.refusal if rule else "no_rule")
    return None


def _look(work: Work, rule: Rule, afas: AfasClient) -> Result | None:
    """What AFAS shows decides, where it shows the field; None: nothing stands there."""
    completion = work.completion
    if rule.column is None or rule.target is None or completion.completed_on is None:
        return None
    shown = completion.shown_value
    if work.age_seconds is None or not 0 <= work.age_seconds <= FRESH_SECONDS or work.maybe_sent:
        there, shown = read_one(afas, work.course, rule, completion.internal_id or "")
        if not there:
            return Result(CompletionState.ORPHAN, "not_in_afas")
    judged = judge_due(completion.completed_on, shown, rule.target, maybe_sent=work.maybe_sent)
    return Result(judged.state, judged.reason, judged.found) if judged else None


def _write(turn: Turn, work: Work, rule: Rule, afas: AfasClient) -> Result | None:
    """PUT the value; once more without the organisation/person code when AFAS stumbles over that."""
    assert rule.target is not None  # noqa: S101  _obstacle saw to it
    assert work.completion.completed_on is not None  # noqa: S101  the same
    value = rule.target.write(work.completion.completed_on)
    codes = [work.enrollment.external_id if work.enrollment else None]
    while codes:
        external_id = codes.pop()
        started = time.monotonic()
        try:
            afas.put_course_member(
                work.course.updateconnector,
                event_id=work.course.event_id,
                internal_id=work.completion.internal_id or "",
                external_id=external_id,
                fields={rule.field: value},
                # Only now: whoever waits for a slot in vain has sent nothing, and may have been stopped meanwhile.
                about_to=partial(turn.check, PUT_SECONDS, partial(_mark_sending, turn, value)),
            )
        except RemoteError as error:
            note_failure(turn, work, value, external_id, error=error, seconds=time.monotonic() - started)
            if not (external_id and isinstance(error, Rejected) and error.code == "external_id_refused"):
                raise
            codes.append(None)
        else:
            with turn.settle() as connection:
                settle_completion(connection, turn, Result(CompletionState.WRITTEN, _note(work)))
                note_change(connection, turn, work, value, "done", seconds=time.monotonic() - started)
            return None
    raise AssertionError("the second try returns or raises")


def _note(work: Work) -> str | None:
    return day_of(work.completion.completed_raw or "", work.tenant.timezone)[1]


def _mark_sending(turn: Turn, value: str, connection: Connection) -> None:
    """Write down that a PUT may be under way, before it is. Someone else settled it meanwhile: look again."""
    marked = connection.execute(
        text(
            """UPDATE completion SET state = 'sending', sending_at = coalesce(sending_at, now()), value = :value,
                      puts = puts + 1, changed_at = now()
                WHERE id = :id AND tenant_id = :tenant AND state IN ('pending', 'sending', 'failed')"""
        ),
        {"id": turn.subject_id, "tenant": turn.tenant_id, "value": value},
    ).rowcount
    if not marked:
        raise Snooze(1.0, "changed_meanwhile")
