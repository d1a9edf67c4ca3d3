"""``/tenants/{slug}/edit``, ``/credentials`` and ``/courses/add``: change what was set up, each answer tried before."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from ops import access, audit
from ops.http.console import choices, forms
from ops.http.console.render import page
from ops.language import SENTENCES, Language, Words, say
from ops.problems import AlreadyDecided, Problem
from ops.tenants import (
    edit,
    edit_course,
    importing,
    manage,
    onboarding,
    onboarding_courses,
    onboarding_credentials,
    onboarding_steps,
)
from ops.tenants.file import WrongValues
from ops.tenants.onboarding import Draft, Question, Refused
from ops.tenants.onboarding_words import refusal

router = APIRouter(include_in_schema=False)
Slug = Annotated[str, Path(max_length=40)]
Event = Annotated[str, Path(max_length=200)]
System = Annotated[str, Path(pattern="^(afas|pluvo)$")]
PARTS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("plain", edit.PLAIN),
    ("afas", edit.AFAS),
    ("pluvo", edit.PLUVO),
    ("removals", edit.REMOVALS),
    ("limits", edit.LIMITS),
)
COURSE_PARTS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("place", (*edit_course.PLACE, edit_course.INVITE, edit_course.TITLE)),
    ("columns", (edit_course.CONNECTOR, *edit_course.COLUMNS)),
)


# ---------------------------------------------------------------------------------------------------- settings


@router.get("/tenants/{slug}/edit")
def settings(request: Request, slug: Slug) -> HTMLResponse:
    """The settings, to be changed."""
    return _settings(request, slug, edit.read(slug))


@router.post("/tenants/{slug}/edit")
def change(request: Request, slug: Slug, typed: forms.Typed) -> Response:
    """Change what was typed otherwise; what can't be used is told beside it, and nothing is stored."""
    try:
        edit.change(slug, typed, _version(typed), access.actor().name)
    except Problem as problem:
        return _settings(request, slug, edit.read(slug), typed, problem)
    return RedirectResponse(f"/tenants/{slug}/edit", 303)


def _version(typed: Mapping[str, str]) -> int:
    """The version of the settings that a page was made of; 0, which none has, of a form that is not ours."""
    version = typed.get("version", "")
    return int(version) if version.isdecimal() and len(version) < 19 else 0


def _settings(
    request: Request,
    slug: str,
    found: edit.Settings,
    typed: Mapping[str, str] | None = None,
    problem: Problem | None = None,
) -> HTMLResponse:
    language = choices.language(request)
    told = _told(problem, found["values"], typed or {})
    parts = [(part, [_setting(key, found, typed or {}, told, language) for key in keys]) for part, keys in PARTS]
    return page(
        request,
        "tenant_edit.html",
        problem.status if problem else 200,
        found=found,
        parts=parts,
        problem=problem.say(language) if problem else None,
        history=[one for one in audit.recent(slug, 50) if one["verb"] in importing.CHANGES],
    )


def _told(problem: Problem | None, values: Mapping[str, str], typed: Mapping[str, str]) -> dict[str, Words]:
    """What is said beside a value: why it can't be used, or what somebody else stored there meanwhile."""
    if isinstance(problem, WrongValues):
        return {key: Words("edit.wrong", what=why) for key, why in problem.told.items()}
    if not isinstance(problem, AlreadyDecided):
        return {}
    others = {key: now for key, now in values.items() if typed.get(key, now).strip() != now}
    named = {key: Words(f"edit.policy_{now}") if key == "removals.policy" else now for key, now in others.items()}
    return {key: Words("edit.stored_now", value=now or Words("none")) for key, now in named.items()}


def _setting(
    key: str, found: edit.Settings, typed: Mapping[str, str], told: Mapping[str, Words], language: Language
) -> dict[str, Any]:
    code = key.replace(".", "_")
    secret = key in edit.SECRETS
    ending = f"edit.help_{key.rpartition('_')[2]}"
    helps = next((say(one, language) for one in (f"edit.help_{code}", ending) if one in SENTENCES), None)
    if secret and key in found["secrets"]:
        helps = say("wizard.kept_secret", language)
    policies = [(one, say(f"edit.policy_{one}", language)) for one in edit.POLICIES]
    return {
        "name": key,
        "label": say(f"edit.ask_{code}", language),
        "kind": "password" if secret else "select" if key == "removals.policy" else "text",
        "value": "" if secret else typed.get(key, found["values"][key]),
        "options": policies if key == "removals.policy" else (),
        "help": helps,
        "error": told[key].say(language) if key in told else None,
        "maxlength": 5000 if secret else 500,
        "autocomplete": "new-password" if secret else "off",
    }


# ------------------------------------------------------------------------------------------------- credentials


@router.get("/tenants/{slug}/credentials")
def keys(request: Request, slug: Slug, done: str = "") -> HTMLResponse:
    """Which there are, and until when they work."""
    access.check("tenants.credentials", slug)
    shown = done if done in onboarding.SYSTEMS else ""
    return page(request, "tenant_keys.html", found=manage.about(slug), done=shown, system="", rows=[])


@router.get("/tenants/{slug}/credentials/{system}")
def new_keys(request: Request, slug: Slug, system: System) -> HTMLResponse:
    """Other ones of a system."""
    return _keys(request, system, onboarding_credentials.credentials_of(slug, system), {})


@router.post("/tenants/{slug}/credentials/{system}")
def replace_keys(request: Request, slug: Slug, system: System, typed: forms.Typed) -> Response:
    """Try them, and put them in place of the old ones when they work."""
    who = access.actor().name
    draft = onboarding_credentials.credentials_of(slug, system)
    try:
        draft = onboarding_steps.answered(draft, typed, who)
    except Refused as refused:
        return _keys(request, system, refused.draft, typed, refused)
    if onboarding.pending(draft) is not None:
        return _keys(request, system, draft, typed)
    try:
        onboarding_credentials.change_credentials(draft, system, who, seen=_version(typed))
    except AlreadyDecided as problem:
        now = onboarding_credentials.credentials_of(slug, system)
        return _keys(request, system, now, typed, problem=problem)
    return RedirectResponse(f"/tenants/{slug}/credentials?done={system}", 303)


def _keys(
    request: Request,
    system: str,
    draft: Draft,
    typed: Mapping[str, str],
    refused: Refused | None = None,
    *,
    problem: Problem | None = None,
) -> HTMLResponse:
    found = manage.about(draft.slug)
    # What was typed chooses which fields are shown: those of a token, or of a client.
    assumed = draft.but("afas.auth", typed["afas.auth"]) if typed.get("afas.auth") in ("oauth", "token") else draft
    step = {"afas": "key", "pluvo": "pluvo"}[system]
    fixed = draft.facts["fixed"]
    asked = [_without_code(one) for one in onboarding_steps.asked(assumed, step) if one.name not in fixed]
    # What was typed belongs to the settings that were looked at then, until somebody is told of those of now.
    seen = typed.get("version", draft.facts["version"]) if problem is None else draft.facts["version"]
    context = {"found": found, "system": system, "done": "", "seen": seen}
    return _answers(
        request, "tenant_keys.html", draft, asked, typed=typed, refused=refused, context=context, problem=problem
    )


def _without_code(question: Question) -> Question:
    """A mailed code needs a second look, and what came before it is kept nowhere here: that is for the terminal."""
    return replace(question, choices=tuple(one for one in question.choices if one[0] != "code"))


# ----------------------------------------------------------------------------------------------------- courses


@router.get("/tenants/{slug}/courses/add")
def more(request: Request, slug: Slug, done: str = "") -> HTMLResponse:
    """More events."""
    return _more(request, onboarding_courses.courses_of(slug), {}, done=done == "1")


@router.post("/tenants/{slug}/courses/add")
def add(request: Request, slug: Slug, typed: forms.Typed) -> Response:
    """Ask on until all is answered, then store them."""
    who = access.actor().name
    draft = onboarding_courses.courses_of(slug)
    try:
        draft = onboarding_steps.answered(draft, typed, who)
    except Refused as refused:
        return _more(request, refused.draft, typed, refused)
    if onboarding.pending(draft) is not None:
        return _more(request, draft, typed)
    try:
        onboarding_courses.add_courses(draft, who)
    except Problem as problem:
        return _more(request, draft, typed, problem=problem)
    return RedirectResponse(f"/tenants/{slug}/courses/add?done=1", 303)


def _more(
    request: Request,
    draft: Draft,
    typed: Mapping[str, str],
    refused: Refused | None = None,
    *,
    problem: Problem | None = None,
    done: bool = False,
) -> HTMLResponse:
    fixed = {"getconnector", "write_back", "completion_format", "send_invite"}
    steps = ("events", "completions")
    asked = [one for step in steps for one in onboarding_steps.asked(draft, step) if one.name not in fixed]
    context = {"found": manage.about(draft.slug), "done": done, "facts": draft.facts}
    return _answers(
        request, "courses_add.html", draft, asked, typed=typed, refused=refused, context=context, problem=problem
    )


def _answers(
    request: Request,
    template: str,
    draft: Draft,
    asked: Iterable[Question],
    *,
    typed: Mapping[str, str],
    refused: Refused | None,
    context: Mapping[str, Any],
    problem: Problem | None = None,
) -> HTMLResponse:
    """A page of questions whose answers are kept nowhere before all of them are right."""
    language = choices.language(request)
    told = refusal(refused, language, page=True) if refused else None
    nothing_kept = replace(draft, answers={name: value for name, value in draft.answers.items() if name not in typed})
    rows = [
        forms.row(one, nothing_kept, language, typed, error=told if refused and refused.question == one.name else None)
        for one in asked
    ]
    at_field = any(row["error"] for row in rows)
    shown = problem.say(language) if problem else None if at_field else told
    status = problem.status if problem else 422 if refused else 200
    return page(request, template, status, **context, rows=rows, problem=shown)


@router.get("/tenants/{slug}/courses/{event}/edit")
def course(request: Request, slug: Slug, event: Event) -> HTMLResponse:
    """One course, to be changed."""
    return _course(request, edit_course.read(slug, event))


@router.post("/tenants/{slug}/courses/{event}/edit")
def change_course(request: Request, slug: Slug, event: Event, typed: forms.Typed) -> Response:
    """Change what was typed otherwise; what can't be used is told beside it, and nothing is stored."""
    found = edit_course.read(slug, event)
    try:
        edit_course.change(slug, event, typed, _version(typed), access.actor().name)
    except Problem as problem:
        return _course(request, edit_course.read(slug, event), typed, problem)
    return RedirectResponse(f"/tenants/{slug}/courses/{found['event_id']}?changed=1", 303)


def _course(
    request: Request,
    found: edit_course.CourseAsked,
    typed: Mapping[str, str] | None = None,
    problem: Problem | None = None,
) -> HTMLResponse:
    language = choices.language(request)
    told = _told(problem, found["values"], typed or {})
    parts = [
        (
            part,
            [_of_course(key, found["values"], typed or {}, told, language) for key in keys if key in found["values"]],
        )
        for part, keys in COURSE_PARTS
    ]
    return page(
        request,
        "course_edit.html",
        problem.status if problem else 200,
        found=found,
        parts=parts,
        problem=problem.say(language) if problem else None,
    )


def _of_course(
    key: str, values: Mapping[str, str], typed: Mapping[str, str], told: Mapping[str, Words], language: Language
) -> dict[str, Any]:
    code = key.replace(".", "_")
    label = next(one for one in (f"course_edit.ask_{code}", f"wizard.ask_{code}") if one in SENTENCES)
    helps = f"course_edit.help_{code}"
    invite = [(one, say(f"wizard.invite_{one}", language)) for one in ("no", "yes")]
    return {
        "name": key,
        "label": say(label, language),
        "kind": "select" if key == edit_course.INVITE else "text",
        "value": typed.get(key, values[key]),
        "options": invite if key == edit_course.INVITE else (),
        "help": say(helps, language) if helps in SENTENCES else None,
        "error": told[key].say(language) if key in told else None,
        "maxlength": 500,
    }
