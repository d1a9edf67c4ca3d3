"""Two tenants, each with an AFAS environment of its own, that share one Pluvo organisation."""

from __future__ import annotations

import pytest

from ops.people import links
from ops.tenants import check
from tests.fixtures.looking import enrolled, link, outcomes, reasons
from tests.fixtures.world import World, now_removals


@pytest.fixture
def beta(world: World) -> World:
    """The second tenant; both act on leavers at once."""
    world.set_tenant(removals=now_removals())
    return world.neighbour()


def _links(world: World) -> dict[str, str | None]:
    """Pluvo ids by internal id, of one tenant."""
    query = """SELECT p.internal_id, l.pluvo_id FROM link l JOIN person p ON p.id = l.person_id
                WHERE l.tenant_id = :tenant"""
    return {row["internal_id"]: row["pluvo_id"] for row in world.rows(query, tenant=world.tenant_id)}


def test_equal_contact_ids_are_two_people(world: World, beta: World) -> None:
    # given
    world.person(80, name="Anna Jansen", email_primary="anna@example.nl")
    world.sync()
    # when
    beta.person(80, 341, name="Bert de Wit", email_primary="bert@example.org")
    run = beta.sync()
    # then
    assert outcomes(run) == {"created": 1}
    anna, bert = world.user("anna@example.nl"), world.user("bert@example.org")
    assert (anna["name"], anna["ref"]) == ("Anna Jansen", "afas:12345:80")
    assert (bert["name"], bert["ref"]) == ("Bert de Wit", "afas:67890:80")
    assert outcomes(world.sync(full=True)) == outcomes(beta.sync(full=True)) == {"unchanged": 1}


def test_contact_id_written_by_the_other_tenant_on_a_foreign_account_is_none_of_ours(world: World, beta: World) -> None:
    account = world.pluvo.add_user("anna@example.nl", "Anna Jansen", ref="hr-7")
    world.person(80, name="Anna Jansen", email_primary="anna@example.nl")
    world.sync()
    assert world.pluvo.users[account["id"]]["afasContactId"] == "80"
    beta.person(80, 341, name="Bert de Wit", email_primary="bert@example.org")
    assert outcomes(beta.sync()) == {"created": 1}
    assert world.pluvo.users[account["id"]]["name"] == "Anna Jansen"


@pytest.mark.parametrize("ref", [None, "hr-7"], ids=["made-by-us", "foreign"])
@pytest.mark.parametrize("number", [80, 85])
def test_one_address_in_both_waits_for_a_decision(world: World, beta: World, ref: str | None, number: int) -> None:
    # given
    if ref:
        world.pluvo.add_user("anna@example.nl", "Anna Jansen", ref=ref)
    world.person(80, name="Anna Jansen", email_primary="anna@example.nl")
    world.sync()
    # when
    beta.person(number, 341, name="Anna Jansen", email_primary="anna@example.nl")
    run = beta.sync()
    # then
    assert reasons(world, run)[str(number)][0] == "ambiguous"
    assert _links(beta) == {str(number): None}
    assert enrolled(world, "341") == set()


def test_account_that_both_have_stays_in_a_target_until_the_last_tenant_lets_it_go(world: World, beta: World) -> None:
    # given one person in both, in events that lead to one offer event
    beta.retarget(341, offer_event_ref="afas-340")
    world.person(80, name="Anna Jansen", email_primary="anna@example.nl")
    for one in (81, 82):
        world.person(one)
        beta.person(one + 100, 341)
    world.sync()
    beta.person(85, 341, name="Anna Jansen", email_primary="anna@example.nl")
    beta.sync()
    account = link(world, 80)["pluvo_id"]
    links.decide("beta", "85", "link", account, who="tester")
    assert outcomes(beta.sync())["linked"] == 1
    # when one lets go
    world.afas.remove(340, 80)
    assert world.sync().removed == 1
    # then
    assert "anna@example.nl" in enrolled(world, "340")
    beta.afas.remove(341, 85)
    beta.sync()
    assert "anna@example.nl" not in enrolled(world, "340")


def test_first_tenant_speaks_for_an_account_that_both_have(world: World, beta: World) -> None:
    world.person(80, name="Anna Jansen", email_primary="anna@example.nl")
    world.sync()
    beta.person(85, 341, name="A. Jansen", email_primary="a.jansen@example.org")
    account = link(world, 80)["pluvo_id"]
    links.set_link("beta", "85", account, who="tester")
    for _ in range(2):
        world.sync(full=True)
        beta.sync(full=True)
        user = world.pluvo.users[account]
        assert (user["name"], user["email"]) == ("Anna Jansen", "anna@example.nl")
    assert enrolled(world, "341") == {"anna@example.nl"}


def test_account_that_the_other_tenant_needs_is_not_archived(world: World, beta: World) -> None:
    world.set_tenant(removals={"policy": "unenroll_and_archive", "confirm_after": 0, "limits": {}})
    for one in (80, 81, 82):
        world.person(one)
    world.sync()
    beta.person(85, 341, email_primary="p80@example.nl", name="Persoon 80")
    beta.sync()
    links.decide("beta", "85", "link", link(world, 80)["pluvo_id"], who="tester")
    # needed, and not even enrolled by the other tenant yet
    world.afas.remove(340, 80)
    world.sync()
    assert not world.user("p80@example.nl")["archived"]
    assert "p80@example.nl" not in enrolled(world)
    beta.sync()
    assert "p80@example.nl" in enrolled(world, "341")


def test_check_warns_of_the_other_tenant(world: World, beta: World) -> None:
    found = check.check("beta")
    (shared,) = [probe for probe in found["probes"] if probe["code"] == "organisation_shared"]
    assert (shared["ok"], shared["cause"]) == (True, "acme is also the organisation of acme")
