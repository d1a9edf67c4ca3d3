"""What Pluvo's refusals mean, as two tables: HTTP statuses, and words in the errors of a GraphQL answer.

Which words Pluvo uses is not published, save that a code with ``Auth`` in it is about the token (docs/pluvo.md#errors).
So both tables are guesses that a live answer may correct; what they don't know is final for that record.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from clients.errors import PLUVO, Misconfigured, NoRoom, Rejected, RemoteError, Unauthorized, Unavailable, Unknown
from clients.http import Response, clean, parse_retry_after

AUTH_REFUSED = "auth_refused"
NOT_FOUND = "not_found"
ALREADY_EXISTS = "already_exists"
NO_ROOM = "no_room"
REFUSED = "refused"
OPERATION_MISSING = "operation_missing"
SERVER_ERROR = "server_error"
UNREADABLE: Mapping[str, type[RemoteError]] = {
    "query": Rejected,
    "mutation": Unknown,
}  # a record of another shape


@dataclass(frozen=True)
class Rule:
    """One line of a table: what is recognised, and what it means for a read and for a write.

    ``of_record``: the code of the ``Rejected`` that it is when Pluvo tells it of one field of a document, not of the
    whole: Pluvo let us in and understood the document, so it is that record which it refuses.
    """

    pattern: str
    read: type[RemoteError]
    write: type[RemoteError]
    code: str
    message: str
    of_record: str | None = None


# The first line that fits counts. ``Unknown`` for a write: it may have happened before it broke.
STATUS_RULES: tuple[Rule, ...] = (
    Rule("401", Unauthorized, Unauthorized, AUTH_REFUSED, "Pluvo refuses the token, also a fresh one."),
    Rule("403|402|407|451", Unauthorized, Unauthorized, "not_permitted", "Pluvo forbids this call."),
    Rule("404|405|410", Unauthorized, Unauthorized, "not_permitted", "Pluvo has nothing at this address."),
    Rule("429|425", Unavailable, Unavailable, "throttled", "Pluvo asks for fewer calls."),
    Rule("503 later", Unavailable, Unavailable, "throttled", "Pluvo asks to come back later."),
    Rule("408|5..", Unavailable, Unknown, "server_error", "Pluvo has trouble."),
    Rule("400|406|409|411|413|414|415|422|431", Rejected, Rejected, "bad_request", "Pluvo does not take this request."),
    Rule("4..", Rejected, Rejected, "bad_request", "Pluvo does not take this request."),
    Rule("...", Unavailable, Unknown, "not_json", "The answer of Pluvo is not a GraphQL answer."),
)

# Searched in "code: message" ("-" without a code), from which the values we sent and addresses are taken out first.
# Words are believed only where a mistake costs little: what can be looked up afterwards (does it exist? is somebody
# still enrolled?) is looked up by whoever asked.
_BEARER = (
    r"(access[ _-]?|auth[ _-]?|id[ _-]?)?(token|jwt|session|sessie|signature|credentials?|toegangstoken|inlogsessie)"
)
_OVER = r"(expired|invalid|revoked|missing|required|not valid|verlopen|ongeldig|ingetrokken)"
_PEOPLE = r"(users|accounts|members|participants|seats|gebruikers|deelnemers|plaatsen)"
_ACTIVE = r"([ _](active|actieve))?"
_LICENCE = r"(licen[cs]e|licentie|subscription|abonnement|(?<![a-z])(seats?|plan)(?![a-z]))"
_UP = (
    r"(limit|quota|limiet|maximum|maximaal|reached|bereikt|exceed|overschr|exhaust|used up|no (more|free)|not enough"
    r"|insufficient|onvoldoende|geen |available|full|left|remaining|upgrade|expired|verlopen|allows|niet meer"
    r"|(is|zijn) op(?![a-z]))"
)
BODY_RULES: tuple[Rule, ...] = (
    Rule(  # the code only: a message may well speak of an author
        r"^(?![^:]*(authori|permission|forbid|denied))[^:]*auth[^:]*: ",
        Unauthorized, Unauthorized, AUTH_REFUSED, "Pluvo refuses the token, also a fresh one.",
    ),
    Rule(  # told in words, or by a code that may as well be about a right
        rf"^[^:]*auth[^:]*: |^401: |{_BEARER}[ _]?(has[ _]|is[ _])?(been[ _])?{_OVER}|{_OVER}e?[ _]{_BEARER}"
        r"|decoding signature|unauthenticated|unauthori[sz]ed(?! to)|authentication[ _](is[ _])?(required|failed|cred)"
        r"|not (yet )?(authenticated|logged in|signed in)|log.?in[ _](is[ _])?required|(must|need to|please) (be )?"
        r"(log|sign)(ged|ned)?[ -]?in|niet (meer )?(ingelogd|aangemeld|geauthenticeerd)|log opnieuw in",
        Unauthorized, Unauthorized, AUTH_REFUSED, "Pluvo refuses the token, also a fresh one.", "not_permitted",
    ),
    Rule(
        r"cannot query field|unknown argument|is not defined by type|unknown field|unknown type|syntax error"
        r"|used in position expecting|is required, but it was not provided|graphql_validation_failed|of required type"
        r"|must (not )?have a selection|\benum\b|doesn't (exist on|accept argument)|does not exist on (the )?type"
        r"|input object field|in type '\w+' is undefined",
        Misconfigured, Misconfigured, "operation_refused", "Pluvo's schema does not know this operation or part of it.",
        "refused",
    ),
    Rule(
        r"throttl|rate.?limit|too.many.requests",
        Unavailable, Unavailable, "throttled", "Pluvo asks for fewer calls.",
    ),
    Rule(
        rf"{_LICENCE}.{{0,40}}{_UP}|{_UP}.{{0,40}}{_LICENCE}"
        rf"|(user|account|member|participant|seat|gebruiker|deelnemer)s?[ _-]?(limit|quota|limiet)"
        rf"|(limit|limiet|quota|max(imum|imaal|imale)?)([ _](number|count|aantal))?([ _](of|van))?( \d+)?"
        rf"{_ACTIVE}[ _]{_PEOPLE}"
        rf"|(too many|te veel){_ACTIVE}[ _]{_PEOPLE}|^(quota|limit)[ _](reached|exceeded): |payment.?required"
        r"|(academy|academie|organi[sz]ation|organisatie) is (full|vol)(?![a-z])",
        Rejected, NoRoom, NO_ROOM, "Pluvo's licence has no room for another account.",
    ),
    Rule(  # OAuth's own word is about the client, wherever it stands
        r"insufficient.?scope|invalid.?scope",
        Unauthorized, Unauthorized, "not_permitted", "The API client may not do this.",
    ),
    Rule(
        r"permission|forbidden|(?<![a-z])scopes?(?![a-z])|geen (rechten|toegang|toestemming)|access.?denied"
        r"|not (authori[sz]ed|allowed)|unauthori[sz]ed|niet (bevoegd|gemachtigd|toegestaan)",
        Unauthorized, Unauthorized, "not_permitted", "The API client may not do this.", "not_permitted",
    ),
    Rule(  # a code says more than such words
        r"internal.?(server)?.?error|server.?error|service unavailable|timed?.?out|try again later|deadlock|database"
        r"|^-: .*((unknown|unexpected) (error|problem)|went wrong|onbekende (fout|oorzaak)|onverwachte fout"
        r"|probeer het|(ging|gegaan|is) iets (mis|fout)|iets (mis|fout) ?gegaan)",
        Unavailable, Unknown, "server_error", "Pluvo has trouble.",
    ),
    Rule(
        r"not.?found|does.?n[o']t.?exist|no (such )?user|unknown user|not enrolled"
        r"|niet gevonden|bestaat niet|geen gebruiker|onbekend|niet ingeschreven",
        Rejected, Rejected, NOT_FOUND, "Pluvo does not know what was asked for.",
    ),
    Rule(
        r"exists|unique|taken|duplicate|bestaat|in gebruik|already (in use|used|registered|enrolled|subscribed)"
        r"|(al|reeds) (ingeschreven|aangemeld|lid)",
        Rejected, Rejected, ALREADY_EXISTS, "Pluvo has this e-mail address, ref or enrollment already.",
    ),
    Rule(r"", Rejected, Rejected, REFUSED, "Pluvo refuses this record."),
)  # fmt: skip

# A GraphQL server naming what it does not know, in the words of the common server libraries.
_UNKNOWN_NAMES: tuple[tuple[str, str], ...] = (
    ("selection", r"Cannot query field ['\"](\w+)['\"]"),
    ("argument", r"Unknown argument ['\"](\w+)['\"]"),
    ("argument", r"Field ['\"](?:\w+\.)?(\w+)['\"] is not defined by type"),
    ("argument", r"In field ['\"](\w+)['\"]: Unknown field"),
    ("argument", r"unknown field ['\"](\w+)['\"]"),
    ("argument", r"doesn't accept argument ['\"](\w+)['\"]"),
    ("selection", r"Field ['\"](\w+)['\"] doesn't exist on type"),
    ("selection", r"Field ['\"](\w+)['\"] in type ['\"]\w+['\"] is undefined"),
    ("argument", r"input object field [`'\"](\w+)[`'\"] does not exist"),
    ("selection", r"field [`'\"](\w+)[`'\"] does not exist on the type"),
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
    error: Mapping[str, object],
    response: Response,
    *,
    writes: bool,
    of_record: bool = False,
    makes_account: bool = True,
    secrets: Iterable[str] = (),
) -> RemoteError:
    """Say what one member of ``errors`` means, e.g. ``{"message": "…", "extensions": {"code": "…"}}``.

    Args:
        of_record: Pluvo tells it of one field, or gives data beside it: then it speaks for that record alone. What
            may be about the token as well as about a right is still ``Unauthorized("auth_refused")`` here; see
            ``is_doubtful``.
        makes_account: whether the step makes (or restores) an account, for which there may be no room.
    """
    text = _said(error, secrets)
    rule = next(r for r in BODY_RULES if _fits(r, text) and (makes_account or r.code != NO_ROOM))
    retry_after = parse_retry_after(response.headers, response.content)
    if of_record and rule.of_record and rule.code != AUTH_REFUSED:
        return Rejected(
            rule.of_record, rule.message, system=PLUVO, status=response.status, remote_text=text.removeprefix("-: ")
        )
    return _build(rule, writes, response, text.removeprefix("-: "), retry_after)


def is_doubtful(error: Mapping[str, object], secrets: Iterable[str] = ()) -> bool:
    """Tell whether an error about one field may mean a bad token as well as a record that we may not touch."""
    text = _said(error, secrets)
    rule = next(rule for rule in BODY_RULES if _fits(rule, text))
    return rule.code == AUTH_REFUSED and rule.of_record is not None


def says_nothing(error: Mapping[str, object], classified: RemoteError) -> bool:
    """Tell whether a refusal has no code and words we don't know: of a whole document, the token may be meant."""
    return classified.code == REFUSED and not _code(error)


def token_refused(error: RemoteError) -> Unauthorized:
    """Read an error as: it is the token that Pluvo refuses."""
    words = "Pluvo refuses the token, also a fresh one."
    return Unauthorized(AUTH_REFUSED, words, system=PLUVO, status=error.status, remote_text=error.remote_text)


def _said(error: Mapping[str, object], secrets: Iterable[str]) -> str:
    return clean(f"{_code(error) or '-'}: {error.get('message')}", secrets=secrets)


def _code(error: Mapping[str, object]) -> str:
    extensions = error.get("extensions")
    return str(extensions.get("code") or "") if isinstance(extensions, Mapping) else ""


def _fits(rule: Rule, text: str) -> bool:
    return re.search(rule.pattern, text, re.IGNORECASE) is not None


def first_in_table(errors: list[RemoteError]) -> RemoteError:
    """Choose the error that says most about what to do, when one field has several."""
    order = [rule.code for rule in BODY_RULES]
    return min(errors, key=lambda error: order.index(error.code))


def unknown_names(error: Mapping[str, object], spare: Collection[str] = ()) -> set[tuple[str, str]]:
    """Find which selections and arguments a refusal says the schema lacks, e.g. ``{("argument", "userIds")}``.

    In words we don't know, any mention of a ``spare`` name (that we can do without) counts, as ``("either", name)``.
    """
    message = str(error.get("message"))
    found = {(kind, name) for kind, pattern in _UNKNOWN_NAMES for name in re.findall(pattern, message)}
    return found or {("either", name) for name in spare if re.search(rf"(?<!\w){name}(?!\w)", message)}


def _build(rule: Rule, writes: bool, response: Response, text: str, retry_after: float | None) -> RemoteError:
    kind = rule.write if writes else rule.read
    return kind(
        rule.code,
        rule.message,
        system=PLUVO,
        status=response.status,
        remote_text=text,
        retry_after_seconds=retry_after if kind is Unavailable else None,
    )
