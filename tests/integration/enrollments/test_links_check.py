"""What an operator asks for and can't work is refused at once, saying who is in the way."""

from __future__ import annotations

from pathlib import Path

import pytest

from ops.language import say
from ops.people import links_check, links_import
from ops.problems import FileProblems, Problem
from tests.fixtures.looking import link
from tests.fixtures.world import World


def test_an_account_is_looked_up_before_somebody_is_linked_to_it(world: World) -> None:
    # given
    world.person(80)
    world.sync()
    theirs = link(world, 80)["pluvo_id"]
    free = world.pluvo.add_user("vrij@example.org", "Iemand")["id"]
    # then
    links_check.account("acme", "81", free, sure=False)
    links_check.account("acme", "80", theirs, sure=False)
    with pytest.raises(Problem, match="linked to 80 already"):
        links_check.account("acme", "81", theirs.upper(), sure=False)
    links_check.account("acme", "81", theirs, sure=True)
    with pytest.raises(Problem, match="no user with the id"):
        links_check.account("acme", "81", "00000000-0000-0000-0000-000000000000", sure=True)
    world.fault("pluvo", "status", status=502)
    with pytest.raises(Problem, match="can't be asked") as unasked:
        links_check.account("acme", "81", free, sure=False)
    # then a page says why in its language
    assert say("cause.server_error", "nl", system="Pluvo") in unasked.value.say("nl")


def test_a_file_of_links_is_looked_up_before_anything_is_stored(world: World, tmp_path: Path) -> None:
    # given an account of 80's, one that is free, and one that is nowhere
    world.person(80)
    world.sync()
    theirs, free = link(world, 80)["pluvo_id"], world.pluvo.add_user("vrij@example.org", "Iemand")["id"]
    file = tmp_path / "links.csv"
    lines = [f"acme,81,{theirs}", f"acme,82,{free}", "acme,83,00000000-0000-0000-0000-000000000000"]
    file.write_text("\n".join(["tenant,internal_id,pluvo_id", *lines]))
    # then
    with pytest.raises(FileProblems) as told:
        links_import.run(file, who="tester", ask=True, sure=False)
    somebodys, nobodys = told.value.lines
    assert somebodys.startswith(f"{file}:2: {theirs} is linked to 80 already")
    assert nobodys.startswith(f"{file}:4: Pluvo has no user")
    assert link(world, 82) == {}
    file.write_text("\n".join(["tenant,internal_id,pluvo_id", *lines[:2]]))
    assert links_import.run(file, who="tester", ask=True, sure=True)["linked"] == 2


def test_a_file_of_links_is_looked_up_though_pluvo_s_list_is_not_whole(world: World, tmp_path: Path) -> None:
    # given a count that is off
    accounts = [world.pluvo.add_user(f"a{n}@example.org", "Iemand")["id"] for n in range(2)]
    world.pluvo.change_switches(count_off=3)
    file = tmp_path / "links.csv"
    lines = [f"acme,81,{accounts[0]}", f"acme,82,{accounts[1].upper()}", "acme,83,n-v-t"]
    file.write_text("\n".join(["tenant,internal_id,pluvo_id", *lines]))
    # then only who is nowhere is refused
    with pytest.raises(FileProblems) as told:
        links_import.run(file, who="tester", ask=True, sure=False)
    assert [line.partition(": ")[2] for line in told.value.lines] == ["Pluvo has no user with the id n-v-t"]
    file.write_text("\n".join(["tenant,internal_id,pluvo_id", *lines[:2]]))
    assert links_import.run(file, who="tester", ask=True, sure=False)["linked"] == 2


def test_one_account_for_two_people_of_a_file_needs_a_yes(world: World, tmp_path: Path) -> None:
    account = world.pluvo.add_user("gedeeld@example.org", "Iemand")["id"]
    file = tmp_path / "links.csv"
    file.write_text(f"tenant,internal_id,pluvo_id\nacme,81,{account}\nacme,82,{account.upper()}\n")
    with pytest.raises(FileProblems, match=r"3: .* is linked to 81 already"):
        links_import.run(file, who="tester", ask=True, sure=False)
    assert links_import.run(file, who="tester", ask=True, sure=True)["linked"] == 2


def test_a_new_account_is_refused_while_somebody_has_the_address(world: World) -> None:
    # given a name that differs, so that nobody links 81 by itself
    world.person(80, name="Jan", email_primary="info@example.nl")
    world.person(81, name="Piet", email_primary="info@example.nl")
    world.sync()
    assert link(world, 81)["state"] == "ambiguous"
    # then
    with pytest.raises(Problem, match=f"{link(world, 80)['pluvo_id']}, linked to 80, has their address"):
        links_check.new_account("acme", "81")
    world.pluvo.change_user(link(world, 80)["pluvo_id"], email="jan@example.nl")
    links_check.new_account("acme", "81")
