"""``/login`` and ``/logout``: with a name and a password, or through the issuer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated, Any

from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, Form, Query, Request
from fastapi.responses import RedirectResponse, Response

import settings
from models.session import transaction
from ops import access, logins, users
from ops.access import NOBODY
from ops.http import oidc
from ops.http.access import LOGIN, LONGEST_NEXT, asked_of, give_cookie, take_cookie
from ops.http.console.choices import own_path
from ops.http.console.render import again, page
from ops.problems import Problem

router = APIRouter(include_in_schema=False)
Next = Annotated[str, Query(alias="next", max_length=LONGEST_NEXT)]
# So many at once, and so many that wait; the next is sent away at once.
AT_ONCE, WAITING = 4, 20


@dataclass
class Room:
    """Threads for what waits for a processor, or for an issuer: very many would take those of every other page."""

    threads: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(AT_ONCE))
    inside: int = 0


with_password, at_issuer = Room(), Room()


async def apart(room: Room, do: Callable[[], Response]) -> Response:
    """Do it in a thread of that room. Raises Problem when it is full."""
    if room.inside >= AT_ONCE + WAITING:
        raise Problem("login_busy")
    room.inside += 1
    try:
        return await to_thread.run_sync(do, limiter=room.threads)
    finally:
        room.inside -= 1


def _values(to: str) -> dict[str, Any]:
    with transaction() as connection:
        anybody = users.exist(connection)
    token = bool(settings.get().login_token)
    return {"to": to, "oidc": oidc.is_set(), "token": token, "nobody": not (anybody or token or oidc.is_set())}


@router.get("/login")
def login(request: Request, to: Next = "/") -> Response:
    """The form; who is in already goes on."""
    if access.actor() != NOBODY:
        return RedirectResponse(own_path(to), 303)
    return page(request, "login.html", **_values(own_path(to)))


@router.post("/login")
async def enter(
    request: Request,
    name: Annotated[str, Form(max_length=400)] = "",
    password: Annotated[str, Form(max_length=4000)] = "",
    to: Annotated[str, Form(max_length=LONGEST_NEXT)] = "/",
) -> Response:
    """Open a session, under a new cookie: one that somebody else knew before is worth nothing."""
    return await apart(with_password, partial(_enter, request, name, password, to))


def _enter(request: Request, name: str, password: str, to: str) -> Response:
    asked = asked_of(request)
    try:
        cookie = logins.login(name, password, asked.browser)
    except Problem as problem:
        return again(request, "login.html", problem, typed={"name": name}, **_values(own_path(to)))
    return _entered(request, cookie, own_path(to))


def _entered(request: Request, cookie: str, to: str) -> Response:
    asked = asked_of(request)
    before = asked.cookie()
    if before:
        logins.logout(before)
    answer = RedirectResponse(to, 303)
    give_cookie(answer, asked, cookie)
    return answer


@router.post("/logout")
def leave(request: Request) -> Response:
    """End this session."""
    asked = asked_of(request)
    cookie = asked.cookie()
    if cookie:
        logins.logout(cookie)
    answer = RedirectResponse("/login", 303)
    take_cookie(answer, asked)
    return answer


@router.get("/login/oidc")
async def begin(request: Request, to: Next = "/") -> Response:
    """To the issuer. The row of a session keeps what its answer is compared with."""
    return await apart(at_issuer, partial(_begin, request, to))


def _begin(request: Request, to: str) -> Response:
    asked = asked_of(request)
    if not oidc.is_set():
        raise Problem("oidc_unset")
    try:
        address, cookie = oidc.start(own_path(to), asked.browser)
    except Problem as problem:
        return again(request, "login.html", problem, **_values(own_path(to)))
    answer = RedirectResponse(address, 303)
    give_cookie(answer, asked, cookie, LOGIN)
    return answer


@router.get(oidc.CALLBACK)
async def finish(request: Request) -> Response:
    """Back from the issuer."""
    return await apart(at_issuer, partial(_finish, request))


def _finish(request: Request) -> Response:
    asked = asked_of(request)
    given = {name: value[:4000] for name, value in request.query_params.items()}
    answer: Response
    try:
        cookie, to = oidc.finish(asked.cookie(LOGIN) or "", given, asked.browser)
        answer = _entered(request, cookie, own_path(to))
    except Problem as problem:
        answer = again(request, "login.html", problem, **_values("/"))
    take_cookie(answer, asked, LOGIN)
    return answer
