"""Decide what an AFAS error answer means: one table, read from the top, first fit wins.

AFAS answers refusals, missing rights, bad luck and overload alike with a 500, so the text decides. We ask for Dutch
(``Accept-Language: nl-nl``) and know the English texts too. ``errorNumber`` is no use: the same number is seen for
different causes. Source: docs/afas.md#errors.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from clients.errors import (
    AFAS,
    Misconfigured,
    Rejected,
    RemoteError,
    TooLarge,
    Unauthorized,
    Unavailable,
    Unknown,
)
from clients.http import Response, clean, parse_retry_after

Place = Literal["api", "token", "otp"]
Shape = Literal["any", "said", "json", "not_json"]  # said: JSON with an externalMessage, AFAS's own words

READ, WRITE = False, True


@dataclass(frozen=True)
class Rule:
    """One line of the table. ``words``: any of these groups, of which all texts must occur, in lower case."""

    status: int | range
    raises: type[RemoteError]
    code: str
    means: str
    body: Shape = "any"
    words: tuple[tuple[str, ...], ...] = ()
    writes: bool | None = None
    at: tuple[Place, ...] = ("api", "token", "otp")

    def fits(self, said: Said, at: Place, writes: bool) -> bool:
        """Tell whether this line is about such an answer."""
        statuses = self.status if isinstance(self.status, range) else (self.status,)
        shape_fits = self.body == "any" or self.body in said.shapes
        words_fit = not self.words or any(all(text in said.lower for text in group) for group in self.words)
        return said.status in statuses and at in self.at and self.writes in (None, writes) and shape_fits and words_fit


_NOT_ALLOWED = (
    ("connector", "niet ondersteund"),
    ("connector", "niet geautoriseerd"),
    ("connector", "not supported"),
    ("connector", "not authori"),
)
_IN_USE = (("in gebruik door",), ("in use by",), ("record", "in gebruik"), ("record", "in use"))
_TIMED_OUT = (
    ("maximale tijdsduur",),
    ("maximum duration",),
    ("time-out",),
    ("timeout",),
    ("timed out",),
    ("deadlock",),
)
_MEMORY = (("out of memory",), ("outofmemory",), ("out of string space",), ("onvoldoende geheugen",))
_PARTY = (("organisatie",), ("persoon",), ("organisation",), ("organization",), ("person",), ("bcco",))
_UNEXPECTED = (("onverwachte fout",), ("unexpected error",))
_API: tuple[Place, ...] = ("api",)
_TOKEN: tuple[Place, ...] = ("token",)
_OTP: tuple[Place, ...] = ("otp",)
_HTTP_400 = range(400, 500)
_HTTP_500 = range(500, 600)

RULES: tuple[Rule, ...] = (
    # Passing trouble, wherever it shows. A front proxy says 400 without JSON when there is no server behind it.
    Rule(429, Unavailable, "throttled", "AFAS asks for fewer calls"),
    Rule(503, Unavailable, "maintenance", "AFAS is in maintenance"),
    Rule(408, Unavailable, "server_timeout", "AFAS did not get the whole request in time"),
    Rule(502, Unknown, "gateway", "AFAS's gateway got no good answer from behind it", writes=WRITE),
    Rule(504, Unknown, "gateway", "AFAS's gateway got no answer in time", writes=WRITE),
    Rule(502, Unavailable, "gateway", "AFAS's gateway got no good answer from behind it", writes=READ),
    Rule(504, Unavailable, "gateway", "AFAS's gateway got no answer in time", writes=READ),
    Rule(400, Unavailable, "front_proxy", "AFAS's front door did not reach the server behind it", "not_json"),
    # Asking for an access token. Every other refusal there is about the credentials.
    Rule(404, Misconfigured, "not_found", "there is no AFAS at this address: is the member id right?", at=_TOKEN),
    Rule(
        _HTTP_400, Unauthorized, "wrong_environment", "this client is not known in this AFAS environment, or may not "
        "use client credentials", words=(("unauthorized_client",), ("unknown appconnector",)), at=_TOKEN,
    ),
    Rule(
        _HTTP_400, Unauthorized, "client_refused", "the OAuth client or its secret is wrong, blocked or expired",
        words=(("invalid_client",),), at=_TOKEN,
    ),
    Rule(403, Unauthorized, "ip_refused", "our address is not allowed by the app connector", at=("api", "token")),
    Rule(_HTTP_400, Unauthorized, "token_refused", "AFAS gives no access token for this client", at=_TOKEN),
    # Making a token from a mailed code: whatever is wrong, the answer is a new code.
    Rule(404, Misconfigured, "not_found", "there is no AFAS at this address: is the member id right?", at=_OTP),
    Rule(_HTTP_400, Rejected, "otp_refused", "AFAS refuses the keys, the user or the code", at=_OTP),
    Rule(500, Rejected, "otp_refused", "AFAS refuses the keys, the user or the code", "said", at=_OTP),
    # Who may do what. All of these hold for each call of the tenant.
    Rule(401, Unauthorized, "connector_not_allowed", "the connector is not in the app connector, or the user has no "
         "right to it", words=_NOT_ALLOWED, at=_API),
    Rule(401, Unauthorized, "token_refused", "the token is wrong, expired, removed or of another environment", at=_API),
    Rule(500, Unauthorized, "connector_blocked", "the GetConnector's definition is blocked in AFAS", "json",
         (("connector", "geblokkeerd"), ("connector", "is blocked")), at=_API),
    Rule(500, Unauthorized, "connector_not_allowed", "the connector is not in the app connector, or the user has no "
         "right to it", "json", _NOT_ALLOWED, at=_API),
    # What was set up does not exist.
    Rule(500, Misconfigured, "unknown_field", "the GetConnector has no such field", "json",
         (("connector-veld", "niet gevonden"), ("connector field", "not found")), at=_API),
    Rule(404, Misconfigured, "not_found", "no such address: wrong connector name, or too long a question", at=_API),
    # Too much at once; a write is never too much, it just met a full server.
    Rule(413, TooLarge, "too_large", "the page is too large for AFAS", writes=READ, at=_API),
    Rule(413, Rejected, "too_large", "the message is too large for AFAS", writes=WRITE, at=_API),
    Rule(500, TooLarge, "out_of_memory", "AFAS ran out of memory over this page", "any", _MEMORY, READ, _API),
    Rule(500, Unavailable, "out_of_memory", "AFAS ran out of memory", "any", _MEMORY, WRITE, _API),
    # Bad luck, told with a 500.
    Rule(500, Unavailable, "record_in_use", "someone has the record open in AFAS", "json", _IN_USE, at=_API),
    Rule(500, Unavailable, "server_timeout", "AFAS took too long over it", "json", _TIMED_OUT, at=_API),
    Rule(500, Unavailable, "server_error", "AFAS met an unexpected error", "json", _UNEXPECTED, at=_API),
    # The refusals of one record. The text and the reference are for the customer's administrator.
    Rule(500, Rejected, "external_id_refused", "AFAS refuses the organisation/person code (BcCo)", "said", _PARTY,
         WRITE, _API),
    Rule(500, Rejected, "functional", "AFAS refuses", "said", at=_API),
    Rule(500, Rejected, "bad_request", "AFAS cannot read the request", "json", (("invalid json",),), at=_API),
    Rule(_HTTP_400, Rejected, "bad_request", "AFAS refuses the request as incomplete or wrong", at=_API),
    # The rest: a server that broke in an unknown place. Only 500 itself is AFAS saying that it gave up.
    Rule(500, Unavailable, "server_error", "AFAS met an error it does not explain"),
    Rule(_HTTP_500, Unknown, "server_error", "a server before AFAS met an error", writes=WRITE),
    Rule(_HTTP_500, Unavailable, "server_error", "a server before AFAS met an error", writes=READ),
)  # fmt: skip
UNEXPECTED = Rule(range(0), Misconfigured, "unexpected_status", "AFAS answered with a status it never uses")


def classify(
    answer: Response, *, at: Place, writes: bool, operation: str, secrets: Iterable[str] = ()
) -> RemoteError | None:
    """Give the error an answer stands for, or None for any 2xx.

    The error's own text is ours; ``remote_text`` is AFAS's, cleaned; ``reference`` is AFAS's log reference.
    """
    if answer.ok:
        return None
    said = Said.read(answer)
    rule = next((rule for rule in RULES if rule.fits(said, at, writes)), UNEXPECTED)
    return rule.raises(
        rule.code,
        f"{operation}: {rule.means} (HTTP {answer.status}).",
        system=AFAS,
        status=answer.status,
        reference=said.reference,
        remote_text=clean(said.text, secrets=secrets),
        retry_after_seconds=parse_retry_after(answer.headers, answer.content[:100_000]),
    )


@dataclass(frozen=True)
class Said:
    """What an error body comes down to, whether it is JSON, XML, HTML, plain or empty."""

    status: int
    text: str
    reference: str | None
    shapes: frozenset[Shape]

    @property
    def lower(self) -> str:
        """The text to look for words in."""
        return self.text.lower()

    @classmethod
    def read(cls, answer: Response) -> Said:
        """Find the message in a body of any kind."""
        try:
            body = answer.json()
        except ValueError:
            return cls(answer.status, _without_tags(answer.text[:100_000]), None, frozenset({"not_json"}))
        content = body if isinstance(body, dict) else {}
        message = content.get("externalMessage")
        shapes: set[Shape] = {"json"}
        if isinstance(message, str) and message.strip():
            shapes.add("said")
        else:
            message = " ".join(_texts(content))
        reference = content.get("profitLogReference")
        known = isinstance(reference, str) and re.fullmatch(r"[\w.-]{1,64}", reference)
        return cls(answer.status, message, reference if known else None, frozenset(shapes))


def _texts(content: dict[str, Any], depth: int = 3) -> Iterable[str]:
    """Collect ``error``, ``error_description``, ``message`` …, which AFAS nests in several ways."""
    for key in ("error", "error_description", "message", "Message", "example"):
        value = content.get(key)
        if isinstance(value, str):
            yield value
        elif isinstance(value, dict) and depth:
            yield from _texts(value, depth - 1)


def _without_tags(text: str) -> str:
    text = re.sub(r"<(script|style|head)\b.*?</\1>", " ", text, flags=re.IGNORECASE | re.DOTALL)
    return html.unescape(re.sub(r"<[^>]{0,500}>", " ", text)).strip()
