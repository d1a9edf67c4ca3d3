"""A customer leaves out one item of the manual (docs/handleiding.md): what ``check`` finds first names its step."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from clients.http import tokens
from clients.pluvo.graphql import SCOPES
from models.course import Course
from models.session import session
from models.tenant_settings import CompletionRule
from ops.tenants.check import check
from ops.tenants.manual_steps import STEPS
from simulators.afas.tenant import COLUMNS, COMPLETION_FIELD, GET_CONNECTOR
from tests.fixtures.world import World

MANUAL = Path(__file__).parents[3] / "docs" / "handleiding.md"
PEOPLE = (80, 81, 82)


@pytest.fixture
def world(shared_world: World) -> World:
    """A customer who did every step."""
    tokens._shared.clear()
    shared_world.reset(events=("340",))
    for internal_id in PEOPLE:
        shared_world.person(internal_id)
    return shared_world


def no_filter_of_the_group(world: World) -> None:
    for internal_id in PEOPLE:
        world.afas.remove(340, internal_id)


def without_column(name: str) -> Callable[[World], Any]:
    kept = {column: source for column, source in COLUMNS.items() if column != name}
    return lambda world: world.afas.change_connector(GET_CONNECTOR, columns=kept)


def completed_on_is_no_column(world: World) -> None:
    with session() as opened:
        course = opened.get_one(Course, world.courses()[0].id)
        course.rules = [CompletionRule(title="Training 340", field=COMPLETION_FIELD, type="date")]
        course.fields = course.fields.model_copy(update={"completion": None})
        opened.add(course)


def no_free_field(world: World) -> None:
    del world.afas.free_fields[COMPLETION_FIELD]
    without_column("Voltooid_op")(world)
    completed_on_is_no_column(world)


def still_blocked(world: World) -> None:
    world.afas.oauth_clients["koppeling"].blocked = True


def no_api_client(world: World) -> None:
    world.pluvo.clients.clear()


def fewer_rights(world: World) -> None:
    world.pluvo.clients["koppeling"].scopes = [one for one in SCOPES if one != "users.write"]


def another_member_id(world: World) -> None:
    base_url = f"{world.afas_url}/t/54321/ProfitRestServices"
    world.set_tenant(afas={"member_id": "54321", "client_id": "koppeling", "base_url": base_url})


def a_name_with_another_capital(world: World) -> None:
    with session() as opened:
        course = opened.get_one(Course, world.courses()[0].id)
        course.fields = course.fields.model_copy(update={"name": "naam"})
        opened.add(course)


LEFT_OUT: list[tuple[int, str, Callable[[World], Any]]] = [
    (1, "filters of the group", no_filter_of_the_group),
    *((2, f"column {name}", without_column(name)) for name in ("CrId", "Intern_ID", "Extern_ID", "Naam", "Email_werk")),
    (2, "column that shows the date", completed_on_is_no_column),
    (3, "free field", no_free_field),
    (4, "GetConnector in the app connector", lambda w: w.afas.change_connector(GET_CONNECTOR, allowed=False)),
    (4, "UpdateConnector in the app connector", lambda w: w.afas.update_connectors.clear()),
    (4, "our address allowed", lambda w: w.afas.change_switches(ip_refused=True)),
    (5, "OAuth", lambda w: w.afas.change_switches(accepts=["token"])),
    (5, "OAuth client", lambda w: w.afas.oauth_clients.clear()),
    (6, "API client", no_api_client),
    (6, "rights", fewer_rights),
    (6, "ref of the offer event", lambda w: w.pluvo.offer_events.clear()),
    (6, "module in the learning plan", lambda w: w.pluvo.trainings.clear()),
    (6, "own link off", lambda w: w.pluvo.add_user("anna@example.nl", "Anna Bos", afasConnectionId="c-1")),
    (7, "member id", another_member_id),
    (7, "name of a column", a_name_with_another_capital),
]


@pytest.mark.parametrize(("step", "what", "leave_out"), LEFT_OUT, ids=[f"{n}-{what}" for n, what, _ in LEFT_OUT])
def test_what_was_left_out_is_named_with_its_step(
    world: World, step: int, what: str, leave_out: Callable[[World], Any]
) -> None:
    leave_out(world)
    found = [probe for probe in check("acme", language="nl")["probes"] if probe["code"] != "ok"]
    assert found, what
    assert [probe["manual_step"] for probe in found] == [step] * len(found), [probe["code"] for probe in found]
    assert found[0]["action"].endswith(f"(docs/handleiding.md, stap {step})")


def test_an_app_connector_that_is_still_blocked_is_thought_of(world: World) -> None:
    still_blocked(world)
    found = [probe for probe in check("acme")["probes"] if not probe["ok"]]
    assert [probe["code"] for probe in found] == ["client_refused"]
    assert "app connector may still be blocked (step 4 of the manual)" in found[0]["action"]


def test_every_step_at_the_customers_is_left_out_here() -> None:
    steps = {int(one) for one in re.findall(r"^## Stap (\d+):", MANUAL.read_text(encoding="utf-8"), re.MULTILINE)}
    checked = max(steps)  # the last is what we do together: check, dry run, on
    assert {step for step, _, _ in LEFT_OUT} == set(STEPS.values()) == steps - {checked}
