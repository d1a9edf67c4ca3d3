"""The API as one application, mounted at ``/api``: its routes, its errors, its own OpenAPI document."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from sqlalchemy.exc import DataError, StatementError
from sqlalchemy.exc import TimeoutError as NoConnection
from starlette.exceptions import HTTPException

from clients.errors import RemoteError
from migrations.run import WrongSchema
from models.crypto import SecretDamaged, SecretUnreadable
from models.session import is_away
from models.tenant_settings import SettingsUnread
from ops.access import NEEDS
from ops.http.api import (
    alerts,
    answers,
    audit,
    batches,
    check,
    completions,
    dead_letters,
    holds,
    links,
    people,
    runs,
    system,
    tenants,
    users,
)
from ops.http.api.answers import Document, ErrorDocument, failed, language_of, refusal, remote
from ops.http.api.body import Bodies
from ops.http.api.need import verb_of
from ops.http.caught import Caught
from ops.problems import Problem
from settings import SettingsError

log = structlog.get_logger("ops.http.api")
NOUNS = (system, tenants, check, people, links, holds, runs, batches, completions, dead_letters, alerts, audit, users)
UNFIT = (SettingsError, SecretUnreadable, SecretDamaged, SettingsUnread, WrongSchema)
ABOUT = """\
The verbs of the command `koppeling`, with the same documents as its `--json`.

A bearer token says who asks (`Authorization: Bearer kop_…`, made by `koppeling tokens create`); a session of the
console does as well. Errors are `{"error": {"code", "message", "params"}}`: the code stays, the message is in the
language of `Accept-Language`. Listings take `limit` and `cursor` and answer `{"items": […], "next": null or a cursor}`.
Times are ISO 8601 in UTC.
"""
REFUSALS = {
    400: "The body is no JSON.",
    401: "Nobody is signed in, or the token is not known any more.",
    403: "Who asks may not do this.",
    404: "There is no such thing, or none that one may see.",
    409: "Somebody else was first.",
    413: "The body is too large.",
    415: "The body is not sent as JSON.",
    422: "A value is not as it should be, or what is asked for can't be done.",
    500: "Something broke here: `place` says where, and so does the log.",
    502: "AFAS or Pluvo refused, or did not answer.",
    503: "The database can't be reached, or a key is missing.",
}


def make_api() -> FastAPI:
    """The application; who asks was found out before."""
    api = FastAPI(
        title="Koppeling",
        version=version("koppeling"),
        description=ABOUT,
        docs_url=None,
        redoc_url=None,
        openapi_url="/openapi.json",
        root_path_in_servers=False,
        servers=[{"url": "/api"}],
        redirect_slashes=False,
        default_response_class=Document,
        responses={code: {"model": ErrorDocument, "description": said} for code, said in REFUSALS.items()},
    )
    for route in routes():
        verb = verb_of(route)
        if verb is not None:
            route.openapi_extra = {"x-verb": verb, "x-role": str(NEEDS[verb])}
    for noun in NOUNS:
        api.include_router(noun.router)
    api.add_middleware(Bodies)
    api.add_middleware(Caught, broken=_broken)
    api.add_exception_handler(Problem, _refused)
    api.add_exception_handler(RequestValidationError, _unreadable)
    api.add_exception_handler(HTTPException, _no_such_route)
    api.add_exception_handler(RemoteError, _remote)
    api.add_exception_handler(NoConnection, _database)
    api.add_exception_handler(StatementError, _database)
    for kind in UNFIT:
        api.add_exception_handler(kind, _unfit)
    return api


def routes() -> Iterator[APIRoute]:
    """All operations."""
    for noun in NOUNS:
        yield from (route for route in noun.router.routes if isinstance(route, APIRoute))


async def _refused(request: Request, found: Exception) -> Document:
    assert isinstance(found, Problem)  # noqa: S101  what it was registered for
    return refusal(found, language_of(request))


async def _unreadable(request: Request, found: Exception) -> Document:
    assert isinstance(found, RequestValidationError)  # noqa: S101  what it was registered for
    return answers.unreadable(request, found)


async def _no_such_route(request: Request, found: Exception) -> Document:
    assert isinstance(found, HTTPException)  # noqa: S101  what it was registered for
    return answers.no_such_route(request, found)


async def _remote(request: Request, found: Exception) -> Document:
    assert isinstance(found, RemoteError)  # noqa: S101  what it was registered for
    return remote(found, language_of(request))


async def _database(request: Request, found: Exception) -> Document:
    if isinstance(found, StatementError) and isinstance(found.orig, UNFIT):
        return await _unfit(request, found.orig)  # a key that is missing while a secret is stored
    if isinstance(found, DataError):  # NUL, a number without end
        return failed("value", 422, language_of(request))
    if not is_away(found):
        return _broken(request, found)
    log.warning("database_away", error=type(found).__name__)
    answer = failed("database_away", 503, language_of(request))
    answer.headers["Retry-After"] = "5"
    return answer


async def _unfit(request: Request, found: Exception) -> Document:
    return failed("unfit", 503, language_of(request), said=str(found))


def _broken(request: Request, found: Exception) -> Document:
    """Kind and place, never the text: it could hold a name."""
    last = traceback.extract_tb(found.__traceback__)[-1:]
    place = f"{type(found).__name__}:{Path(last[0].filename).name}:{last[0].lineno}" if last else type(found).__name__
    log.error("api_broken", place=place)
    return failed("broken", 500, language_of(request), place=place)
