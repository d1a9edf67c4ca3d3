"""The answers to ``tenants add`` in a tenants file with one tenant. What can't be asked is refused, never dropped."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

import settings
from models.course_settings import ALL, CourseDefaults
from ops.problems import Problem
from ops.tenants.file_spec import secret_of
from ops.tenants.onboarding import COURSE, LEFT_OUT, NEEDED_COLUMNS, OPTIONAL_COLUMNS
from ops.tenants.onboarding_trials import UPDATE_CONNECTOR
from ops.terminal import files

MAX_BYTES = 1_000_000
# What a file means that leaves it out
LEFT = {
    "afas": {"environment": "production", "auth": "oauth", "base_url": LEFT_OUT, "secret_ends": LEFT_OUT},
    "pluvo": {"base_url": LEFT_OUT},
}
ASKED = {
    "afas": {"member_id", "environment", "auth", "client_id", "client_secret", "secret_ends", "token"},
    "pluvo": {"organisation", "client_id", "client_secret"},
}
# What is taken as it is
ALSO = {"afas": {"parallel_calls"}, "pluvo": {"calls_per_second", "people_per_call", "other_name"}}
PLAIN = {"timezone", "interval", "removals"}
COLUMNS = {*NEEDED_COLUMNS, *OPTIONAL_COLUMNS, "completion"}
PLACE = {"offer_event_ref", "group_ref", "send_invite", "completion_level", "completion_title"}
COURSE_KEYS = {"event_id", "getconnector", "updateconnector", "completion_field", "completion_format"}


def answers_of(file: Path) -> tuple[dict[str, str], dict[str, Any]]:
    """The answers by the names of their questions, and what is taken along without a question. Raises Problem."""
    try:
        document = tomllib.loads(files.read_text(file, MAX_BYTES))
    except (ValueError, RecursionError) as error:
        raise Problem("file_unread", file=file, said=error) from None
    tenants = document.get("tenants", [])
    if not isinstance(tenants, list) or len(tenants) != 1:
        raise Problem("one_tenant_needed", file=file)
    try:
        return _Read(file).tenant(_table(tenants[0], "tenants"))
    except _More as more:
        raise Problem("more_than_asked", file=file, more=more) from None


class _More(Exception):
    """The file says more than there are questions; the text names it."""


class _Read:
    def __init__(self, file: Path) -> None:
        self.file = file

    def tenant(self, tenant: Mapping[str, Any]) -> tuple[dict[str, str], dict[str, Any]]:
        systems = {name: _table(tenant.get(name, {}), name) for name in ASKED}
        also: dict[str, Any] = {key: tenant[key] for key in PLAIN if key in tenant}
        _only(tenant, {"slug", "name", *ASKED, *PLAIN, "course_defaults", "course_rules", "courses"}, "")
        base_url = {"base_url"} if settings.get().allow_insecure_urls else set()
        found: dict[str, object] = {key: tenant[key] for key in ("slug", "name") if key in tenant}
        for name, table in systems.items():
            _only(table, ASKED[name] | ALSO[name] | base_url, f"{name}.")
            also[name] = {key: value for key, value in table.items() if key in ALSO[name]}
            for key, value in {**LEFT[name], **table}.items():
                if key not in ALSO[name]:
                    found[f"{name}.{key}"] = self._text(value)
        answers = self._courses(tenant)
        also["columns"] = [one for one in OPTIONAL_COLUMNS if answers.get(f"fields.{one}", LEFT_OUT) != LEFT_OUT]
        try:
            json.dumps(also)
        except TypeError:
            raise _More("a day or a time where text belongs") from None
        return {name: str(value) for name, value in (found | answers).items()}, also

    def _text(self, value: Any) -> str:
        try:
            return str(secret_of(value, self.file.parent))
        except ValueError as error:
            raise Problem("secret_unread", said=error) from None

    def _courses(self, tenant: Mapping[str, Any]) -> dict[str, object]:
        try:
            defaults = CourseDefaults.model_validate(tenant.get("course_defaults", {}), extra="forbid")
        except ValidationError:
            raise _More("course_defaults") from None
        courses, rules = _tables(tenant.get("courses", []), "courses"), _tables(tenant.get("course_rules", []), "rules")
        if rules and (courses or len(rules) > 1 or rules[0].get("events") not in (ALL, [ALL])):
            raise _More("course_rules beside courses, or not of all events,")
        own = [
            {"event_id": ALL, "pluvo": {k: v for k, v in rule.items() if k != "events"}} for rule in rules
        ] or courses
        merged = [defaults.merged(one) for one in own]
        like = merged[0] if merged else defaults.merged({})
        for one in merged or [like]:
            self._askable(one, like)
        writing = [one for one in merged if "completion_field" in one]
        for key in ("completion_field", "completion_format"):
            if any(one.get(key) != writing[0].get(key) for one in writing):
                raise _More(f"courses.{key}, which is not the same for all,")
        fields, invites = like["fields"], like["pluvo"].get("send_invite")
        found: dict[str, object] = {f"fields.{key}": fields.get(key, LEFT_OUT) for key in OPTIONAL_COLUMNS}
        found |= {f"fields.{key}": value for key, value in fields.items()}
        found |= {key: like[key] for key in ("getconnector",) if key in like}
        found |= {"write_back": LEFT_OUT, "send_invite": "yes" if invites else "no"}
        for one in writing[:1]:
            found["write_back"] = one["completion_field"]
            found |= {key: one[key] for key in ("completion_format",) if key in one}
        if merged:
            found["events"] = ", ".join(str(one.get("event_id", "")) for one in merged)
        for one in merged:
            event, place = one.get("event_id", ""), one["pluvo"]
            if "group_ref" in place:
                found[f"target.{event}"] = f"group:{place['group_ref']}"
            elif "offer_event_ref" in place:
                found[f"target.{event}"] = place["offer_event_ref"]
            level = COURSE if place.get("completion_level") == "course" else ""
            title = place.get("completion_title")
            found[f"title.{event}"] = LEFT_OUT if title is None else f"{level}{title}"
        return found

    @staticmethod
    def _askable(course: Mapping[str, Any], like: Mapping[str, Any]) -> None:
        _only(course, {*COURSE_KEYS, "fields", "pluvo"}, "courses.")
        _only(_table(course["fields"], "fields"), COLUMNS, "fields.")
        _only(_table(course["pluvo"], "pluvo"), PLACE, "pluvo.")
        if course.get("updateconnector", UPDATE_CONNECTOR) != UPDATE_CONNECTOR:
            raise _More("updateconnector")
        for key in ("getconnector", "fields"):
            if course.get(key) != like.get(key):
                raise _More(f"courses.{key}, which is not the same for all,")
        if bool(course["pluvo"].get("send_invite")) != bool(like["pluvo"].get("send_invite")):
            raise _More("courses.pluvo.send_invite, which is not the same for all,")


def _only(table: Mapping[str, Any], known: set[str], path: str) -> None:
    if more := [f"{path}{key}" for key in table if key not in known]:
        raise _More(", ".join(more))


def _table(value: Any, name: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise _More(f"{name}, which is no table,")
    return value


def _tables(value: Any, name: str) -> list[Mapping[str, Any]]:
    if not isinstance(value, list):
        raise _More(f"{name}, which is no array of tables,")
    return [_table(one, name) for one in value]
