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

from pydantic import BeforeValidator, Field, ValidationError, ValidationInfo, field_validator, model_validator

from clients.afas import AFAS_HOSTS, normalise_token, parse_member_id
from clients.http import checked_base_url
from clients.pluvo import PLUVO_HOSTS, pluvo_base_url
from models.blackouts import LEAST_MINUTES, free_minutes
from models.course_settings import PLACES, CourseDefaults, CourseRule, CourseSettings
from models.tenant_settings import (
    AfasSettings,
    AlertSettings,
    Blackout,
    Blackouts,
    PluvoSettings,
    RemovalSettings,
    Table,
    Text,
)
from ops.problems import FileProblems
from ops.terminal.files import read_text
from settings import format_duration, parse_duration

MAX_SECRET_BYTES = 100_000
# The shortest and the longest that each duration may be
INTERVAL = ("15m", "24h")
CONFIRM_AFTER = ("0s", "30d")
SLUG = re.compile(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?")


def read_secret(value: Any, info: ValidationInfo) -> Any:
    """The text of a secret, for the classes below."""
    return secret_of(value, info.context["folder"] if info.context else Path())


def secret_of(value: Any, folder: Path | None) -> Any:
    """The text of a secret: literal, ``{ env = "NAME" }`` or ``{ file = "path" }`` in the folder. Raises ValueError.

    Without a folder only a literal one: who sends a document may not choose what is read on this machine.
    """
    if not isinstance(value, dict):
        return value
    if folder is None:
        raise ValueError("a secret is text here")
    if len(value) != 1 or not set(value) <= {"env", "file"} or not isinstance(next(iter(value.values())), str):
        raise ValueError('a secret is text, { env = "NAME" } or { file = "path" }')
    if "env" in value:
        if value["env"].upper().startswith("KOPPELING_"):
            raise ValueError(f"{value['env']} is a setting of ours, no secret of a tenant's: choose another name")
        found = os.environ.get(value["env"], "")
        problem = f"environment variable {value['env']} is not set (a key that is left out keeps what is stored)"
    else:
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


def _keeps_secrets(info: ValidationInfo) -> bool:
    """Whether a secret that is left out may be stored already."""
    return bool(info.context and info.context.get("keep_secrets"))


Secret = Annotated[Text, BeforeValidator(read_secret)]


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
    def _credentials(self, info: ValidationInfo) -> Afas:
        if self.auth == "oauth":
            needed = ("client_id",) if _keeps_secrets(info) else ("client_id", "client_secret")
            lacking = [name for name in needed if getattr(self, name) is None]
            if lacking:
                raise ValueError(f'{" and ".join(lacking)} missing: auth = "oauth" needs them')
        return self

    def stored(self) -> AfasSettings:
        """Without the secrets."""
        return AfasSettings.model_validate(self.model_dump())


class Pluvo(PluvoSettings):
    client_secret: Secret | None = Field(default=None, repr=False)
    # "" takes the stored one away
    webhook_secret: Secret | Literal[""] | None = Field(default=None, repr=False)

    @field_validator("base_url")
    @classmethod
    def _base_url(cls, value: str | None, info: ValidationInfo) -> str | None:
        return _checked(value, info, PLUVO_HOSTS)

    @field_validator("organisation")
    @classmethod
    def _label(cls, value: str) -> str:
        pluvo_base_url(value)
        return value.lower()

    @model_validator(mode="after")
    def _credentials(self, info: ValidationInfo) -> Pluvo:
        if self.client_secret is None and not _keeps_secrets(info):
            raise ValueError("client_secret is missing")
        return self

    def stored(self) -> PluvoSettings:
        """Without the secrets."""
        return PluvoSettings.model_validate(self.model_dump())


class Removals(RemovalSettings):
    _seconds = field_validator("confirm_after", mode="before")(_duration(*CONFIRM_AFTER))

    def stored(self) -> RemovalSettings:
        """With the duration in seconds."""
        return RemovalSettings.model_validate(self.model_dump())


class Alerts(AlertSettings):
    # "" takes the stored one away
    webhook_secret: Secret | Literal[""] | None = Field(default=None, repr=False)

    @field_validator("webhook")
    @classmethod
    def _webhook(cls, value: str | None, info: ValidationInfo) -> str | None:
        insecure = bool(info.context and info.context["allow_insecure_urls"])
        return value if value is None else checked_webhook(value, insecure=insecure)

    @model_validator(mode="after")
    def _signed(self, info: ValidationInfo) -> Alerts:
        if self.webhook is not None and not self.webhook_secret and not _keeps_secrets(info):
            raise ValueError("webhook_secret is missing: what goes to the webhook is signed with it")
        return self

    def stored(self) -> AlertSettings:
        """Without the secret."""
        return AlertSettings.model_validate(self.model_dump())


def checked_webhook(value: str, *, insecure: bool) -> str:
    """The address that alerts are sent to; ``insecure`` permits http and ports too. Raises ValueError."""
    try:
        return checked_base_url(value, "", insecure=insecure)
    except ValueError:
        raise ValueError("must be https://host/path: no user, port, query or fragment") from None


def _each(given: dict[str, Any], key: str, change: Callable[[dict[str, Any]], dict[str, Any]]) -> dict[str, Any]:
    """The changed tables of an array; nothing where it is none."""
    tables = given.get(key)
    return {key: [change(one) if isinstance(one, dict) else one for one in tables]} if isinstance(tables, list) else {}


class Tenant(Table):
    slug: Text
    name: Text
    timezone: Text = "Europe/Amsterdam"
    interval: int = 3600
    blackout: Blackouts = ()
    afas: Afas
    pluvo: Pluvo
    removals: Removals = Removals()
    alerts: Alerts = Alerts()
    course_defaults: CourseDefaults = CourseDefaults()
    course_rules: tuple[CourseRule, ...] = ()
    courses: tuple[CourseSettings, ...] = ()

    _seconds = field_validator("interval", mode="before")(_duration(*INTERVAL))

    @model_validator(mode="before")
    @classmethod
    def _share(cls, given: Any) -> Any:
        """Give the defaults to each course, and their target to each rule without one.

        What is wrong with the defaults is told once, not for every course.
        """
        if not isinstance(given, dict) or not isinstance(given.get("course_defaults"), dict):
            return given
        try:
            defaults = CourseDefaults.model_validate(given["course_defaults"], extra="forbid")
        except ValidationError:
            return given | {"courses": (), "course_rules": ()}
        return given | {
            **_each(given, "courses", defaults.merged),
            **_each(given, "course_rules", lambda rule: (defaults.place() if not rule.keys() & PLACES else {}) | rule),
        }

    @field_validator("course_rules")
    @classmethod
    def _make_courses(cls, rules: tuple[CourseRule, ...], info: ValidationInfo) -> tuple[CourseRule, ...]:
        for number, rule in enumerate(rules, 1):
            if lacking := rule.lacking(info.data["course_defaults"]):
                raise ValueError(f"what rule {number} links needs {lacking} in [tenants.course_defaults]")
        return rules

    @field_validator("blackout")
    @classmethod
    def _leave_something(cls, found: tuple[Blackout, ...]) -> tuple[Blackout, ...]:
        if free_minutes([one.stored() for one in found]) < LEAST_MINUTES:
            raise ValueError("must leave an hour of the week at least, or no run would ever begin by itself")
        return found

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
