"""A message that gave up becomes a dead letter: a row that says what it was, what happened and with which call."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, text

from models.base import new_id
from models.worker import code_version
from workers.messages.hooks import call_hook

if TYPE_CHECKING:
    from workers.messages.delivery import Delivery, Handler

HISTORY = 20
_VARYING = (
    (re.compile(r"'[^']*'|\"[^\"]*\""), "'…'"),
    (re.compile(r"\b[0-9a-fA-F]{8,}\b|\d+"), "#"),
    (re.compile(r"\s+"), " "),
)
SUPERSEDE = """
UPDATE dead_letter SET state = 'superseded', closed_at = now(), closed_by = 'system', closed_reason = :why
 WHERE kind = :kind AND subject_id = :subject AND tenant_id = :tenant AND state = 'open'
"""


@dataclass(frozen=True)
class Failure:
    """What went wrong, in words that may be stored: ``text`` is cleaned, ``code`` is one of the error tables'."""

    code: str
    text: str
    status: int | None = None
    reference: str | None = None


def fingerprint(kind: str, code: str, words: str) -> str:
    """16 hex digits that are equal for what is the same fault: quoted values and numbers don't count."""
    for pattern, instead in _VARYING:
        words = pattern.sub(instead, words)
    return hashlib.sha256(f"{kind}\n{code}\n{words.strip().lower()}".encode()).hexdigest()[:16]


def bury(connection: Connection, delivery: Delivery, handler: Handler | None, failure: Failure) -> str:
    """Move a message out of the ledger into a dead letter, and settle its plan line. Returns the dead letter's id.

    The message's row must be locked by this transaction. An older open dead letter of the same subject is superseded.
    """
    described = call_hook(connection, handler.describe, delivery) or {} if handler else {}
    connection.execute(text(SUPERSEDE), superseded_by(delivery, "died again"))
    letter = new_id()
    connection.execute(
        text(
            """
            INSERT INTO dead_letter (id, tenant_id, kind, direction, subject_id, message_id, run_id, plan_line_id,
                   internal_id, event_id, error, message, afas_reference, attempts, history, last_call, fingerprint,
                   code_version, first_failed_at)
            SELECT :letter, tenant_id, kind, direction, subject_id, id, run_id, plan_line_id, :internal_id, :event_id,
                   :error, :words, :reference, attempts + 1, history || CAST(:entry AS jsonb), CAST(:call AS jsonb),
                   :fingerprint, :version, coalesce(first_failed_at, now())
              FROM message WHERE id = :id
            """
        ),
        {
            "letter": letter,
            "id": delivery.message_id,
            "internal_id": described.get("internal_id"),
            "event_id": described.get("event_id"),
            "error": failure.code,
            "words": failure.text,
            "reference": failure.reference,
            "entry": json.dumps([entry(connection, failure)]),
            "call": json.dumps(delivery.last_call) if delivery.last_call else None,
            "fingerprint": fingerprint(delivery.kind, failure.code, failure.text),
            "version": code_version(),
        },
    )
    if handler:
        call_hook(connection, handler.died, delivery, failure.code)
    settle_line(connection, delivery, "failed", failure.code)
    connection.execute(text("DELETE FROM message WHERE id = :id"), {"id": delivery.message_id})
    return letter


def entry(connection: Connection, failure: Failure) -> dict[str, Any]:
    """A line of a message's history, by the database's clock."""
    at = connection.execute(text("SELECT now()")).scalar_one()
    return {"at": at.isoformat(), "code": failure.code, "text": failure.text, "status": failure.status}


def settle_line(connection: Connection, delivery: Delivery, outcome: str, reason: str | None) -> None:
    """Write the outcome of the message's plan line, where it has one."""
    if delivery.plan_line_id is not None:
        connection.execute(
            text(
                """UPDATE plan_line SET outcome = :outcome, reason = :reason, settled_at = now()
                    WHERE id = :line AND tenant_id = :tenant"""
            ),
            {"line": delivery.plan_line_id, "tenant": delivery.tenant_id, "outcome": outcome, "reason": reason},
        )


def superseded_by(delivery: Delivery, why: str) -> dict[str, Any]:
    """The names in SUPERSEDE: close what is open for the delivery's subject, and why."""
    return {"kind": delivery.kind, "subject": delivery.subject_id, "tenant": delivery.tenant_id, "why": why}


def insert_parked(connection: Connection, kind: str, code: str, words: str) -> str:
    """A dead letter for something in Redis that belongs to no message of the ledger, and so to no tenant."""
    letter = new_id()
    connection.execute(
        text(
            """INSERT INTO dead_letter (id, kind, error, message, fingerprint, code_version)
               VALUES (:letter, :kind, :code, :words, :fingerprint, :version)"""
        ),
        {
            "letter": letter,
            "kind": kind,
            "code": code,
            "words": words,
            "fingerprint": fingerprint(kind, code, words.split(";", 1)[0]),
            "version": code_version(),
        },
    )
    return letter
