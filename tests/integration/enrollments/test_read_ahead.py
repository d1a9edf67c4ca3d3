"""Many small events are read in few pages, and trusted no more than pages of their own would be."""

from __future__ import annotations

from typing import Any

import pytest

from producers import event_reader
from producers.enrollments import read_ahead
from tests.fixtures.looking import holds, outcomes
from tests.fixtures.ruled import Ruled
from tests.fixtures.world import World

EVENTS = range(1000, 1012)


@pytest.fixture
def ruled(world: World) -> Ruled:
    """Twelve events of three people each, everybody in all of them, synced."""
    made = Ruled(world)
    for event in EVENTS:
        made.enroll(event, 1, 2, 3)
    made.target(*(f"afas-{event}" for event in EVENTS))
    made.import_()
    made.world.sync()
    made.world.clear_log()
    return made


def whole(ruled: Ruled) -> bool:
    return ruled.roster() == {f"afas-{event}": {"1", "2", "3"} for event in EVENTS}


def test_sixty_events_cost_a_few_calls(world: World) -> None:
    # given
    ruled = Ruled(world)
    for event in range(2000, 2060):
        ruled.enroll(event, *range(1, 41))
    ruled.target(*(f"afas-{event}" for event in range(2000, 2060)))
    ruled.import_()
    ruled.world.begin()
    # when
    ruled.world.clear_log()
    run = ruled.world.begin()
    # then: metainfo, three pages that find the events, three with their rows
    assert run.rows == 60 * 40
    assert {one["rows"] for one in run.courses} == {40}
    assert len(ruled.world.calls("afas")) == 7


def test_what_is_read_ahead_is_what_pages_of_their_own_would_give(ruled: Ruled) -> None:
    # given: somebody came, somebody left, somebody has another name, and an event is gone
    ruled.enroll(1000, 4)
    ruled.world.afas.remove(1001, 1)
    ruled.world.afas.rename(2, "Andere Naam")
    for person in (1, 2, 3):
        ruled.world.afas.remove(1005, person)
    # when
    run = ruled.world.sync()
    # then
    assert len(ruled.world.calls("afas")) < len(EVENTS)
    assert (run.removed, run.held_removals) == (1, 3)
    assert [(hold["guard"], hold["event_id"]) for hold in holds(ruled.world)] == [("short_snapshot", "1005")]
    assert outcomes(run) == {"created": 1, "updated": 1, "unchanged": 31}
    found = ruled.roster()
    assert found["afas-1000"] == {"1", "2", "3", "4"}
    assert found["afas-1001"] == {"2", "3"}
    assert found["afas-1005"] == {"1", "2", "3"}


@pytest.mark.parametrize("page", [0, 1])
@pytest.mark.parametrize(
    ("kind", "more"),
    [
        ("shuffled", {"seed": 7}),
        ("short", {"count": 1}),
        ("short", {"count": 5}),
        ("empty", {}),
        ("doubled", {"count": 3}),
        ("column_missing", {"column": "CrId"}),
        ("column_missing", {"column": "Intern_ID"}),
        ("status", {"status": 503}),
        ("status", {"status": 500}),
    ],
)
def test_a_page_that_lies_removes_nobody(ruled: Ruled, kind: str, more: dict[str, Any], page: int) -> None:
    # given: the page that finds the events, or the one with their rows
    ruled.world.fault("afas", kind, skip=page + (kind == "status"), times=1, **more)
    # when
    run = ruled.world.sync()
    # then
    assert (run.removed, run.held_removals) == (0, 0)
    assert outcomes(run) == {"unchanged": run.rows}
    assert whole(ruled)


def test_somebody_deleted_between_two_pages_is_missed_by_no_event_but_theirs(ruled: Ruled) -> None:
    # given: small pages, and people of the first of them deleted right after it
    ruled.world.afas.change_switches(cell_limit=10 * 9)
    for event in EVENTS:
        ruled.enroll(event, 4)
    ruled.world.fault("afas", "deleted_between", times=1, count=1)
    # when
    run = ruled.world.sync()
    # then
    assert run.removed <= 1
    found = ruled.roster()
    assert all(found[f"afas-{event}"] == {"1", "2", "3", "4"} for event in EVENTS if event != 1000)


def test_an_event_larger_than_a_page_is_read_by_itself(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    # given
    monkeypatch.setattr("producers.enrollments.read_ahead.MAX_TAKE", 5)
    ruled = Ruled(world)
    for event in EVENTS:
        ruled.enroll(event, 1)
    ruled.enroll(1003, *range(1, 8))
    ruled.target(*(f"afas-{event}" for event in EVENTS))
    ruled.import_()
    ruled.world.sync()
    # when
    ruled.world.clear_log()
    run = ruled.world.sync()
    # then: metainfo, both walks, the large event
    assert len(ruled.world.calls("afas")) == 4
    assert outcomes(run) == {"unchanged": 18}


def test_a_walk_through_much_that_nobody_wants_ends_early(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    # given: a rule for one event of few people, blocks for others, and years of events in between that are not linked
    monkeypatch.setattr(read_ahead, "page_size", lambda width: 20)
    monkeypatch.setattr(event_reader, "page_size", lambda width: 20)
    ruled = Ruled(world)
    linked = (*range(1000, 1005), *range(3000, 3005))
    ruled.rules = ['events = "1000"\noffer_event_ref = "afas-{event_id}"']
    ruled.blocks = {str(event): f'offer_event_ref = "afas-{event}"' for event in linked[1:]}
    for event in linked:
        ruled.enroll(event, 1, 2, 3)
    for event in range(2000, 2100):
        ruled.enroll(event, *range(1, 9))
    ruled.target(*(f"afas-{event}" for event in linked))
    ruled.import_()
    ruled.world.begin()
    # when
    ruled.world.clear_log()
    run = ruled.world.begin()
    # then: metainfo, the walk of the rule, half a walk, and the later events one by one
    assert {one["rows"] for one in run.courses} == {3}
    assert len(ruled.world.calls("afas")) <= 1 + 1 + 6 + 5
