"""What somebody did, as the record of operators' verbs has it, in sentences: of the verb, and of what it tells besides.

A verb is ``did.<verb>`` of the catalogue, which may name what is in its details; what it does not name is
``detail.<key>``, by the functions of ``_WORDS`` where the value is a word of ours. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from string import Formatter
from typing import Any

from ops.http.console import words
from ops.language import SENTENCES, Language, say, template

Deed = Mapping[str, Any]
# Told by others: ``codes`` are the sentences of ``changes``.
_NOT_SHOWN = ("codes",)
# PostgreSQL keeps no order of keys: told in that of the catalogue
_PLACES = {code.removeprefix("detail."): place for place, code in enumerate(SENTENCES) if code.startswith("detail.")}


def did(deed: Deed, language: Language) -> str | None:
    """The sentence of a verb; None for one of a release that we are not."""
    named = code_of(deed)
    if named not in SENTENCES:
        return None
    detail = deed["detail"] or {}
    return say(named, language, **{key: _worded(key, value, detail, language) for key, value in detail.items()})


def besides(deed: Deed, language: Language) -> list[str]:
    """What else its details tell, each a few words."""
    detail = deed["detail"] or {}
    said = _named(code_of(deed), language)
    told: list[str] = []
    for key, value in sorted(detail.items(), key=lambda one: _PLACES.get(one[0], len(_PLACES))):
        empty = not value if key == "sessions" else value in (None, [], "") and key != "tenants"
        if key in _NOT_SHOWN or key in said or empty:
            continue
        told += words.changes(detail, language) if key == "changes" else [_besides(key, value, detail, language)]
    return told


def code_of(deed: Deed) -> str:
    """The code of a verb's sentence."""
    verb = str(deed["verb"])
    if verb == "links remove" and "erased" in (deed["detail"] or {}):
        return "did.people_erase"
    return f"did.{verb.replace(' ', '_').replace('-', '_')}"


def _named(code: str, language: Language) -> set[str]:
    """Which parameters a sentence names."""
    if code not in SENTENCES:
        return set()
    found = template(code, language)
    parts = Formatter().parse(found if isinstance(found, str) else found[1])
    return {str(name) for _, name, _, _ in parts if name}


def _besides(key: str, value: object, detail: Mapping[str, Any], language: Language) -> str:
    worded = _worded(key, value, detail, language)
    code = f"detail.{key}"
    count = value if isinstance(value, int) else 2
    return say(code, language, value=worded, count=count) if code in SENTENCES else f"{key} {worded}"


def _worded(key: str, value: object, detail: Mapping[str, Any], language: Language) -> str:
    known = _WORDS.get(key)
    if known is not None:
        return known(value, detail, language)
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _word(kind: str) -> Callable[[object, Mapping[str, Any], Language], str]:
    """A word of ours, which the catalogue has as ``<kind><word>``."""

    def worded(value: object, detail: Mapping[str, Any], language: Language) -> str:
        code = f"{kind}{value}"
        return say(code, language) if code in SENTENCES else str(value)

    return worded


def _tenants(value: object, detail: Mapping[str, Any], language: Language) -> str:
    if value is None:
        return say("users.all_tenants", language)
    return ", ".join(map(str, value)) if isinstance(value, list) and value else say("users.no_tenants", language)


def _state(value: object, detail: Mapping[str, Any], language: Language) -> str:
    """Of a user their role and tenants, of a link the account."""
    if not isinstance(value, list):
        return str(value)
    role, tenants = value
    return f"{_word('role.')(role, detail, language)}, {_tenants(tenants, detail, language)}"


def _decision(value: object, detail: Mapping[str, Any], language: Language) -> str:
    code = f"decision.{value}"
    account = detail.get("after") or "–"
    return say(code, language, account=account) if code in SENTENCES else str(value)


def _directions(value: object, detail: Mapping[str, Any], language: Language) -> str:
    found = value if isinstance(value, list) else [value]
    return ", ".join(_word("direction.")(one, detail, language).lower() for one in found)


def _at(value: object, detail: Mapping[str, Any], language: Language) -> str:
    try:
        return words.absolute(datetime.fromisoformat(str(value)), language)
    except ValueError:
        return str(value)


def _system(value: object, detail: Mapping[str, Any], language: Language) -> str:
    return {"afas": "AFAS", "pluvo": "Pluvo"}.get(str(value), str(value))


def _how_many(value: object, detail: Mapping[str, Any], language: Language) -> str:
    return words.number(len(value) if isinstance(value, list) else 1, language)


def _begin(value: object, detail: Mapping[str, Any], language: Language) -> str:
    return str(value)[:12]


def _key(value: object, detail: Mapping[str, Any], language: Language) -> str:
    return say("detail.key_inside" if value else "detail.no_key_inside", language)


_WORDS: Mapping[str, Callable[[object, Mapping[str, Any], Language], str]] = {
    "role": _word("role."),
    "tenants": _tenants,
    "before": _state,
    "after": _state,
    "decision": _decision,
    "result": _word("letters.state_"),
    "state": _word("completions.state_"),
    "kind": _word("alert_kind."),
    "auth": _word("auth."),
    "system": _system,
    "directions": _directions,
    "until": _at,
    "made_at": _at,
    "lines": _how_many,
    "plan_hash": _begin,
    "with_key": _key,
}
