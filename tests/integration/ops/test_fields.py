"""``koppeling fields``: columns of the live GetConnector, and a proposal that can be pasted as it is."""

from __future__ import annotations

import tomllib

import pytest

from models.tenant_settings import FieldMap
from ops.problems import Problem
from ops.tenants.show_fields import show_fields
from simulators.afas.tenant import COMPLETION_FIELD, GET_CONNECTOR
from tests.fixtures.world import FIELDS, World


@pytest.fixture
def world(shared_world: World) -> World:
    """A tenant with one person."""
    shared_world.reset(events=("340",))
    shared_world.person(80, name="Anna Jansen", email_primary="anna@example.nl")
    return shared_world


def test_the_proposal_is_the_mapping_that_works_and_shows_nobody(world: World) -> None:
    world.clear_log()
    found = show_fields("acme")
    assert found["connector"] == GET_CONNECTOR
    pasted = tomllib.loads(found["toml"])
    mapped = FieldMap.model_validate(pasted["tenants"]["courses"]["fields"])
    assert mapped == FIELDS.model_copy(update={"modified": "Gewijzigd"})
    assert pasted["completion_field"] == COMPLETION_FIELD
    assert found["missing"] == []
    assert {one["name"] for one in found["proposal"] if one["because"]} == set(mapped.model_fields_set)
    assert next(one["example"] for one in found["columns"] if one["column"] == "Email_werk") == "a•••@e•••.nl"
    assert not {"Anna", "Jansen", "anna@example.nl"} & set(str(found).replace("'", " ").split())
    assert world.writes() == []
    assert {entry.method for entry in world.calls("afas")} <= {"GET", "POST"}


def test_the_words_come_in_dutch(world: World) -> None:
    because = {one["name"]: one["because"] for one in show_fields("acme", language="nl")["proposal"]}
    assert because["completion"] == "de naam of het label lijkt erop: Voltooid op"


def test_a_misspelt_connector_is_told_the_nearest_names(world: World) -> None:
    with pytest.raises(Problem, match=f"Perhaps meant: {GET_CONNECTOR}"):
        show_fields("acme", "Deelnemer per cursus evenement")
    with pytest.raises(Problem, match=f"Open staan: {GET_CONNECTOR}"):
        show_fields("acme", "Facturen", language="nl")


def test_what_no_column_fits_is_named_and_the_rest_is_proposed(world: World) -> None:
    world.afas.change_connector(GET_CONNECTOR, columns={"CrId": "event_id", "Naam": "name"})
    world.afas.update_connectors.clear()
    found = show_fields("acme")
    assert found["missing"] == ["internal_id", "external_id", "email_primary"]
    assert (found["updateconnector"], found["completion_fields"]) == (None, [])
    assert tomllib.loads(found["toml"])["tenants"]["courses"]["fields"] == {"event_id": "CrId", "name": "Naam"}


def test_a_connector_without_rows_is_judged_by_its_names(world: World) -> None:
    world.afas.remove(340, 80)
    assert show_fields("acme")["missing"] == []


def test_what_afas_refuses_is_one_sentence_with_what_to_do(world: World) -> None:
    world.set_tenant(afas_client_secret="fout")
    with pytest.raises(Problem, match=r"client_refused: .* Correct client_id and client_secret"):
        show_fields("acme")
