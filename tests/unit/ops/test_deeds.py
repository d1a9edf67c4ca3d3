"""The record of operators' verbs is told in sentences, in both languages: every verb, and every detail of it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

import ops
from ops import access
from ops.http.console import deeds
from ops.language import SENTENCES, Language

FOLDER = Path(ops.__file__).parent
ULID = "01J00000000000000000000000"
# Of each verb what its details are, in every form that they have: what a verb tells is written down here too.
DETAILS: Mapping[str, tuple[Mapping[str, Any], ...]] = {
    "account login": ({"address": "192.0.2.1"},),
    "account logout": ({"sessions": 2},),
    "account passwd": ({"sessions": 1},),
    "account refused": ({"address": "192.0.2.1"},),
    "alerts ack": ({},),
    "alerts mute": ({"mute": 3, "kind": "hold", "until": "2026-11-26T08:00:00+00:00"}, {"mute": 3, "kind": None}),
    "alerts test": ({"recipients": 2},),
    "alerts unmute": ({"mute": 3},),
    "completions close": ({"event_id": "340", "state": "no_date"},),
    "completions retry": ({"event_id": "340", "state": "conflict"},),
    "courses add": ({"changes": ["course 340: added"], "codes": [{"code": "change.next_run", "params": {}}]},),
    "courses edit": ({"changes": ["course 340: changed"], "codes": [{"code": "change.next_run", "params": {}}]},),
    "dead-letters discard": ({},),
    "dead-letters replay": ({"result": "replayed", "batch": ULID}, {"result": "superseded", "batch": None}),
    "holds refuse": ({},),
    "holds release": (
        {"events": ["340"], "persons": ["80", "81"], "lines": [1, 2], "released": 2, "dropped": 0, "open": 1},
    ),
    "links decide": ({"decision": "ignore"}, {"before": None, "after": "77"}),
    "links import": ({"before": "76", "after": "77"},),
    "links remove": ({}, {"erased": 12}),
    "links set": ({"before": "76", "after": "77"},),
    "people open": ({},),
    "previews execute": ({"run": ULID, "plan_hash": "0123456789abcdef"},),
    "quality mail": ({"recipients": 2},),
    "replays cancel": ({},),
    "replays start": ({"letters": 3, "rate": "1.5"},),
    "runs again": ({"run": ULID},),
    "runs stop": ({},),
    "system backup": ({"with_key": True}, {"with_key": False}),
    "system restore": ({"made_at": "2026-11-26T08:00:00+00:00", "revision": "20261126_1"},),
    "tenants add": ({"changes": [], "codes": []},),
    "tenants credentials": ({"system": "afas", "auth": "oauth"}, {"system": "pluvo"}),
    "tenants edit": ({"changes": [], "codes": []},),
    "tenants import": ({"changes": [], "codes": []},),
    "tenants pause": ({"directions": ["enrollments", "completions"]},),
    "tenants remove": ({"rows": 700},),
    "tenants resume": ({"directions": ["completions"]},),
    "tenants rotate-keys": ({"secrets": 6},),
    "token": ({},),
    "tokens create": ({"role": "viewer", "tenants": ["acme"]}, {"role": "admin", "tenants": None}),
    "tokens revoke": ({},),
    "users add": ({"role": "operator", "tenants": None},),
    "users disable": ({"sessions": 1},),
    "users edit": (
        {"before": ["viewer", None], "after": ["admin", ["acme"]]},
        {"role": "operator", "tenants": []},
    ),
    "users enable": ({},),
    "users passwd": ({"sessions": 0},),
    "users remove": ({"sessions": 1},),
    "users sign-out": ({"sessions": 1},),
}
# Words that are only ours: none may be shown as it is. (Some are a word of a language as well, or a part of one.)
RAW = re.compile(r"[a-z]+_[a-z_]+|None|True|False|[\[\]{}]|\bviewer\b|\boperator\b|\boauth\b|\bafas\b|\bpluvo\b")
SAME: Mapping[Language, set[str]] = {"en": {"viewer", "operator"}, "nl": {"operator"}}


def modules() -> Iterator[tuple[Path, ast.Module]]:
    for path in sorted(FOLDER.rglob("*.py")):
        text = path.read_text()
        if "audit.record" in text or "verb=" in text:
            yield path, ast.parse(text)


def recorded() -> set[str]:
    """Verbs as they are written into the record, of whatever calls something with a verb by name."""
    found = set()
    for _, module in modules():
        for node in ast.walk(module):
            if isinstance(node, ast.keyword) and node.arg == "verb" and isinstance(node.value, ast.Constant):
                found.add(str(node.value.value))
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "_record":
                found |= {str(one.value) for one in node.args if isinstance(one, ast.Constant)}
            if isinstance(node, ast.FunctionDef):
                defaults = zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True)
                found |= {
                    str(value.value)
                    for name, value in defaults
                    if name.arg == "verb" and isinstance(value, ast.Constant)
                }
    return {verb for verb in found if access.verb_of(verb) in access.NEEDS}


def keys_of(node: ast.expr, function: ast.FunctionDef) -> Iterator[str]:
    """The keys that a details expression may have, as far as its function spells them out."""
    for one in ast.walk(node):
        if isinstance(one, ast.Dict):
            yield from (str(key.value) for key in one.keys if isinstance(key, ast.Constant))
        if isinstance(one, ast.Name):
            given = [each for each in ast.walk(function) if isinstance(each, ast.Assign)]
            for other in given:
                named = one.id in [ast.unparse(target) for target in other.targets]
                if named and isinstance(other.value, ast.Dict | ast.BinOp):
                    yield from keys_of(other.value, function)


def told() -> Iterator[tuple[str, str]]:
    """(file:line, key) of every detail that is recorded."""
    for path, module in modules():
        for function in ast.walk(module):
            if not isinstance(function, ast.FunctionDef):
                continue
            for call in ast.walk(function):
                if isinstance(call, ast.Call) and ast.unparse(call.func) == "audit.record":
                    for keyword in call.keywords:
                        if keyword.arg == "detail":
                            for key in keys_of(keyword.value, function):
                                yield f"{path.relative_to(FOLDER)}:{call.lineno}", key


def test_every_verb_that_is_recorded_has_a_sentence_and_an_example_here() -> None:
    found = recorded()
    assert len(found) > 40
    assert sorted(found ^ set(DETAILS)) == []
    assert {verb for verb in found if deeds.did({"verb": verb, "detail": None}, "en") is None} == set()


def test_every_detail_that_is_recorded_is_in_an_example_here() -> None:
    known = {key for each in DETAILS.values() for detail in each for key in detail}
    found = list(told())
    assert len(found) > 30
    assert {place: key for place, key in found if key not in known} == {}


@pytest.mark.parametrize("language", ["en", "nl"])
@pytest.mark.parametrize("verb", DETAILS)
def test_nothing_of_it_is_shown_as_a_word_of_ours(verb: str, language: Language) -> None:
    for detail in DETAILS[verb]:
        deed = {"verb": verb, "detail": detail}
        did = deeds.did(deed, language)
        assert did
        said = " · ".join([did, *deeds.besides(deed, language)])
        assert set(RAW.findall(said)) <= SAME[language], said
        # every value is told, by the verb's sentence or beside it
        for key, value in detail.items():
            if value not in (None, [], "") and key not in ("changes", "codes"):
                named = f"{{{key}}}" in str(SENTENCES[deeds.code_of(deed)]) or f"detail.{key}" in SENTENCES
                assert named, key


def test_what_an_older_or_newer_release_recorded_is_shown_as_it_is() -> None:
    assert deeds.did({"verb": "moon land", "detail": {"craters": 3}}, "nl") is None
    assert deeds.besides({"verb": "moon land", "detail": {"craters": 3, "names": ["a", "b"]}}, "nl") == [
        "craters 3",
        "names a, b",
    ]
    assert deeds.did({"verb": "users add", "detail": None}, "en") == "added this user as ?"


def test_who_may_what_is_told_in_the_readers_language() -> None:
    # in an order of its own, as the database gives it
    deed = {"verb": "users edit", "detail": {"after": ["admin", ["acme", "beta"]], "before": ["viewer", None]}}
    assert deeds.besides(deed, "en") == ["before: viewer, every tenant", "then: admin, acme, beta"]
    assert deeds.besides(deed, "nl") == ["eerst: kijker, alle tenants", "daarna: beheerder, acme, beta"]
