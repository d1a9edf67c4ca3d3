"""Change a tenant's settings one by one: what a form sends is validated as the tenants file is, and stored as by it.

Secrets stand nowhere here, but for the webhook's, which is only taken. Courses stay as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from typing_extensions import TypedDict

import settings
from models.tenant_settings import Limits
from ops import access
from ops.tenants import blackout_text, export, file_spec, importing
from ops.tenants.blackout_text import written
from ops.tenants.file import WrongValues, judge_one, words
from ops.tenants.importing import Imported

# What can be changed, by its place in the file, in the order in which it is asked
PLAIN = ("name", "timezone", "interval", "blackout")
AFAS = ("afas.parallel_calls", "afas.secret_ends")
PLUVO = ("pluvo.calls_per_second", "pluvo.people_per_call", "pluvo.webhook_secret")
REMOVALS = ("removals.policy", "removals.confirm_after")
LIMITS = tuple(f"removals.limits.{name}" for name in Limits.model_fields)
KEYS = (*PLAIN, *AFAS, *PLUVO, *REMOVALS, *LIMITS)
SECRETS = ("pluvo.webhook_secret",)
POLICIES = ("keep", "unenroll", "unenroll_and_archive")
_NUMBERS = (*AFAS[:1], *PLUVO[:2], *LIMITS)


class Settings(TypedDict):
    """``values``: key → as it is typed; of a secret nothing. ``version``: to be given back with what is changed."""

    tenant: str
    name: str
    environment: str
    values: dict[str, str]
    secrets: list[str]
    version: int


def read(slug: str) -> Settings:
    """The settings as they are now, with what holds where nothing was said."""
    access.check("tenants.edit", slug)
    document, version = export.versioned(slug)
    spec = judge_one(without_secrets(document))
    return {
        "tenant": slug,
        "name": spec.name,
        "environment": spec.afas.environment,
        "values": {key: _text(spec, key) for key in KEYS if key not in SECRETS},
        "secrets": [key for key in SECRETS if _at(document, key) is True],
        "version": version,
    }


def change(slug: str, given: Mapping[str, str], version: int, who: str) -> Imported:
    """Store what is given; what is left out stays. Raises WrongValues.

    Raises AlreadyDecided where somebody changed it meanwhile.
    """
    access.check("tenants.edit", slug)
    document = without_secrets(export.document(slug))
    for key, typed in given.items():
        if key in KEYS and not (key in SECRETS and not typed.strip()):
            _put(document, key, _blackouts(typed) if key == "blackout" else _value(key, typed.strip()))
    (done,) = importing.apply([judge_one(document)], who, verb="tenants edit", version=version)
    return done


def without_secrets(document: dict[str, Any]) -> dict[str, Any]:
    """A tenant as the file has it, without what stands for its secrets: those that are stored stay."""
    for path in importing.SECRETS.values():
        table, key = path.split(".")
        if table in document:
            document[table] = {name: value for name, value in document[table].items() if name != key}
    return document


def _text(spec: file_spec.Tenant, key: str) -> str:
    value = spec
    for part in key.split("."):
        value = getattr(value, part)
    if key in ("interval", "removals.confirm_after"):
        return settings.format_duration(int(str(value)))
    if key == "blackout":
        return written(one.stored() for one in spec.blackout)
    return "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _blackouts(typed: str) -> list[dict[str, Any]]:
    try:
        return blackout_text.read(typed)
    except ValueError as error:
        raise WrongValues("wrong_values", keys="blackout", told={"blackout": words(str(error))}) from None


def _value(key: str, typed: str) -> str | int | float | Literal[""] | None:
    """As the file would have it. What is no number stays text, which the file's own classes refuse."""
    if key == "afas.secret_ends" and not typed:
        return None
    if key not in _NUMBERS:
        return typed
    number = typed.replace(",", ".")
    for kind in (int, float):
        try:
            return kind(number)
        except ValueError:
            continue
    return typed


def _at(document: Mapping[str, Any], key: str) -> object:
    found: Any = document
    for part in key.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found


def _put(document: dict[str, Any], key: str, value: object) -> None:
    *tables, last = key.split(".")
    place = document
    for table in tables:
        place[table] = dict(place.get(table) or {})
        place = place[table]
    if value is None:
        place.pop(last, None)
    else:
        place[last] = value
