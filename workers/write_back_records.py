"""What a write-back reads before it begins and records when it ends, waits or dies."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, text
from sqlmodel import select

from clients.errors import Rejected, RemoteError, Unknown
from clients.redaction import clean, mask
from models.completion import Completion
from models.course import Course
from models.enrollment import Enrollment
from models.session import session, transaction
from models.tenant import Tenant
from models.tenant_memory import MARK, remembered
from producers.completion_plan import CURRENT
from workers.turns import Turn

# AFAS refuses the record as it is; everything else is worth a fresh message in the next run.
REFUSED = ("functional", "external_id_refused", "bad_request", "too_large")


@dataclass(frozen=True)
class Work:
    """Everything about one write-back, as it is now."""

    completion: Completion
    enrollment: Enrollment | None
    course: Course
    tenant: Tenant
    age_seconds: float | None

    @property
    def maybe_sent(self) -> bool:
        """An earlier PUT of ours may have arrived."""
        return self.completion.sending_at is not None


_AGE_AND_MARK = text(
    f"SELECT extract(epoch FROM now() - CAST(:at AS timestamptz)) AS age, {MARK} FROM tenant t WHERE t.id = :tenant"  # noqa: S608  a constant
)


@dataclass(frozen=True)
class Result:
    """How a completion is to be settled."""

    state: str
    reason: str | None = None
    found: str | None = None


def load(turn: Turn) -> Work | None:
    """The newest state; None when the completion is gone."""
    with session() as database:
        completion = database.exec(
            select(Completion).where(Completion.id == turn.subject_id, Completion.tenant_id == turn.tenant_id)
        ).first()
        if completion is None:
            return None
        asked = {"at": completion.shown_at, "tenant": turn.tenant_id}
        found = database.connection().execute(_AGE_AND_MARK, asked).first()
        tenant = remembered(database, turn.tenant_id, found.tenant_mark) if found else None
        if found is None or tenant is None:
            return None
        return Work(
            completion,
            database.get(Enrollment, completion.enrollment_id) if completion.enrollment_id else None,
            database.get_one(Course, completion.course_id),
            tenant,
            found.age,
        )


def died(connection: Connection, turn: Turn, code: str) -> None:
    """The completion stays failed; a refused one until its row or the settings are another."""
    values = {"id": turn.subject_id, "tenant": turn.tenant_id, "code": code, "refused": code in REFUSED}
    connection.execute(
        text(
            f"""
            UPDATE completion c SET state = 'failed', reason = :code, changed_at = now(),
                   failed_for = CASE WHEN :refused THEN (
                       SELECT {CURRENT} FROM enrollment e JOIN tenant t ON t.id = e.tenant_id
                        WHERE e.id = c.enrollment_id) END
             WHERE c.id = :id AND c.tenant_id = :tenant AND c.state IN ('pending', 'sending', 'failed')
            """  # noqa: S608  constants only
        ),
        values,
    )
    settle_lines(connection, turn, "failed", code)


def waiting(connection: Connection, turn: Turn, code: str) -> None:
    """Say why it is not written yet."""
    connection.execute(
        text(
            """UPDATE completion SET reason = :code
                WHERE id = :id AND tenant_id = :tenant AND state IN ('pending', 'sending')"""
        ),
        {"id": turn.subject_id, "tenant": turn.tenant_id, "code": code},
    )


def describe(connection: Connection, turn: Turn) -> dict[str, Any]:
    """Who and which event a dead letter is about."""
    row = connection.execute(
        text(
            """SELECT c.internal_id, k.event_id FROM completion c JOIN course k ON k.id = c.course_id
                WHERE c.id = :id AND c.tenant_id = :tenant"""
        ),
        {"id": turn.subject_id, "tenant": turn.tenant_id},
    ).first()
    return {"internal_id": row.internal_id, "event_id": row.event_id} if row else {}


def settle_completion(connection: Connection, turn: Turn, result: Result) -> None:
    """Record the result with the completion and with every line that waits for it."""
    connection.execute(
        text(
            """
            UPDATE completion
               SET state = :state, reason = :reason, found_value = :found, failed_for = NULL,
                   written_at = CASE WHEN :state IN ('written', 'verified') THEN coalesce(written_at, now())
                                     ELSE written_at END,
                   verified_at = CASE WHEN :state = 'verified' THEN now() ELSE verified_at END,
                   changed_at = CASE WHEN state = :state THEN changed_at ELSE now() END
             WHERE id = :id AND tenant_id = :tenant AND (state IN ('pending', 'sending', 'failed') OR
                   (state = 'conflict' AND :state = 'written'))
            """
        ),
        {
            "id": turn.subject_id,
            "tenant": turn.tenant_id,
            "state": result.state,
            "reason": result.reason,
            "found": result.found,
        },
    )
    settle_lines(connection, turn, result.state, result.reason, result.found)


def settle_lines(
    connection: Connection, turn: Turn, outcome: str, reason: str | None, found: str | None = None
) -> None:
    """Settle the lines of every run that waited for this completion, not only the newest's."""
    connection.execute(
        text(
            """
            UPDATE plan_line l
               SET outcome = :outcome, reason = :reason, settled_at = now(),
                   before = coalesce(CAST(:before AS jsonb), l.before)
             WHERE l.completion_id = :id AND l.tenant_id = :tenant AND l.outcome = 'pending'
            """
        ),
        {
            "id": turn.subject_id,
            "tenant": turn.tenant_id,
            "outcome": outcome,
            "reason": reason,
            "before": json.dumps({"completion": found}) if found else None,
        },
    )


def note_failure(
    turn: Turn, work: Work, value: str, external_id: str | None, *, error: RemoteError, seconds: float
) -> None:
    """Keep the call for a dead letter, and as a change that did not (or may not have) come about."""
    field = work.completion.field
    request = {
        "@CrId": work.course.event_id,
        "@CdId": work.completion.internal_id,
        "Fields": {"BcCo": external_id, field: value} if external_id else {field: value},
    }
    turn.note_call("write", mask(request), error.status, clean(error.remote_text))
    result = "unknown" if isinstance(error, Unknown) else "refused" if isinstance(error, Rejected) else "failed"
    with transaction() as connection:
        note_change(connection, turn, work, value, result, error=error, seconds=seconds)


def note_change(
    connection: Connection,
    turn: Turn,
    work: Work,
    value: str,
    result: str,
    *,
    error: RemoteError | None = None,
    seconds: float,
) -> None:
    connection.execute(
        text(
            """
            INSERT INTO change (tenant_id, run_id, message_id, system, operation, internal_id, event_id, pluvo_id,
                                result, code, status, before, after, seconds)
            VALUES (:tenant, :run, :message, 'afas', 'write', :internal, :event, :pluvo, :result, :code, :status,
                    CAST(:before AS jsonb), CAST(:after AS jsonb), :seconds)
            """
        ),
        {
            "tenant": turn.tenant_id,
            "run": turn.run_id,
            "message": turn.message_id,
            "internal": work.completion.internal_id,
            "event": work.course.event_id,
            "pluvo": work.completion.pluvo_id,
            "result": result,
            "code": error.code if error else None,
            "status": error.status if error else None,
            "before": json.dumps({"completion": work.completion.shown_value}),
            "after": json.dumps({"completion": value, "field": work.completion.field}),
            "seconds": round(seconds, 3),
        },
    )
