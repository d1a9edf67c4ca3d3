"""What operators read, in English and Dutch: verbs return codes with parameters, whoever shows them calls ``say``.

A sentence stands in the file of its subject, e.g. ``findings.py``: ``code: "English with {parameters}"``, or a pair
``("one", "many")`` chosen by the parameter ``count``. Its Dutch stands in the ``.po`` file of the same name, under the
code (``msgctxt``) and the English (``msgid``): who changes the English has to look at the Dutch again.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from ops.language import (
    adoption,
    alerts,
    api,
    api_values,
    batches,
    completions,
    contract,
    dead_letters,
    deeds,
    doctor,
    errors,
    explain,
    fields,
    findings,
    handover,
    imports,
    onboarding,
    page_alerts,
    page_completions,
    page_courses,
    page_letters,
    page_onboarding,
    page_overview,
    page_people,
    page_runs,
    page_shell,
    page_system,
    page_tenants,
    people,
    problems,
    problems_alerts,
    problems_here,
    problems_second,
    problems_setup,
    quality,
    reasons,
    runs,
    timeline,
    users,
    values,
)

Language = Literal["en", "nl"]
Sentence = str | tuple[str, str]

FOLDER = Path(__file__).parent
# By the name of the file, which is also that of the .po file.
FILES: Mapping[str, Mapping[str, Sentence]] = {
    "adoption": adoption.SENTENCES,
    "alerts": alerts.SENTENCES,
    "api": api.SENTENCES,
    "api_values": api_values.SENTENCES,
    "batches": batches.SENTENCES,
    "contract": contract.SENTENCES,
    "deeds": deeds.SENTENCES,
    "doctor": doctor.SENTENCES,
    "completions": completions.SENTENCES,
    "dead_letters": dead_letters.SENTENCES,
    "errors": errors.SENTENCES,
    "explain": explain.SENTENCES,
    "fields": fields.SENTENCES,
    "findings": findings.SENTENCES,
    "handover": handover.SENTENCES,
    "imports": imports.SENTENCES,
    "reasons": reasons.SENTENCES,
    "users": users.SENTENCES,
    "problems": problems.SENTENCES,
    "problems_alerts": problems_alerts.SENTENCES,
    "problems_here": problems_here.SENTENCES,
    "problems_second": problems_second.SENTENCES,
    "problems_setup": problems_setup.SENTENCES,
    "quality": quality.SENTENCES,
    "onboarding": onboarding.SENTENCES,
    "page_alerts": page_alerts.SENTENCES,
    "page_completions": page_completions.SENTENCES,
    "page_courses": page_courses.SENTENCES,
    "page_letters": page_letters.SENTENCES,
    "runs": runs.SENTENCES,
    "page_onboarding": page_onboarding.SENTENCES,
    "page_overview": page_overview.SENTENCES,
    "page_runs": page_runs.SENTENCES,
    "page_people": page_people.SENTENCES,
    "page_shell": page_shell.SENTENCES,
    "page_tenants": page_tenants.SENTENCES,
    "page_system": page_system.SENTENCES,
    "values": values.SENTENCES,
    "people": people.SENTENCES,
    "timeline": timeline.SENTENCES,
}
SENTENCES: Mapping[str, Sentence] = {code: text for file in FILES.values() for code, text in file.items()}


@dataclass(frozen=True, init=False)
class Words:
    """A sentence that is still in no language: a parameter of another sentence, which is said in that one's."""

    code: str
    params: Mapping[str, object]

    def __init__(self, code: str, /, **params: object) -> None:
        object.__setattr__(self, "code", code)
        object.__setattr__(self, "params", params)

    def say(self, language: Language) -> str:
        """The sentence."""
        return say(self.code, language, **self.params)

    def __str__(self) -> str:
        return self.say("en")

    def document(self) -> dict[str, Any]:
        """As JSON; ``read`` makes them of it again."""
        params = {name: one.document() if isinstance(one, Words) else one for name, one in self.params.items()}
        return {"code": self.code, "params": params}

    @staticmethod
    def read(document: Mapping[str, Any]) -> Words:
        """What ``document`` gave. A code of a newer release is told by KeyError when it is said."""
        params = {name: Words.read(one) if isinstance(one, dict) else one for name, one in document["params"].items()}
        return Words(document["code"], **params)


def say(code: str, language: Language, /, **parameters: object) -> str:
    """The sentence of a code, e.g. ``say("action.throttled", "nl")``. Raises KeyError for a code without one.

    A parameter that is not given, as in what an older release stored, is shown as ``?``; ``Words``, and lists of them,
    are said as well.
    """
    parameters = {name: _said(one, language) for name, one in parameters.items()}
    found = template(code, language)
    if not isinstance(found, str):
        found = found[parameters.get("count") != 1]
    return found.format_map(_Given(parameters))


def _said(value: object, language: Language) -> object:
    if isinstance(value, list) and any(isinstance(one, Words) for one in value):
        return "; ".join(str(_said(one, language)) for one in value)
    return value.say(language) if isinstance(value, Words) else value


def template(code: str, language: Language) -> Sentence:
    """The sentence with its parameters still in braces; a pair where ``count`` chooses. Raises KeyError."""
    english = SENTENCES[code]
    return _dutch().get(code, english) if language == "nl" else english


def language_of(wanted: Language | None) -> Language:
    """The language asked for, else that of the terminal's locale: Dutch for ``nl…``, English for every other."""
    if wanted is not None:
        return wanted
    locale = next(filter(None, map(os.environ.get, ("LC_ALL", "LC_MESSAGES", "LANG"))), "")
    return "nl" if locale.lower().startswith("nl") else "en"


class _Given(dict[str, object]):
    def __missing__(self, name: str) -> str:
        return "?"


@cache
def _dutch() -> Mapping[str, Sentence]:
    """The .po files, without what is missing or was marked as doubtful (fuzzy): that stays English."""
    from babel.messages.pofile import read_po  # noqa: PLC0415  slow to import, and only needed for Dutch

    found: dict[str, Sentence] = {}
    for name in FILES:
        with (FOLDER / f"{name}.po").open("rb") as file:
            catalog = read_po(file, locale="nl")
        found |= {
            one.context: one.string if isinstance(one.string, str) else (one.string[0], one.string[-1])
            for one in catalog
            if one.context and one.string and not one.fuzzy and one.id == SENTENCES.get(one.context)
        }
    return found
