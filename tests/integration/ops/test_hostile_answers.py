"""Whatever AFAS or Pluvo answer, looking at it ends in sentences: not too long ones, of letters that can be stored."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from sqlalchemy import text
from typer.testing import CliRunner, Result

from clients.afas import AfasClient
from clients.http import tokens
from models.session import transaction
from ops.cli.main import app
from ops.problems import Problem
from ops.tenants.check import check, last_check
from ops.tenants.check_contract import check_contract
from ops.tenants.check_findings import LONGEST
from simulators.afas.tenant import GET_CONNECTOR
from tenancy import systems
from tests.fixtures.world import World

ODD = "Deel\u0000nemer\ud800\x1b[2J\u202e"
LOOKS = (
    ("check", "acme"),
    ("check", "acme", "--last", "--language", "nl"),
    ("check", "acme", "--contract"),
    ("fields", "acme"),
    ("handover", "acme"),
)
ROW = {"CrId": 340, "Intern_ID": 80, "Extern_ID": "1", "Naam": "Anna Bos", "Email_werk": "anna@example.nl"}


@pytest.fixture
def world(shared_world: World) -> Iterator[World]:
    """A tenant at which nothing is wrong."""
    tokens._shared.clear()
    shared_world.reset(events=("340",))
    for internal_id in (80, 81, 82):
        shared_world.person(internal_id)
    yield shared_world
    tokens._shared.clear()


def koppeling(*words: str) -> Result:
    return CliRunner().invoke(app, words)


def answers(world: World, operation: str, body: Any, system: str = "afas") -> None:
    """What the simulator says from now on."""
    said = body if isinstance(body, str) else json.dumps(body)
    world.fault(system, "bad_json", match={"operation": operation}, body=said)


def says_of_itself(world: World, *connectors: str, envid: str = "O12345AA", expiry: str = "0") -> None:
    told = {"envid": envid, "appName": "x", "group": "x", "tokenExpiry": expiry}
    listed = [{"id": name, "description": name} for name in connectors]
    answers(world, "metainfo", {"info": told, "getConnectors": listed, "updateConnectors": listed})


def looked_at(world: World) -> None:
    """Every command that looks ends by itself, and what it says can be read."""
    for words in LOOKS:
        done = koppeling(*words)
        assert done.exception is None or isinstance(done.exception, SystemExit | Problem), words
        said = done.output + str(done.exception)
        assert len(said) < 20_000, words
        assert "\x1b" not in done.output, words
    assert world.writes() == []


def test_names_with_letters_that_nobody_can_store_are_kept_without_them(world: World) -> None:
    says_of_itself(world, ODD, GET_CONNECTOR + ODD, envid="O12345AA" + ODD, expiry=ODD)
    found = check("acme")
    assert last_check("acme") == found
    (lacking,) = [probe for probe in found["probes"] if probe["code"] == "connector_missing"]
    assert "Deel�nemer�" in lacking["cause"]
    looked_at(world)


def test_fields_with_such_letters_and_a_length_without_end_are_shown(world: World) -> None:
    field = {"id": "Naam" + ODD, "fieldId": "U" + "A" * 32, "dataType": "date", "label": ODD, "length": "9" * 5000}
    answers(world, "metainfo_get", {"name": "x", "fields": [field]})
    answers(world, "metainfo_update", {"id": "x", "fields": [field]})
    codes = {probe["code"] for probe in check("acme")["probes"]}
    assert codes == {"ok", "column_missing", "completion_field_missing"}
    looked_at(world)


def test_of_very_many_and_very_long_names_a_few_are_told(world: World) -> None:
    names = [f"Deelnemers_{number}_{'x' * 60}" for number in range(5_000)]
    says_of_itself(world, *names, "y" * 1_000_000, envid="O12345AA" + "z" * 1_000_000)
    check("acme")
    for probe in last_check("acme")["probes"]:
        for value in probe["parameters"].values():
            for one in value if isinstance(value, list) else [value]:
                assert len(str(one)) <= LONGEST, probe["code"]
    looked_at(world)


def test_of_very_many_fields_for_the_date_a_few_are_told(world: World) -> None:
    fields = [{"id": f"U{n:032X}", "fieldId": f"U{n:032X}", "dataType": "date", "label": "dag"} for n in range(1000)]
    answers(world, "metainfo_update", {"id": "x", "fields": fields})
    (lacking,) = [probe for probe in check("acme")["probes"] if probe["code"] == "completion_field_missing"]
    assert len(lacking["cause"]) < 2000


@pytest.mark.parametrize("operation", ["metainfo", "metainfo_get", "metainfo_update", "page", "token"])
@pytest.mark.parametrize("body", ["[" * 100_000, '{"info": [], "fields": {}, "rows": {}}'])
def test_an_answer_of_another_shape_is_a_finding(world: World, operation: str, body: str) -> None:
    answers(world, operation, body)
    assert check("acme")["ok"] is False
    looked_at(world)


@pytest.mark.parametrize("operation", ["offerEvent", "IntrospectionQuery"])
@pytest.mark.parametrize("body", ["[" * 100_000, '{"data": []}', '{"errors": [{"message": {"a": "\\ud800\\u0000"}}]}'])
def test_an_answer_of_pluvo_of_another_shape_ends_nothing(world: World, operation: str, body: str) -> None:
    answers(world, operation, body, "pluvo")
    assert {probe["code"] for probe in check("acme")["probes"]} != {"ok"}
    looked_at(world)


@pytest.mark.parametrize("column", ["Intern_ID", "Naam"])
@pytest.mark.parametrize("value", [{"a": 1}, ODD])
def test_a_value_of_another_kind_ends_nothing(world: World, column: str, value: Any) -> None:
    answers(
        world, "page", {"skip": 0, "take": 1, "rows": [ROW | {"Email_prive": None, "Voltooid_op": None, column: value}]}
    )
    looked_at(world)


def test_where_there_is_no_such_system_nothing_of_it_is_refuted(world: World) -> None:
    world.fault("afas", "redirect", headers={"Location": "http://elsewhere.example.org/"})
    world.fault("pluvo", "redirect", headers={"Location": "http://elsewhere.example.org/"})
    found = check_contract("acme")
    assert [fact["fact"] for fact in found["facts"] if fact["verdict"] == "refuted"] == []
    assert {fact["why"] for fact in found["facts"]} == {"redirect", "needs_a_write"}


SECRET = "zeer-geheim-99-wachtwoord"
ECHO = f"client_secret={SECRET} van Anna Bos (anna@example.nl) is niet goed"


@pytest.mark.parametrize(
    ("system", "operation", "fault"),
    [
        ("afas", "metainfo", {"kind": "functional", "message": ECHO}),
        ("afas", "page", {"kind": "functional", "message": ECHO}),
        ("afas", "token", {"kind": "status", "status": 400, "body": json.dumps({"error": ECHO})}),
        ("pluvo", "offerEvent", {"kind": "graphql_error", "message": ECHO}),
        ("pluvo", "token", {"kind": "status", "status": 401, "body": json.dumps({"error": ECHO})}),
    ],
)
def test_a_secret_that_is_echoed_is_shown_nowhere_and_a_person_kept_nowhere(
    world: World, system: str, operation: str, fault: dict[str, Any]
) -> None:
    world.afas.oauth_clients["koppeling"].secrets.append(SECRET)
    world.pluvo.clients["koppeling"].secret = SECRET
    world.set_tenant(afas_client_secret=SECRET, pluvo_client_secret=SECRET)
    world.fault(
        system, fault["kind"], match={"operation": operation}, **{k: v for k, v in fault.items() if k != "kind"}
    )
    printed = "".join(koppeling(*words).output for words in LOOKS)
    assert SECRET not in printed
    assert "anna@example.nl" not in printed
    with transaction() as connection:
        kept = connection.execute(text("SELECT findings::text FROM tenant_check")).scalar_one()
    assert '"ok": false' in kept
    assert [word for word in (SECRET, "Anna", "Bos", "anna@") if word in kept] == []


def test_a_silent_system_is_waited_for_once(shared_world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    tokens._shared.clear()
    shared_world.reset(events=("340", "341"))
    for event in (340, 341):
        shared_world.person(80, event)
    monkeypatch.setattr(systems, "AfasClient", partial(AfasClient, read_timeout=0.5))
    # The whole page of the connector is answered, the first event's page is not.
    shared_world.fault("afas", "hang", match={"operation": "page"}, skip=1, seconds=20)
    codes = [probe["code"] for probe in check("acme")["probes"]]
    assert codes.count("timeout") == 1


def test_credentials_that_can_not_be_sent_are_told_as_such(world: World) -> None:
    world.set_tenant(afas_token="no token")
    base_url = f"{world.afas_url}/t/12345/ProfitRestServices"
    world.set_tenant(afas={"member_id": "12345", "auth": "token", "base_url": base_url})
    looked_at(world)
