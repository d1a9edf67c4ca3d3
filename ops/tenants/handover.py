"""The mail to whoever runs AFAS at the customer's: exactly what is still missing there, made from a check."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from typing_extensions import TypedDict

from models.session import session
from models.tenant import Tenant
from ops import lookup
from ops.language import SENTENCES, Language, say
from ops.tenants.check import check
from ops.tenants.check_findings import FindingDocument


class Request(TypedDict):
    """One thing to ask for, by the code of the finding."""

    code: str
    text: str


class Handover(TypedDict):
    """The mail, and one by one what it asks for; no items when nothing is missing."""

    tenant: str
    language: Language
    subject: str
    items: list[Request]
    text: str


def handover(slug: str, language: Language = "nl") -> Handover:
    """Check both sides, and ask for what AFAS lacks: ``ask.<code>`` is the request that a finding leads to."""
    with session() as opened:
        tenant = lookup.tenant(opened, slug)
    items = list(_items(check(slug)["probes"], tenant, language))
    about = {"name": tenant.name, "member_id": tenant.afas.member_id, "environment": tenant.afas.environment}
    return mail(slug, about, items, language)


def mail(slug: str, about: Mapping[str, object], items: Sequence[Request], language: Language) -> Handover:
    """The mail around what is asked; ``about``: ``name``, ``member_id``, ``environment`` of the customer."""
    lines = [say("handover.greeting", language), ""]
    if items:
        lines += [say("handover.intro", language, **about, count=len(items)), ""]
        lines += [f"{number}. {item['text']}" for number, item in enumerate(items, start=1)]
        lines += ["", say("handover.secrets", language), say("handover.closing", language)]
    else:
        lines += [say("handover.nothing", language, **about)]
    return {
        "tenant": slug,
        "language": language,
        "subject": say("handover.subject", language, **about),
        "items": list(items),
        "text": "\n".join(lines) + "\n",
    }


def _items(probes: Sequence[FindingDocument], tenant: Tenant, language: Language) -> Iterator[Request]:
    """One request for each thing, however many courses miss it."""
    told: set[str] = set()
    for probe in probes:
        code = f"ask.{probe['code']}"
        if code not in SENTENCES or probe["parameters"].get("system") == "Pluvo":
            continue
        given = {name: _joined(value) for name, value in probe["parameters"].items()}
        text = say(code, language, **{"member_id": tenant.afas.member_id} | given)
        if text not in told:
            told.add(text)
            yield {"code": probe["code"], "text": text}


def _joined(value: Any) -> Any:
    return ", ".join(map(str, value)) if isinstance(value, list) else value
