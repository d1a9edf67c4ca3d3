"""Pluvo's webhooks as we keep them: a finish event is a hint to look at one person now, never itself a date.

Order, repetition and loss don't matter: the report is read for the person each time, and polled anyway. What is not a
finish event is not kept. Bodies are guesses where Pluvo documents none (docs/completions.md#webhooks), so reading them
never fails: what can't be read is kept as ``unreadable``.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, text

from models import ledger, locks
from models.direction import Direction
from models.folding import fold_account, fold_title
from models.message import Kind, Priority

# The level of which the event tells; None: either.
FINISH_EVENTS: Mapping[str, str | None] = {
    "TRAINING_FINISHED": "training",
    "COURSE_FINISHED": "course",
    "EVENT_CERTIFICATE_ACHIEVED": None,
}
IGNORED, UNREADABLE, NOBODY, QUEUED, REPEATED = "ignored", "unreadable", "no_user", "queued", "repeated"
_ID = re.compile(r"[\x21-\x7e]{1,100}")


@dataclass(frozen=True)
class Hint:
    """What an event says. ``event`` "" when the body can't be read."""

    event: str = ""
    pluvo_id: str | None = None
    ref: str | None = None
    title: str | None = None

    @property
    def level(self) -> str | None:
        return FINISH_EVENTS.get(self.event)

    @property
    def is_finish(self) -> bool:
        return self.event in FINISH_EVENTS

    @property
    def someone(self) -> str | None:
        """How the person is known: the id, or else the ref."""
        return self.pluvo_id or self.ref


def read(body: bytes) -> Hint:
    """Read a body, whatever it is."""
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        return Hint()
    event = content.get("event") if isinstance(content, dict) else None
    if not isinstance(event, str) or not re.fullmatch(r"[A-Z][A-Z0-9_]{0,63}", event):
        return Hint()
    user = content.get("user")
    given = user if isinstance(user, dict) else {}
    pluvo_id = given.get("id") or content.get("userId") or content.get("user_id") or (user if _is_id(user) else None)
    account = _known(pluvo_id)
    return Hint(
        event, account and fold_account(account), _known(given.get("ref")), _title(content, FINISH_EVENTS.get(event))
    )


def people_in(body: bytes) -> list[str | None]:
    """Names and addresses that a body holds: no error's text keeps them."""
    try:
        user = json.loads(body).get("user")
        return [one for one in (user.get("name"), user.get("email")) if isinstance(one, str)]
    except (ValueError, RecursionError, AttributeError):
        return []


def _is_id(value: Any) -> bool:
    return isinstance(value, str) and bool(_ID.fullmatch(value))


def _known(value: Any) -> str | None:
    return value if _is_id(value) else None


def _title(content: Mapping[str, Any], level: str | None) -> str | None:
    about = content.get(level or "training")
    title = about.get("title") if isinstance(about, dict) else None
    return fold_title(title)[:500] or None if isinstance(title, str) else None


_STORE = text(
    """
    INSERT INTO webhook_event (tenant_id, body_sha256, event, pluvo_id, ref, body, handled_at, outcome)
    VALUES (:tenant, :sha, :event, :pluvo_id, :ref, :body, CASE WHEN :outcome <> '' THEN now() END,
            nullif(:outcome, ''))
    ON CONFLICT (tenant_id, body_sha256) DO NOTHING
    RETURNING id, false AS handled
    """
)
_KNOWN = text(
    """
    SELECT id, handled_at IS NOT NULL AS handled FROM webhook_event
     WHERE tenant_id = :tenant AND body_sha256 = :sha
    """
)
_COUNT = text("UPDATE webhook_event SET times = times + 1 WHERE tenant_id = :tenant AND body_sha256 = :sha")


def store(connection: Connection, tenant_id: int, body: bytes) -> str:
    """Keep a webhook whose signature was right and put it to work; returns what became of it.

    The same body again counts, and does nothing once it was handled. ``QUEUED``: wake the relay after the commit.
    """
    hint = read(body)
    if hint.event and not hint.is_finish:
        return IGNORED
    outcome = UNREADABLE if not hint.event else NOBODY if hint.someone is None else ""
    names = {
        "tenant": tenant_id,
        "sha": hashlib.sha256(body).digest(),
        "event": hint.event or UNREADABLE,
        "pluvo_id": hint.pluvo_id,
        "ref": hint.ref,
        "body": body,
        "outcome": outcome,
    }
    new = connection.execute(_STORE, names).first()
    kept = new or connection.execute(_KNOWN, names).one()
    queued = not outcome and not kept.handled
    if queued:
        fetch = ledger.NewMessage(
            tenant_id=tenant_id,
            kind=Kind.FETCH,
            direction=Direction.COMPLETIONS,
            subject_id=kept.id,
            lock=locks.of_fetch(connection, tenant_id, hint.pluvo_id, hint.ref),
            priority=Priority.INTERACTIVE,
        )
        ledger.enqueue(connection, [fetch], waking=False)
    if new is None:
        # Only now: who settles a message locks it first, and the event after it.
        connection.execute(_COUNT, names)
    return QUEUED if queued else outcome or REPEATED
