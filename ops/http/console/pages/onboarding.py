"""``/onboard``: set up a customer in nine steps, then check, look and begin; the same drafts as ``tenants add``."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Form, Path, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from models.base import utc_now
from ops import access
from ops.http.console import choices, forms
from ops.http.console.render import page
from ops.http.console.words import relative
from ops.language import say
from ops.problems import AlreadyDecided, NotThere, Problem
from ops.tenants import manage, onboarding_mail, onboarding_shown, onboarding_steps, onboarding_store
from ops.tenants.onboarding import LEFT_OUT, Draft, Refused, pending
from ops.tenants.onboarding_steps import STEPS
from ops.tenants.onboarding_words import refusal

router = APIRouter(include_in_schema=False)
Slug = Annotated[str, Path(max_length=40)]
StepName = Annotated[str, Path(max_length=20)]
# When the draft that is shown was answered last
Seen = Annotated[str, Form(max_length=40)]
FIRST, LAST = STEPS[0], STEPS[-1]
# So long somebody else who answered is told of
NEARBY = timedelta(minutes=30)


@router.get("/onboard")
def drafts(request: Request) -> HTMLResponse:
    """Who is being set up, and the first two questions of somebody new."""
    return _list(request)


@router.post("/onboard")
def begin(request: Request, typed: forms.Typed) -> Response:
    """Begin with a short name and a name."""
    try:
        draft = onboarding_steps.fill(Draft(), FIRST, typed, access.actor().name)
    except Refused as refused:
        if refused.draft.slug:
            return _step(request, refused.draft, FIRST, typed=typed, refused=refused)
        return _list(request, typed=typed, refused=refused)
    return _to(draft)


def _list(request: Request, typed: Mapping[str, str] | None = None, refused: Refused | None = None) -> HTMLResponse:
    listed = onboarding_store.listing()
    language = choices.language(request)
    told = refusal(refused, language, page=True) if refused else None
    rows = [
        forms.row(one, Draft(), language, typed or {}, error=told if refused and refused.question == one.name else None)
        for one in onboarding_steps.asked(Draft(), FIRST)
    ]
    return page(
        request, "onboard_list.html", 422 if refused else 200, drafts=listed, rows=rows, new=onboarding_store.not_live()
    )


@router.get("/onboard/{slug}")
def resume(slug: Slug) -> Response:
    """Where somebody left; of a customer that is a tenant by now, what comes then."""
    try:
        return _to(onboarding_store.resumed(slug))
    except NotThere:
        manage.about(slug)
        return RedirectResponse(f"/onboard/{slug}/live", 303)


@router.get("/onboard/{slug}/{step}")
def step(request: Request, slug: Slug, step: StepName) -> Response:
    """One step; of those that can't be answered yet, the one that comes first."""
    draft = _draft(slug)
    if step not in STEPS:
        raise NotThere("no_page")
    if _later(draft, step):
        return _to(draft)
    return _step(request, draft, step)


@router.post("/onboard/{slug}/forget")
def forget(request: Request, slug: Slug, seen: Seen = "") -> Response:
    """Forget what was given, as it was looked at."""
    try:
        onboarding_store.discard(slug, seen)
    except AlreadyDecided as problem:
        draft = _draft(slug)
        return _step(request, draft, onboarding_steps.now(draft), problem=problem)
    return RedirectResponse("/onboard", 303)


@router.post("/onboard/{slug}/begin")
def store(request: Request, slug: Slug, seen: Seen = "") -> Response:
    """Make it a tenant. Who presses twice, or second, is shown what comes then."""
    try:
        draft = _draft(slug)
        if pending(draft) is not None:
            return _to(draft)
        if problem := _moved(draft, seen):
            return _step(request, draft, LAST, problem=problem)
        try:
            onboarding_store.finish(draft, access.actor().name)
        except Problem as problem:
            return _step(request, _draft(slug), LAST, problem=problem)
        return RedirectResponse(f"/onboard/{slug}/live", 303)
    except NotThere:
        return resume(slug)


@router.post("/onboard/{slug}/{step}")
def answer(request: Request, slug: Slug, step: StepName, typed: forms.Typed) -> Response:
    """Try what was typed; go on, or tell what can't be right and keep the rest of it."""
    draft = _draft(slug)
    if step not in STEPS or _later(draft, step):
        return _to(draft)
    if problem := _moved(draft, typed.get("seen", "")):
        return _step(request, draft, step, typed=typed, problem=problem)
    try:
        after = onboarding_steps.fill(draft, step, typed, access.actor().name)
    except Refused as refused:
        return _step(request, refused.draft, step, typed=typed, refused=refused)
    except AlreadyDecided as problem:
        return _step(request, _draft(slug), step, typed=typed, problem=problem)
    return _to(after)


def _draft(slug: str) -> Draft:
    """The draft of a slug, also of the only one. Raises NotThere."""
    return onboarding_store.resumed(slug)


def _to(draft: Draft) -> Response:
    return RedirectResponse(f"/onboard/{draft.slug}/{onboarding_steps.now(draft)}", 303)


def _later(draft: Draft, step: str) -> bool:
    return STEPS.index(step) > STEPS.index(onboarding_steps.now(draft))


def _moved(draft: Draft, seen: str) -> Problem | None:
    """That somebody else answered since the page was shown."""
    if not seen or draft.revision is None or draft.revision.isoformat() == seen:
        return None
    return AlreadyDecided("draft_moved", slug=draft.slug, name=draft.by)


def _step(
    request: Request,
    draft: Draft,
    step: str,
    *,
    typed: Mapping[str, str] | None = None,
    refused: Refused | None = None,
    problem: Problem | None = None,
) -> HTMLResponse:
    language = choices.language(request)
    shown = onboarding_shown.columns(draft, language) if step == "columns" else None
    asked = onboarding_steps.asked(draft, step) if step != LAST else []
    told = refusal(refused, language, page=True) if refused else None
    at_field = refused is not None and any(one.name == refused.question for one in asked)
    rows = [
        forms.row(
            one,
            draft,
            language,
            typed or {},
            error=told if refused and refused.question == one.name else None,
            because=(shown or {"because": {}})["because"].get(one.name.removeprefix("fields.")),
        )
        for one in asked
    ]
    context: dict[str, Any] = {
        "slug": draft.slug,
        "name": draft.answers.get("name") or draft.slug,
        "environment": draft.answers.get("afas.environment"),
        "steps": onboarding_steps.progress(draft),
        "step": step,
        "rows": rows,
        "columns": shown,
        "facts": draft.facts,
        "mails": _mails(draft, step, refused),
        "seen": draft.revision.isoformat() if draft.revision else "",
        "beside": _beside(request, draft),
        "summary": _summary(draft, request) if step == LAST else [],
        "problem": problem.say(language) if problem else None if at_field else told,
    }
    status = problem.status if problem else 422 if refused else 200
    return page(request, "onboard_step.html", status, **context)


def _mails(draft: Draft, step: str, refused: Refused | None) -> list[Mapping[str, Any]]:
    """The mail in both languages, Dutch first, where something is done in AFAS."""
    if step not in onboarding_mail.OF_AFAS:
        return []
    return [onboarding_mail.handover_of(draft, language, refused) for language in ("nl", "en")]


def _beside(request: Request, draft: Draft) -> dict[str, str] | None:
    """Who else answered a moment ago."""
    if draft.revision is None or draft.by == access.actor().name or utc_now() - draft.revision > NEARBY:
        return None
    return {"name": draft.by, "ago": relative(draft.revision, utc_now(), choices.language(request))}


def _summary(draft: Draft, request: Request) -> list[tuple[str, list[tuple[str, str]]]]:
    """All that was answered, by step; of a secret only that it is there."""
    language = choices.language(request)
    found = []
    for step in STEPS[:-1]:
        told = []
        for question in onboarding_steps.asked(draft, step):
            row = forms.row(question, draft, language, {})
            labels = dict(row["options"])
            value = say("wizard.kept", language) if question.kind == "secret" else row["value"]
            if question.name in draft.answers and draft.answers[question.name] != LEFT_OUT:
                told.append((row["label"], labels.get(value, value)))
        found.append((step, told))
    return found
