"""What the tenants file says of courses: one block each, what they share, and rules that link events without a block.

``CourseSettings`` is one ``[[tenants.courses]]`` as a whole, and what a rule makes of an event. ``CourseDefaults`` is
``[tenants.course_defaults]``: the same keys, each optional; ``CourseRule`` is one ``[[tenants.course_rules]]``. The
columns ``tenant.course_defaults`` and ``.course_rules`` hold them as they were given; a course is stored merged.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator

from models.afas_values import event_number
from models.tenant_settings import (
    CompletionRule,
    CourseTarget,
    DateFormat,
    FieldMap,
    FieldName,
    Flag,
    Level,
    Table,
    Text,
)

EVENT_ID = "event_id"
ALL = "all"
PLACES = ("offer_event_ref", "group_ref")
_FORMS = '"all", or a list of event ids and ranges such as ["340", "350-399"]'
_COLUMN = re.compile(r"\{([^{}]+)\}")
_RANGE = re.compile(r"([0-9]+)\s*-\s*([0-9]+)")


class CoursePluvo(CourseTarget):
    """``completion_title``: whose completion is written back."""

    completion_level: Level = "training"
    completion_title: Text | None = None


class CourseSettings(Table):
    """An AFAS event that is linked."""

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
            raise ValueError(
                'must be the number (CrId) of the event in AFAS, such as "340": AFAS\'s event ids are numbers'
            )
        return value

    @model_validator(mode="after")
    def _write_back(self) -> CourseSettings:
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

    def columns(self) -> dict[str, Any]:
        """As the columns of the table ``course``."""
        return {
            "getconnector": self.getconnector,
            "updateconnector": self.updateconnector,
            "fields": self.fields,
            "pluvo": CourseTarget.model_validate(self.pluvo.model_dump()),
            "rules": self.rules(),
        }


class DefaultFields(Table):
    """A ``FieldMap`` of which any key may be absent."""

    event_id: Text | None = None
    internal_id: Text | None = None
    external_id: Text | None = None
    name: Text | None = None
    email_primary: Text | None = None
    email_secondary: Text | None = None
    completion: Text | None = None
    modified: Text | None = None
    start: Text | None = None
    end: Text | None = None
    blocked: Text | None = None


class DefaultPluvo(Table):
    """A ``CoursePluvo`` of which any key may be absent."""

    offer_event_ref: Text | None = None
    group_ref: Text | None = None
    send_invite: Flag | None = None
    completion_level: Level | None = None
    completion_title: Text | None = None


class CourseDefaults(Table):
    """What courses and rules share. A course's own value wins, key by key, also below ``fields`` and ``pluvo``."""

    getconnector: Text | None = None
    updateconnector: Text | None = None
    completion_field: FieldName | None = None
    completion_type: Literal["date", "text"] | None = None
    completion_format: DateFormat | None = None
    fields: DefaultFields = DefaultFields()
    pluvo: DefaultPluvo = DefaultPluvo()
    completions: tuple[CompletionRule, ...] | None = None

    def place(self) -> dict[str, str]:
        """The target that is shared, if one is."""
        return {key: value for key in PLACES if (value := getattr(self.pluvo, key)) is not None}

    def merged(self, own: Mapping[str, Any]) -> dict[str, Any]:
        """A course's own keys on top of these, not validated yet. Values of another kind are left as they are.

        A target is one thing: a course with a group takes no offer event from here. So is a write-back: what of it only
        stands here is left out where the other half is nowhere.
        """
        shared = self.model_dump(exclude_none=True)
        merged = shared | dict(own)
        for part in ("fields", "pluvo"):
            given = own.get(part, {})
            if isinstance(given, Mapping):
                merged[part] = (shared[part] if part == "fields" else _without_place(shared[part], given)) | dict(given)
        pluvo = merged["pluvo"]
        if isinstance(pluvo, dict):
            if "completion_title" not in pluvo and "completion_field" not in own:
                merged.pop("completion_field", None)
            if "completion_field" not in merged and "completion_title" not in own.get("pluvo", {}):
                pluvo.pop("completion_title", None)
        return merged


def _without_place(shared: Mapping[str, object], given: Mapping[str, object]) -> dict[str, object]:
    """Without the target where another one is given."""
    own_place = any(place in given for place in PLACES)
    return {key: value for key, value in shared.items() if not (own_place and key in PLACES)}


def _pattern(value: str) -> str:
    if re.search(r"[{}]", _COLUMN.sub("", value)):
        raise ValueError("has a brace that names no column: write {event_id} or {Column} of the GetConnector")
    return value


def _events(value: Any) -> Any:
    if not isinstance(value, (str, list, tuple)):
        raise ValueError(f"must be {_FORMS}, between quotes")
    return (value,) if isinstance(value, str) else value


def _known(values: tuple[str, ...]) -> tuple[str, ...]:
    for value in values:
        if value == ALL and len(values) == 1:
            return values
        if event_number(value) != value and not _ends(value):
            raise ValueError(f"{value[:40]!r} is no event: write {_FORMS} (AFAS's event ids are numbers)")
    if not values:
        raise ValueError(f"names no event: write {_FORMS}")
    return values


def _ends(value: str) -> tuple[int, int] | None:
    """The lowest and the highest event of a range or of one id; None when it is neither, or the wrong way round."""
    found = _RANGE.fullmatch(value)
    first, last = found.groups() if found else (value, value)
    numbers = event_number(first), event_number(last)
    if numbers[0] is None or numbers[1] is None or int(numbers[0]) > int(numbers[1]):
        return None
    return int(numbers[0]), int(numbers[1])


@lru_cache(maxsize=100)
def _ranges(events: tuple[str, ...]) -> Sequence[tuple[int, int]]:
    """Remembered: thousands of events are compared with each of a thousand parts."""
    return tuple(ends for value in events if (ends := _ends(value)) is not None)


# Text with names of columns in it: "afas-{event_id}", "{Cursusnaam}".
Pattern = Annotated[Text, AfterValidator(_pattern)]
Events = Annotated[tuple[Text, ...], BeforeValidator(_events), AfterValidator(_known), Field(max_length=1000)]


class CourseRule(Table):
    """Links every event it covers, as the GetConnector of ``course_defaults`` gives them, to a target of its own.

    ``events``: "all", an event id, a range "340-399", or a list of ids and ranges; stored as a list. Of several rules
    the first one that covers an event counts, and a block of its own wins over all rules.
    """

    events: Events
    offer_event_ref: Pattern | None = None
    group_ref: Pattern | None = None
    completion_title: Pattern | None = None

    @model_validator(mode="after")
    def _one_target(self) -> CourseRule:
        if (self.offer_event_ref is None) == (self.group_ref is None):
            raise ValueError("give offer_event_ref or group_ref, one of the two: it says where the people are enrolled")
        return self

    def covers(self, event_id: str) -> bool:
        """Whether it links this event. ``event_id`` is a number."""
        number = int(event_id)
        return self.events == (ALL,) or any(first <= number <= last for first, last in self.ranges())

    def ranges(self) -> Sequence[tuple[int, int]]:
        """The lowest and the highest event of each part; nothing for "all"."""
        return _ranges(self.events)

    @property
    def name(self) -> str:
        """As it is shown beside what it linked."""
        return f"{', '.join(self.events)} → {self.offer_event_ref or self.group_ref}"

    def columns(self) -> set[str]:
        """The columns of the GetConnector that it names."""
        return self.target_columns() | self.title_columns()

    def target_columns(self) -> set[str]:
        """Those without which there is no target."""
        return _columns(self.offer_event_ref) | _columns(self.group_ref)

    def title_columns(self) -> set[str]:
        """Those without which there is no title."""
        return _columns(self.completion_title)

    def lacking(self, defaults: CourseDefaults) -> str | None:
        """Names what its courses need and neither of the two gives."""
        needed = [key for key in ("getconnector",) if getattr(defaults, key) is None]
        fields = (name for name, field in FieldMap.model_fields.items() if field.is_required())
        needed += [f"fields.{name}" for name in fields if getattr(defaults.fields, name) is None]
        if self.completion_title is not None and defaults.completion_field is None:
            needed.append("completion_field")
        return ", ".join(needed) or None

    def own(self, event_id: str, values: Mapping[str, str]) -> dict[str, object]:
        """The keys of a course for an event whose columns have these values; to be merged with the defaults.

        Without a title where one of its columns has no value. Raises KeyError when the target lacks one.
        """
        known = {**values, EVENT_ID: event_id}
        pluvo = {place: _filled(given, known) for place in PLACES if (given := getattr(self, place)) is not None}
        if self.completion_title is not None and self.title_columns() <= values.keys():
            pluvo["completion_title"] = _filled(self.completion_title, known)
        return {"event_id": event_id, "pluvo": pluvo}


def _columns(pattern: str | None) -> set[str]:
    return set(_COLUMN.findall(pattern or "")) - {EVENT_ID}


def _filled(pattern: str, values: Mapping[str, str]) -> str:
    return _COLUMN.sub(lambda found: values[found[1]], pattern)
