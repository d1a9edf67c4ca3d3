"""``/settings/tokens``: tokens for the API. A new one is shown in the answer to its form, and nowhere again."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Form, Path, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from ops import audit, tokens
from ops.http.console.pages.users import Role, Scope, Slugs, chosen_tenants
from ops.http.console.render import again, page
from ops.problems import AlreadyDecided, Problem
from ops.tokens import TokenMade

router = APIRouter(prefix="/settings/tokens", include_in_schema=False)
Number = Annotated[int, Path(ge=1, le=2**62)]
DAYS = (30, 90, 365, 0)


def _values(cursor: str | None = None, *, everything: bool = False, made: TokenMade | None = None) -> dict[str, Any]:
    found = tokens.listing(100, cursor, everything=everything)
    return {"found": found, "everything": everything, "made": made, "days": DAYS}


@router.get("")
def listing(
    request: Request,
    cursor: Annotated[str | None, Query(max_length=20)] = None,
    show: Annotated[str, Query(alias="all", max_length=5)] = "",
) -> HTMLResponse:
    """Tokens that open something, or all; and a form for one more."""
    return page(request, "tokens.html", **_values(cursor, everything=bool(show)))


@router.post("")
def create(
    request: Request,
    *,
    name: Annotated[str, Form(max_length=400)] = "",
    role: Role = "",
    scope: Scope = "",
    slugs: Slugs = "",
    lasts: Annotated[int, Form(ge=0, le=3660)] = 90,
) -> Response:
    """Make one, and show it."""
    try:
        days = timedelta(days=lasts) if lasts else None
        made = tokens.create(name.strip(), role, chosen_tenants(scope, slugs), days)
    except Problem as problem:
        typed = {"name": name, "role": role, "scope": scope, "slugs": slugs, "lasts": lasts}
        return again(request, "tokens.html", problem, typed=typed, **_values())
    return page(request, "tokens.html", **_values(made=made))


@router.post("/{number}/revoke")
def revoke(request: Request, number: Number) -> Response:
    """Let one open nothing any more. The second is told who was first."""
    done = tokens.revoke(number)
    if "first" in done:
        late = AlreadyDecided("token_revoked", name=done["name"], first=audit.by(done["first"]))
        return again(request, "tokens.html", late, **_values(everything=True))
    return RedirectResponse("/settings/tokens?all=1", 303)
