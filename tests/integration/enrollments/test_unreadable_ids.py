"""A row whose id can't be read is somebody's row: nobody of that event is absent as long as it is there."""

from __future__ import annotations

from typing import Any

import pytest

from ops.holds import release
from tests.fixtures.looking import enrolled, holds, lines, outcomes, reasons
from tests.fixtures.world import World, now_removals


def _people(world: World, *internal_ids: int) -> None:
    world.set_tenant(removals=now_removals(event_percent=100, event_count=100))
    for internal_id in internal_ids:
        world.person(internal_id)
    world.sync()


@pytest.mark.parametrize("shown", [None, "", " ", 0, "80a", "1.080", "8E+01", "\u0668\u0660", True])
def test_person_whose_id_becomes_unreadable_is_not_removed(world: World, shown: Any) -> None:
    # given
    _people(world, *range(80, 90))
    # when
    world.afas.change(340, 80, shown={"internal_id": shown})
    run = world.sync()
    # then the row is listed as it is, and nobody goes
    assert [line["reason"] for line in lines(world, run) if line["outcome"] == "rejected"] == ["no_internal_id"]
    assert (run.snapshot, run.reasons, run.removed, run.unconfirmed) == ("suspect", ["unidentified"], 0, 0)
    assert "p80@example.nl" in enrolled(world)


def test_nobody_else_of_that_event_is_absent_either_and_others_are(world: World) -> None:
    # given
    _people(world, *range(80, 90))
    for internal_id in range(80, 90):
        world.person(internal_id, 341)
    world.sync()
    # when one row of 340 can't be told, one person is gone from both
    world.afas.change(340, 80, shown={"internal_id": None})
    world.afas.remove(340, 81)
    world.afas.remove(341, 81)
    run = world.sync()
    # then
    assert run.removed == 1
    assert "p81@example.nl" in enrolled(world)
    assert "p81@example.nl" not in enrolled(world, "341")
    # and when it can be told again
    world.afas.change(340, 80, shown={})
    assert world.sync().removed == 1
    assert "p81@example.nl" not in enrolled(world)
    assert "p80@example.nl" in enrolled(world)


@pytest.mark.parametrize("shown", ["80.0", "80,00", "0080", 80.0, " 80 "])
def test_an_id_that_went_through_a_spreadsheet_is_read_as_what_it_must_be(world: World, shown: Any) -> None:
    _people(world, *range(80, 90))
    world.afas.change(340, 80, shown={"internal_id": shown})
    run = world.sync()
    assert (run.snapshot, outcomes(run)) == ("complete", {"unchanged": 10})
    assert "p80@example.nl" in enrolled(world)


def test_an_event_id_that_is_written_otherwise_is_the_same_event(world: World) -> None:
    _people(world, *range(80, 85))
    world.afas.change(340, 80, shown={"event_id": "340.0"})
    assert outcomes(world.sync()) == {"unchanged": 5}


def test_a_row_of_another_event_makes_the_listing_suspect(world: World) -> None:
    # given an answer that is not about what was asked
    _people(world, *range(80, 85))
    world.afas.remove(340, 81)
    world.afas.change(340, 80, shown={"event_id": 999})
    connector = world.afas.connectors["Deelnemer_per_cursusevenement"]
    connector.ignores_filters = True
    run = world.sync()
    assert reasons(world, run)["80"] == ("rejected", "other_event")
    assert (run.reasons, run.removed) == (["other_event"], 0)
    assert "p81@example.nl" in enrolled(world)


def test_a_run_for_one_person_does_not_take_an_unreadable_row_for_their_absence(world: World) -> None:
    _people(world, *range(80, 85))
    # without any id
    world.afas.change(340, 80, shown={"internal_id": None})
    run = world.sync(person="80")
    assert (run.reasons, run.removed) == (["absence_unproven"], 0)
    # under an id that AFAS's filter does not find
    world.afas.change(340, 80, shown={"internal_id": "80a"})
    assert world.sync(person="80").removed == 0
    assert "p80@example.nl" in enrolled(world)
    # and when they are really gone
    world.afas.remove(340, 80)
    assert world.sync(person="80").removed == 1


def test_the_proof_refuses_answers_with_other_people_in_them(world: World) -> None:
    # given somebody who is gone, and an AFAS that from then on answers a filter with everybody
    _people(world, *range(80, 85))
    world.afas.remove(340, 80)
    world.afas.connectors["Deelnemer_per_cursusevenement"].ignores_filters = True
    run = world.sync()
    assert "absence_unproven" in run.reasons
    assert run.removed == 0
    assert "p80@example.nl" in enrolled(world)


@pytest.mark.parametrize("shown", [None, "80a"])
def test_a_release_removes_nobody_while_the_newest_listing_has_a_row_of_anybody_s(world: World, shown: Any) -> None:
    # given a hold, and one of its people back in a row that can't be told
    world.set_tenant(removals=now_removals(event_percent=0, event_count=1))
    for internal_id in range(80, 100):
        world.person(internal_id)
    world.sync()
    for internal_id in (80, 81, 82):
        world.afas.remove(340, internal_id)
    world.sync()
    (hold,) = holds(world)
    world.person(80, shown={"internal_id": shown})
    world.sync()
    # when
    release(hold["id"], events=[], persons=[], who="tester", reason="they left")
    world.drain()
    # then nobody goes, until it can be told again
    assert {"p80@example.nl", "p81@example.nl", "p82@example.nl"} <= enrolled(world)
    world.afas.change(340, 80, shown={})
    world.set_tenant(removals=now_removals())
    world.sync()
    assert enrolled(world) & {"p80@example.nl", "p81@example.nl", "p82@example.nl"} == {"p80@example.nl"}
