"""What Pluvo's refusals mean, as two tables: HTTP statuses, and words in the errors of a GraphQL answer.

Which words Pluvo uses is not published, save that a code with ``Auth`` in it is about the token (docs/pluvo.md#errors).
So both tables are guesses that a live answer may correct; what they don't know is final for that record.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from clients.errors import Misconfigured, Rejected, RemoteError, Unauthorized, Unavailable, Unknown
from clients.http import Response, clean, parse_retry_after

SYSTEM = "pluvo"
AUTH_REFUSED = "auth_refused"
NOT_FOUND = "not_found"
UNREADABLE: Mapping[str, type[RemoteError]] = {
    "query": Misconfigured,
    "mutation": Unknown,
}  # an answer of another shape


@dataclass(frozen=True)
class Rule:
    """One line of a table: what is recognised, and what it means for a read and for a write."""

    pattern: str
    read: type[RemoteError]
    write: type[RemoteError]
    code: str
    message: str


# The first line that fits counts. ``Unknown`` for a write: it may have happened before it broke.
STATUS_RULES: tuple[Rule, ...] = (
    Rule("401", Unauthorized, Unauthorized, AUTH_REFUSED, "Pluvo refuses the token, also a fresh one."),
    Rule("403|402|407|451", Unauthorized, Unauthorized, "not_permitted", "Pluvo forbids this call."),
    Rule("404|405|410", Unauthorized, Unauthorized, "not_permitted", "Pluvo has nothing at this address."),
    Rule("429|425", Unavailable, Unavailable, "throttled", "Pluvo asks for fewer calls."),
    Rule("503 later", Unavailable, Unavailable, "throttled", "Pluvo asks to come back later."),
    Rule("408|5..", Unavailable, Unknown, "server_error", "Pluvo has trouble."),
    Rule("400|406|409|411|413|414|415|422|431", Rejected, Rejected, "bad_request", "Pluvo does not take this request."),
    Rule("4..", Unauthorized, Unauthorized, "not_permitted", "Pluvo refuses this call."),
    Rule("...", Unavailable, Unknown, "not_json", "The answer of Pluvo is not a GraphQL answer."),
)

# Searched in "code: message" ("-" without a code), from which the values we sent and addresses are taken out first.
BODY_RULES: tuple[Rule, ...] = (
    Rule(
        r"^[^:]*auth[^:]*: ",  # the code only: a message may well speak of an author
        Unauthorized, Unauthorized, AUTH_REFUSED, "Pluvo refuses the token, also a fresh one.",
    ),
    Rule(
        r"cannot query field|unknown argument|is not defined by type|: unknown field|unknown type|syntax error"
        r"|used in position expecting|is required, but it was not provided|validation_failed|of required type"
        r"|must (not )?have a selection|\benum\b",
        Misconfigured, Misconfigured, "operation_refused", "Pluvo's schema does not know this operation or part of it.",
    ),
    Rule(
        r"throttl|rate.?limit|too.many.requests",
        Unavailable, Unavailable, "throttled", "Pluvo asks for fewer calls.",
    ),
    Rule(
        r"permission|forbidden|(?<![a-z])scopes?(?![a-z])|geen rechten",
        Unauthorized, Unauthorized, "not_permitted", "The API client may not do this.",
    ),
    Rule(
        r"internal.?(server)?.?error|server.?error|service unavailable|timed?.?out|try again later|deadlock|database",
        Unavailable, Unknown, "server_error", "Pluvo has trouble.",
    ),
    Rule(
        r"not.?found|does.?n[o']t.?exist|no (such )?user|unknown user|not enrolled"
        r"|niet gevonden|bestaat niet|geen gebruiker|onbekend|niet ingeschreven",
        Rejected, Rejected, NOT_FOUND, "Pluvo does not know what was asked for.",
    ),
    Rule(
        r"exists|unique|taken|duplicate|bestaat|in gebruik|already (in use|used|registered)",
        Rejected, Rejected, "already_exists", "Pluvo has this e-mail address or ref already.",
    ),
    Rule(r"", Rejected, Rejected, "refused", "Pluvo refuses this record."),
)  # fmt: skip

# A GraphQL server naming what it does not know, in the words of the common server libraries.
_UNKNOWN_NAMES: tuple[tuple[str, str], ...] = (
    ("selection", r"Cannot query field ['\"](\w+)['\"]"),
    ("argument", r"Unknown argument ['\"](\w+)['\"]"),
    ("argument", r"Field ['\"](?:\w+\.)?(\w+)['\"] is not defined by type"),
    ("argument", r"In field ['\"](\w+)['\"]: Unknown field"),
)


def from_status(response: Response, *, writes: bool, secrets: Iterable[str] = ()) -> RemoteError:
    """Say what an answer means that is not GraphQL, or whose status says enough."""
    retry_after = parse_retry_after(response.headers, response.content)
    status = f"{response.status}"
    if response.status == 503 and retry_after is not None:
        status += " later"
    rule = next(rule for rule in STATUS_RULES if re.fullmatch(rule.pattern, status))
    return _build(rule, writes, response, clean(response.text, secrets=secrets), retry_after)


def from_body(
    error: Mapping[str, object], response: Response, *, writes: bool, secrets: Iterable[str] = ()
) -> RemoteError:
    """Say what one member of ``errors`` means, e.g. ``{"message": "…", "extensions": {"code": "…"}}``."""
    extensions = error.get("extensions")
    code = str(extensions.get("code") or "") if isinstance(extensions, Mapping) else ""
    text = clean(f"{code or '-'}: {error.get('message')}", secrets=secrets)
    rule = next(rule for rule in BODY_RULES if re.search(rule.pattern, text, re.IGNORECASE))
    return _build(
        rule, writes, response, text.removeprefix("-: "), parse_retry_after(response.headers, response.content)
    )


def first_in_table(errors: list[RemoteError]) -> RemoteError:
    """Choose the error that says most about what to do, when one field has several."""
    order = [rule.code for rule in BODY_RULES]
    return min(errors, key=lambda error: order.index(error.code))


def unknown_names(error: Mapping[str, object]) -> set[tuple[str, str]]:
    """Find which selections and arguments a refusal says the schema lacks, e.g. ``{("argument", "userIds")}``."""
    message = str(error.get("message"))
    return {(kind, name) for kind, pattern in _UNKNOWN_NAMES for name in re.findall(pattern, message)}


def _build(rule: Rule, writes: bool, response: Response, text: str, retry_after: float | None) -> RemoteError:
    kind = rule.write if writes else rule.read
    return kind(
        rule.code,
        rule.message,
        system=SYSTEM,
        status=response.status,
        remote_text=text,
        retry_after_seconds=retry_after if kind is Unavailable else None,
    )
