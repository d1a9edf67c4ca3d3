"""``/account``: one's own role, password and sessions."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Form, Path, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from ops import access, logins, users
from ops.http.access import asked_of, known_of, take_cookie
from ops.http.console.pages.login import apart, with_password
from ops.http.console.render import again, page
from ops.problems import Forbidden, Problem

router = APIRouter(prefix="/account", include_in_schema=False)
Number = Annotated[int, Path(ge=1, le=2**62)]


def _values(request: Request, done: str | None = None) -> dict[str, Any]:
    known = known_of(request)
    user = users.own(known.user) if known is not None and known.user is not None else None
    return {"actor": access.actor(), "known": known, "user": user, "done": done, "least": users.LEAST}


def _user(request: Request) -> int:
    """The number of whoever logged in. Raises Forbidden for ``local`` and for a token, who have no sessions."""
    known = known_of(request)
    if known is None or known.user is None:
        raise Forbidden("no_account")
    return known.user


@router.get("")
def account(request: Request, done: Annotated[str | None, Query(max_length=20)] = None) -> HTMLResponse:
    """Who one is here."""
    return page(request, "account.html", **_values(request, done))


@router.post("/password")
async def password(
    request: Request,
    before: Annotated[str, Form(max_length=4000)] = "",
    first: Annotated[str, Form(max_length=4000)] = "",
    second: Annotated[str, Form(max_length=4000)] = "",
) -> Response:
    """Change it; the other sessions end."""
    return await apart(with_password, partial(_password, request, before, first, second))


def _password(request: Request, before: str, first: str, second: str) -> Response:
    known = known_of(request)
    if known is None:
        raise Forbidden("no_account")
    try:
        if first != second:
            raise Problem("password_twice")
        logins.own_password(known, before, first, asked_of(request).browser)
    except Problem as problem:
        return again(request, "account.html", problem, **_values(request))
    return RedirectResponse("/account?done=password", 303)


@router.post("/sessions/{number}/end")
def end(request: Request, number: Number) -> Response:
    """End one of the sessions."""
    logins.end(number, _user(request))
    return RedirectResponse("/account?done=ended", 303)


@router.post("/sign-out")
def sign_out(request: Request) -> Response:
    """End all of them, this one too."""
    logins.sign_out_everywhere(_user(request))
    answer = RedirectResponse("/login", 303)
    take_cookie(answer, asked_of(request))
    return answer
