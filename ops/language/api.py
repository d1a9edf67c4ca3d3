"""What the JSON API refuses before a verb sees it."""

from __future__ import annotations

SENTENCES: dict[str, str | tuple[str, str]] = {
    "api.not_json": "The body is no JSON document.",
    "api.invalid_request": (
        "One value is not as it should be: {first}",
        "{count} values are not as they should be, the first is {first}",
    ),
    "api.no_path": "There is nothing at this address: /api/openapi.json lists all there is.",
    "api.other_method": "This address takes another method: the header Allow names it.",
    "api.no_login": "A login is needed: send a token, with the header Authorization: Bearer kop_….",
    "api.value": "A value has a character, or is of a size, that can't be stored.",
    "api.refused": "This can't be answered.",
    "api.too_large": "The body is larger than {most} bytes.",
    "api.not_json_type": "Send JSON, with the header Content-Type: application/json.",
    "api.remote": "{system} answered with the error {code}.",
    "api.database_away": "The database can't be reached now: try again in a moment.",
    "api.broken": "Something broke here, and is in the log with this code: {place}",
    "api.unfit": "{said}",
    "api_docs.title": "The API",
    "api_docs.about": "Every verb of the command `koppeling` by HTTP, with the same documents as its `--json`. "
    "The descriptions are in English.",
    "api_docs.document": "As an OpenAPI document",
    "api_docs.token": "Put a token into KOPPELING_API_TOKEN first; it is shown once when it is made.",
    "api_docs.parameters": "Parameters",
    "api_docs.name": "Name",
    "api_docs.where": "In",
    "api_docs.kind": "Kind",
    "api_docs.says": "What",
    "api_docs.body": "Body",
    "api_docs.answer": "Answer {status}",
    "api_docs.role": "role {role}",
    "api_docs.optional": "optional",
    "api_docs.errors": "Errors",
    "api_docs.errors_about": "Every other answer is one of these, with a code that stays and a sentence in the "
    "language of `Accept-Language`.",
    "api_docs.status": "Status",
    "api_docs.means": "Means",
    "api_docs.contents": "Contents",
}
