"""What the tenants file may say, as types: every key, its kind, its limits. ``ops/tenants/file.py`` reads the file.

Durations come out in seconds, secrets as their text, the AFAS member id as five digits.
"""

from __future__ import annotations

import os
import re
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationInfo,
    field_validator,
    model_validator,
)

from clients.afas import normalise_token, parse_member_id
from clients.http import checked_base_url
from clients.pluvo import pluvo_base_url
from models.afas_values import event_number
from ops.problems import FileProblems
from ops.terminal.files import read_text
from settings import format_duration, parse_duration
from tenancy.systems import AFAS_HOSTS, PLUVO_HOSTS

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


def _duration(minimum: str, maximum: str) -> Any:
    def check(value: Any) -> int:
        if not isinstance(value, str):
            raise ValueError('must be text such as "60m", between quotes')
        seconds = parse_duration(value)
        if not parse_duration(minimum) <= seconds <= parse_duration(maximum):
            raise ValueError(f"must be {minimum} to {maximum}, not {format_duration(seconds)}")
        return seconds

    return Annotated[int, BeforeValidator(check)]


def _base_url(hosts: str) -> Any:
    def check(value: str, info: ValidationInfo) -> str:
        insecure = bool(info.context and info.context["allow_insecure_urls"])
        return checked_base_url(value, hosts, insecure=insecure)

    return Annotated[Text, AfterValidator(check)]


Text = Annotated[str, StringConstraints(strict=True, strip_whitespace=True, min_length=1, max_length=500)]
Secret = Annotated[Text, BeforeValidator(_secret)]
Flag = Annotated[bool, Field(strict=True)]
Count = Annotated[int, Field(strict=True, ge=0, le=1_000_000)]
Percent = Annotated[float, Field(strict=True, ge=0, le=100)]


class Table(BaseModel):
    """A TOML table: unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class Afas(Table):
    member_id: Text
    environment: Literal["production", "test", "accept"] = "production"
    auth: Literal["oauth", "token"] = "oauth"
    client_id: Text | None = None
    client_secret: Secret | None = Field(default=None, repr=False)
    token: Secret | None = Field(default=None, repr=False)
    parallel_calls: Annotated[int, Field(strict=True, ge=1, le=5)] = 2
    base_url: _base_url(AFAS_HOSTS) | None = None  # type: ignore[valid-type]  # made by a function

    _digits = field_validator("member_id")(parse_member_id)

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


class Pluvo(Table):
    organisation: Text
    client_id: Text
    client_secret: Secret = Field(repr=False)
    webhook_secret: Secret | None = Field(default=None, repr=False)
    calls_per_second: Annotated[float, Field(strict=True, ge=0, le=1000)] = 5
    base_url: _base_url(PLUVO_HOSTS) | None = None  # type: ignore[valid-type]  # made by a function

    @field_validator("organisation")
    @classmethod
    def _label(cls, value: str) -> str:
        pluvo_base_url(value)
        return value.lower()


class Limits(Table):
    event_count: Count = 3
    event_percent: Percent = 10
    run_count: Count = 10
    run_percent: Percent = 5
    window_count: Count = 25
    window_percent: Percent = 15
    creates_count: Count = 100
    creates_percent: Percent = 50
    email_changes_count: Count = 10
    email_changes_percent: Percent = 20


class Removals(Table):
    policy: Literal["keep", "unenroll", "unenroll_and_archive"] = "unenroll"
    confirm_after: _duration("0s", "30d") = 3600  # type: ignore[valid-type]  # made by a function
    limits: Limits = Limits()


class Fields(Table):
    event_id: Text
    internal_id: Text
    external_id: Text
    name: Text
    email_primary: Text
    email_secondary: Text | None = None
    completion: Text | None = None
    modified: Text | None = None
    start: Text | None = None
    end: Text | None = None
    blocked: Text | None = None

    @field_validator("event_id", "internal_id")
    @classmethod
    def _can_be_ordered_on(cls, value: str) -> str:
        if re.search(r"[.,;]", value):
            raise ValueError("AFAS can't order or filter on a column with a dot, comma or semicolon: have it renamed")
        return value

    @model_validator(mode="after")
    def _two_ids(self) -> Fields:
        if self.event_id == self.internal_id:
            raise ValueError("event_id and internal_id name the same column")
        return self


def _format(value: str) -> str:
    day = date(2026, 12, 31)
    try:
        if datetime.strptime(day.strftime(value), value).date() == day:  # noqa: DTZ007 - a day has no zone
            return value
    except ValueError:
        pass
    raise ValueError("must write a whole date that can be read back, such as %Y-%m-%d or %d-%m-%Y")


class Rule(Table):
    """Which completion goes into which field."""

    level: Literal["training", "course"] = "training"
    title: Text
    field: Annotated[Text, StringConstraints(pattern=r"^[A-Za-z0-9_]+$")]
    type: Literal["date", "text"] | None = None
    format: Annotated[Text, AfterValidator(_format)] = "%Y-%m-%d"
    column: Text | None = None


class CoursePluvo(Table):
    offer_event_ref: Text | None = None
    group_ref: Text | None = None
    completion_level: Literal["training", "course"] = "training"
    completion_title: Text | None = None
    send_invite: Flag = False

    @model_validator(mode="after")
    def _one_target(self) -> CoursePluvo:
        if (self.offer_event_ref is None) == (self.group_ref is None):
            raise ValueError("give offer_event_ref or group_ref, one of the two: it says where the person is enrolled")
        return self


class Course(Table):
    event_id: Text
    getconnector: Text
    updateconnector: Text = "KnCourseMember"
    completion_field: Annotated[Text, StringConstraints(pattern=r"^[A-Za-z0-9_]+$")] | None = None
    completion_type: Literal["date", "text"] | None = None
    completion_format: Annotated[Text, AfterValidator(_format)] = "%Y-%m-%d"
    fields: Fields
    pluvo: CoursePluvo
    completions: list[Rule] = []

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

    def rules(self) -> list[Rule]:
        """What is written back: the course's own keys first, then its ``completions`` tables."""
        if self.completion_field is None or self.pluvo.completion_title is None:
            return list(self.completions)
        standard = Rule(
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
    interval: _duration("15m", "24h") = 3600  # type: ignore[valid-type]  # made by a function
    afas: Afas
    pluvo: Pluvo
    removals: Removals = Removals()
    courses: list[Course] = []

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
