"""The rows of a form from the questions of an onboarding, and what a form sent, whatever its fields are called."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import Depends, Request

from ops.language import SENTENCES, Language, say
from ops.tenants.onboarding import Draft, Question

FIELDS = 400


async def _typed(request: Request) -> dict[str, str]:
    form = await request.form(max_files=0, max_fields=FIELDS)
    return {name: value for name, value in form.items() if isinstance(value, str)}


Typed = Annotated[dict[str, str], Depends(_typed)]


def row(
    question: Question,
    draft: Draft,
    language: Language,
    typed: Mapping[str, str],
    *,
    error: str | None = None,
    because: str | None = None,
) -> dict[str, Any]:
    """What ``m.field`` takes. A secret is never given back, whether it was typed just now or is kept."""
    name = question.name
    kinds = {"secret": "password", "choice": "select" if question.choices else "text", "text": "text"}
    code = (question.words or name).replace(".", "_")
    helps = [_help(code, question, language)]
    if question.kind == "secret" and name in draft.answers:
        helps = [say("wizard.kept_secret", language)]
    if because and name not in draft.answers:
        helps.append(say("wizard.proposed", language, because=because))
    return {
        "name": name,
        "label": say(f"wizard.ask_{code}", language, **question.parameters),
        "kind": kinds[question.kind],
        "value": "" if question.kind == "secret" else typed.get(name, question.proposal or ""),
        "error": error,
        "help": " ".join(filter(None, helps)) or None,
        "options": _options(question, language),
        "required": not (question.optional or (question.kind == "secret" and name in draft.answers)),
        "maxlength": 5000 if question.kind == "secret" else 500,
    }


def _help(code: str, question: Question, language: Language) -> str | None:
    one = "wizard.help_base_url" if code.endswith("base_url") else f"wizard.help_{code}"
    return say(one, language, **question.parameters) if one in SENTENCES else None


def _options(question: Question, language: Language) -> list[tuple[str, str]]:
    """Each choice by what it is called; nothing chosen where nothing is proposed, or where none will do."""
    empty = [("", say("wizard.no_value" if question.optional else "wizard.choose", language))]
    found = [(value, _called(question.name, value, label, language)) for value, label in question.choices]
    return (empty if question.optional or question.proposal is None else []) + found


def _called(name: str, value: str, label: str, language: Language) -> str:
    kind = {"afas.auth": "auth", "send_invite": "invite"}.get(name)
    if kind is not None:
        return say(f"wizard.{kind}_{value}", language)
    return f"{value} ({label})" if label and label != value else value
