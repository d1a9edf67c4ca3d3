"""``koppeling adoption``: how people would come to their accounts in a first run, before anybody is touched."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ops.cli.main import app
from ops.people.links import set_link
from ops.problems import Problem
from ops.runs.adoption import GROUPS, adoption
from tests.fixtures.world import World


@pytest.fixture
def world(shared_world: World) -> World:
    """Somebody for each way to an account; most of them in two events."""
    shared_world.reset(events=("340", "341"))
    pluvo = shared_world.pluvo
    pluvo.add_user("anna@example.nl", "Anna Bos")
    pluvo.add_user("info@example.nl", "Karin Bos")
    pluvo.add_user("olaf@example.nl", "Olaf Only")
    pluvo.add_user("z@example.nl", "Zoë Zand", afasContactId="85")
    for number in (1, 2):
        pluvo.add_user(f"q{number}@example.nl", "Quinten Kok", afasContactId="84")
    for event in (340, 341):
        shared_world.person(80, event, name="Bos, Anna", email_primary="anna@example.nl")
        shared_world.person(81, event, name="Piet Jansen", email_primary="info@example.nl")
        shared_world.person(82, event)
        shared_world.person(84, event)
    shared_world.person(85)
    shared_world.person(86, name="Bos, Anna", email_primary="anna@example.nl")
    shared_world.clear_log()
    return shared_world


def test_everybody_is_told_once_with_the_account_they_would_have(world: World) -> None:
    found = adoption("acme")
    assert found["counts"] == {
        "other_name": 1,
        "ambiguous": 1,
        "shared": 1,
        "by_email": 1,
        "by_afas_id": 1,
        "by_operator": 0,
        "to_create": 1,
        "only_in_pluvo": 3,
    }
    groups = [one["group"] for one in found["people"]]
    assert groups == sorted(groups, key=GROUPS.index)
    people = {one["internal_id"]: one for one in found["people"] if one["internal_id"]}
    assert (people["81"]["group"], people["81"]["pluvo_name"]) == ("other_name", "Karin Bos")
    assert (people["80"]["group"], people["86"]["group"]) == ("by_email", "shared")
    assert set(str(people["84"]["pluvo_email"]).split(", ")) == {"q1@example.nl", "q2@example.nl"}
    assert people["85"]["reason"] == "by_afas_id"
    assert people["82"]["pluvo_id"] is None
    assert {one["pluvo_email"] for one in found["people"] if one["group"] == "only_in_pluvo"} >= {"olaf@example.nl"}
    assert world.writes() == []


def test_who_was_linked_by_hand_beforehand_is_told_so_with_the_account(world: World) -> None:
    # given: somebody whose account has another name, which an operator found to be right
    set_link("acme", "81", world.user("info@example.nl")["id"], who="tester", reason="asked")
    # when
    found = adoption("acme")
    # then
    (person,) = [one for one in found["people"] if one["internal_id"] == "81"]
    assert (person["group"], person["pluvo_name"]) == ("by_operator", "Karin Bos")
    assert (found["counts"]["by_operator"], found["counts"]["by_afas_id"], found["counts"]["other_name"]) == (1, 1, 0)


def test_it_is_shown_in_words_and_written_to_a_private_file(world: World, tmp_path: Path) -> None:
    file = tmp_path / "people.csv"
    done = CliRunner().invoke(app, ["adoption", "acme", "--csv", str(file), "--language", "nl"])
    assert done.exit_code == 0, done.output
    assert "1  gekoppeld op e-mailadres, en het account heeft een andere naam" in done.stdout
    assert "Karin Bos" in done.stdout
    with file.open(newline="", encoding="utf-8-sig") as opened:
        rows = list(csv.DictReader(opened, delimiter=";"))  # as Dutch Excel reads it
    assert [row["group"] for row in rows] == [one["group"] for one in adoption("acme")["people"]]
    assert file.stat().st_mode & 0o077 == 0


def test_a_dry_run_shows_links_to_accounts_of_another_name_under_a_heading_of_their_own(world: World) -> None:
    done = CliRunner().invoke(app, ["sync", "acme", "--dry-run"])
    assert done.exit_code == 3, done.output  # somebody is ambiguous
    heading, person = done.stdout.partition("the account has another name: look at these first: 1\n")[1:]
    assert heading
    assert person.lstrip().startswith("81  ")
    assert done.stdout.count("Karin Bos → Piet Jansen") == 1


def test_after_the_first_run_there_is_nothing_to_adopt(world: World) -> None:
    world.sync()
    with pytest.raises(Problem, match="had its first run"):
        adoption("acme")


def test_what_can_not_be_read_is_one_line(world: World) -> None:
    world.set_tenant(pluvo_client_secret="fout")
    with pytest.raises(Problem, match="credentials_refused"):
        adoption("acme")


@pytest.mark.parametrize(
    ("ours", "theirs", "group"),
    [
        ("Karin van der Berg", "Piet van der Meer", "other_name"),
        ("Karin Jansen", "Piet Jansen", "other_name"),
        ("Bo Li", "Li, Bo", "by_email"),
        ("Jansen, P.", "Piet Janssen-de Vries", "by_email"),
    ],
)
def test_names_are_other_names_by_the_rule_of_the_guard(
    shared_world: World, ours: str, theirs: str, group: str
) -> None:
    shared_world.reset(events=("340",))
    shared_world.pluvo.add_user("info@example.nl", theirs)
    shared_world.person(80, 340, name=ours, email_primary="info@example.nl")
    assert [one["group"] for one in adoption("acme")["people"] if one["internal_id"] == "80"] == [group]
