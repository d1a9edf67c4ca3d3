"""The error answers AFAS gives: statuses, Dutch texts and body shapes. Status alone says little: most are a 500."""

from __future__ import annotations

import secrets

from simulators.core.faults import Fault
from simulators.core.http_messages import Answer, json_answer

NUMBER_NOT_AUTHORISED = -2147180996
NUMBER_UNEXPECTED = -2147180999
NUMBER_FUNCTIONAL = -2147220469

GET_NOT_ALLOWED = "GetConnector niet ondersteund voor deze app of de gebruiker is niet geautoriseerd"
UPDATE_NOT_ALLOWED = "Deze UpdateConnector wordt niet ondersteund of de gebruiker is niet geautoriseerd"
DEFINITION_BLOCKED = "Deze GetConnector (definitie) is geblokkeerd"
UNEXPECTED = "Er is een onverwachte fout opgetreden"

ERROR_KINDS = {
    "functional": (NUMBER_FUNCTIONAL, "De ingevulde waarde bij 'Cursist' is niet toegestaan."),
    "not_authorised": (NUMBER_NOT_AUTHORISED, GET_NOT_ALLOWED),
    "definition_blocked": (NUMBER_UNEXPECTED, DEFINITION_BLOCKED),
    "record_in_use": (NUMBER_FUNCTIONAL, "Het record is in gebruik door een andere gebruiker."),
    "time_out": (NUMBER_UNEXPECTED, "De maximale tijdsduur van de bewerking is overschreden"),
    "out_of_memory": (NUMBER_UNEXPECTED, "Out of memory"),
    "page_error": (NUMBER_UNEXPECTED, UNEXPECTED),
}
"""Fault kinds that answer with a 500 and one of these texts (``message`` in the fault overrules)."""


def refusal(message: str, number: int = NUMBER_FUNCTIONAL, status: int = 500) -> Answer:
    """Answer in the usual error shape, with a fresh log reference."""
    reference = secrets.token_hex(16).upper()
    content = {"externalMessage": message, "errorNumber": number, "profitLogReference": reference}
    return json_answer(content, status)


def unknown_field(name: str, language: str) -> Answer:
    """Refuse a filter or sort field that the connector doesn't have."""
    if language.lower().startswith("en"):
        return refusal(f"Connector field '{name}' not found", NUMBER_UNEXPECTED)
    return refusal(f"Connector-veld '{name}' niet gevonden", NUMBER_UNEXPECTED)


def maintenance(fault: Fault) -> Answer:
    """Answer 503; ``to`` chooses what carries the wait: header (default), body, sample (nested), xml, or none."""
    seconds = int(fault.seconds if fault.seconds is not None else 7200)
    error = {"code": "503", "message": fault.message or "AFAS Online is tijdelijk niet beschikbaar"}
    shape = fault.to or "header"
    if shape == "body":
        return json_answer({"error": error, "retry_after": seconds}, 503)
    if shape == "sample":
        return json_answer({"example": {"error": error, "retry_after": seconds}}, 503)
    if shape == "none":
        return Answer(503)
    body = b"<error><code>503</code></error>" if shape == "xml" else b""
    return Answer(503, body, {"retry-after": str(seconds), "content-type": "application/xml"})


def oauth_error(error: str, description: str, *, basic: bool = False) -> Answer:
    """Refuse a token request: 400, or 401 when the client showed itself in a Basic header."""
    content = {"error": error, "error_description": description}
    if basic and error == "invalid_client":
        return json_answer(content, 401, {"www-authenticate": 'Basic realm="AFAS"'})
    return json_answer(content, 400)
