"""What the API answers is what the command prints with ``--json``; what it changes is recorded under who asked."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from typer.testing import CliRunner

from models.session import transaction
from ops.cli.main import app
from ops.http.api.app import make_api
from tests.fixtures.world import World
from tests.integration.api.conftest import Api, fill


def printed(*words: str) -> Any:
    """What the command prints."""
    done = CliRunner().invoke(app, [*words, "--json"])
    return json.loads(done.stdout)


DESCRIBED = make_api().openapi()


def undescribed(path: str, method: str, told: Any) -> list[str]:
    """What an answer has that the OpenAPI document does not name."""
    fitting = [one for one in DESCRIBED["paths"] if re.fullmatch(re.sub(r"\{[^}]+\}", "[^/]+", one), path)]
    operation = DESCRIBED["paths"][min(fitting, key=lambda one: one.count("{"))][method]
    return list(_undescribed(operation["responses"]["200"]["content"]["application/json"]["schema"], told, ""))


def _undescribed(schema: dict[str, Any], told: Any, place: str) -> Iterator[str]:
    if "$ref" in schema:
        schema = DESCRIBED["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    for one in schema.get("anyOf", ()):
        if told is not None and one.get("type") != "null":
            yield from _undescribed(one, told, place)
    if isinstance(told, list):
        for each in told:
            yield from _undescribed(schema.get("items", {}), each, f"{place}[]")
    for key, value in told.items() if isinstance(told, dict) else ():
        named, others = schema.get("properties", {}), schema.get("additionalProperties", {})
        if named and key not in named:
            yield f"{place}.{key}"
        yield from _undescribed(named.get(key, others if isinstance(others, dict) else {}), value, f"{place}.{key}")


@pytest.mark.parametrize(
    ("words", "path"),
    [
        (("tenants", "list"), "/tenants"),
        (("tenants", "show", "acme"), "/tenants/acme"),
        (("tenants", "export", "acme"), "/tenants/acme/file"),
        (("courses", "show", "acme", "340"), "/tenants/acme/courses/340"),
        (("alerts", "list"), "/alerts"),
        (("alerts", "mutes"), "/alerts/mutes"),
        (("alerts", "sent"), "/alerts/sent"),
        (("workers",), "/workers"),
        (("completions", "list", "acme"), "/completions?tenant=acme"),
        (("completions", "show", "1"), "/completions/1"),
        (("quality", "acme"), "/tenants/acme/quality"),
        (("audit",), "/audit"),
        (("batches", "list"), "/batches"),
        (("replays", "list"), "/replays"),
        (("replays", "show", "last"), "/replays/last"),
        (("dead-letters", "list", "--group"), "/dead-letters/groups"),
        (("runs", "list"), "/runs"),
        (("runs", "show", "last"), "/runs/last"),
        (("holds", "list"), "/holds"),
        (("holds", "show", "last"), "/holds/last"),
        (("links", "list"), "/links"),
        (("links", "show", "acme", "80"), "/tenants/acme/links/80"),
        (("explain", "acme", "80"), "/tenants/acme/people/80"),
        (("dead-letters", "list"), "/dead-letters"),
        (("dead-letters", "show", "last"), "/dead-letters/last"),
        (("events", "acme"), "/tenants/acme/events"),
        (("fields", "acme"), "/tenants/acme/fields"),
        (("handover", "acme", "--language", "en"), "/tenants/acme/handover"),
        (("check", "acme", "--contract"), "/tenants/acme/check/contract"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_the_api_answers_what_the_command_prints(api: Api, words: tuple[str, ...], path: str) -> None:
    method = "post" if path.endswith("contract") else "get"
    told = api.post(path) if method == "post" else api.get(path)
    assert told == printed(*words)
    assert undescribed(path.partition("?")[0], method, told) == []


@pytest.mark.parametrize("verb", ["status", "overview"])
def test_how_it_goes_is_the_same_but_for_what_passes(api: Api, verb: str) -> None:
    told, shown = api.get(f"/{verb}"), printed(verb)
    passing = ("oldest_pending_seconds", "oldest_ready_seconds", "tenants", "runs")
    assert told.keys() == shown.keys()
    assert {key: told[key] for key in told if key not in passing} == {
        key: shown[key] for key in shown if key not in passing
    }


def test_a_check_by_the_api_is_the_one_that_the_command_shows_afterwards(api: Api) -> None:
    told = api.post("/tenants/acme/check")
    assert told["ok"] in (True, False)
    assert printed("check", "acme", "--last", "--language", "en") == told == api.get("/tenants/acme/check")


def test_a_dutch_reader_gets_dutch_sentences_and_the_same_codes(api: Api) -> None:
    english, dutch = (api.get("/tenants/acme/check", language=one) for one in ("en", "nl"))
    assert [one["code"] for one in english["probes"]] == [one["code"] for one in dutch["probes"]]
    answer = api("GET", "/tenants/nope", headers={"Accept-Language": "fr, nl-NL;q=0.9, en;q=0.2"})
    assert answer.json()["error"] == {
        "code": "no_tenant",
        "message": "Er is geen tenant 'nope'.",
        "params": {"named": "'nope'"},
    }


def test_pages_follow_each_other_without_gap_or_double(api: Api) -> None:
    whole = api.get("/links")["items"]
    seen: list[Any] = []
    cursor = None
    while True:
        page = api.get("/links", limit=3, **({"cursor": cursor} if cursor else {}))
        assert len(page["items"]) <= 3
        seen += page["items"]
        cursor = page["next"]
        if cursor is None:
            break
    assert seen == whole
    assert len(whole) > 6


def test_a_pause_is_recorded_under_who_asked_and_ends_with_a_resume(api: Api) -> None:
    assert api.post("/tenants/acme/pause", reason="verhuizing") == {
        "tenant": "acme",
        "paused": ["enrollments", "completions"],
    }
    refused = api.post("/sync", 422, tenants=["acme"])
    assert refused["error"]["code"] == "paused"
    assert refused["error"]["params"] == {"slug": "acme", "why": "verhuizing"}
    assert api.post("/tenants/acme/resume") == {"tenant": "acme", "resumed": ["enrollments", "completions"]}
    with transaction() as connection:
        found = connection.exec_driver_sql("SELECT who, verb FROM operator_action ORDER BY id DESC LIMIT 2").all()
    assert [tuple(row) for row in found] == [("local", "tenants resume"), ("local", "tenants pause")]


def test_a_run_is_accepted_with_its_address_and_not_waited_for(api: Api) -> None:
    answer = api("POST", "/sync", json={"tenants": ["acme"], "person": "80"})
    assert answer.status_code == 202
    (run,) = answer.json()["runs"]
    assert answer.headers["Location"] == f"/api/runs/{run['run']}"
    assert requests.get(f"{api.url}{answer.headers['Location']}", timeout=60).json()["status"] == "queued"
    assert api.post(f"/runs/{run['run']}/stop")["stopping"] is True


def test_of_two_who_decide_the_second_is_told_that_it_is_decided(api: Api, shared_world: World) -> None:
    kept = fill(shared_world)
    other = api.post(f"/holds/{kept['hold']}/refuse", 409, reason="het filter was fout", plan_hash="0")
    assert other["error"]["code"] == "hold_renewed"
    done = api.post(f"/holds/{kept['hold']}/refuse", reason="het filter was fout")
    assert done["refused"] == 8
    late = api.post(f"/holds/{kept['hold']}/release", 409, reason="toch wel")
    assert late["error"]["code"] == "hold_decided_by"
    assert (late["error"]["params"]["hold"], late["error"]["params"]["who"]) == (kept["hold"], "local")


def test_a_document_with_tenants_is_imported_as_their_file_would_be(api: Api, shared_world: World) -> None:
    fill(shared_world)
    known = api.get("/tenants/acme")
    tenant: dict[str, Any] = {
        "slug": "acme",
        "name": "Acme Opleidingen",
        "afas": {"member_id": "12345", "client_id": "koppeling", "base_url": known["afas"]["base_url"]},
        "pluvo": {"organisation": "acme", "client_id": "koppeling", "base_url": known["pluvo"]["base_url"]},
    }
    (told,) = api.post("/tenants/import/preview", tenants=[tenant])["items"]
    assert api.get("/tenants/acme") == known
    (done,) = api.post("/tenants/import", tenants=[tenant])["items"]
    assert done == told
    assert done["action"] == "updated"
    assert "name: Acme → Acme Opleidingen" in done["changes"]
    assert api.get("/tenants/acme")["secrets"] == known["secrets"]


@pytest.mark.parametrize("secret", [{"env": "PATH"}, {"file": "/etc/hostname"}])
def test_an_imported_document_reads_nothing_of_this_machine(api: Api, secret: dict[str, str]) -> None:
    tenant = {
        "slug": "spy",
        "name": "Spy",
        "afas": {"member_id": "54321", "client_id": "k", "client_secret": secret},
        "pluvo": {"organisation": "spy", "client_id": "k", "client_secret": "s"},
    }
    told = api.post("/tenants/import", 422, tenants=[tenant])
    assert told["error"]["params"]["lines"] == ["tenants.0.afas.client_secret: a secret is text here"]


def test_a_tenant_is_removed_only_by_who_repeats_its_name(api: Api, shared_world: World) -> None:
    fill(shared_world)
    refused = api("DELETE", "/tenants/acme", params={"confirm": "acne"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (422, "confirm_slug")
    done = api("DELETE", "/tenants/acme", params={"confirm": "acme"})
    assert done.json()["erased"] > 10
    assert api("GET", "/tenants/acme").status_code == 404
    fill(shared_world)
