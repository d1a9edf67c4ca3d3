"""The customer's manual (docs/handleiding.md, docs/manual.md) against the simulators: ``check`` names the step to do.

Walked from nothing to a first sync, and with one item left out by a customer who did all the rest.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from clients.http import tokens
from clients.pluvo.graphql import SCOPES
from models.course import Course
from models.session import session
from models.tenant_settings import CompletionRule
from ops.language import Language
from ops.tenants.check import check
from ops.tenants.manual_steps import STEPS
from simulators.afas.tenant import COLUMNS, COMPLETION_FIELD, GET_CONNECTOR, UPDATE_CONNECTOR, FreeField, OAuthClient
from simulators.pluvo.switches import ApiClient
from tests.fixtures.looking import outcomes
from tests.fixtures.world import World

MANUAL = Path(__file__).parents[3] / "docs" / "handleiding.md"
MANUALS: dict[Language, tuple[str, str]] = {"nl": ("docs/handleiding.md", "stap"), "en": ("docs/manual.md", "step")}
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


# ------------------------------------------------------------------------------------------------- from nothing on


def nothing_done(world: World) -> None:
    """A customer before step 1, and a tenants file with what they are going to hand over, one capital wrong."""
    del world.afas.free_fields[COMPLETION_FIELD]
    for internal_id in PEOPLE:
        world.afas.remove(340, internal_id)
    world.afas.oauth_clients.clear()
    world.afas.update_connectors.clear()
    world.afas.change_connector(GET_CONNECTOR, columns={}, allowed=False)
    world.afas.change_switches(ip_refused=True)
    world.pluvo.clients.clear()
    world.pluvo.offer_events.clear()
    world.pluvo.trainings.clear()
    world.pluvo.add_user("anna@example.nl", "Anna Bos", afasConnectionId="c-1")
    completed_on_is_no_column(world)
    a_name_with_another_capital(world)


def columns_but_that_of_the_date(world: World) -> None:
    without_column("Voltooid_op")(world)


def date_in_the_getconnector(world: World) -> None:
    world.afas.change_connector(GET_CONNECTOR, columns=dict(COLUMNS))
    hand_over(world, completion="Voltooid_op")


def hand_over(world: World, **fields: str) -> None:
    """The right name of a column comes from the customer, and into the tenants file."""
    with session() as opened:
        course = opened.get_one(Course, world.courses()[0].id)
        course.fields = course.fields.model_copy(update=fields)
        course.rules = [rule.model_copy(update={"column": course.fields.completion}) for rule in course.rules]
        opened.add(course)


def a_filter_with_everybody_in_it(world: World) -> None:
    for internal_id in PEOPLE:
        world.person(internal_id)


def a_client_of_a_blocked_app_connector(world: World) -> None:
    world.afas.oauth_clients["koppeling"] = OAuthClient(["geheim"], blocked=True)


def no_longer_blocked(world: World) -> None:
    world.afas.oauth_clients["koppeling"].blocked = False


def an_api_client_with_too_few_rights(world: World) -> None:
    world.pluvo.clients["koppeling"] = ApiClient("geheim")
    fewer_rights(world)


def all_rights(world: World) -> None:
    world.pluvo.clients["koppeling"].scopes = list(SCOPES)


@dataclass(frozen=True)
class Item:
    """An item of the manual, such as 4.2: what ``check`` finds while it is not done, and how it is done."""

    number: str
    code: str
    do: Callable[[World], Any]

    @property
    def step(self) -> int:
        return int(self.number.partition(".")[0])


# In the order in which a check can see them: behind a closed door nothing is seen.
WALK = (
    Item("5", "client_refused", a_client_of_a_blocked_app_connector),
    Item("4.4", "client_refused", no_longer_blocked),
    Item("4.5", "ip_refused", lambda w: w.afas.change_switches(ip_refused=False)),
    Item("4.2", "connector_missing", lambda w: w.afas.change_connector(GET_CONNECTOR, allowed=True)),
    Item("2", "column_missing", columns_but_that_of_the_date),
    Item("7", "column_near", lambda w: hand_over(w, name="Naam")),
    Item("1.3", "no_rows", a_filter_with_everybody_in_it),
    Item("4.3", "updateconnector_missing", lambda w: w.afas.update_connectors.update({UPDATE_CONNECTOR: "Deelnemer"})),
    Item("3", "completion_field_missing", lambda w: w.afas.free_fields.update({COMPLETION_FIELD: FreeField("V. op")})),
    Item("2", "completion_unseen", date_in_the_getconnector),
    Item("6.1", "credentials_refused", an_api_client_with_too_few_rights),
    Item("6.1", "scope_missing", all_rights),
    Item("6.2", "offer_event_unknown", lambda w: w.pluvo.add_offer_event("Event 340", "afas-340")),
    Item("6.3", "title_unknown", lambda w: w.pluvo.add_training("Training 340", "training-340")),
    Item("6.4", "own_link_active", lambda w: w.pluvo.end_own_link()),
)
# What no check can see: names that are free, whose account it is, and a webhook, which nobody needs.
UNSEEN = {"1.1", "1.2", "4.1", "6.5"}


@pytest.mark.parametrize("language", MANUALS)
def test_the_manual_is_walked_from_nothing_to_a_first_sync_and_each_check_names_the_step_to_do(
    world: World, language: Language
) -> None:
    manual, word = MANUALS[language]

    def found() -> list[tuple[str, int | None, str]]:
        probes = check("acme", language=language)["probes"]
        return [(one["code"], one["manual_step"], one["action"]) for one in probes if one["code"] != "ok"]

    nothing_done(world)
    for item, after in zip(WALK, (*WALK[1:], None), strict=True):
        code, step, action = found()[0]
        assert code == item.code, item
        assert action.endswith(f"({manual}, {word} {step})")
        # AFAS refuses the client of a blocked app connector like one that it does not know: both steps are named.
        assert step == item.step or f"{word} {item.step}" in action
        item.do(world)
        tokens._shared.clear()
        if after is None or after.code != item.code:
            assert item.code not in {one[0] for one in found()}, item
    assert (found(), check("acme")["ok"]) == ([], True)

    run = world.sync()
    assert outcomes(run) == {"created": len(PEOPLE)}
    assert world.roster() == world.expected()
    assert len(world.roster()["340"]) == len(PEOPLE)


@pytest.mark.parametrize("language", MANUALS)
def test_every_numbered_item_of_the_manual_is_walked_or_can_be_seen_by_nobody(language: Language) -> None:
    manual, word = MANUALS[language]
    numbered: set[str] = set()
    step = 0
    for line in (MANUAL.parents[1] / manual).read_text(encoding="utf-8").splitlines():
        if heading := re.match(rf"## {word} (\d+):", line, re.IGNORECASE):
            step = int(heading[1])
        elif (number := re.match(r"(\d+)\. ", line)) and step < 8:
            numbered.add(f"{step}.{number[1]}")
    walked = {item.number for item in WALK}
    assert numbered == {one for one in walked if "." in one} | UNSEEN
    assert {item.step for item in WALK} == set(STEPS.values())
