"""Write one completion date into one AFAS field: look first, write once, record what happened.

A human's date is never written over: at every PUT, what AFAS shows was read at most a minute ago. The transaction right
before the PUT checks this, and that everything the PUT was based on (date, row, rule, course, settings, link) is
unchanged; the same transaction commits ``sending``. If something changed, the next round decides again.

After a crash or a lost answer the next delivery looks whether the PUT arrived, and if not sends the same value again.
Where no column is mapped it can't look, and sends the same value again.
"""

from __future__ import annotations

import time
from itertools import count

from clients.afas import AfasClient, Condition, Operator
from clients.errors import AFAS, Misconfigured, Rejected, RemoteError, Unauthorized, Unavailable
from models.completion_dates import day_of
from models.completion_state import CompletionState
from models.enrollment import RowState
from models.message import Kind
from models.session import transaction
from producers.completions import collect as collecting
from producers.completions.afas_column import judge_due, read_one
from producers.completions.rules import OF_ONE_CONNECTOR, Rule, any_works, ask_fields, keep_fields, rules_of
from tenancy.systems import afas_of
from workers.actors.completion_write_back.record import (
    Changed,
    Result,
    Work,
    about_put,
    describe,
    died,
    load,
    mark_sending,
    note_failure,
    note_look,
    settle,
    waiting,
)
from workers.messages.delivery import Delivery
from workers.messages.execute import actor

# With an older look of the run the PUT would be too late: it has its own check.
FRESH_SECONDS = 45.0
SLOT_PATIENCE_SECONDS = 15.0
# Connecting and AFAS's read time-out of 120 s, with some to spare.
PUT_SECONDS = 140.0
# Three looks with the PUT that each was for.
ROUNDS = 6
OPEN = (CompletionState.PENDING, CompletionState.SENDING, CompletionState.FAILED)


@actor(Kind.WRITE_BACK, begin=load, on_dead=died, on_wait=waiting, describe=describe)
def write_back(delivery: Delivery) -> None:
    """Bring one completion into AFAS, or find out why not. Each round uses what is true when it begins."""
    with_code, looked = True, False
    for _ in range(ROUNDS):
        try:
            if _one_round(delivery, with_code=with_code, looked=looked):
                return
            looked = True
        except Changed:
            looked = False
        except Rejected as error:
            if not with_code or error.code != "external_id_refused":
                raise
            # AFAS does not accept the code of the organisation or person: once more without it, after another look.
            with_code = looked = False
    raise Unavailable("look_too_old", "What AFAS showed was too old each time the PUT could go.", system=AFAS)


def _one_round(delivery: Delivery, *, with_code: bool, looked: bool) -> bool:
    """Settle the delivery (True), or only look at AFAS (False)."""
    work, delivery.begun = delivery.begun, None
    if work is None:
        with transaction() as connection:
            work = load(connection, delivery)
    if work is None:
        with delivery.settle():
            return True
    delivery.people = [*work.known_as]
    afas = afas_of(work.tenant, delivery.call_log.append, SLOT_PATIENCE_SECONDS)
    rule = _rule(work, afas)
    result = _obstacle(work, rule)
    if result is None and rule is not None and rule.column is not None:
        if not looked and not work.seen_within(FRESH_SECONDS):
            result = _look(delivery, work, rule, afas)
            if result is None:
                return False
        result = result or _judge(work, rule)
    if result is None and rule is not None:
        _write(delivery, work, rule, afas, with_code=with_code)
        return True
    if result is not None:
        settle(delivery, result)
    return True


def _rule(work: Work, afas: AfasClient) -> Rule | None:
    """The rule that this completion was planned by, None when the course has no such rule any more."""
    course, about = work.course, (work.field, work.level, work.title)
    if not course.active or about not in {(rule.field, rule.level, rule.title) for rule in rules_of(course)}:
        return None
    known = None
    if course.completion_types is None and work.state in OPEN:
        asked = ask_fields(afas, [course], beside=collecting.load(course.tenant_id)[1])
        with transaction() as connection:
            keep_fields(connection, course.tenant_id, asked)
        known = asked[course.id or 0]
    return next(rule for rule in rules_of(course, known) if rule.field == work.field)


def _obstacle(work: Work, rule: Rule | None) -> Result | None:
    """Why there is nothing to write: it is settled, its person or link changed, or AFAS has no field for it."""
    if work.state not in OPEN:
        return Result(work.state, work.reason, work.found_value)
    if work.completed_on is None:
        return Result(CompletionState.NO_DATE)
    if work.row_state in (None, RowState.ABSENT) or work.internal_id is None:
        return Result(CompletionState.ORPHAN, "not_in_afas")
    if not work.linked:
        return Result(CompletionState.ORPHAN, "no_longer_linked")
    if rule is None or rule.target is None:
        return Result(CompletionState.REJECTED, rule.refusal if rule else "no_rule")
    return None


def _look(delivery: Delivery, work: Work, rule: Rule, afas: AfasClient) -> Result | None:
    """Read the field's column and keep what it shows; a result only when the row is gone."""
    try:
        seen = read_one(afas, work.course, rule, work.internal_id or "")
    except (Misconfigured, Unauthorized) as error:
        if error.code not in OF_ONE_CONNECTOR or not _another_is_read(work, afas):
            raise
        # Like a missing column: this course waits, since nothing is written over what can't be seen; the others go on.
        raise Unavailable(
            error.code, error.message, system=AFAS, status=error.status, remote_text=error.remote_text
        ) from error
    if not seen.there:
        return Result(CompletionState.ORPHAN, "not_in_afas")
    note_look(delivery, seen)
    return None


def _another_is_read(work: Work, afas: AfasClient) -> bool:
    """Whether another GetConnector of the tenant answers: then only this one is in trouble."""
    _, courses = collecting.load(work.course.tenant_id)
    for course in {one.getconnector: one for one in courses if one.getconnector != work.course.getconnector}.values():
        event, key = course.fields.event_id, course.fields.internal_id
        try:
            where = [[Condition(event, Operator.EQUAL, course.event_id)]]
            afas.rows(course.getconnector, take=1, order_by=[event, key], where=where)
        except (Misconfigured, Unauthorized):
            continue
        return True
    return False


def _judge(work: Work, rule: Rule) -> Result | None:
    """What follows from what AFAS shows; None: the field is empty."""
    if rule.target is None or work.completed_on is None:
        return None
    judged = judge_due(work.completed_on, work.shown_value, rule.target, maybe_sent=work.maybe_sent)
    return Result(judged.state, judged.reason, judged.found) if judged else None


def _write(delivery: Delivery, work: Work, rule: Rule, afas: AfasClient, *, with_code: bool) -> None:
    """PUT the value and record it. Raises Changed when it may no longer go, and what AFAS said of it."""
    assert rule.target is not None  # noqa: S101  _obstacle saw to it
    assert work.completed_on is not None  # noqa: S101  the same
    value = rule.target.write(work.completed_on)
    external_id = work.external_id if with_code else None
    started = time.monotonic()
    tries = count()

    def about_to() -> None:
        """Check and note the PUT only when the token and the call slot are there: waiting for them takes time.

        A second call means that AFAS refused the token and the client has a new one.
        """
        mark_sending(delivery, work, value, PUT_SECONDS, looked=rule.column, refused=next(tries) > 0)

    try:
        afas.put_course_member(
            work.course.updateconnector,
            event_id=work.course.event_id,
            internal_id=work.internal_id or "",
            external_id=external_id,
            fields={rule.field: value},
            about_to=about_to,
        )
    except RemoteError as error:
        note_failure(delivery, work, value, external_id, error=error, seconds=time.monotonic() - started)
        if error.code in OF_ONE_CONNECTOR and _refuse_courses(work, afas):
            raise Changed from error
        raise
    put = about_put(delivery, work, value, time.monotonic() - started)
    settle(delivery, Result(CompletionState.WRITTEN, _note(work)), put)


def _refuse_courses(work: Work, afas: AfasClient) -> bool:
    """AFAS refuses an UpdateConnector. If another one of the tenant works, the courses of this one have no field to
    write to until a run asks again. If none works, the whole tenant is in trouble (False)."""
    tenant_id, wrong = work.course.tenant_id, work.course.updateconnector
    _, courses = collecting.load(tenant_id)
    if not any_works(afas, {course.updateconnector for course in courses} - {wrong}):
        return False
    with transaction() as connection:
        keep_fields(connection, tenant_id, {c.id or 0: {} for c in courses if c.updateconnector == wrong})
    return True


def _note(work: Work) -> str | None:
    return day_of(work.completed_raw or "", work.tenant.timezone)[1]
