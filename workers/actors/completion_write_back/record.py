"""What a write-back reads before it begins, and what it records when it ends, waits or dies."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass

from sqlalchemy import Connection, text

from clients.errors import RemoteError
from clients.http import clean, mask
from models.completion import Completion
from models.course import Course
from models.enrollment import Enrollment
from models.session import session, transaction
from models.tenant import Tenant
from producers.completions.afas_column import Seen
from producers.completions.planner import CURRENT
from producers.completions.record import LINK_OF
from tenancy.cache import MARK, remembered
from workers.actors.changes import WritingCall, named, record_calls, result_of
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
# Read before the rows themselves: at worst newer rows have older marks, and are read once more.
_MARKS = text(
    f"""
    SELECT {_BASIS} AS basis, l.id IS NOT NULL AS linked, {MARK},
           CASE WHEN c.shown_at > coalesce(c.sending_at, '-infinity')
                THEN extract(epoch FROM clock_timestamp() - c.shown_at) END AS age,
           who.name, who.email, who.applied_name, who.applied_email
      FROM {_ROWS}
      LEFT JOIN person who ON who.tenant_id = c.tenant_id AND who.internal_id = c.internal_id
     WHERE c.id = :id AND c.tenant_id = :tenant
    """  # noqa: S608  constants only
)
# How old a look may be right before a PUT. The rest of the minute is for the way to AFAS.
LOOK_SECONDS = 55.0
_MARK_SENDING = text(
    f"""
    UPDATE completion u
       SET state = 'sending', sending_at = clock_timestamp(), value = :value, puts = u.puts + 1, changed_at = now()
      FROM {_ROWS}
     WHERE u.id = :id AND u.tenant_id = :tenant AND c.id = u.id AND {_BASIS} = :basis
       AND u.state IN ('pending', 'sending', 'failed') AND u.completed_on = :on
       AND (NOT :looked OR (u.shown_at > greatest(clock_timestamp() - make_interval(secs => :seconds),
                                                  CASE WHEN NOT :refused THEN u.sending_at END)
                            AND u.shown_value IS NOT DISTINCT FROM CAST(:shown AS text)))
    """  # noqa: S608  constants only
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
_SETTLE = text(
    """
    UPDATE completion
       SET state = :state, reason = :reason, found_value = :found, failed_for = NULL,
           shown_value = NULL, shown_at = NULL,  -- the look was for this
           written_at = CASE WHEN :state IN ('written', 'verified') THEN coalesce(written_at, now())
                             ELSE written_at END,
           verified_at = CASE WHEN :state = 'verified' THEN now() ELSE verified_at END,
           changed_at = CASE WHEN state = :state THEN changed_at ELSE now() END
     WHERE id = :id AND tenant_id = :tenant AND (state IN ('pending', 'sending', 'failed') OR
           (state = 'conflict' AND :state = 'written'))
    """
)
_SETTLE_LINES = text(
    """
    UPDATE plan_line l
       SET outcome = :outcome, reason = :reason, settled_at = now(),
           before = coalesce(CAST(:before AS jsonb), l.before)
     WHERE l.completion_id = :id AND l.tenant_id = :tenant AND l.outcome = 'pending'
    """
)


@dataclass(frozen=True)
class Work:
    """Everything about one write-back, as it is now."""

    completion: Completion
    enrollment: Enrollment | None
    course: Course
    tenant: Tenant
    # Marks of all rows that this was decided from: as long as it is the same, nothing has changed.
    basis: str
    # The account is still this person's.
    linked: bool
    # Names and addresses of the person
    known_as: tuple[str | None, ...]
    # How long ago the column was last read, if that was after the last PUT.
    age_seconds: float | None

    def seen_within(self, seconds: float) -> bool:
        """Whether AFAS's column was read so lately."""
        return self.age_seconds is not None and 0 <= self.age_seconds <= seconds

    @property
    def maybe_sent(self) -> bool:
        """An earlier PUT of ours may have arrived."""
        return self.completion.sending_at is not None


class Changed(Exception):
    """What a PUT was based on has changed, or what AFAS showed is too old: decide again."""


@dataclass(frozen=True)
class Result:
    """How a completion is to be settled."""

    state: str
    reason: str | None = None
    found: str | None = None


def load(delivery: Delivery) -> Work | None:
    """The newest state; None when the completion is gone."""
    with session() as database:
        marks = database.connection().execute(_MARKS, _key(delivery)).first()
        tenant = remembered(database, delivery.tenant_id, marks.tenant_mark) if marks else None
        completion = database.get(Completion, delivery.subject_id)
        if marks is None or tenant is None or completion is None:
            return None
        return Work(
            completion,
            database.get(Enrollment, completion.enrollment_id) if completion.enrollment_id else None,
            database.get_one(Course, completion.course_id),
            tenant,
            basis=marks.basis,
            linked=marks.linked,
            known_as=(marks.name, marks.email, marks.applied_name, marks.applied_email),
            age_seconds=marks.age,
        )


def _key(delivery: Delivery) -> dict[str, int]:
    return {"id": delivery.subject_id, "tenant": delivery.tenant_id}


def note_look(delivery: Delivery, seen: Seen) -> None:
    """Keep what AFAS showed, and since when that is known: the next delivery need not ask again at once."""
    with transaction() as connection:
        age = time.monotonic() - seen.asked_at
        connection.execute(_NOTE_LOOK, _key(delivery) | {"value": seen.value, "age": age})


def mark_sending(
    delivery: Delivery, work: Work, value: str, connection: Connection, *, looked: str | None, refused: bool = False
) -> None:
    """Note that a PUT may be under way, right before it. Raises Changed when it may no longer be sent.

    ``looked``: the column in which AFAS shows the field, None where none is mapped. ``refused``: the last PUT was only
    refused for its token and did nothing, so the look before it still counts, if it is not too old.
    """
    decided = {"value": value, "basis": work.basis, "on": work.completion.completed_on}
    shown = {"looked": looked is not None, "shown": work.completion.shown_value, "seconds": LOOK_SECONDS}
    shown["refused"] = refused
    if not connection.execute(_MARK_SENDING, _key(delivery) | decided | shown).rowcount:
        raise Changed


def settle_completion(connection: Connection, delivery: Delivery, result: Result) -> None:
    """Record the result with the completion and with every line that waits for it."""
    values = {"state": result.state, "reason": result.reason, "found": result.found}
    connection.execute(_SETTLE, _key(delivery) | values)
    _settle_lines(connection, delivery, result)


def _settle_lines(connection: Connection, delivery: Delivery, result: Result) -> None:
    """Settle the lines of every run that waited for this completion, not only the newest's."""
    before = json.dumps({"completion": result.found}) if result.found else None
    values = {"outcome": result.state, "reason": result.reason, "before": before}
    connection.execute(_SETTLE_LINES, _key(delivery) | values)


def note_failure(
    delivery: Delivery, work: Work, value: str, external_id: str | None, *, error: RemoteError, seconds: float
) -> None:
    """Keep the PUT for a dead letter, and record what came of it."""
    field = work.completion.field
    request = {
        "@CrId": work.course.event_id,
        "@CdId": work.completion.internal_id,
        "Fields": {"BcCo": external_id, field: value} if external_id else {field: value},
    }
    delivery.note_call("write", mask(request), error.status, clean(error.remote_text))
    with transaction() as connection:
        record_put(connection, delivery, work, value, error=error, seconds=seconds)


def record_put(
    connection: Connection,
    delivery: Delivery,
    work: Work,
    value: str,
    *,
    error: RemoteError | None = None,
    seconds: float,
) -> None:
    """Record a PUT and what came of it."""
    completion = work.completion
    call = WritingCall(
        "write",
        {"completion": completion.shown_value},
        {"completion": value, "field": completion.field},
        result_of(error),
        error.code if error else None,
        error.status if error else None,
        round(seconds, 3),
    )
    about = completion.internal_id, work.course.event_id, completion.pluvo_id
    record_calls(connection, named(delivery, [call], "afas", about))


# ------------------------------------------------------------------------------------------- hooks of the actor


def died(connection: Connection, delivery: Delivery, code: str) -> None:
    """The completion stays failed; a refused one until its row or the settings change."""
    connection.execute(_FAILED, _key(delivery) | {"code": code, "refused": code in REFUSED})
    _settle_lines(connection, delivery, Result("failed", code))


def waiting(connection: Connection, delivery: Delivery, code: str) -> None:
    """Say why it is not written yet."""
    connection.execute(_WAITING, _key(delivery) | {"code": code})


def describe(connection: Connection, delivery: Delivery) -> dict[str, str | None]:
    """Which person and event a dead letter is about."""
    row = connection.execute(_ABOUT, _key(delivery)).first()
    return {"internal_id": row.internal_id, "event_id": row.event_id} if row else {}
