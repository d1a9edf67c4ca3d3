"""``/dead-letters``: groups, one group with its letters, one letter; replay with a preview, discard with a reason."""

from __future__ import annotations

import json
from typing import Annotated, Any

from fastapi import APIRouter, Form, Path, Query, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

import settings
from models.message import Kind
from ops import access, audit
from ops.dead_letters import MAX_FAILURES, RATE, faults, inbox, replay, replays
from ops.dead_letters.inbox import Filters
from ops.http.console import choices
from ops.http.console.render import again
from ops.language import Language, Words
from ops.listing import MAX_LIMIT, Page, Row
from ops.problems import Problem

router = APIRouter(include_in_schema=False)
Word = Annotated[str | None, Query(max_length=80)]
Id = Annotated[str, Path(max_length=40)]
Typed = Annotated[str, Form(max_length=400)]
Ids = Annotated[list[str] | None, Form(max_length=MAX_LIMIT)]
SHOWN = 50
MOST = 1000  # a second, and in a row
STATES = ("open", "replayed", "superseded", "discarded")


def may(verb: str) -> bool:
    """Whether the role of who looks is enough: what is listed here is of tenants that they see."""
    return access.actor().role >= access.NEEDS[verb]


@router.get("/dead-letters")
def dead_letters(
    request: Request,
    *,
    group: Word = None,
    tenant: Word = None,
    kind: Word = None,
    error: Word = None,
    state: Word = None,
    cursor: Word = None,
) -> HTMLResponse:
    """All groups; of one group its letters."""
    filters = Filters(tenant or None, kind or None, error or None, fingerprint=group or None, state=state or "open")
    return _group(request, filters, cursor) if group or state else _groups(request, filters)


def _groups(request: Request, filters: Filters, problem: Problem | None = None, **typed: Any) -> HTMLResponse:
    language = choices.language(request)
    found: list[Row] = []
    decided: list[Row] = []
    try:
        found, decided = inbox.groups(filters), inbox.decided(filters, 6)
    except Problem as refused:
        problem = problem or refused
    context: dict[str, Any] = {
        "groups": [_told(row, language) for row in found],
        "letters": sum(row["count"] for row in found),
        "decided": decided,
        "filters": filters,
        "kinds": [one.value for one in Kind],
        "may": may("dead_letters.discard"),
        "typed": typed,
    }
    return again(request, "dead_letters.html", problem, **context)


def _told(row: Row, language: Language) -> Row:
    days = inbox.TREND_DAYS
    bars = [
        {
            "value": count,
            "state": "broken",
            "label": Words("letters.day", count=count, ago=days - 1 - place).say(language),
        }
        for place, count in enumerate(row["trend"])
    ]
    return _said(row, language) | {"action": faults.action(row).say(language), "bars": bars}


def _said(row: Row, language: Language) -> Row:
    """A group, a letter or an attempt with its cause in the reader's language, and only the remote's own words."""
    return row | {"cause": faults.cause(row).say(language), "message": faults.remote_words(row)}


def _attempts(letter: Row, language: Language) -> list[Row]:
    """Its attempts, oldest first."""
    return [
        _said({"kind": letter["kind"], "error": one["code"], "message": one["text"], "history": [one]}, language)
        | {"at": one["at"], "status": one.get("status")}
        for one in letter["history"]
    ]


def _group(
    request: Request, filters: Filters, cursor: str | None, problem: Problem | None = None, **typed: Any
) -> HTMLResponse:
    language = choices.language(request)
    found, listed = [], Page([])
    decided: list[Row] = []
    try:
        found = inbox.groups(filters, 1) if filters.fingerprint else []
        listed, decided = inbox.listing(filters, SHOWN, cursor), inbox.decided(filters)
    except Problem as refused:
        problem = problem or refused
    context: dict[str, Any] = {
        "group": _told(found[0], language) if found else None,
        "found": {"items": [_said(row, language) for row in listed.items], "next": listed.next},
        "filters": filters,
        "states": STATES,
        "decided": decided,
        "may": may("dead_letters.discard"),
        "typed": typed,
    }
    return again(request, "dead_letter_group.html", problem, **context)


@router.post("/dead-letters/discard")
def discard_all(
    request: Request,
    *,
    group: Typed = "",
    tenant: Typed = "",
    kind: Typed = "",
    error: Typed = "",
    upto: Typed = "",
    reason: Typed = "",
) -> Response:
    """Close all open letters of a group, up to the newest that was seen."""
    filters = _chosen(group, tenant, kind, error, upto)
    try:
        done = inbox.discard_matching(filters, reason=reason)
        if not done["discarded"]:
            raise inbox.late([*done["first"], *inbox.decided(filters, 1)]) or Problem("nothing_chosen")
    except Problem as problem:
        return _groups(request, Filters(tenant or None, state="open"), problem, group=group, reason=reason)
    return RedirectResponse(_address(filters, state="discarded" if group else None), 303)


def _chosen(group: str, tenant: str, kind: str, error: str, upto: str) -> Filters:
    return Filters(tenant or None, kind or None, error or None, fingerprint=group or None, upto=upto or None)


def _address(filters: Filters, *, state: str | None = None) -> str:
    asked = {"group": filters.fingerprint, "tenant": filters.tenant, "kind": filters.kind, "error": filters.error}
    query = "&".join(f"{name}={value}" for name, value in (asked | {"state": state}).items() if value and _plain(value))
    return f"/dead-letters?{query}" if query else "/dead-letters"


def _plain(value: str) -> bool:
    return value.replace("-", "").replace("_", "").replace(".", "").isalnum() and value.isascii()


@router.post("/dead-letters/chosen")
def chosen(
    request: Request,
    *,
    verb: Typed = "replay",
    letter: Ids = None,
    group: Typed = "",
    tenant: Typed = "",
    reason: Typed = "",
) -> Response:
    """Replay or discard the letters that were ticked. A few that all go are replayed at once."""
    filters = Filters(tenant or None, fingerprint=group or None, state="open")
    ids = list(dict.fromkeys(letter or []))
    try:
        if not ids:
            raise Problem("none_to_discard" if verb == "discard" else "nothing_chosen")
        if verb == "discard":
            _discarded(ids, reason)
            return RedirectResponse(_address(filters, state="discarded"), 303)
        ids = inbox.choose(ids, Filters(), everything=False)
        found = replays.preview(ids)
        taken = any(one["result"] in replays.TAKEN for one in found["verdicts"])
        if not taken or found["goes"] == found["letters"] <= replays.UNASKED:
            return RedirectResponse(f"/replays/{replays.begin(ids)['batch']}", 303)
    except Problem as problem:
        return _group(request, filters, None, problem, reason=reason, letter=ids)
    return _preview(request, filters, found, ids)


def _discarded(ids: list[str], reason: str) -> None:
    """Discard these. Raises AlreadyDecided where somebody was quicker with all of them."""
    done = inbox.discard(ids, reason=reason)
    if not done["discarded"]:
        raise inbox.late(done["first"]) or Problem("nothing_chosen")


@router.get("/dead-letters/preview")
def preview(
    request: Request, group: Word = None, tenant: Word = None, kind: Word = None, error: Word = None
) -> HTMLResponse:
    """What a replay of all open letters that fit would do; the form that begins it."""
    filters = Filters(tenant or None, kind or None, error or None, fingerprint=group or None)
    found = replays.preview_matching(filters, everything=not filters.given)
    return _preview(request, filters, found, None)


def _preview(
    request: Request,
    filters: Filters,
    found: replays.Previewed,
    ids: list[str] | None,
    problem: Problem | None = None,
    **typed: Any,
) -> HTMLResponse:
    language = choices.language(request)
    verdicts: list[Row] = [
        {**one, "why": Words(f"verdict.{one['code'] or one['result']}", **one["params"]).say(language)}
        for one in found["verdicts"]
    ]
    goes = sum(one["count"] for one in found["verdicts"] if one["result"] in replays.TAKEN)
    context: dict[str, Any] = {
        "found": found,
        "verdicts": verdicts,
        "parts": [
            {"value": one["count"], "state": _SHAPES.get(one["result"], "waits"), "label": one["why"]}
            for one in verdicts
        ],
        "goes": goes,
        "many": goes > replays.UNASKED,
        "unasked": replays.UNASKED,
        "filters": filters,
        "ids": ids,
        "rate": RATE,
        "max_failures": MAX_FAILURES,
        "may": may("replays.start"),
        "typed": typed,
    }
    return again(request, "replay_preview.html", problem, **context)


_SHAPES = {
    replay.WILL_DO: "ok",
    replay.SUPERSEDED: "stopped",
    replay.STILL_BLOCKED: "waits_for_you",
    replay.SETTLED: "waits",
}


@router.post("/dead-letters/replay")
def replay_all(
    request: Request,
    *,
    letter: Ids = None,
    group: Typed = "",
    tenant: Typed = "",
    kind: Typed = "",
    error: Typed = "",
    upto: Typed = "",
    reason: Typed = "",
    rate: Typed = "",
    max_failures: Typed = "",
) -> Response:
    """Begin a replay of what was previewed: letters that were named, or all that fit up to the newest that was seen."""
    filters = _chosen(group, tenant, kind, error, upto)
    letters = inbox.choose(letter or [], Filters() if letter else filters, everything=not (letter or filters.given))
    try:
        if not letters:
            raise inbox.late(inbox.decided(filters, 1)) or Problem("nothing_chosen")
        begun = replays.begin(
            letters,
            rate=_number(rate, RATE),
            max_failures=int(_number(max_failures, MAX_FAILURES)),
            reason=reason,
        )
    except Problem as problem:
        typed = {"reason": reason, "rate": rate, "max_failures": max_failures}
        return _preview(request, filters, replays.preview(letters), letter, problem, **typed)
    return RedirectResponse(f"/replays/{begun['batch']}", 303)


def _number(typed: str, default: float) -> float:
    """What was typed, or the default where nothing was. Raises Problem for what can't be meant."""
    try:
        number = float(typed.replace(",", ".")) if typed.strip() else default
    except ValueError:
        number = 0
    if not 0 < number <= MOST:
        raise Problem("rate_most", most=MOST)
    return number


@router.get("/dead-letters/{letter}")
def dead_letter(request: Request, letter: Id) -> HTMLResponse:
    """One letter."""
    return _letter(request, letter)


def _letter(request: Request, letter: str, problem: Problem | None = None, **typed: Any) -> HTMLResponse:
    language = choices.language(request)
    found = inbox.show(letter)
    verdict = next(iter(replays.preview([found["id"]])["verdicts"]), None)
    words = Words(f"verdict.{verdict['code'] or verdict['result']}", **verdict["params"]) if verdict else None
    context: dict[str, Any] = {
        "found": found,
        **{name: value for name, value in _said(found, language).items() if name in ("cause", "message")},
        "attempts": _attempts(found, language),
        "again": _said(found["again"] | {"kind": found["kind"]}, language) if found["again"] else None,
        "action": faults.action(found).say(language),
        "goes": verdict is not None and verdict["result"] == replay.WILL_DO,
        "verdict": words.say(language) if words else "",
        "call": json.dumps(found["last_call"], indent=2, ensure_ascii=False) if found["last_call"] else None,
        "decisions": audit.of(found["id"]),
        "kept_days": settings.get().dead_letter_retention // 86_400,
        "may": may("dead_letters.discard"),
        "typed": typed,
    }
    return again(request, "dead_letter.html", problem, **context)


@router.post("/dead-letters/{letter}")
def act(request: Request, letter: Id, verb: Typed = "replay", reason: Typed = "") -> Response:
    """Replay or discard one."""
    try:
        if verb == "discard":
            _discarded([letter], reason)
        else:
            replays.begin(inbox.choose([letter], Filters(), everything=False), reason=reason)
    except Problem as problem:
        return _letter(request, letter, problem, reason=reason)
    return RedirectResponse(f"/dead-letters/{letter}", 303)
