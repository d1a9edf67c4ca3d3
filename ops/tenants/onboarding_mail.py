"""The mail to the customer's AFAS administrator while a tenant is being set up: what is still needed there."""

from __future__ import annotations

from collections.abc import Iterator

from ops.language import SENTENCES, Language, say
from ops.language import handover as sentences
from ops.tenants.check_findings import fit
from ops.tenants.handover import Handover, Request, mail
from ops.tenants.onboarding import Draft, Refused
from ops.tenants.onboarding_steps import progress

# The steps for which something is done in AFAS
OF_AFAS = ("key", "connector", "columns", "completions")
# What the dialogue calls otherwise than a check
_SAME = {"field_missing": "completion_field_missing", "no_getconnectors": "need_connector"}


def handover_of(draft: Draft, language: Language, refused: Refused | None = None) -> Handover:
    """What the steps need that are not done; of the present one what was refused just now, if AFAS lacks it."""
    answers = draft.answers
    about = {
        "name": answers.get("name", draft.slug),
        "member_id": answers.get("afas.member_id", "?"),
        "environment": answers.get("afas.environment", "production"),
    }
    return mail(draft.slug, about, list(_items(draft, about | _known(draft), language, refused)), language)


def _known(draft: Draft) -> dict[str, object]:
    return {"connector": draft.answers.get("getconnector", ""), "name": ""}


def _items(draft: Draft, known: dict[str, object], language: Language, refused: Refused | None) -> Iterator[Request]:
    told = _request(refused, known, language) if refused is not None else None
    if told is not None:
        yield told
    for step in progress(draft):
        if step.name in OF_AFAS and step.state != "done" and not (told is not None and step.state == "now"):
            code = f"need_{step.name}"
            yield {"code": code, "text": say(f"handover.{code}", language, **known)}


def _request(refused: Refused, known: dict[str, object], language: Language) -> Request | None:
    """What is asked for because of a refusal; None where AFAS lacks nothing."""
    code = _SAME.get(refused.code, refused.code)
    sentence = f"handover.{code}" if code.startswith("need_") else f"ask.{code}"
    if sentence not in sentences.SENTENCES or sentence not in SENTENCES or refused.parameters.get("system") == "Pluvo":
        return None
    given = {
        name: fit(", ".join(value) if isinstance(value, list) else value) for name, value in refused.parameters.items()
    }
    return {"code": refused.code, "text": say(sentence, language, **known | given)}
