"""``/login`` and ``/logout``: with a name and a password, or through the issuer."""

from __future__ import annotations

from typing import Annotated, Any

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
def enter(
    request: Request,
    name: Annotated[str, Form(max_length=400)] = "",
    password: Annotated[str, Form(max_length=4000)] = "",
    to: Annotated[str, Form(max_length=LONGEST_NEXT)] = "/",
) -> Response:
    """Open a session, under a new cookie: one that somebody else knew before is worth nothing."""
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
def begin(request: Request, to: Next = "/") -> Response:
    """To the issuer. The row of a session keeps what its answer is compared with."""
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
def finish(request: Request) -> Response:
    """Back from the issuer."""
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
