"""``koppeling check`` against both simulators: each finding names what to do about it."""

from __future__ import annotations

from typing import Any

import pytest

from ops.tenants.check import check
from ops.tenants.check_findings import FindingDocument
from simulators.pluvo.switches import ASSUMED
from tests.fixtures.world import World


def _findings(world: World) -> dict[str, FindingDocument]:
    world.person(80)
    return {probe["code"]: probe for probe in check("acme")["probes"] if probe["code"] != "ok"}


def test_a_pluvo_that_knows_all_that_is_assumed_needs_nothing(world: World) -> None:
    assert not {"assumed_missing", "schema_hidden", "operation_missing"} & _findings(world).keys()


def test_check_names_what_a_schema_lacks_and_nothing_is_wrong_with_that(world: World) -> None:
    world.pluvo.change_switches(hidden=list(ASSUMED))
    found = _findings(world)
    assert found.keys() & {"assumed_missing", "schema_hidden", "operation_missing"} == {"assumed_missing"}
    assert found["assumed_missing"]["ok"]
    for name in ("afasContactId", "afasPersonId", "afasConnectionId", "userIds", "email", "offerEventId"):
        assert name in found["assumed_missing"]["cause"]


def test_check_says_what_reading_shows_of_a_schema_that_hides_itself(world: World) -> None:
    world.pluvo.change_switches(hidden=list(ASSUMED), introspection=False)
    world.clear_log()
    found = _findings(world)
    assert found["schema_hidden"]["ok"]
    assert "afasContactId, email, userIds" in found["assumed_missing"]["cause"].replace("afasPersonId, ", "")
    assert world.writes() == []


@pytest.mark.parametrize(
    ("change", "code", "setting"),
    [
        ({"pluvo_client_secret": "fout"}, "credentials_refused", "client_secret"),
        ({"pluvo": "elsewhere"}, "not_found", "organisation"),
        ({"pluvo": "nowhere"}, "connect_failed", "organisation"),
    ],
)
def test_wrong_settings_of_pluvo_are_named(world: World, change: dict[str, Any], code: str, setting: str) -> None:
    bases = {"elsewhere": f"{world.pluvo_url}/t/elsewhere", "nowhere": "http://127.0.0.1:1/t/acme"}
    if "pluvo" in change:
        base = {"base_url": bases[change["pluvo"]]}
        change = {"pluvo": {"organisation": "acme", "client_id": "koppeling", "calls_per_second": 0} | base}
    world.set_tenant(**change)
    assert setting in _findings(world)[code]["action"]


def test_check_says_that_a_list_of_users_is_not_whole_and_goes_on(world: World) -> None:
    world.pluvo.change_switches(count_off=1)
    found = _findings(world)
    assert found["users_incomplete"]["ok"]
    assert "ask Pluvo" in found["users_incomplete"]["action"].replace("Ask", "ask")


@pytest.mark.parametrize(
    ("switches", "told"),
    [
        ({}, None),
        ({"unknown_user": "error", "error_paths": False, "null_spoils": True}, None),
        ({"max_root_fields": 4}, "people_per_call is 10; Pluvo takes 2 at most"),
        ({"repeats_fields": False}, "people_per_call is 10; Pluvo takes one at a time"),
        ({"max_body_bytes": 600}, "people_per_call is 10; Pluvo takes 2 at most"),
    ],
    ids=["any document", "nobody is an error", "few fields", "a field once", "a short text"],
)
def test_check_says_how_many_people_go_in_one_call(world: World, switches: dict[str, Any], told: str | None) -> None:
    shared = {"organisation": "acme", "client_id": "koppeling", "calls_per_second": 0, "people_per_call": 10}
    world.set_tenant(pluvo=shared | {"base_url": f"{world.pluvo_url}/t/acme"})
    world.pluvo.change_switches(**switches)
    found = _findings(world).get("people_per_call_refused")
    assert (found["cause"] if found else None) == told
    assert found is None or found["ok"]
    assert world.writes() == []
