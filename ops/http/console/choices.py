"""Language and colours of the pages: cookies, set by a plain form, and what holds where there are none."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import RedirectResponse

from ops.language import Language

YEAR_SECONDS = 365 * 86400
THEMES = ("light", "dark")
router = APIRouter(include_in_schema=False)


def language(request: Request) -> Language:
    """The one chosen, else the browser's first that is ours, else Dutch."""
    chosen = request.cookies.get("lang")
    if chosen in ("nl", "en"):
        return "en" if chosen == "en" else "nl"
    for part in request.headers.get("accept-language", "").split(",")[:20]:
        tag = part.split(";")[0].strip().lower()[:2]
        if tag in ("nl", "en"):
            return "en" if tag == "en" else "nl"
    return "nl"


def theme(request: Request) -> str | None:
    """``light`` or ``dark`` where one was chosen; None: as the system has it."""
    chosen = request.cookies.get("theme")
    return chosen if chosen in THEMES else None


def own_path(to: str) -> str:
    """A path of ours to go back to; anything else is the front page."""
    clean = to.isprintable() and to.isascii() and "\\" not in to
    return to if clean and to.startswith("/") and not to.startswith("//") else "/"


@router.post("/settings/look")
def look(
    request: Request,
    to: Annotated[str, Form(max_length=4000)] = "/",
    lang: Annotated[str | None, Form(max_length=10)] = None,
    theme: Annotated[str | None, Form(max_length=10)] = None,
) -> RedirectResponse:
    """Keep a choice for a year and go back to the page it was made on."""
    answer = RedirectResponse(own_path(to), 303)
    secure = request.url.scheme == "https"
    for name, value, known in (("lang", lang, ("nl", "en")), ("theme", theme, THEMES)):
        if value in known:
            answer.set_cookie(name, value, max_age=YEAR_SECONDS, httponly=True, samesite="lax", secure=secure)
        elif value is not None:
            answer.delete_cookie(name)
    return answer
