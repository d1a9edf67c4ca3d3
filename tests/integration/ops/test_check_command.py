"""``koppeling check`` and ``handover`` as an operator types them, and the mail that asks for what AFAS lacks."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner, Result

from clients.http import tokens
from ops.cli.main import app
from ops.tenants.handover import handover
from simulators.afas.tenant import COLUMNS, COMPLETION_FIELD, GET_CONNECTOR
from tests.fixtures.world import World


@pytest.fixture
def world(shared_world: World) -> World:
    """A tenant at which nothing is wrong."""
    tokens._shared.clear()
    shared_world.reset(events=("340", "341"))
    for event in (340, 341):
        shared_world.person(80, event)
    return shared_world


def koppeling(*words: str, **environment: str) -> Result:
    return CliRunner().invoke(app, words, env=environment)


def test_a_fault_is_told_in_the_language_asked_for_and_ends_with_1(world: World) -> None:
    world.set_tenant(pluvo_client_secret="fout")
    dutch = koppeling("check", "acme", "--language", "nl")
    assert dutch.exit_code == 1
    assert "FAIL  credentials_refused" in dutch.stdout
    assert "Verbeter client_id en client_secret onder [tenants.pluvo]" in dutch.stdout
    english = koppeling("check", "acme", "--last", LC_ALL="en_GB.UTF-8")
    assert english.exit_code == 1
    assert "Correct client_id and client_secret under [tenants.pluvo]" in english.stdout
    of_the_terminal = koppeling("check", "acme", "--last", "--json", LC_ALL="nl_NL.UTF-8")
    found = json.loads(of_the_terminal.stdout)
    assert (found["tenant"], found["ok"]) == ("acme", False)
    assert any(probe["action"].startswith("Verbeter client_id") for probe in found["probes"])


def test_where_all_is_well_it_ends_with_0(world: World) -> None:
    done = koppeling("check", "acme")
    assert done.exit_code == 0
    assert "FAIL" not in done.stdout


def test_the_contract_ends_with_3_where_something_is_refuted(world: World) -> None:
    world.afas.token_expiry = "eind mei"
    done = koppeling("check", "acme", "--contract", "--language", "nl")
    assert done.exit_code == 3
    assert "WEERLEGD      AFAS: het einde van een token" in done.stdout
    assert "(dat blijkt alleen uit een schrijfactie)" in done.stdout


def test_columns_are_shown_with_a_proposal(world: World) -> None:
    done = koppeling("fields", "acme", "--language", "nl")
    assert done.exit_code == 0
    assert 'email_primary = "Email_werk"  # de beheerder noemde het zo: E-mail werk' in done.stdout
    assert f'completion_field = "{COMPLETION_FIELD}"' in done.stdout


def test_the_mail_asks_once_for_each_thing_that_afas_lacks(world: World) -> None:
    columns = {name: source for name, source in COLUMNS.items() if name not in ("Email_prive", "Email_werk")}
    world.afas.change_connector(GET_CONNECTOR, columns=columns)
    world.afas.update_connectors.clear()
    world.set_tenant(pluvo_client_secret="fout")
    found = handover("acme")
    assert [item["code"] for item in found["items"]] == ["column_missing", "updateconnector_missing"]
    assert f"1. Voeg deze kolommen toe aan de GetConnector {GET_CONNECTOR}: Email_prive, Email_werk." in found["text"]
    assert "2. Voeg de UpdateConnector KnCourseMember toe" in found["text"]
    assert "zijn er in AFAS nog 2 dingen nodig" in found["text"]
    assert "?" not in found["text"] + handover("acme", "en")["text"]
    assert "geheim" not in str(found)


def test_where_nothing_lacks_the_mail_says_so(world: World) -> None:
    done = koppeling("handover", "acme", "--language", "en")
    assert done.exit_code == 0
    assert "nothing is missing in AFAS" in done.stdout
