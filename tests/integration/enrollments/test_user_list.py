"""Pluvo's list of users is what matching stands on: it is whole, or everybody it may concern is looked at otherwise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ops.people import links_import
from ops.problems import FileProblems
from simulators.pluvo.switches import ASSUMED
from tests.fixtures.looking import invitations, link, outcomes
from tests.fixtures.world import World


def _colleagues(world: World, count: int) -> list[dict[str, Any]]:
    """Other people in Pluvo, by name before everybody else."""
    return [world.pluvo.add_user(f"a{n}@example.org", f"Aa {n:03}") for n in range(count)]


def test_somebody_archived_while_users_are_listed_hides_nobody_else(world: World) -> None:
    # given an account for 80 that is the first of page 2, until somebody on page 1 is archived
    colleagues = _colleagues(world, 50)
    theirs = world.pluvo.add_user("oud@example.nl", "Ab", afasContactId="80")
    world.pluvo.add_user("z@example.org", "Zz")
    world.pluvo.change_switches(moves_while_listing=[(colleagues[10]["id"], True)])
    world.person(80)
    # when
    run = world.sync()
    # then
    assert outcomes(run) == {"linked": 1}
    assert link(world, 80)["pluvo_id"] == theirs["id"]
    assert run.reasons == []


def test_somebody_restored_between_the_two_listings_is_seen(world: World) -> None:
    theirs = world.pluvo.add_user("oud@example.nl", "Ab", afasContactId="80", archived=True)
    world.pluvo.change_switches(moves_while_listing=[(theirs["id"], False)])
    world.person(80)
    assert outcomes(world.sync()) == {"linked": 1}
    assert link(world, 80)["pluvo_id"] == theirs["id"]


def _alerts(world: World) -> list[dict[str, Any]]:
    return world.rows("SELECT kind FROM alert WHERE closed_at IS NULL")


def test_a_count_that_is_off_stops_nobody_and_is_told_once(world: World) -> None:
    # given
    world.pluvo.change_switches(count_off=1)
    world.pluvo.add_user("p81@example.nl", "Persoon 81")
    world.person(80)
    world.person(81)
    # when
    run = world.sync()
    # then
    assert outcomes(run) == {"created": 1, "linked": 1}
    assert run.reasons == ["users_incomplete"]
    assert _alerts(world) == [{"kind": "users_incomplete"}]
    assert world.plan().reasons == []
    # and when the list is right again
    world.pluvo.change_switches(count_off=0)
    world.person(82)
    assert outcomes(world.sync()) == {"created": 1, "unchanged": 2}
    assert _alerts(world) == []


def test_a_user_whom_pluvo_cannot_read_makes_only_those_wait_who_may_be_that_user(world: World) -> None:
    # given an account of 80 that comes back as null with an error, wherever it is asked for
    theirs = world.pluvo.add_user("p80@example.nl", "Persoon 80")
    world.pluvo.change_switches(broken_users=[theirs["id"]])
    for internal_id in (80, 81, 82):
        world.person(internal_id)
    # when
    run = world.sync()
    # then
    assert outcomes(run) == {"ambiguous": 1, "created": 2}
    assert link(world, 80)["reason"] == "account_unreadable"
    assert invitations(world) == 2
    # and when it can be read again, the next run links it by itself
    world.pluvo.change_switches(broken_users=[])
    assert outcomes(world.sync()) == {"linked": 1, "unchanged": 2}
    assert link(world, 80)["pluvo_id"] == theirs["id"]


def test_text_in_pluvo_that_no_database_keeps_stops_nobody(world: World) -> None:
    world.pluvo.add_user("x@example.org", "A\0a \ud800")
    world.pluvo.add_user("p80@example.nl", "Persoon\0 80")
    world.person(80)
    world.person(81)
    assert outcomes(world.sync()) == {"created": 1, "linked": 1}
    assert world.user("p80@example.nl")["name"] == "Persoon 80"


@pytest.mark.parametrize("field", ["email", "name", "ref", "afasPersonId", "afasContactId"])
def test_text_in_pluvo_that_no_index_keeps_stops_nobody(world: World, field: str) -> None:
    long = "".join(chr(0x4E00 + n * 7919 % 20000) for n in range(20000))
    values: dict[str, Any] = {"email": "x@example.org", "name": "Iemand Anders"} | {field: long}
    world.pluvo.add_user(values.pop("email").replace(long, long + "@example.org"), values.pop("name"), **values)
    world.person(80)
    assert outcomes(world.sync()) == {"created": 1}


@pytest.mark.parametrize("introspection", [True, False])
def test_a_schema_without_all_that_is_assumed_serves_people_all_the_same(world: World, introspection: bool) -> None:
    # given
    world.set_tenant(removals={"policy": "unenroll", "confirm_after": 0, "limits": {}})
    world.pluvo.change_switches(hidden=list(ASSUMED), introspection=introspection)
    world.pluvo.add_user("p81@example.nl", "Anders", ref="hr-81")
    for internal_id in (80, 81, 82):
        world.person(internal_id)
    # when
    assert outcomes(world.sync()) == {"created": 2, "linked": 1}
    world.afas.rename(80, "Hernoemd")
    world.afas.remove(340, 82)
    run = world.sync()
    # then
    assert (outcomes(run), run.removed) == ({"updated": 1, "unchanged": 1}, 1)
    assert world.roster() == world.expected()
    assert {row["state"] for row in world.rows("SELECT state FROM tenant_direction")} == {"healthy"}
    assert world.rows("SELECT * FROM dead_letter") == []
    # and every account once more
    assert outcomes(world.sync(full=True)) == {"unchanged": 2}


def test_import_by_address_refuses_only_the_line_of_a_user_whom_pluvo_cannot_read(world: World, tmp_path: Path) -> None:
    unreadable = world.pluvo.add_user("p80@example.nl", "Persoon 80")
    world.pluvo.add_user("p81@example.nl", "Persoon 81")
    world.pluvo.change_switches(broken_users=[unreadable["id"]])
    file = tmp_path / "links.csv"
    file.write_text("tenant,internal_id,pluvo_email\nacme,80,p80@example.nl\nacme,81,p81@example.nl\n")
    with pytest.raises(FileProblems) as caught:
        links_import.run(file, who="tester")
    assert [line.split("links.csv:")[1] for line in caught.value.lines] == [
        "2: Pluvo can't read a user who may have this address"
    ]
