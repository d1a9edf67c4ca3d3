"""Set up a tenant question by question: a draft and an answer give a new draft, or the reason why not.

Whoever asks (a terminal, a page) shows ``pending(draft)`` and gives what was answered to ``onboarding_store.give``.
``document`` is the draft as a tenants file has it. Nothing here is stored, and nobody is called.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import settings
from models.course_settings import ALL
from models.tenant import Tenant
from ops.tenants import file_spec

# What can be asked beside the columns that are needed, where AFAS shows one that looks like it.
OPTIONAL_COLUMNS = ("email_secondary", "modified", "start", "end", "blocked")
NEEDED_COLUMNS = ("event_id", "internal_id", "external_id", "name", "email_primary")
# Answers that are no part of the file.
OURS = re.compile(r"events|(target|title)\..+|.+\.(reached|tried)|otp\..+|write_back")
SYSTEMS = ("afas", "pluvo")
LEFT_OUT = "-"
# What a title begins with that is of a course, not of a training
COURSE = "course:"
CODE_AND_TOKEN = ("otp.api_key", "otp.environment_key", "otp.tried", "otp.code", "afas.token")


def is_secret(name: str) -> bool:
    """Whether the answer of this name is never shown."""
    return name.endswith(("secret", "token", "_key", "code"))


@dataclass(frozen=True)
class Draft:
    """As far as somebody came. Secrets stand in ``secrets`` only; their answer is ``"set"``."""

    slug: str = ""
    answers: Mapping[str, Any] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    facts: Mapping[str, Any] = field(default_factory=dict)
    # The stored tenant that courses are added to; None for a tenant to be
    tenant: Tenant | None = field(default=None, repr=False)
    # Whether it is kept after every answer
    kept: bool = True
    # Who answered last, and when: kept only in place of that
    by: str = field(default="", compare=False)
    revision: datetime | None = field(default=None, compare=False)

    def but(self, name: str, value: Any) -> Draft:
        """With one more answer."""
        return replace(self, answers={**self.answers, name: value})

    def know(self, **facts: Any) -> Draft:
        """With more facts."""
        return replace(self, facts={**self.facts, **facts})

    def without(self, *names: str) -> Draft:
        """Without some answers, which will be asked again; the last ones become proposals, but for secrets.

        What is of the stored tenant stays.
        """
        gone = {name: value for name, value in self.answers.items() if name in names}
        gone = {name: value for name, value in gone.items() if name not in self.facts.get("fixed", ())}
        if not gone:
            return self
        kept = {name: value for name, value in self.answers.items() if name not in gone}
        before = {**self.facts.get("before", {}), **{n: v for n, v in gone.items() if not is_secret(n)}}
        secrets = {name: value for name, value in self.secrets.items() if name not in gone}
        return replace(self, answers=kept, secrets=secrets).know(before=before)


@dataclass(frozen=True)
class Question:
    """One thing to be asked. ``act``: nothing is asked, it is tried, and an empty answer does.

    ``choices``: (value, what it is called); other values are refused. ``words``: the name of its sentence,
    ``ask.<words>``, with ``parameters``.
    """

    name: str
    kind: Literal["text", "secret", "choice", "act"] = "text"
    choices: tuple[tuple[str, str], ...] = ()
    proposal: str | None = None
    optional: bool = False
    words: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)

    @property
    def sentence(self) -> str:
        """The code of what is asked."""
        return f"ask.{self.words or self.name}"


class Refused(Exception):
    """An answer that can't be right: ``cause.<code>`` and ``action.<code>`` say why and what to do.

    ``again``: the answers that have to be given anew; none where the same may work later.
    """

    def __init__(self, code: str, *again: str, **parameters: Any) -> None:
        super().__init__(code)
        self.code, self.again, self.parameters = code, again, parameters
        self.draft = Draft()
        # The name of what was asked
        self.question = ""


def pending(draft: Draft) -> Question | None:
    """What is to be asked next; None when all is there, or what is wanted of it."""
    if draft.facts.get("until") in draft.answers:
        return None
    found = next((one for one in questions(draft) if one.name not in draft.answers), None)
    before = draft.facts.get("before", {}).get(found.name) if found else None
    return replace(found, proposal=as_text(before)) if found and before not in (None, LEFT_OUT) else found


def as_text(answer: Any) -> str:
    """An answer as it is typed: ``340, 341``, ``group:ref``, nothing for what is left out."""
    if answer == LEFT_OUT:
        return ""
    if not isinstance(answer, list):
        return str(answer)
    if answer[0] in ("offer_event_ref", "group_ref"):
        return f"{'group:' if answer[0] == 'group_ref' else ''}{answer[1]}"
    return ", ".join(map(str, answer))


def back(draft: Draft) -> Draft:
    """The draft without the last answer, and without what was tried after it."""
    names = [one for one in questions(draft) if one.name in draft.answers]
    last = max((place for place, one in enumerate(names) if one.kind != "act"), default=len(names))
    dropped = [one.name for one in names[last:]]
    # The keys are forgotten once a token was made of them, so another code needs them again.
    return draft.without(*dropped, *(CODE_AND_TOKEN if "otp.code" in dropped else ()))


def validated(draft: Draft) -> file_spec.Tenant:
    """The draft as the tenants file is read. Raises ValidationError."""
    context = {"folder": Path(), "allow_insecure_urls": settings.get().allow_insecure_urls, "keep_secrets": True}
    return file_spec.Tenant.model_validate(document(draft), context=context, extra="forbid")


def document(draft: Draft) -> dict[str, Any]:
    """One of the tenants of a tenants file, as complete as the draft is."""
    fields: dict[str, str] = {}
    pluvo: dict[str, bool] = {}
    rest: dict[str, str] = {}
    for name, value in draft.answers.items():
        table, _, key = name.rpartition(".")
        if OURS.fullmatch(name) or value == LEFT_OUT or table in SYSTEMS or name in ("slug", "name"):
            continue
        if table == "fields":
            fields[key] = value
        elif name == "send_invite":
            pluvo[name] = value == "yes"
        else:
            rest[key] = value
    field_code = draft.answers.get("write_back", LEFT_OUT)
    if field_code != LEFT_OUT:
        rest["updateconnector"], rest["completion_field"] = draft.facts["updateconnector"], field_code
        if column := draft.facts.get("shown", {}).get(field_code):
            fields["completion"] = column
    own = {name: draft.answers[name] for name in ("slug", "name") if name in draft.answers}
    shared = {"fields": fields, "pluvo": pluvo, **rest}
    also = draft.facts.get("also", {})
    plain = {key: value for key, value in also.items() if key not in (*SYSTEMS, "columns")}
    tables = {name: {**table, **also.get(name, {})} for name, table in systems(draft).items()}
    return {**own, **plain, **tables, "course_defaults": shared, **_linked(draft)}


def systems(draft: Draft) -> dict[str, dict[str, str]]:
    """The tables of AFAS and Pluvo."""
    found: dict[str, dict[str, str]] = {table: {} for table in SYSTEMS}
    for name, value in draft.answers.items():
        table, _, key = name.rpartition(".")
        if table in SYSTEMS and value != LEFT_OUT and not OURS.fullmatch(name):
            given = draft.secrets.get(name, value)
            found[table][key] = "token" if (name, given) == ("afas.auth", "code") else given
    return found


def _linked(draft: Draft) -> Mapping[str, object]:
    events = draft.answers.get("events")
    if events is None:
        return {}
    made = []
    for event in events:
        place, title = draft.answers.get(f"target.{event}"), draft.answers.get(f"title.{event}", LEFT_OUT)
        if place is None:
            return {}
        key, ref = place
        wanted = {} if title == LEFT_OUT else {"completion_title": title.removeprefix(COURSE)}
        if title.startswith(COURSE):
            wanted["completion_level"] = "course"
        if event == ALL:
            return {"course_rules": [{"events": [event], key: ref, **wanted}]}
        made.append({"event_id": event, "pluvo": {key: ref, **wanted}})
    return {"courses": made}


def questions(draft: Draft) -> Iterator[Question]:
    """All that is asked, in order; what depends on an answer comes after it."""
    if draft.tenant is None:
        yield Question("slug")
        yield Question("name")
        yield from _afas(draft)
        yield from _pluvo()
    yield from _mapping(draft)
    yield from _courses(draft)


def _afas(draft: Draft) -> Iterator[Question]:
    yield Question("afas.member_id")
    environments = tuple((one, "") for one in ("production", "test", "accept"))
    yield Question("afas.environment", "choice", environments, "production")
    if settings.get().allow_insecure_urls:
        yield Question("afas.base_url", optional=True)
    yield Question("afas.auth", "choice", (("oauth", ""), ("token", ""), ("code", "")), "oauth")
    auth = draft.answers.get("afas.auth")
    if auth == "oauth":
        yield Question("afas.client_id")
        yield Question("afas.client_secret", "secret")
        yield Question("afas.secret_ends", optional=True)
    elif auth == "token":
        yield Question("afas.token", "secret")
    else:
        yield Question("otp.api_key", "secret")
        yield Question("otp.environment_key", "secret")
        yield Question("otp.user")
        yield Question("otp.tried", "act")
        yield Question("otp.code", "secret")
    yield Question("afas.reached", "act")


def _pluvo() -> Iterator[Question]:
    yield Question("pluvo.organisation")
    if settings.get().allow_insecure_urls:
        yield Question("pluvo.base_url", optional=True)
    yield Question("pluvo.client_id")
    yield Question("pluvo.client_secret", "secret")
    yield Question("pluvo.reached", "act")


def _mapping(draft: Draft) -> Iterator[Question]:
    connectors = tuple(draft.facts.get("getconnectors", {}).items())
    yield Question("getconnector", "choice", connectors, connectors[0][0] if len(connectors) == 1 else None)
    columns = tuple((one["id"], one["label"]) for one in draft.facts.get("columns", ()))
    proposed = draft.facts.get("proposed", {})
    optional = {*proposed, *draft.facts.get("also", {}).get("columns", ())}
    for key in (*NEEDED_COLUMNS, *(one for one in OPTIONAL_COLUMNS if one in optional)):
        yield Question(f"fields.{key}", "choice", columns, proposed.get(key), key in OPTIONAL_COLUMNS)
    yield Question("mapping.tried", "act")


def _courses(draft: Draft) -> Iterator[Question]:
    listed, facts = draft.facts.get("events", ()), draft.facts
    yield Question("events", parameters={"listed": ", ".join(listed) or "-"}, proposal=", ".join(listed[:1]) or None)
    events = draft.answers.get("events", ())
    for event in events:
        proposal = "afas-{event_id}" if event == ALL else facts.get("refs", {}).get(event)
        words = "target_all" if event == ALL else "target"
        yield Question(f"target.{event}", "text", (), proposal, words=words, parameters={"event": event})
    if fields := facts.get("day_fields"):
        yield Question("write_back", "choice", tuple(fields.items()), facts.get("proposed_field"), optional=True)
    written = draft.answers.get("write_back", LEFT_OUT)
    if written in facts.get("text_fields", ()):
        yield Question("completion_format", proposal="%d-%m-%Y")
    for event in events if written != LEFT_OUT else ():
        words = "title_all" if event == ALL else "title"
        yield Question(f"title.{event}", optional=True, words=words, parameters={"event": event})
    if draft.tenant is None and draft.answers.get("afas.environment") == "production":
        yield Question("send_invite", "choice", (("no", ""), ("yes", "")), "no")
