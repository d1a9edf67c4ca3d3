"""Plans of very many lines: all of them are told, and a command holds few of them at once."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from benchmarks.cost import command_memory
from models.direction import Direction
from ops.runs import dry_run
from ops.runs.adoption import adoption
from ops.terminal import output
from producers.enrollments.preview import preview
from tests.fixtures.world import World

FEW, MANY = 1_000, 12_000


@pytest.fixture
def world(shared_world: World) -> World:
    """Nobody yet."""
    shared_world.reset(events=("340", "341"))
    return shared_world


def command(file: Path, *words: str) -> float:
    """Run one whose output goes to a file; the most memory it had, in MB."""
    code, most = command_memory(*words, output=file)
    assert code in (0, 3)
    return most


def mixed(world: World) -> None:
    """Somebody who is linked, somebody of two accounts, newcomers, somebody without an address, accounts of nobody."""
    world.pluvo.add_user("anna@example.nl", "Karin Bos")
    for number in range(3):
        world.pluvo.add_user(f"docent{number}@example.nl", "Zoë Zand")
    for number in (1, 2):
        world.pluvo.add_user(f"q{number}@example.nl", "Quinten Kok", afasContactId="84")
    for event in (340, 341):
        world.person(80, event, name="Bos, Anna", email_primary="anna@example.nl")
        world.person(84, event)
        world.person(85, event, name="<script>é\n")
        world.person(86, event, email_primary="")


def test_the_document_is_what_it_would_be_of_lists_in_memory(world: World, tmp_path: Path) -> None:
    mixed(world)
    planned = preview(world.tenant_id, {})
    assert planned.adoption is not None
    command(tmp_path / "plan.json", "sync", "acme", "--dry-run", "--json")
    text = (tmp_path / "plan.json").read_text(encoding="ascii")
    told = json.loads(text)
    assert text == json.dumps(told, indent=2) + "\n"
    (run,) = told["runs"]
    assert run["plan"] == {"hash": planned.hash, "lines": planned.lines}
    assert run["adoption"] == {**vars(planned.adoption)}
    assert len({line["outcome"] for line in planned.lines}) >= 4
    assert len(planned.adoption.only_in_pluvo) == 5


def test_an_empty_plan_and_one_that_could_not_be_made_have_an_empty_list(world: World) -> None:
    def lines() -> object:
        found = dry_run.document(Direction.ENROLLMENTS, ["acme"], everyone=False, options={})
        return json.loads("".join(output.as_json(found)))["runs"][0]["plan"]["lines"]

    assert lines() == []
    world.fault("afas", kind="status", status=404)
    assert lines() == []


def test_everybody_of_an_adoption_is_told_by_group_however_many_they_are(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    mixed(world)
    before = adoption("acme")
    monkeypatch.setattr("ops.runs.spool.BLOCK", 2)
    again = adoption("acme")
    assert again["counts"] == before["counts"]
    assert list(again["people"]) == list(before["people"])
    assert len(again["people"]) == sum(before["counts"].values())


def test_memory_does_not_grow_with_the_plan(world: World, tmp_path: Path) -> None:
    out, table, used = tmp_path / "out", tmp_path / "plan.csv", []
    for first, last in ((1, FEW), (FEW + 1, MANY)):
        for number in range(first, last + 1):
            world.person(number)
        used.append(command(out, "sync", "acme", "--dry-run", "--json", "--csv", str(table)))
        assert len(json.loads(out.read_bytes())["runs"][0]["plan"]["lines"]) == last
    with table.open(encoding="utf-8-sig") as file:
        assert sum(row["action"] == "create" for row in csv.DictReader(file)) == MANY
    few, many = used
    assert many - few < 20  # all of them in memory are 3.5 kB each: 38 MB more
