"""What is written back, and where to: the rules of a tenant's courses, each checked before anything is read.

A rule says: whoever finished ``title`` at ``level`` gets the day in ``field`` of the AFAS row. A course may have more
than one. One that can't work is refused with a reason, for that course alone:

==================================================  ======================================================
title_unknown, title_ambiguous (with candidates)    no training has this title, or several have
group_unknown                                       Pluvo does not know the course's group
field_unknown, field_type, field_too_short,         the AFAS field can't hold a date: its finished people
bad_format                                          are listed as ``rejected``
==================================================  ======================================================
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import Connection, text

from clients.afas import AfasClient, Field
from clients.errors import Incomplete, Misconfigured, RemoteError, Unauthorized, Unavailable
from clients.pluvo import PluvoClient, TrainingInfo
from models.completion_dates import KnownField, Target, UnfitField, target_of
from models.course import Course
from models.folding import fold_title, spellings
from models.run import Candidate

VERDICTS_KEPT_SECONDS = 600.0
MAX_CANDIDATES = 20
# What AFAS says of a call, and means the connector that it names.
OF_ONE_CONNECTOR = ("connector_not_allowed", "connector_blocked", "not_found", "unknown_field")
KnownFields = Mapping[str, KnownField]


@dataclass(frozen=True)
class Rule:
    """One rule. ``column`` shows the field in the GetConnector; ``refusal`` is about the field, not the title."""

    course_id: int
    event_id: str
    field: str
    level: str
    title: str
    column: str | None
    target: Target | None
    refusal: str | None = None

    @property
    def key(self) -> tuple[int, str]:
        """A course writes at most one thing into a field."""
        return self.course_id, self.field

    @property
    def asked(self) -> str:
        """What is asked for, as SQL's ``ASKED`` spells it: another title makes another rule of it."""
        return f"{self.course_id}:{self.field}:{self.level}:{self.title}"


@dataclass(frozen=True)
class TitleVerdict:
    """Whether a title stands for exactly one training; ``candidates`` may be meant."""

    reason: str | None = None
    candidates: tuple[Candidate, ...] = ()


def rules_of(course: Course, known: KnownFields | None = None) -> list[Rule]:
    """The rules of a course, with how their fields take a day as ``known`` (default: as last asked) says."""
    assert course.id is not None  # noqa: S101  read from the database
    types = known if known is not None else course.completion_types or {}
    made: dict[str, Rule] = {}
    for one in course.rules:
        rule = Rule(
            course_id=course.id,
            event_id=course.event_id,
            field=one.field,
            level=one.level,
            title=fold_title(one.title),
            column=one.column,
            target=None,
        )
        try:
            rule = replace(rule, target=target_of(one.type, one.format, types.get(rule.field)))
        except UnfitField as error:
            rule = replace(rule, refusal=error.reason)
        made.setdefault(rule.field, rule)
    return list(made.values())


def ask_fields(afas: AfasClient, courses: Sequence[Course], beside: Sequence[Course] = ()) -> dict[int, KnownFields]:
    """Type and length of every completion field, one metainfo call per UpdateConnector; the last answer when AFAS
    is away. Raises Unavailable when there is none either.

    A connector that does not exist or may not be used has no fields, which refuses its courses and nobody else's. When
    there is no other that works, among these courses or those ``beside``, it is the tenant's trouble, and raised.
    """
    asked: dict[str, KnownFields] = {}
    refused: dict[str, RemoteError] = {}
    answers: dict[int, KnownFields] = {}
    for course in courses:
        assert course.id is not None  # noqa: S101  read from the database
        name = course.updateconnector
        if name not in asked and name not in refused:
            try:
                asked[name] = _fields(afas, name)
            except Unavailable:
                if course.completion_types is None:
                    raise
                answers[course.id] = course.completion_types
                continue
            except (Misconfigured, Unauthorized) as error:
                refused[name] = error
        wanted = {one.field for one in course.rules}
        answers[course.id] = {field: one for field, one in asked.get(name, {}).items() if field in wanted}
    if refused and not asked and not any_works(afas, {course.updateconnector for course in beside} - refused.keys()):
        raise next(iter(refused.values()))
    return answers


def any_works(afas: AfasClient, connectors: Iterable[str]) -> bool:
    """Whether one of these UpdateConnectors can be used. Raises Unavailable."""
    for connector in sorted(connectors):
        try:
            _fields(afas, connector)
        except (Misconfigured, Unauthorized):
            continue
        return True
    return False


def _fields(afas: AfasClient, connector: str) -> KnownFields:
    return {one.field_id or one.id: known_field(one) for one in afas.update_connector_fields(connector)}


def known_field(field: Field) -> KnownField:
    """How a field takes a value, of what metainfo says."""
    return {"type": field.data_type, "length": field.length, "bound": bool(field.values)}


def keep_fields(connection: Connection, tenant_id: int, known: Mapping[int, KnownFields]) -> None:
    """Remember the answers for those who can't ask each time."""
    for course_id, types in known.items():
        values = {"tenant": tenant_id, "course": course_id, "types": json.dumps(dict(types))}
        connection.execute(_KEEP_FIELDS, values)


_KEEP_FIELDS = text(
    """
    UPDATE course SET completion_types = CAST(:types AS jsonb)
     WHERE tenant_id = :tenant AND id = :course AND completion_types IS DISTINCT FROM CAST(:types AS jsonb)
    """
)


def judge_title(pluvo: PluvoClient, level: str, title: str) -> TitleVerdict:
    """Ask whether exactly one training has the title. Courses can't be asked for: the report itself shows doubles."""
    if level == "course":
        return TitleVerdict()
    # Pluvo may compare letter by letter, and keep a title in the other spelling of its accents.
    try:
        asked = {one.id: one for spelling in spellings(title) for one in pluvo.trainings(spelling)}
    except Incomplete as error:
        return TitleVerdict(error.code)  # that there is only one needs a whole list
    found = list(asked.values())
    same = [one for one in found if fold_title(one.title) == title]
    if len(same) == 1:
        return TitleVerdict()
    candidates = tuple(_candidate(one) for one in (same or found)[:MAX_CANDIDATES])
    return TitleVerdict("title_ambiguous" if same else "title_unknown", candidates)


class TitleVerdicts:
    """Verdicts of the last ten minutes, for those who look at one person and must be quick. One per process."""

    def __init__(self) -> None:
        self._kept: dict[tuple[int, str, str], tuple[float, TitleVerdict]] = {}

    def of(self, tenant_id: int, pluvo: PluvoClient, level: str, title: str) -> TitleVerdict:
        """The verdict, asked for only when it is not known or too old."""
        key, now = (tenant_id, level, title), time.monotonic()
        known = self._kept.get(key)
        if known is None or now - known[0] > VERDICTS_KEPT_SECONDS:
            if len(self._kept) > 10_000:
                self._kept.clear()
            known = self._kept[key] = (now, judge_title(pluvo, level, title))
        return known[1]


def _candidate(training: TrainingInfo) -> Candidate:
    return {"id": training.id, "ref": training.ref, "title": training.title, "archived": training.archived}
