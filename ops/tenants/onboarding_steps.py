"""The nine steps of setting up a tenant, as pages show it: what stands where, and what a changed answer takes with it.

The questions, their order and what is tried are those of the dialogue (``onboarding.py``): a draft that was begun in
the terminal goes on here, and the other way round.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from ops.tenants import onboarding_store
from ops.tenants.onboarding import CODE_AND_TOKEN, LEFT_OUT, Draft, Question, as_text, pending, questions

STEPS = ("customer", "afas", "key", "pluvo", "connector", "columns", "events", "completions", "begin")
_PLACE = {
    "customer": r"slug|name",
    "afas": r"afas\.(member_id|environment|base_url)",
    "key": r"afas\..+|otp\..+",
    "pluvo": r"pluvo\..+",
    "connector": r"getconnector",
    "columns": r"fields\..+|mapping\.tried",
    "events": r"events|target\..+",
    "completions": r"write_back|completion_format|title\..+|send_invite",
}
# What AFAS showed with these credentials, and what was chosen of it
_ROWS = r"getconnector|fields\..+|mapping\.tried|events|target\..+|title\..+|write_back|completion_format"
# What a changed answer takes with it: it was tried with the old one. The first line that fits counts.
_TAKES: tuple[tuple[str, str], ...] = (
    (r"afas\.(member_id|environment|base_url)", rf"afas\.(?!member_id|environment|base_url).+|otp\..+|{_ROWS}"),
    (r"afas\.auth", rf"afas\.(client_id|client_secret|secret_ends|token|reached)|otp\..+|{_ROWS}"),
    (
        r"otp\.(api_key|environment_key|user)",
        "|".join(map(re.escape, ("otp.tried", "otp.code", "afas.token"))) + rf"|afas\.reached|{_ROWS}",
    ),
    (r"otp\.code", rf"{'|'.join(map(re.escape, CODE_AND_TOKEN))}|afas\.reached|{_ROWS}"),
    (r"afas\.secret_ends", r"afas\.secret_ends"),
    (r"afas\..+", rf"afas\.reached|{_ROWS}"),
    (r"pluvo\.(organisation|base_url)", r"pluvo\.(client_secret|reached)|events|target\..+|title\..+"),
    (r"pluvo\..+", r"pluvo\.reached|events|target\..+|title\..+"),
    (r"getconnector", _ROWS),
    (r"fields\..+", rf"(?!getconnector|fields\.)(?:{_ROWS})"),
    (r"write_back", r"completion_format|title\..+"),
)


@dataclass(frozen=True)
class Step:
    """``done``: all of it is answered; ``now``: here stands what is asked next."""

    name: str
    state: Literal["done", "now", "later"]


def step_of(name: str) -> str:
    """Where a question stands."""
    return next(step for step, names in _PLACE.items() if re.fullmatch(names, name))


def now(draft: Draft) -> str:
    """Where somebody goes on."""
    question = pending(draft)
    return step_of(question.name) if question else STEPS[-1]


def progress(draft: Draft) -> list[Step]:
    """All steps in order. One that comes later may be done already, where something before it is asked anew."""
    known = list(questions(draft))
    open_ones = {step_of(one.name) for one in known if one.name not in draft.answers}
    here = now(draft)
    passed = {*STEPS[: STEPS.index(here)], *(step_of(one.name) for one in known)} - open_ones
    return [Step(step, "now" if step == here else "done" if step in passed else "later") for step in STEPS]


def asked(draft: Draft, step: str) -> list[Question]:
    """The questions of a step, each with what was answered, or else is proposed, as its proposal; of secrets nothing.

    Where one depends on a choice that was not made yet, what is proposed counts as chosen.
    """
    before = draft.facts.get("before", {})
    assumed = draft
    while True:
        found = [one for one in questions(assumed) if step_of(one.name) == step and one.kind != "act"]
        shown = [_proposing(draft, one, before) for one in found]
        open_choice = next(
            (one for one in shown if one.kind == "choice" and one.proposal and one.name not in assumed.answers), None
        )
        if open_choice is None:
            return shown
        assumed = assumed.but(open_choice.name, open_choice.proposal)


def _proposing(draft: Draft, question: Question, before: Mapping[str, Any]) -> Question:
    answered = draft.answers.get(question.name, before.get(question.name))
    if answered is None or question.kind == "secret":
        return question
    return replace(question, proposal=as_text(answered) or None)


def fill(draft: Draft, step: str, given: Mapping[str, str], who: str) -> Draft:
    """Answer what a page of a step sends; as far as it goes, and as far as it belongs to that step.

    Raises Refused at the first answer that can't be right, with the draft to go on with, which is kept.
    """
    draft = changed(draft, step, given)
    while (question := pending(draft)) and step_of(question.name) == step:
        if question.kind != "act" and question.name not in given:
            break
        typed = "" if question.kind == "act" else given[question.name].strip()
        if not typed and question.optional:
            typed = LEFT_OUT
        draft = onboarding_store.give(draft, question.name, typed, who)
    return draft


def answered(draft: Draft, given: Mapping[str, str], who: str) -> Draft:
    """A draft that is kept nowhere with what a page sends, as far as it goes. Raises Refused."""
    while (question := pending(draft)) and (question.kind == "act" or question.name in given):
        typed = "" if question.kind == "act" else given[question.name].strip()
        draft = onboarding_store.give(draft, question.name, typed or (LEFT_OUT if question.optional else ""), who)
    return draft


def changed(draft: Draft, step: str, given: Mapping[str, str]) -> Draft:
    """Without the answers that are given otherwise now, and without what was tried with them.

    They are proposed where they are asked again. A secret that is left empty stays.
    """
    gone: list[str] = []
    for question in asked(draft, step):
        name = question.name
        if name not in given or name not in draft.answers:
            continue
        typed = given[name].strip()
        same = not typed if question.kind == "secret" else typed in (as_text(draft.answers[name]), draft.answers[name])
        if not same:
            gone += [name, *_taken(draft.answers, name)]
    return draft.without(*gone)


def _taken(answers: Iterable[str], name: str) -> list[str]:
    takes = next((what for which, what in _TAKES if re.fullmatch(which, name)), None)
    return [one for one in answers if one != name and takes and re.fullmatch(takes, one)]
