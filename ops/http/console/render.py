"""A template becomes an answer, in the language and the colours of who asks.

In templates: ``t("code", count=3)`` says a code, ``meaning("timeout", "AFAS")`` an error;
``m.state("done")`` and the other macros of ``macros.html``;
``|when(zone)``, ``|ident``, ``|ident(short=True)``, ``|number``, ``|capped``, ``|lasting``, ``|prose``, ``|probe``;
``|address``, ``|did``, ``|besides``; ``here(cursor=…)`` is the address of this page with other filters;
``may("holds.release", slug)`` whether a button is shown.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit
from zoneinfo import ZoneInfo

from fastapi import Request
from fastapi.responses import HTMLResponse, StreamingResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from models.blackouts import Blackout
from models.session import DATABASE_TROUBLE
from ops import access, completions, overview
from ops.http.access import known_of
from ops.http.console import choices, deeds, places, states, static_files, words
from ops.language import SENTENCES, Language, say
from ops.listing import Row
from ops.problems import Problem
from ops.tenants.blackout_text import written
from ops.terminal import csv_file

TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class View:
    """Who looks at what, and how."""

    request: Request
    language: Language
    theme: str | None

    @property
    def path(self) -> str:
        """The page's path."""
        return str(self.request.url.path)

    @property
    def address(self) -> str:
        """Its path and filters."""
        query = self.request.url.query
        return f"{self.path}?{query}" if query else self.path

    @property
    def came_from(self) -> str | None:
        """The page of ours that led here; None for any other."""
        try:
            parts = urlsplit(self.request.headers.get("referer", ""))
        except ValueError:
            return None
        if not parts.netloc or parts.netloc != self.request.headers.get("host"):
            return None
        path = choices.own_path(f"{parts.path}?{parts.query}" if parts.query else parts.path)
        return path if path != self.address else None

    @property
    def back(self) -> str:
        """Where a choice of language returns to: this page, or of an answer to a form the page with the form."""
        return self.address if self.request.method == "GET" else self.came_from or "/"

    @property
    def who(self) -> str:
        """Who looks."""
        return access.actor().name

    @property
    def inside(self) -> bool:
        """Whether it is somebody who may look: not so on the page that asks for a login."""
        return access.actor() != access.NOBODY

    def may(self, verb: str) -> bool:
        """Whether they may do something of all tenants. (Pages have names of their own in ``context``.)"""
        return access.may(verb)

    @property
    def session(self) -> bool:
        """Whether there is a session to end."""
        return known_of(self.request) is not None


class Typed(dict[str, Any]):
    """What was typed into a form; None for a field of which nothing was sent."""

    def __missing__(self, name: str) -> None:
        return None


_view: ContextVar[View] = ContextVar("view")


def page(request: Request, template: str, status: int = 200, **context: Any) -> HTMLResponse:
    """A page. Names in ``context`` are those of its template."""
    token = _view.set(View(request, choices.language(request), choices.theme(request)))
    try:
        known = {"problem": None} | context | {"typed": Typed(context.get("typed") or {})}
        body = environment().get_template(template).render(known)
    finally:
        _view.reset(token)
    return HTMLResponse(body, status)


def again(request: Request, template: str, problem: Problem | None, **context: Any) -> HTMLResponse:
    """The page of a form; where there is a problem, with what was typed (``typed``) and what is wrong with it."""
    if problem is None:
        return page(request, template, **context)
    return page(request, template, problem.status, problem=problem.say(choices.language(request)), **context)


def sheet(request: Request, name: str, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> StreamingResponse:
    """Rows as a file for a spreadsheet, in the form of the language of who asks; sent while they are read."""
    lines = csv_file.lines(columns, rows, choices.language(request))
    headers = {"Content-Disposition": f'attachment; filename="{name}.csv"'}
    return StreamingResponse(lines, media_type="text/csv; charset=utf-8", headers=headers)


@cache
def environment() -> Environment:
    """Jinja as our templates need it: everything is escaped, and a name that is missing is an error."""
    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    made.globals |= {
        "t": _say,
        "has": lambda code: code in SENTENCES,
        "meaning": _meaning,
        "here": _here,
        "view": _view.get,
        "six": states.six,
        "group_of": places.group_of,
        "places_of": places.places_of,
        "inbox": _inbox,
        "may": access.may,
        "static": static_files.address,
        "version": version("koppeling"),
    }
    made.filters.update(
        when=_when,
        changes=_changes,
        did=_did,
        besides=_besides,
        at=_at,
        ident=words.ident,
        day=completions.shown,
        number=_number,
        capped=_capped,
        lasting=_lasting,
        prose=words.prose,
        probe=_probe,
        address=words.address,
        day_bars=_day_bars,
        blackouts=_blackouts,
    )
    made.globals["m"] = made.get_template("macros.html").module
    return made


def _say(code: str, /, **parameters: object) -> str:
    return say(code, _view.get().language, **parameters)


def _meaning(error: str | None, system: str | None = None) -> str:
    """What an error of a system means; of one that we have no sentence for its code."""
    code = f"cause.{error}"
    return _say(code, system=system or "AFAS / Pluvo", code=error) if code in SENTENCES else error or ""


def _when(at: datetime | str | None, zone: str | None = None) -> Markup:
    return words.when(at, _view.get().language, zone)


def _changes(detail: Mapping[str, Any]) -> list[str]:
    return words.changes(detail, _view.get().language)


def _did(deed: Mapping[str, Any]) -> str | None:
    return deeds.did(deed, _view.get().language)


def _besides(deed: Mapping[str, Any]) -> list[str]:
    return deeds.besides(deed, _view.get().language)


def _probe(name: str) -> str:
    return words.probe(name, _view.get().language)


def _at(at: datetime, zone: str | None = None) -> str:
    return words.absolute(at, _view.get().language, zone)


def _number(value: float | None) -> str:
    return words.number(value, _view.get().language)


def _capped(value: int) -> str:
    return words.capped(value, _view.get().language)


def _lasting(seconds: float) -> str:
    return words.lasting(seconds, _view.get().language)


def _blackouts(stored: list[Blackout]) -> str:
    return written(stored, _view.get().language)


def _here(**changed: str | int | None) -> str:
    """The address of this page with some of its filters changed; None takes one away."""
    view = _view.get()
    kept = [(name, value) for name, value in view.request.query_params.multi_items() if name not in changed]
    query = urlencode([*kept, *((name, value) for name, value in changed.items() if value is not None)])
    return f"{view.path}?{query}" if query else view.path


def _day_bars(hours: list[Row]) -> list[Row]:
    """The last day's hours as columns: in the colour of the worst that happened in each."""
    order = (states.BROKEN, states.YOURS, states.BUSY, states.WAITS, states.STOPPED, states.OK)
    found = []
    for hour in hours:
        words_ = {states.six(status) for status in hour["statuses"]}
        at = hour["begins_at"].astimezone(ZoneInfo(words.ZONE))
        label = _say("overview.day_bar", hour=f"{at:%H:%M}", count=hour["count"])
        state = next((word for word in order if word in words_), states.OK)
        found.append({"value": hour["count"], "state": state, "label": label})
    return found


def _inbox() -> int | None:
    """How much waits for a person; None where the database does not tell."""
    try:
        return overview.waiting()
    except DATABASE_TROUBLE:
        return None
