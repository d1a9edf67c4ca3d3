"""One mailbox, one name, one id, however they are written; and what only looks alike is a matter for a person."""

from __future__ import annotations

import pytest

from ops.people import links
from tests.fixtures.looking import enrolled, link, outcomes, reasons
from tests.fixtures.world import World

COMPOSED, DECOMPOSED = "jos\u00e9@example.nl", "jose\u0301@example.nl"


@pytest.mark.parametrize(
    ("in_pluvo", "in_afas"),
    [
        ("m.strauss@example.nl", "m.strau\u00df@example.nl"),
        ("m.strau\u00df@example.nl", "M.STRAUSS@example.nl"),
        ("jos\u00e9@example.nl", "JOS\u00c9@example.nl"),
        ("fiona@example.nl", "\ufb01ona@example.nl"),
    ],
)
def test_account_whose_address_only_looks_alike_is_for_an_operator(world: World, in_pluvo: str, in_afas: str) -> None:
    # given somebody else's account
    user = world.pluvo.add_user(in_pluvo, "Iemand Anders")
    world.person(80, email_primary=in_afas)
    world.person(81)
    # when
    run = world.sync()
    # then it is untouched, and offered
    assert reasons(world, run)["80"] == ("ambiguous", "similar_email")
    assert [one["pluvo_id"] for one in link(world, 80)["candidates"]] == [user["id"]]
    assert (world.user(in_pluvo)["name"], world.user(in_pluvo)["email"]) == ("Iemand Anders", in_pluvo)
    assert enrolled(world) == {"p81@example.nl"}


def test_two_addresses_that_pluvo_takes_for_one_park_the_second(world: World) -> None:
    world.person(80, email_primary="m.strauss@example.nl")
    world.person(81, email_primary="m.strau\u00df@example.nl")
    world.sync()
    assert len(world.pluvo.users) == 1
    assert link(world, 81)["state"] == "ambiguous"
    assert world.rows("SELECT id FROM dead_letter") == []


@pytest.mark.parametrize(("in_pluvo", "in_afas"), [(COMPOSED, DECOMPOSED), (DECOMPOSED, COMPOSED)])
def test_an_accent_written_otherwise_is_the_same_address(world: World, in_pluvo: str, in_afas: str) -> None:
    user = world.pluvo.add_user(in_pluvo, "Persoon 80")
    world.person(80, email_primary=in_afas)
    assert outcomes(world.sync()) == {"linked": 1}
    assert link(world, 80)["pluvo_id"] == user["id"]
    assert len(world.pluvo.users) == 1
    assert outcomes(world.sync()) == {"unchanged": 1}


def test_one_person_in_two_rows_with_accents_written_both_ways_is_one_person(world: World) -> None:
    # given two ids with one name and address, and one id in two events
    world.person(80, name="Jos\u00e9 Pe\u00f1a", email_primary=COMPOSED)
    world.person(81, name="Jose\u0301 Pen\u0303a", email_primary=DECOMPOSED)
    world.person(82, name="Zo\u00eb")
    world.person(82, 341, name="Zoe\u0308")
    # when
    run = world.sync()
    # then
    assert outcomes(run)["created"] >= 2
    assert outcomes(run).get("ambiguous", 0) == 0
    assert link(world, 80)["pluvo_id"] == link(world, 81)["pluvo_id"]
    assert len(world.pluvo.users) == 2
    assert outcomes(world.sync()) == {"unchanged": 4}


def test_an_account_id_in_capitals_is_the_same_account(world: World) -> None:
    user = world.pluvo.add_user("p80@example.nl", "Persoon 80")
    links.set_link("acme", "80", user["id"].upper(), who="tester")
    world.person(80)
    assert outcomes(world.sync()) == {"linked": 1}
    assert link(world, 80)["pluvo_id"] == user["id"]
    assert links.set_link("acme", "80", user["id"].upper(), who="tester") == "unchanged"


def test_an_account_shared_under_an_id_in_capitals_keeps_who_stays(world: World) -> None:
    # given two persons with one account, one of them linked by an id in capitals
    world.set_tenant(removals={"policy": "unenroll", "confirm_after": 0, "limits": {}})
    user = world.pluvo.add_user("p80@example.nl", "Persoon 80")
    links.set_link("acme", "80", user["id"], who="tester")
    links.set_link("acme", "81", user["id"].upper(), who="tester")
    world.person(80)
    world.person(81, name="Persoon 80", email_primary="p80@example.nl")
    world.person(82)
    world.sync()
    # when one leaves
    world.afas.remove(340, 81)
    world.sync()
    # then the other is still in
    assert "p80@example.nl" in enrolled(world)


def test_an_afas_id_with_zeros_in_pluvo_is_that_persons(world: World) -> None:
    user = world.pluvo.add_user("oud@example.nl", "Persoon 80", afasContactId="00080")
    world.person(80)
    assert outcomes(world.sync()) == {"linked": 1}
    assert link(world, 80)["pluvo_id"] == user["id"]
