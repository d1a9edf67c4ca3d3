"""``/settings/users``: who may log in, as what."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Form, Path, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from ops import users
from ops.http.console.render import again, page
from ops.problems import Problem
from ops.users import UserDone

router = APIRouter(prefix="/settings/users", include_in_schema=False)
Number = Annotated[int, Path(ge=1, le=2**62)]
Cursor = Annotated[str | None, Query(max_length=200)]
Done = Annotated[str | None, Query(max_length=20)]
Role = Annotated[str, Form(max_length=20)]
Scope = Annotated[str, Form(max_length=10)]
Slugs = Annotated[str, Form(max_length=50_000)]
Secret = Annotated[str, Form(max_length=4000)]
# The version that the page showed. A form without one is of no page that we know.
Seen = Annotated[int, Form(ge=0, le=2**62)]


def chosen_tenants(scope: str, slugs: str) -> list[str] | None:
    """What the form chose: None for every tenant, else the slugs that were typed."""
    return None if scope == "all" else slugs.replace(",", " ").split()


@router.get("")
def listing(request: Request, cursor: Cursor = None, done: Done = None) -> HTMLResponse:
    """All users, and a form for one more."""
    return page(request, "users.html", **_list(cursor, done))


def _list(cursor: str | None = None, done: str | None = None) -> dict[str, Any]:
    return {"found": users.listing(100, cursor), "done": done, "least": users.LEAST}


@router.post("")
def add(
    request: Request,
    *,
    name: Annotated[str, Form(max_length=400)] = "",
    role: Role = "",
    scope: Scope = "",
    slugs: Slugs = "",
    first: Secret = "",
) -> Response:
    """Let somebody log in."""
    try:
        made = users.add(name.strip(), role, chosen_tenants(scope, slugs), first)
    except Problem as problem:
        typed = {"name": name, "role": role, "scope": scope, "slugs": slugs}
        return again(request, "users.html", problem, typed=typed, **_list())
    return RedirectResponse(f"/settings/users/{made['id']}", 303)


@router.get("/{number}")
def show(request: Request, number: Number, done: Done = None) -> HTMLResponse:
    """One user: what they may, their sessions, what was done with them."""
    return page(request, "user.html", **_one(number, done))


def _one(number: int, done: str | None = None) -> dict[str, Any]:
    return {"user": users.show(users.name_of(number)), "done": done, "least": users.LEAST}


def _act(request: Request, number: int, verb: Callable[[str], UserDone], **typed: str) -> Response:
    """Do it and show the user again; a user who is gone by then is shown no more."""
    name = users.name_of(number)
    try:
        done = verb(name)
    except Problem as problem:
        return again(request, "user.html", problem, typed=typed, **_one(number))
    if done["result"] == "removed":
        return RedirectResponse("/settings/users?done=removed", 303)
    return RedirectResponse(f"/settings/users/{number}?done={done['result']}", 303)


@router.post("/{number}")
def edit(
    request: Request, number: Number, *, role: Role = "", scope: Scope = "", slugs: Slugs = "", seen: Seen = 0
) -> Response:
    """Another role, other tenants."""
    tenants = chosen_tenants(scope, slugs)
    typed = {"role": role, "scope": scope, "slugs": slugs}
    return _act(request, number, lambda name: users.edit(name, role, tenants, seen=seen), **typed)


@router.post("/{number}/password")
def password(request: Request, number: Number, first: Secret = "", seen: Seen = 0) -> Response:
    """Another password; their sessions end."""
    return _act(request, number, lambda name: users.passwd(name, first, seen=seen))


@router.post("/{number}/disable")
def disable(request: Request, number: Number) -> Response:
    """Keep them out from now on."""
    return _act(request, number, users.disable)


@router.post("/{number}/enable")
def enable(request: Request, number: Number, seen: Seen = 0) -> Response:
    """Let them in again."""
    return _act(request, number, lambda name: users.enable(name, seen=seen))


@router.post("/{number}/sign-out")
def sign_out(request: Request, number: Number) -> Response:
    """End all their sessions."""
    return _act(request, number, users.sign_out)


@router.post("/{number}/remove")
def remove(request: Request, number: Number, sure: Annotated[str, Form(max_length=5)] = "", seen: Seen = 0) -> Response:
    """Forget them."""

    def verb(name: str) -> UserDone:
        if not sure:
            raise Problem("remove_sure", name=name)
        return users.remove(name, seen=seen)

    return _act(request, number, verb)
