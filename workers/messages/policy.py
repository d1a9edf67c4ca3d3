"""Which failure means what for its message: a table. Pure; ``outcome.py`` carries it out.

=========================================  ========================================================================
raised                                     what happens
=========================================  ========================================================================
Unavailable, Unknown                       ``retry``: an attempt more, again by the schedule; dead letter after it
the same with ``retry_after_seconds``      ``wait``: the direction waits everywhere, no attempt burnt
ToldToWait                                 the same
NoRoom                                     ``room``: waits with all that make accounts, no attempt burnt
any other Rejected, TooLarge               ``die``: dead letter at once
Unauthorized, Misconfigured                ``quarantine``: of the tenant's direction, no attempt burnt
RateLimited, Snooze, TimeoutError          ``snooze``: again after the seconds it names, no attempt burnt
Held, Waiting, Overtaken                   ``back``: ready again at once, no attempt burnt
Stopped                                    ``stop``: out of the ledger, its line stays pending
NotOurs                                    ``drop``: nothing may be recorded
PostgreSQL is away                         ``leave``: given back once it answers, no attempt burnt
SecretUnreadable                           ``back``: this process lacks a key and ends; no attempt burnt
SecretDamaged, SettingsUnread              ``quarantine``: of the tenant's direction, no attempt burnt
time limit, LeaseShort, unknown kind       ``retry``
anything else: our own fault               ``retry`` at most twice, then dead letter ``internal_error``
=========================================  ========================================================================
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from dramatiq.middleware import TimeLimitExceeded

from clients.errors import (
    Misconfigured,
    NoRoom,
    Rejected,
    RemoteError,
    TooLarge,
    Unauthorized,
    Unavailable,
    Unknown,
    joined,
)
from clients.redaction import clean
from workers.messages.interruptions import (
    BrokerAway,
    DatabaseAway,
    Held,
    KeyMissing,
    KilledAlone,
    LeaseShort,
    NotOurs,
    Overtaken,
    SecretBroken,
    Snooze,
    Stopped,
    UnknownKind,
    Waiting,
)

Action = Literal["retry", "wait", "die", "quarantine", "snooze", "back", "stop", "drop", "leave", "room"]
OWN_FAULT_TRIES = 3
NO_SLOT_SECONDS = 30.0
BROKER_SECONDS = 10.0


@dataclass(frozen=True)
class Failure:
    """What went wrong, in words that may be stored: ``text`` is cleaned, ``code`` is one of the error tables'."""

    code: str
    text: str
    status: int | None = None
    reference: str | None = None
    system: str | None = None


@dataclass(frozen=True)
class Consequence:
    """What to do with a message that failed, and what to write down about it."""

    action: Action
    failure: Failure
    seconds: float = 0.0
    tries: int | None = None


_REMOTE: tuple[tuple[type[RemoteError], Action], ...] = (
    (Unavailable, "retry"),
    (Unknown, "retry"),
    (NoRoom, "room"),
    (Rejected, "die"),
    (TooLarge, "die"),
    (Unauthorized, "quarantine"),
    (Misconfigured, "quarantine"),
)


_OWN: tuple[tuple[type[BaseException], Action, str, str, float], ...] = (
    (NotOurs, "drop", "not_ours", "the delivery ended meanwhile", 0.0),
    (Stopped, "stop", "stopped", "the run was stopped", 0.0),
    (Held, "back", "held", "the direction is stopped", 0.0),
    (Waiting, "back", "waiting", "the direction was told to wait", 0.0),
    (Overtaken, "back", "overtaken", "something newer was decided about it", 0.0),
    (TimeoutError, "snooze", "no_slot", "no call came free", NO_SLOT_SECONDS),
    (KeyMissing, "back", "secret_unreadable", "this process has not the key of a stored secret", 0.0),
    (SecretBroken, "quarantine", "secret_damaged", "A stored secret is damaged: import the tenants file again", 0.0),
    (BrokerAway, "snooze", "broker_away", "Redis did not answer", BROKER_SECONDS),
    (KilledAlone, "die", "poison", "A worker died on it three times, the last time alone", 0.0),
    # Given back at once it might go round for ever, unseen.
    (LeaseShort, "retry", "lease_short", "too little was left of its lease", 0.0),
    (TimeLimitExceeded, "retry", "time_limit", "took longer than its lease allows", 0.0),
)


def classify(error: BaseException) -> Consequence:
    """Say what an exception means for its message."""
    if isinstance(error, RemoteError):
        return _classify_remote(error)
    for kind, action, code, words, seconds in _OWN:
        if isinstance(error, kind):
            return Consequence(action, Failure(code, words), seconds)
    if isinstance(error, Snooze):
        return Consequence("snooze", Failure(error.reason, str(error)), error.seconds)
    if isinstance(error, DatabaseAway):
        return Consequence("leave", Failure("database_away", str(error)))
    if isinstance(error, UnknownKind):
        return Consequence("retry", Failure("unknown_actor", str(error)))
    return Consequence("retry", Failure("internal_error", type(error).__name__), tries=OWN_FAULT_TRIES)


def _classify_remote(error: RemoteError) -> Consequence:
    action = next(action for kind, action in _REMOTE if isinstance(error, kind))
    said = clean(error.remote_text) if error.remote_text else ""
    words = joined(clean(error.message), said)
    failure = Failure(error.code, words, error.status, error.reference, error.system.lower() or None)
    if action == "retry" and error.retry_after_seconds is not None:
        return Consequence("wait", failure, seconds=max(1.0, error.retry_after_seconds))
    return Consequence(action, failure)
