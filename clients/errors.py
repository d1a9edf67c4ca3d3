"""What a failed call means for its caller: six classes, named after what to do next, and two special cases of them.

=====================  ==========================================  =============================================
class                  it means                                    the caller
=====================  ==========================================  =============================================
Unavailable            nothing happened, or a read failed          tries later (``retry_after_seconds`` if known)
Unknown                a write may or may not have happened        looks it up before repeating anything
Rejected               this record is refused as it is             makes a dead letter, goes on with the next
Unauthorized           every call of this tenant would fail        stops the tenant's direction, probes later
TooLarge               the page asked for is too big               asks for half
Misconfigured          the answer does not fit what was set up     stops reading this course, tells an operator
NoRoom (Rejected)      the organisation may have no more accounts  lets what makes accounts wait, does the rest
Incomplete             a list was read to its end, but it is not   uses the rows it was given; infers nothing from
(Unavailable)          sure that these were all                    a row that it was not given
=====================  ==========================================  =============================================

An error's text never holds a secret, a request body or a URL with a query; ``remote_text`` is what the other side said
and may hold personal data, so it is cleaned (``clients.http.clean``) before anyone logs or stores it.
"""

from __future__ import annotations

# What a system is called in errors and calls.
AFAS = "AFAS"
PLUVO = "pluvo"


class NoPlace(Exception):
    """The rate limit has no place for a call within the caller's patience: it was not sent."""


def joined(sentence: str, said: str) -> str:
    """A sentence of ours with the words of a remote after it, if there are any: ``Pluvo refuses this record: no``."""
    return f"{sentence.rstrip(' .:')}: {said}" if said else sentence


class RemoteError(Exception):
    """Base of all. ``code`` is one stable snake_case word per kind of fault, e.g. ``token_refused``."""

    def __init__(
        self,
        code: str,
        message: str,
        *,
        system: str = "",
        status: int | None = None,
        reference: str | None = None,
        remote_text: str = "",
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.system = system
        self.status = status
        self.reference = reference
        self.remote_text = remote_text
        self.retry_after_seconds = retry_after_seconds


class Unavailable(RemoteError):
    """Network trouble, 429, 5xx: try again later."""


class Incomplete(Unavailable):
    """A list came to its end, again and again, without being whole: reading it once more gives nothing new.

    ``missing``: how many rows were not given, as far as the list itself tells (at least 1).
    """

    def __init__(self, code: str, message: str, *, missing: int, system: str = "") -> None:
        super().__init__(code, message, system=system)
        self.missing = missing


class Unknown(RemoteError):
    """The line broke or time ran out in the middle of a write: it may have happened."""


class Rejected(RemoteError):
    """This record is refused and will be refused again as it is."""


class NoRoom(Rejected):
    """No account more may be made: the licence is used up. Nobody's record is at fault, and changes still work."""


class Unauthorized(RemoteError):
    """Token, rights, blocked connector, maintenance of one tenant: no call of this tenant can work now."""


class TooLarge(RemoteError):
    """AFAS ran out of memory over this page: ask for half."""


class Misconfigured(RemoteError):
    """A field, column or object that was configured does not exist, or the answer has another shape."""
