"""What the tenants file may say, as types: every key, its kind, its limits. ``ops/tenants/file.py`` reads the file.

Durations come out in seconds, secrets as their text, the AFAS member id as five digits.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator, model_validator

from clients.afas import AFAS_HOSTS, normalise_token, parse_member_id
from clients.http import checked_base_url
from clients.pluvo import PLUVO_HOSTS, pluvo_base_url
from models.afas_values import event_number
from models.tenant_settings import (
    AfasSettings,
    CompletionRule,
    CourseTarget,
    DateFormat,
    FieldMap,
    FieldName,
    Level,
    PluvoSettings,
    RemovalSettings,
    Table,
    Text,
)
from ops.problems import FileProblems
from ops.terminal.files import read_text
from settings import format_duration, parse_duration

MAX_SECRET_BYTES = 100_000
SLUG = re.compile(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?")


def _secret(value: Any, info: ValidationInfo) -> Any:
    """The text of a secret: literal, ``{ env = "NAME" }`` or ``{ file = "path" }`` (beside the tenants file)."""
    if not isinstance(value, dict):
        return value
    if len(value) != 1 or not set(value) <= {"env", "file"} or not isinstance(next(iter(value.values())), str):
        raise ValueError('a secret is text, { env = "NAME" } or { file = "path" }')
    if "env" in value:
        if value["env"].upper().startswith("KOPPELING_"):
            raise ValueError(f"{value['env']} is a setting of ours, no secret of a tenant's: choose another name")
        found = os.environ.get(value["env"], "")
        problem = f"environment variable {value['env']} is not set"
    else:
        folder = info.context["folder"] if info.context else Path()
        try:
            found = read_text(folder / value["file"], MAX_SECRET_BYTES)
        except FileProblems as unread:
            why = str(unread).removeprefix(f"{folder / value['file']}: ")
            raise ValueError(f"can't read {value['file']}: {why}") from None
        problem = f"{value['file']} is empty"
    if not found.strip():
        raise ValueError(problem)
    return found.strip()


def _duration(minimum: str, maximum: str) -> Callable[[Any], int]:
    def check(value: Any) -> int:
        if not isinstance(value, str):
            raise ValueError('must be text such as "60m", between quotes')
        seconds = parse_duration(value)
        if not parse_duration(minimum) <= seconds <= parse_duration(maximum):
            raise ValueError(f"must be {minimum} to {maximum}, not {format_duration(seconds)}")
        return seconds

    return check


def _checked(value: str | None, info: ValidationInfo, hosts: str) -> str | None:
    insecure = bool(info.context and info.context["allow_insecure_urls"])
    return value if value is None else checked_base_url(value, hosts, insecure=insecure)


Secret = Annotated[Text, BeforeValidator(_secret)]


class Afas(AfasSettings):
    client_secret: Secret | None = Field(default=None, repr=False)
    token: Secret | None = Field(default=None, repr=False)

    _digits = field_validator("member_id")(parse_member_id)

    @field_validator("base_url")
    @classmethod
    def _base_url(cls, value: str | None, info: ValidationInfo) -> str | None:
        return _checked(value, info, AFAS_HOSTS)

    @field_validator("token")
    @classmethod
    def _is_token(cls, value: str | None) -> str | None:
        if value is not None:
            normalise_token(value)
        return value

    @model_validator(mode="after")
    def _credentials(self) -> Afas:
        if self.auth == "oauth":
            lacking = [name for name in ("client_id", "client_secret") if getattr(self, name) is None]
            if lacking:
                raise ValueError(f'{" and ".join(lacking)} missing: auth = "oauth" needs them')
        return self

    def stored(self) -> AfasSettings:
        """Without the secrets."""
        return AfasSettings.model_validate(self.model_dump())


class Pluvo(PluvoSettings):
    client_secret: Secret = Field(repr=False)
    webhook_secret: Secret | None = Field(default=None, repr=False)

    @field_validator("base_url")
    @classmethod
    def _base_url(cls, value: str | None, info: ValidationInfo) -> str | None:
        return _checked(value, info, PLUVO_HOSTS)

    @field_validator("organisation")
    @classmethod
    def _label(cls, value: str) -> str:
        pluvo_base_url(value)
        return value.lower()

    def stored(self) -> PluvoSettings:
        """Without the secrets."""
        return PluvoSettings.model_validate(self.model_dump())


class Removals(RemovalSettings):
    _seconds = field_validator("confirm_after", mode="before")(_duration("0s", "30d"))

    def stored(self) -> RemovalSettings:
        """With the duration in seconds."""
        return RemovalSettings.model_validate(self.model_dump())


class CoursePluvo(CourseTarget):
    completion_level: Level = "training"
    completion_title: Text | None = None

    def stored(self) -> CourseTarget:
        """Only where people are enrolled."""
        return CourseTarget.model_validate(self.model_dump())


class Course(Table):
    event_id: Text
    getconnector: Text
    updateconnector: Text = "KnCourseMember"
    completion_field: FieldName | None = None
    completion_type: Literal["date", "text"] | None = None
    completion_format: DateFormat = "%Y-%m-%d"
    fields: FieldMap
    pluvo: CoursePluvo
    completions: tuple[CompletionRule, ...] = ()

    @field_validator("event_id")
    @classmethod
    def _number(cls, value: str) -> str:
        if event_number(value) != value:
            raise ValueError('must be the number (CrId) of the event in AFAS, such as "340"')
        return value

    @model_validator(mode="after")
    def _write_back(self) -> Course:
        if (self.completion_field is None) != (self.pluvo.completion_title is None):
            raise ValueError("completion_field and pluvo.completion_title go together: give both or neither")
        named = [rule.field for rule in self.rules()]
        twice = sorted({name for name in named if named.count(name) > 1})
        if twice:
            raise ValueError(f"{', '.join(twice)} is filled by more than one completion")
        return self

    def rules(self) -> list[CompletionRule]:
        """What is written back: the course's own keys first, then its ``completions`` tables."""
        if self.completion_field is None or self.pluvo.completion_title is None:
            return list(self.completions)
        standard = CompletionRule(
            level=self.pluvo.completion_level,
            title=self.pluvo.completion_title,
            field=self.completion_field,
            type=self.completion_type,
            format=self.completion_format,
            column=self.fields.completion,
        )
        return [standard, *self.completions]


class Tenant(Table):
    slug: Text
    name: Text
    timezone: Text = "Europe/Amsterdam"
    interval: int = 3600
    afas: Afas
    pluvo: Pluvo
    removals: Removals = Removals()
    courses: tuple[Course, ...] = ()

    _seconds = field_validator("interval", mode="before")(_duration("15m", "24h"))

    @field_validator("slug")
    @classmethod
    def _slug(cls, value: str) -> str:
        if not SLUG.fullmatch(value):
            raise ValueError("must be a-z, 0-9 and inner hyphens, at most 40 characters")
        return value

    @field_validator("timezone")
    @classmethod
    def _zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (KeyError, ValueError, OSError):
            raise ValueError("is no time zone: write one such as Europe/Amsterdam") from None
        return value


class File(Table):
    tenants: list[Tenant]
