"""What the tenants file says of a tenant and its courses, as it is stored: every key, its kind, limits and default.

The columns ``tenant.afas``, ``.pluvo``, ``.removals`` and ``course.fields``, ``.pluvo``, ``.rules`` hold these classes
as JSON. ``ops/tenants/file_spec.py`` adds what only the file has: secrets, durations as text, addresses to be checked.
"""

from __future__ import annotations

import re
from datetime import date, datetime
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    field_validator,
    model_validator,
)
from sqlalchemy import Column, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import TypeDecorator
from sqlmodel import Field as TableField

from models import blackouts
from models.blackouts import WEEK, Weekday
from settings import parse_address, parse_quiet


def _storable(value: str) -> str:
    if "\0" in value:
        raise ValueError("has a character (NUL) that can't be stored")
    return value


_Line = Annotated[str, StringConstraints(strict=True, strip_whitespace=True, min_length=1, max_length=500)]
Text = Annotated[_Line, AfterValidator(_storable)]
FieldName = Annotated[_Line, StringConstraints(pattern=r"^[A-Za-z0-9_]+$")]
Flag = Annotated[bool, Field(strict=True)]
Count = Annotated[int, Field(strict=True, ge=0, le=1_000_000)]
# JSON has no NaN, which is neither below a limit nor above one
Percent = Annotated[float, Field(strict=True, ge=0, le=100, allow_inf_nan=False)]
Level = Literal["training", "course"]


def _format(value: str) -> str:
    day = date(2026, 12, 31)
    try:
        if datetime.strptime(day.strftime(value), value).date() == day:  # noqa: DTZ007 - a day has no zone
            return value
    except ValueError:
        pass
    raise ValueError("must write a whole date that can be read back, such as %Y-%m-%d or %d-%m-%Y")


def _day(value: Any) -> Any:
    """TOML has dates of its own; ``2027-05-01`` between quotes is one as well."""
    if isinstance(value, date) and not isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, str):
        try:
            return date.fromisoformat(value.strip()).isoformat()
        except ValueError:
            pass
    raise ValueError("must be a day such as 2027-05-01")


Day = Annotated[Text, BeforeValidator(_day)]
DateFormat = Annotated[Text, AfterValidator(_format)]
_HOURS = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]-(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)", re.ASCII)


def _hours(value: str) -> str:
    hours = value.replace(" ", "").replace("–", "-")
    begin, _, end = hours.partition("-")
    if not _HOURS.fullmatch(hours) or begin == end:
        raise ValueError("must be hours such as 08:00-17:30")
    return hours


def _in_order(days: tuple[Weekday, ...]) -> tuple[Weekday, ...]:
    return tuple(day for day in WEEK if day in days)


Address = Annotated[Text, AfterValidator(parse_address)]
Quiet = Annotated[Text, AfterValidator(parse_quiet)]


class Table(BaseModel):
    """One JSON object. What a newer release stored and this one does not know is left out when it is read."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)


class AfasSettings(Table):
    """An AFAS environment. ``client_id`` is there when ``auth`` is ``oauth``.

    ``secret_ends``: the last day of the client's secret, which AFAS does not tell; `check` warns beforehand.
    """

    member_id: Text
    environment: Literal["production", "test", "accept"] = "production"
    auth: Literal["oauth", "token"] = "oauth"
    client_id: Text | None = None
    secret_ends: Day | None = None
    parallel_calls: Annotated[int, Field(strict=True, ge=1, le=5)] = 2
    base_url: Text | None = None


class PluvoSettings(Table):
    """A Pluvo organisation. No limit when ``calls_per_second`` is 0.

    ``people_per_call``: how many people that are worked on at the same moment may share one call.
    ``other_name``: what becomes of somebody whose address leads to an account with clearly another name.
    """

    organisation: Text
    client_id: Text
    calls_per_second: Annotated[float, Field(strict=True, ge=0, le=1000, allow_inf_nan=False)] = 5
    people_per_call: Annotated[int, Field(strict=True, ge=1, le=25)] = 1
    other_name: Literal["link", "ambiguous"] = "link"
    base_url: Text | None = None


class Limits(Table):
    """Of the guards: the larger of a count and a percentage may pass."""

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


class RemovalSettings(Table):
    """What happens to people who are gone from an AFAS event; ``confirm_after`` in seconds."""

    policy: Literal["keep", "unenroll", "unenroll_and_archive"] = "unenroll"
    confirm_after: int = 3600
    limits: Limits = Limits()


class Blackout(Table):
    """Hours in the tenant's zone in which no run begins that nobody asked for, on each of the days.

    Over midnight they belong to the day on which they begin; ``00:00-24:00`` is a whole day.
    """

    days: Annotated[tuple[Weekday, ...], Field(min_length=1, max_length=7), AfterValidator(_in_order)] = WEEK
    hours: Annotated[Text, AfterValidator(_hours)]

    def stored(self) -> blackouts.Blackout:
        """As ``models.blackouts`` reads it."""
        return {"days": self.days, "hours": self.hours}


Blackouts = Annotated[tuple[Blackout, ...], Field(max_length=50)]


class AlertSettings(Table):
    """Who is told of a tenant's alerts, besides those who run this installation. Without anybody, nobody is.

    ``quality_mail``: who keeps AFAS, and gets what is to be put right there, each Monday.
    ``quiet``: hours in the tenant's zone in which nobody is mailed; what came up meanwhile is mailed at their end.
    """

    mail: Annotated[tuple[Address, ...], Field(max_length=20)] = ()
    webhook: Text | None = None
    language: Literal["nl", "en"] = "nl"
    quiet: Quiet | None = None
    digest: Flag = True
    quality_mail: Annotated[tuple[Address, ...], Field(max_length=20)] = ()


class FieldMap(Table):
    """Our word → the name of the GetConnector's column that the customer's administrator chose."""

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
    def _two_ids(self) -> FieldMap:
        if self.event_id == self.internal_id:
            raise ValueError("event_id and internal_id name the same column")
        return self

    def columns(self) -> list[str]:
        """The columns that are mapped."""
        return [column for _, column in self if column is not None]


class CompletionRule(Table):
    """Which completion goes into which field of AFAS. ``column`` shows that field in the GetConnector."""

    level: Level = "training"
    title: Text
    field: FieldName
    # None: as metainfo says
    type: Literal["date", "text"] | None = None
    format: DateFormat = "%Y-%m-%d"
    column: Text | None = None


class CourseTarget(Table):
    """Where the people of a course are enrolled in Pluvo: an offer event or a group."""

    offer_event_ref: Text | None = None
    group_ref: Text | None = None
    send_invite: Flag = False

    @model_validator(mode="after")
    def _one_target(self) -> CourseTarget:
        if (self.offer_event_ref is None) == (self.group_ref is None):
            raise ValueError("give offer_event_ref or group_ref, one of the two: it says where the person is enrolled")
        return self

    @property
    def place(self) -> tuple[str | None, str | None]:
        """Another one is another place."""
        return self.offer_event_ref, self.group_ref


class SettingsUnread(Exception):
    """Stored settings that this version can't read. The text says which, and what to do."""


class Stored(TypeDecorator[Any]):
    """A JSONB column that holds one of these classes without its empty keys, or a list of them with all keys."""

    impl = JSONB
    cache_ok = True

    def __init__(self, kind: type[Table], *, many: bool = False) -> None:
        super().__init__()
        self.kind = kind
        self.many = many

    def process_bind_param(self, value: Any, dialect: Any) -> Any:
        if self.many:
            return [one.model_dump() for one in value]
        return value.model_dump(exclude_none=True)

    def process_result_value(self, value: Any, dialect: Any) -> Any:
        try:
            if self.many:
                return [self.kind.model_validate(one) for one in value]
            return self.kind.model_validate(value)
        except ValidationError as error:
            wrong = [(".".join(map(str, one["loc"])), one["msg"]) for one in error.errors(include_input=False)]
            raise SettingsUnread(
                f"Stored {self.kind.__name__} can't be read by this version "
                f"({'; '.join(f'{path}: {what}' if path else what for path, what in wrong)}). If a newer koppeling "
                "imported them, upgrade koppeling on this machine; if they were changed by hand, change them back."
            ) from None


def completed(kind: type[Table], found: dict[str, Any]) -> dict[str, Any]:
    """Settings as they are stored, with the defaults of what the version that stored them did not know.

    What can't be read comes as it is.
    """
    try:
        return kind.model_validate(found).model_dump(exclude_none=True)
    except ValidationError:
        return found


def stored(kind: type[Table], *, many: bool = False, default: str | None = None) -> Any:
    """A column of the kind; ``default`` is its SQL text, where all of its keys have defaults."""
    server = text(f"'{default}'::jsonb") if default is not None else None
    return TableField(sa_column=Column(Stored(kind, many=many), nullable=False, server_default=server))
