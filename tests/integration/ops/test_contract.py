"""``koppeling check --contract``: what we only assume is confirmed, refuted or left open, and nothing is written."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from ops.language import SENTENCES
from ops.tenants.check_contract import FACTS, FactDocument, check_contract
from simulators.afas import metainfo
from simulators.pluvo.switches import ASSUMED
from tests.fixtures.world import World


@pytest.fixture
def world(shared_world: World) -> World:
    """A tenant with three people on both sides, one of whom finished."""
    shared_world.reset(events=("340",))
    for internal_id in (80, 81, 82):
        shared_world.person(internal_id)
    shared_world.sync()
    user = shared_world.user("p80@example.nl")
    shared_world.pluvo.complete(user["id"], "Training 340", "2026-11-20T10:00:00Z")
    shared_world.clear_log()
    return shared_world


def verdicts(world: World) -> dict[str, str]:
    found = check_contract("acme")
    assert world.writes() == []
    assert {entry.method for entry in world.calls("afas")} <= {"GET", "POST"}
    return {fact["fact"]: fact["verdict"] for fact in found["facts"]}


def test_what_the_simulators_do_as_assumed_is_confirmed(world: World) -> None:
    heard: list[FactDocument] = []
    found = check_contract("acme", heard.append, language="nl")
    assert heard == found["facts"]
    assert found["ok"] is True
    unsettled = {fact["fact"]: fact["why"] for fact in found["facts"] if fact["verdict"] != "confirmed"}
    assert set(unsettled.values()) == {"needs_a_write", "no_example"}
    assert {fact for fact, why in unsettled.items() if why == "no_example"} == {"days_readable", "booleans_readable"}
    assert world.writes() == []


def test_a_pluvo_without_what_we_assume_refutes_it_by_name(world: World) -> None:
    world.pluvo.change_switches(hidden=[*ASSUMED, "Mutation.unenrollUserFromOfferEvent"], repeats_fields=False)
    refuted = {fact for fact, verdict in verdicts(world).items() if verdict == "refuted"}
    assert refuted >= {"report_of_one", "afas_ids", "afas_connection", "user_by_email", "unenroll_known"}
    assert "several_in_one" in refuted
    assert not {"found_by_ref", "operation_name", "ids_readable"} & refuted


def test_an_afas_that_differs_refutes_it_by_name(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(metainfo.GET_TYPES, "name", ("hologram", "Naam", 255, "Nm"))
    world.afas.token_expiry = "eind mei"
    world.afas.change(340, 80, shown={"internal_id": "1.080"})
    world.fault("afas", "doubled")
    refuted = {fact for fact, verdict in verdicts(world).items() if verdict == "refuted"}
    assert refuted >= {"types_known", "token_expiry_form", "ids_readable", "one_row_each"}


def test_a_system_that_is_away_settles_nothing_of_itself(world: World) -> None:
    world.fault("pluvo", "status", status=502)
    found = verdicts(world)
    assert found["operation_name"] == "not_settled"
    assert found["ids_readable"] == "confirmed"
    assert "refuted" not in found.values()


def test_a_schema_that_hides_itself_is_no_verdict(world: World) -> None:
    world.pluvo.change_switches(introspection=False)
    assert verdicts(world)["unenroll_known"] == "not_settled"


@pytest.mark.parametrize("fact", FACTS, ids=lambda fact: fact.name)
def test_a_fact_has_its_sentence_and_its_place_in_the_documents(fact: Any) -> None:
    assert f"fact.{fact.name}" in SENTENCES
    file, _, anchor = fact.where.partition("#")
    text = (Path(__file__).parents[3] / "docs" / file).read_text(encoding="utf-8")
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    assert anchor in {re.sub(r"[^a-z0-9 -]", "", one.lower()).replace(" ", "-") for one in headings}
