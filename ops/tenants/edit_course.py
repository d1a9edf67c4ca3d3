"""Change a course that has a block of its own: where its people go, the training that counts, its columns.

What a form sends is validated as the tenants file is, and stored as by it. What a rule links has no block: its rule is
changed, in the file.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from typing_extensions import TypedDict

from models.course_settings import CourseSettings
from models.tenant_settings import FieldMap
from ops import access
from ops.problems import NotThere, Problem
from ops.tenants import export, file_spec, importing
from ops.tenants.edit import without_secrets
from ops.tenants.file import WrongValues, judge_one
from ops.tenants.importing import Imported

PLACE = ("pluvo.offer_event_ref", "pluvo.group_ref")
INVITE, TITLE, CONNECTOR = "pluvo.send_invite", "pluvo.completion_title", "getconnector"
COLUMNS = tuple(f"fields.{name}" for name in FieldMap.model_fields)
KEYS = (*PLACE, INVITE, TITLE, CONNECTOR, *COLUMNS)
_YES = {"yes": True, "no": False}


class CourseAsked(TypedDict):
    """``values``: key → as it is typed. ``version``: to be given back with what is changed."""

    tenant: str
    environment: str
    event_id: str
    values: dict[str, str]
    version: int


def read(slug: str, event: str) -> CourseAsked:
    """The course as it is now. Raises NotThere, and Problem for one that a rule links."""
    access.check("courses.edit", slug)
    document, version = export.versioned(slug)
    number = _number(document, slug, event)
    spec = judge_one(without_secrets(document))
    return {
        "tenant": slug,
        "environment": spec.afas.environment,
        "event_id": event,
        "values": _values(spec.courses[number]),
        "version": version,
    }


def change(slug: str, event: str, given: Mapping[str, str], version: int, who: str) -> Imported:
    """Store what is given; what is left out stays. Raises WrongValues, told by the keys of the form.

    Raises AlreadyDecided where somebody changed the tenant meanwhile.
    """
    access.check("courses.edit", slug)
    document = without_secrets(export.document(slug))
    number = _number(document, slug, event)
    before = _values(judge_one(document).courses[number])
    changed = {key: typed.strip() for key, typed in given.items() if key in before and typed.strip() != before[key]}
    for key in sorted(changed, key=lambda key: changed[key] != ""):  # what is emptied makes room first
        _put(document["courses"][number], key, changed[key])
    (done,) = importing.apply([_judged(document, number)], who, verb="courses edit", version=version)
    return done


def _number(document: Mapping[str, Any], slug: str, event: str) -> int:
    for number, course in enumerate(document.get("courses", ())):
        if course["event_id"] == event:
            return number
    with_rules = bool(document.get("course_rules"))
    raise Problem("course_by_rule", event=event) if with_rules else NotThere("no_course_block", slug=slug, event=event)


def _values(course: CourseSettings) -> dict[str, str]:
    """Those that can be changed: a title only where one completion of the course's own is written back."""
    found = {key: getattr(course.pluvo, key.partition(".")[2]) or "" for key in PLACE}
    found[INVITE] = "yes" if course.pluvo.send_invite else "no"
    if course.pluvo.completion_title is not None:
        found[TITLE] = course.pluvo.completion_title
    found[CONNECTOR] = course.getconnector
    return found | {key: getattr(course.fields, key.partition(".")[2]) or "" for key in COLUMNS}


def _put(course: dict[str, Any], key: str, typed: str) -> None:
    table, _, name = key.rpartition(".")
    place = course.setdefault(table, {}) if table else course
    if key == INVITE:
        place[name] = _YES.get(typed, typed)
    elif typed:
        place[name] = typed
        if key in PLACE:  # one of the two
            for other in PLACE:
                if other != key:
                    place.pop(other.partition(".")[2], None)
    else:
        place.pop(name, None)


def _judged(document: Mapping[str, Any], number: int) -> file_spec.Tenant:
    try:
        return judge_one(document)
    except WrongValues as wrong:
        told = {key.removeprefix(f"courses.{number}."): why for key, why in wrong.told.items()}
        told = {PLACE[0] if key == "pluvo" else key: why for key, why in told.items()}
        raise WrongValues("wrong_values", keys=", ".join(told), told=told) from None
