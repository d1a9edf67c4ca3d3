"""Take an answer: judged by the classes that validate the tenants file, then tried on AFAS and Pluvo themselves."""

from __future__ import annotations

from dataclasses import replace

from pydantic import ValidationError

from ops.tenants.file import problem_of, words
from ops.tenants.onboarding import LEFT_OUT, OURS, Draft, Question, Refused, pending, validated
from ops.tenants.onboarding_trials import TRIALS

# Keys with a sentence of their own for what has a wrong form
FORMS = ("slug", "member_id", "organisation", "token", "base_url", "secret_ends")


def answer(draft: Draft, name: str, given: str) -> Draft:
    """The draft with this answer. Raises Refused, whose ``draft`` is the one to go on with."""
    question = pending(draft)
    if question is None or question.name != name:
        raise ValueError(f"{name} is not what is to be answered now")
    try:
        return _taken(draft, question, given.strip())
    except Refused as refused:
        refused.draft = draft.without(*refused.again)
        raise


def _taken(draft: Draft, question: Question, given: str) -> Draft:
    name = question.name
    if question.kind != "act":
        given = given or (question.proposal or "")
        if not given or given == LEFT_OUT:
            if not question.optional:
                raise Refused("answer_missing")
            return draft.but(name, LEFT_OUT)
        if question.kind == "choice":
            given = _chosen(question, given)
    tried = draft.but(name, given or "yes")
    if question.kind == "secret":
        tried = replace(draft.but(name, "set"), secrets={**draft.secrets, name: given})
    if name == "slug":
        tried = replace(tried, slug=given)
    trial = TRIALS.get(name) or TRIALS.get(name.partition(".")[0] + ".*")
    if not OURS.fullmatch(name):
        tried = _well_formed(tried, name)
    return trial(tried, name) if trial else tried


def _chosen(question: Question, given: str) -> str:
    """A choice by its number or its value."""
    values = [value for value, _ in question.choices]
    if given in values:
        return given
    numbered = {str(number): value for number, value in enumerate(values, 1)}
    if given in numbered:
        return numbered[given]
    if question.name in ("getconnector", "write_back") or question.name.startswith("fields."):
        return given  # its trial says more
    raise Refused("no_choice", given=given, listed=values)


def _well_formed(draft: Draft, name: str) -> Draft:
    """Let the classes of the tenants file judge one key. What they make of it is taken."""
    path = tuple(name.split(".")) if "." in name else (name,)
    if path[0] in ("fields", "getconnector", "completion_format"):
        path = ("course_defaults", *path)
    try:
        validated(draft)
    except ValidationError as error:
        for detail in error.errors(include_url=False, include_input=False):
            if tuple(detail["loc"][: len(path)]) == path:
                said = words(problem_of(detail)[1])
                raise Refused(f"form_{path[-1]}" if path[-1] in FORMS else "form", said=said) from None
        return draft
    return draft
