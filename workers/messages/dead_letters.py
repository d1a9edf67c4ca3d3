"""A message that gave up becomes a dead letter: a row that says what it was, what happened and with which call."""

from __future__ import annotations

import hashlib
import json
import re

import structlog
from sqlalchemy import Connection, text

from models import ledger
from models.base import new_id
from models.message import Try
from models.worker import code_version
from workers.messages.delivery import Delivery, settle_line
from workers.messages.envelope import Envelope
from workers.messages.policy import Failure

_SUPERSEDE = text(ledger.SUPERSEDE)
# So many ids, at most, can a failover forget; one that is further ahead was never given out.
FORGOTTEN_AT_MOST = 100_000
log = structlog.get_logger("workers.messages.dead_letters")
_VARYING = (
    (re.compile(r"'[^']*'|\"[^\"]*\""), "'…'"),
    (re.compile(r"\b[0-9a-fA-F]{8,}\b|\d+"), "#"),
    (re.compile(r"\s+"), " "),
)


def fingerprint(kind: str, code: str, words: str) -> str:
    """16 hex digits that are equal for what is the same fault: quoted values and numbers don't count."""
    for pattern, instead in _VARYING:
        words = pattern.sub(instead, words)
    return hashlib.sha256(f"{kind}\n{code}\n{words.strip().lower()}".encode()).hexdigest()[:16]


def bury(connection: Connection, delivery: Delivery, failure: Failure) -> str:
    """Move a message out of the ledger into a dead letter, and settle its plan line. Returns the dead letter's id.

    The message's row must be locked by this transaction. An older open dead letter of the same subject is superseded.
    """
    described = delivery.hook(connection, "describe") or {}
    connection.execute(_SUPERSEDE, delivery.subject | {"why": "died again"})
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
    delivery.hook(connection, "on_dead", failure.code)
    settle_line(connection, delivery, "failed", failure.code)
    ledger.remove(connection, delivery.message_id)
    return letter


def entry(connection: Connection, failure: Failure) -> Try:
    """A line of a message's history, by the database's clock."""
    at = connection.execute(text("SELECT now()")).scalar_one()
    told: Try = {"at": at.isoformat(), "code": failure.code, "text": failure.text, "status": failure.status}
    return {**told, "system": failure.system} if failure.system else told


def insert_unknown(connection: Connection, kind: str, code: str, words: str) -> str:
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


def record_foreign(connection: Connection, envelope: Envelope) -> None:
    """Tell a double or late delivery (nothing to do) from a forged one, which becomes a dead letter of no tenant.

    One that the ledger does not know yet is forgotten: the database went back to an earlier moment, to a standby that
    had not heard of it or to a backup. What the ledger still has to do it hands out itself.
    """
    row = connection.execute(
        text(
            """SELECT tenant_id, kind, deliveries,
                      :id - coalesce(pg_sequence_last_value(pg_get_serial_sequence('message', 'id')::regclass), 0)
                          AS ahead
                 FROM (SELECT) AS one LEFT JOIN message ON id = :id"""
        ),
        {"id": envelope.message_id},
    ).one()
    forgotten = row.tenant_id == envelope.tenant_id and row.kind == envelope.kind
    if row.ahead > FORGOTTEN_AT_MOST:
        wrong = "an id that was never given out"
    elif row.ahead > 0 or (forgotten and envelope.delivery > row.deliveries):
        log.warning("forgotten_delivery", message=envelope.message_id, kind=envelope.kind, delivery=envelope.delivery)
        return
    elif row.tenant_id is None:
        return
    elif row.tenant_id != envelope.tenant_id:
        wrong = "another tenant than the message's own"
    elif row.kind != envelope.kind:
        wrong = "another kind than the ledger's"
    else:
        return
    log.error("foreign_message", message=envelope.message_id, kind=envelope.kind)
    insert_unknown(connection, envelope.kind, "foreign_message", f"A message names {wrong}")
