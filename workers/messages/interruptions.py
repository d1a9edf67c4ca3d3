"""What stops a delivery without anything being wrong with its message. Handlers let these pass."""

from __future__ import annotations

import threading

# From the moment this process is told to stop: nothing is fetched, claimed or begun any more.
STOPPING = threading.Event()
# This process turned out to lack what it needs, e.g. a key: it ends, and says why when it is started again.
UNFIT = threading.Event()


class Interruption(Exception):
    """Base: none of these burns an attempt."""


class NotOurs(Interruption):
    """The delivery ended meanwhile (lease over, replaced, finished elsewhere): nothing may be recorded."""


class LeaseShort(Interruption):
    """Too little is left of a lease that can't be renewed: an attempt more, later."""


class Held(Interruption):
    """The direction is paused or quarantined: the message stays in the ledger."""


class Waiting(Interruption):
    """The direction was told to wait (``Retry-After``): the message stays in the ledger."""


class Stopped(Interruption):
    """The run was stopped: the message leaves the ledger, its line stays ``pending``."""


class Overtaken(Interruption):
    """An operator or a run decided something newer about it meanwhile: the message begins again at once."""


class DatabaseAway(Interruption):
    """PostgreSQL can't do its work now."""


class BrokerAway(Interruption):
    """Redis did not answer."""


class KeyMissing(Interruption):
    """This process has not the key of a stored secret."""


class Snooze(Interruption):
    """Try again after ``seconds``, for ``reason`` (a stable word)."""

    def __init__(self, seconds: float, reason: str) -> None:
        super().__init__(f"again in {seconds:.1f} s: {reason}")
        self.seconds = seconds
        self.reason = reason


class KilledAlone(Exception):
    """The message killed the process that it had to itself."""


class SecretBroken(Exception):
    """A stored secret is damaged."""


class UnknownKind(Exception):
    """This version of the program knows no such kind of message, or no such version of its form."""
