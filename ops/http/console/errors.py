"""What is shown when something can't be done: the status, a sentence, and a way on."""

from __future__ import annotations

import traceback
from pathlib import Path

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import PlainTextResponse
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, ProgrammingError
from sqlalchemy.exc import TimeoutError as NoConnection
from starlette.exceptions import HTTPException

from models.base import utc_now
from models.session import DATABASE_TROUBLE, is_contended
from ops.http.api.answers import of_status
from ops.http.console import choices, render
from ops.language import say
from ops.problems import Problem

log = structlog.get_logger("ops.http.console")
# What no browser shows: their callers read a status, and a line.
PLAIN = ("/webhooks/", "/healthz", "/readyz", "/metrics", "/static/")
TITLES = (403, 404, 405, 409, 422, 500, 503)


def install(app: FastAPI) -> None:
    """Show every error as a page; to callers of the API as JSON."""
    app.add_exception_handler(Problem, _problem)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(DBAPIError, _database)
    app.add_exception_handler(NoConnection, _database)


def show(request: Request, status: int, told: str | None = None, headers: dict[str, str] | None = None) -> Response:
    """``problem.html``, or the same for who is no browser."""
    path = request.url.path
    answer: Response
    if path.startswith("/api/"):
        answer = of_status(request, status)
    elif path.startswith(PLAIN):
        answer = PlainTextResponse(_plain(status) + "\n", status)
    else:
        known = status if status in TITLES else (500 if status >= 500 else 422)
        answer = render.page(request, "problem.html", status, known=known, told=told, at=utc_now())
    answer.headers.update(headers or {})
    return answer


def _plain(status: int) -> str:
    known = {404: "Not Found", 405: "Method Not Allowed", 503: "The database can't be reached."}
    return known.get(status, "It can't be done.")


def _problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)  # noqa: S101  what it was registered for
    return show(request, error.status, error.say(choices.language(request)))


def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101  as above
    return show(request, error.status_code, headers=dict(error.headers or {}))


def _invalid(request: Request, error: Exception) -> Response:
    """Only the names of what was not understood: the values may be anything."""
    assert isinstance(error, RequestValidationError)  # noqa: S101  as above
    names = sorted({str(one["loc"][-1])[:40] for one in error.errors() if one.get("loc")})
    told = say("error.fields", choices.language(request), names=", ".join(names[:10]))
    return show(request, 422, told)


def _database(request: Request, error: Exception) -> Response:
    """The database is away, or has no connection left: said as such, and worth another try.

    A value that it can't hold (NUL, a number without end) is the caller's; a statement that is wrong is ours.
    """
    if isinstance(error, DataError):
        return show(request, 422, say("error.value", choices.language(request)))
    if isinstance(error, ProgrammingError | IntegrityError):
        return _anything(request, error)
    told = say("error.contended", choices.language(request)) if is_contended(error) else None
    return show(request, 503, told, headers={"Retry-After": "5"})


def broken(request: Request, error: Exception) -> Response:
    """What no handler took, or what broke before there was one: while it was asked who asks."""
    return _database(request, error) if isinstance(error, DATABASE_TROUBLE) else _anything(request, error)


def _anything(request: Request, error: Exception) -> Response:
    """Kinds and places are logged, never the text: it could hold a name."""
    frames = traceback.extract_tb(error.__traceback__)[-4:]
    places = [f"{Path(frame.filename).name}:{frame.lineno}" for frame in frames]
    route = getattr(request.scope.get("route"), "path", None)
    log.error("page_failed", error=type(error).__name__, places=places, method=request.method, route=route)
    return show(request, 500)
