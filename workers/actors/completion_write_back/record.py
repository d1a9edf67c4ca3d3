"""What a write-back reads before it begins, and what it records when it ends, waits or dies."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, fields
from datetime import date

from sqlalchemy import Connection, text

from clients.errors import RemoteError
from clients.http import clean, mask
from models.course import Course
from models.ledger import checking
from models.session import fetch, transaction
from models.tenant import Tenant
from producers.completions.afas_column import Seen
from producers.completions.planner import CURRENT
from producers.completions.record import LINK_OF
from tenancy.cache import MARK, remembered, remembered_row
from workers.actors.changes import CALLS_RECORDED, WritingCall, named, record_calls, result_of
from workers.messages.delivery import Delivery

# AFAS refuses the record as it is; after anything else the next run tries again.
REFUSED = ("functional", "external_id_refused", "bad_request", "too_large")


_ROWS = f"""
       completion c
  JOIN tenant t ON t.id = c.tenant_id
  JOIN course k ON k.id = c.course_id
  LEFT JOIN enrollment e ON e.id = c.enrollment_id
  LEFT JOIN link l ON {LINK_OF}
"""
# A row that changes gets another xmin. Of the completion itself only these columns count.
_BASIS = """concat_ws('/', t.xmin, k.xmin, coalesce(CAST(e.xmin AS text), '-'), coalesce(CAST(l.xmin AS text), '-'),
                 c.completed_on, c.internal_id, c.pluvo_id)"""
_LOAD = text(
    f"""
    SELECT {_BASIS} AS basis, l.id IS NOT NULL AS linked, {MARK}, CAST(k.xmin AS text) AS course_mark, c.course_id,
           c.state, c.reason, c.found_value, c.field, c.level, c.title, c.completed_on, c.completed_raw, c.internal_id,
           c.pluvo_id, c.shown_value, c.sending_at IS NOT NULL AS maybe_sent, e.row_state, e.external_id,
           CASE WHEN c.shown_at > coalesce(c.sending_at, '-infinity')
                THEN extract(epoch FROM clock_timestamp() - c.shown_at) END AS age_seconds,
           who.name, who.email, who.applied_name, who.applied_email
      FROM {_ROWS}
      LEFT JOIN person who ON who.tenant_id = c.tenant_id AND who.internal_id = c.internal_id
     WHERE c.id = :id AND c.tenant_id = :tenant
    """  # noqa: S608  constants only
)
# How old a look may be right before a PUT. The rest of the minute is for the way to AFAS.
LOOK_SECONDS = 55.0
_MARK_SENDING = checking(
    f"""noted AS (
    UPDATE completion u
       SET state = 'sending', sending_at = clock_timestamp(), value = :value, puts = u.puts + 1, changed_at = now()
      FROM {_ROWS}
     WHERE u.id = :subject AND u.tenant_id = :tenant AND c.id = u.id AND {_BASIS} = :basis
       AND EXISTS (SELECT FROM allowed)
       AND u.state IN ('pending', 'sending', 'failed') AND u.completed_on = :on
       AND (NOT :looked OR (u.shown_at > greatest(clock_timestamp() - make_interval(secs => :seconds),
                                                  CASE WHEN NOT :refused THEN u.sending_at END)
                            AND u.shown_value IS NOT DISTINCT FROM CAST(:shown AS text)))
    RETURNING u.id)"""  # noqa: S608  constants only
)
_NOTE_LOOK = text(
    """
    UPDATE completion SET shown_value = :value, shown_at = clock_timestamp() - make_interval(secs => :age)
     WHERE id = :id AND tenant_id = :tenant
    """
)
_FAILED = text(
    f"""
    UPDATE completion c
       SET state = 'failed', reason = :code, changed_at = now(),
           failed_for = CASE WHEN :refused THEN (
               SELECT {CURRENT} FROM enrollment e JOIN tenant t ON t.id = e.tenant_id WHERE e.id = c.enrollment_id) END
     WHERE c.id = :id AND c.tenant_id = :tenant AND c.state IN ('pending', 'sending', 'failed')
    """  # noqa: S608  constants only
)
_WAITING = text(
    """
    UPDATE completion SET reason = :code
     WHERE id = :id AND tenant_id = :tenant AND state IN ('pending', 'sending')
    """
)
_ABOUT = text(
    """
    SELECT c.internal_id, k.event_id FROM completion c JOIN course k ON k.id = c.course_id
     WHERE c.id = :id AND c.tenant_id = :tenant
    """
)
# The lines of every run that waited for this completion, not only the newest's.
_LINES = """
    UPDATE plan_line l
       SET outcome = :outcome, reason = CAST(:reason AS text), settled_at = now(),
           before = coalesce(CAST(:before_line AS jsonb), l.before)
     WHERE l.completion_id = :id AND l.tenant_id = :tenant AND l.outcome = 'pending'
"""
_SETTLE_LINES = text(_LINES)
_SETTLE = text(
    f"""
    WITH done AS (
        UPDATE completion
           SET state = CAST(:state AS text), reason = CAST(:reason AS text), found_value = :found, failed_for = NULL,
               shown_value = NULL, shown_at = NULL,  -- the look was for this
               written_at = CASE WHEN CAST(:state AS text) IN ('written', 'verified') THEN coalesce(written_at, now())
                                 ELSE written_at END,
               verified_at = CASE WHEN CAST(:state AS text) = 'verified' THEN now() ELSE verified_at END,
               changed_at = CASE WHEN state = CAST(:state AS text) THEN changed_at ELSE now() END
         WHERE id = :id AND tenant_id = :tenant AND (state IN ('pending', 'sending', 'failed') OR
               (state = 'conflict' AND CAST(:state AS text) = 'written'))
        RETURNING id
    ), lines AS ({_LINES} AND (SELECT count(*) FROM done) >= 0 RETURNING l.id), put AS ({CALLS_RECORDED})
    SELECT count(*) FROM lines
    """  # noqa: S608  constants only
)


@dataclass(frozen=True)
class Work:
    """Everything about one write-back, as it is now."""

    course: Course
    tenant: Tenant
    # Marks of all rows that this was decided from: as long as it is the same, nothing has changed.
    basis: str
    # The account is still this person's.
    linked: bool
    # Of the completion
    state: str
    reason: str | None
    found_value: str | None
    field: str
    level: str
    title: str
    completed_on: date | None
    completed_raw: str | None
    internal_id: str | None
    pluvo_id: str
    shown_value: str | None
    # An earlier PUT of ours may have arrived.
    maybe_sent: bool
    # How long ago the column was last read, if that was after the last PUT.
    age_seconds: float | None
    # Of the enrollment, None where there is none
    row_state: str | None
    external_id: str | None
    # Names and addresses of the person
    known_as: tuple[str | None, ...]

    def seen_within(self, seconds: float) -> bool:
        """Whether AFAS's column was read so lately."""
        return self.age_seconds is not None and 0 <= self.age_seconds <= seconds


_COLUMNS = [one.name for one in fields(Work) if one.name not in ("course", "tenant", "known_as")]


class Changed(Exception):
    """What a PUT was based on has changed, or what AFAS showed is too old: decide again."""


@dataclass(frozen=True)
class Result:
    """How a completion is to be settled."""

    state: str
    reason: str | None = None
    found: str | None = None


def load(connection: Connection, delivery: Delivery) -> Work | None:
    """The newest state; None when the completion is gone."""
    row = next(iter(fetch(connection, _LOAD, _key(delivery))), None)
    tenant = remembered(connection, delivery.tenant_id, row.tenant_mark) if row else None
    course = remembered_row(connection, Course, row.course_id, row.course_mark) if row else None
    if row is None or tenant is None or course is None:
        return None
    known_as = row.name, row.email, row.applied_name, row.applied_email
    return Work(course, tenant, known_as=known_as, **{name: getattr(row, name) for name in _COLUMNS})


def _key(delivery: Delivery) -> dict[str, int]:
    return {"id": delivery.subject_id, "tenant": delivery.tenant_id}


def note_look(delivery: Delivery, seen: Seen) -> None:
    """Keep what AFAS showed, and since when that is known: the next delivery need not ask again at once."""
    with transaction() as connection:
        age = time.monotonic() - seen.asked_at
        connection.execute(_NOTE_LOOK, _key(delivery) | {"value": seen.value, "age": age})
        delivery.begun = load(connection, delivery)


def mark_sending(
    delivery: Delivery, work: Work, value: str, seconds: float, *, looked: str | None, refused: bool = False
) -> None:
    """Note that a PUT may be under way, right before it, if there is nothing against it: ``delivery.check``.

    Raises Changed when it may no longer be sent. ``seconds``: what the PUT may take. ``looked``: the column in which
    AFAS shows the field, None where none is mapped. ``refused``: the last PUT was only refused for its token and did
    nothing, so the look before it still counts, if it is not too old.
    """
    decided = {"value": value, "basis": work.basis, "on": work.completed_on, "subject": delivery.subject_id}
    shown = {"looked": looked is not None, "shown": work.shown_value, "seconds": LOOK_SECONDS, "refused": refused}
    if not delivery.check_noting(seconds, _MARK_SENDING, {**decided, **shown}):
        raise Changed


def settle(delivery: Delivery, result: Result, put: dict[str, object] | None = None) -> None:
    """Record the result with the completion and with every line that waits for it, and end the message.

    ``put``: the PUT that was made, as ``about_put`` gives it.
    """
    calls = put or named(delivery, [], "afas", (None, "", None))
    with delivery.settle() as connection:
        values = {"state": result.state, "found": result.found}
        fetch(connection, _SETTLE, calls | _key(delivery) | values | _about_lines(result))


def _about_lines(result: Result) -> dict[str, str | None]:
    before = json.dumps({"completion": result.found}) if result.found else None
    return {"outcome": result.state, "reason": result.reason, "before_line": before}


def note_failure(
    delivery: Delivery, work: Work, value: str, external_id: str | None, *, error: RemoteError, seconds: float
) -> None:
    """Keep the PUT for a dead letter, and record what came of it."""
    request = {
        "@CrId": work.course.event_id,
        "@CdId": work.internal_id,
        "Fields": {"BcCo": external_id, work.field: value} if external_id else {work.field: value},
    }
    delivery.note_call("write", mask(request), error.status, clean(error.remote_text))
    with transaction() as connection:
        record_calls(connection, about_put(delivery, work, value, seconds, error))


def about_put(
    delivery: Delivery, work: Work, value: str, seconds: float, error: RemoteError | None = None
) -> dict[str, object]:
    """A PUT and what came of it, to be recorded."""
    call = WritingCall(
        "write",
        {"completion": work.shown_value},
        {"completion": value, "field": work.field},
        result_of(error),
        error.code if error else None,
        error.status if error else None,
        round(seconds, 3),
    )
    return named(delivery, [call], "afas", (work.internal_id, work.course.event_id, work.pluvo_id))


# ------------------------------------------------------------------------------------------- hooks of the actor


def died(connection: Connection, delivery: Delivery, code: str) -> None:
    """The completion stays failed; a refused one until its row or the settings change."""
    connection.execute(_FAILED, _key(delivery) | {"code": code, "refused": code in REFUSED})
    connection.execute(_SETTLE_LINES, _key(delivery) | _about_lines(Result("failed", code)))


def waiting(connection: Connection, delivery: Delivery, code: str) -> None:
    """Say why it is not written yet."""
    connection.execute(_WAITING, _key(delivery) | {"code": code})


def describe(connection: Connection, delivery: Delivery) -> dict[str, str | None]:
    """Which person and event a dead letter is about."""
    row = connection.execute(_ABOUT, _key(delivery)).first()
    return {"internal_id": row.internal_id, "event_id": row.event_id} if row else {}
