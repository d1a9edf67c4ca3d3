"""What the API answers: documents as ``--json`` prints them, and errors as a code with its sentence."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from typing_extensions import TypedDict

from clients.errors import AFAS, RemoteError
from ops.language import SENTENCES, Language, Words, say
from ops.problems import FileProblems, Problem
from ops.tenants.file import words
from ops.terminal.output import plain

MAX_TOLD = 20


class ErrorBody(TypedDict):
    """``code`` stays; ``message`` is in the language of ``Accept-Language``; ``params`` are those of the sentence."""

    code: str
    message: str
    params: dict[str, Any]


class ErrorDocument(TypedDict):
    """What is answered instead of a document."""

    error: ErrorBody


class Document(JSONResponse):
    """A document, with times in UTC as on the command line."""

    def render(self, content: Any) -> bytes:
        """The bytes."""
        return json.dumps(content, default=plain, ensure_ascii=False, separators=(",", ":")).encode(errors="replace")


def language_of(request: Request) -> Language:
    """The one that a request's caller likes better."""
    return liked(request.headers.get("accept-language", ""))


def liked(told: str) -> Language:
    """The one of Dutch and English that the caller likes better; English where nothing is said."""
    best, found = 0.0, "en"
    for part in told[:500].split(","):
        name, _, weight = part.strip().lower().partition(";q=")
        known = name.partition("-")[0]
        try:
            value = float(weight or 1)
        except ValueError:
            continue
        if known in ("nl", "en") and value > best:
            best, found = value, known
    return "nl" if found == "nl" else "en"


def refusal(problem: Problem, language: Language) -> Document:
    """What a verb refused."""
    told = {name: _param(value) for name, value in problem.params.items()}
    if isinstance(problem, FileProblems):
        told["lines"] = [one if isinstance(one, str) else one.say(language) for one in problem.told]
    return error(problem.status, problem.code, problem.say(language), told)


def failed(code: str, status: int, language: Language, **params: object) -> Document:
    """What the API itself refuses, by a code of ``ops/language/api.py``."""
    return error(status, code, say(f"api.{code}", language, **params), params)


def error(status: int, code: str, message: str, params: Mapping[str, Any]) -> Document:
    """The answer."""
    return Document({"error": {"code": code, "message": message, "params": dict(params)}}, status_code=status)


def unreadable(request: Request, found: RequestValidationError) -> Document:
    """A request that is not as the OpenAPI document says."""
    told = found.errors()
    language = language_of(request)
    if any(one["type"] == "json_invalid" for one in told):
        return failed("not_json", 400, language)
    fields = [{"where": ".".join(map(str, one["loc"])), "what": wrong(one, language)} for one in told[:MAX_TOLD]]
    return failed("invalid_request", 422, language, fields=fields, count=len(told), first=_first(fields))


def wrong(found: Mapping[str, Any], language: Language) -> str:
    """What one of pydantic's errors says of a value: in English its own words, else by its kind."""
    if language == "en":
        return str(found["msg"])
    context = found.get("ctx") or {}
    if found["type"] == "value_error":  # one of ours
        said = words(str(context.get("error", "")))
        return said.say(language) if isinstance(said, Words) else say("api_value.other", language)
    code = f"api_value.{found['type']}"
    given = dict(context) | {"count": context.get("min_length", context.get("max_length"))}
    if "expected" in context:
        given["expected"] = str(context["expected"]).replace(" or ", f" {say('api_value.or', language)} ")
    return say(code if code in SENTENCES else "api_value.other", language, **given)


def _first(fields: Sequence[Mapping[str, str]]) -> str:
    return f"{fields[0]['where']}: {fields[0]['what']}" if fields else ""


def no_such_route(request: Request, found: HTTPException) -> Document:
    """No path, or another method than it has."""
    answer = of_status(request, found.status_code)
    answer.headers.update(found.headers or {})
    return answer


def of_status(request: Request, status: int) -> Document:
    """What is said where no verb was reached."""
    codes = {400: "not_json", 401: "no_login", 404: "no_path", 405: "other_method", 503: "database_away"}
    return failed(codes.get(status, "refused"), status, language_of(request))


def remote(found: RemoteError, language: Language) -> Document:
    """AFAS or Pluvo said no, or nothing."""
    kinds = [f"{kind}.{found.code}" for kind in ("cause", "action")]
    system = AFAS if found.system == AFAS else "Pluvo"
    given = {"system": system, "code": found.code}
    try:
        message = " ".join(say(kind, language, **given) for kind in kinds)
    except KeyError:
        message = say("api.remote", language, **given)
    return error(502, found.code, message, given)


def _param(value: object) -> object:
    if isinstance(value, Words):
        return {"code": value.code, "params": {name: _param(one) for name, one in value.params.items()}}
    if isinstance(value, list):
        return [_param(one) for one in value]
    return value if isinstance(value, bool | int | float | str | None) else str(value)
