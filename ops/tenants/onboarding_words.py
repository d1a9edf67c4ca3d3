"""What a refused answer is told: the cause, what the other side said of it, and what to do."""

from __future__ import annotations

from ops.language import SENTENCES, Language, Words, say
from ops.tenants.check_findings import fit
from ops.tenants.onboarding import Refused


def refusal(refused: Refused, language: Language, *, page: bool = False) -> str:
    """One line. ``page``: what to do on a page, where it is something else than in a dialogue."""
    code = refused.code if f"cause.{refused.code}" in SENTENCES else "failed"
    given = {name: fit(_shown(value, language)) for name, value in refused.parameters.items()} | {"code": refused.code}
    said = str(given.get("said") or "")
    cause = say(f"cause.{code}", language, **given)
    action = f"wizard.action_{code}" if page and f"wizard.action_{code}" in SENTENCES else f"action.{code}"
    return f"{cause}{' ' + said if said and said not in cause else ''} {say(action, language, **given)}"


def _shown(value: object, language: Language) -> object:
    if isinstance(value, Words):
        return value.say(language)
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else value
