"""A licence that is used up is nobody's record's fault: what makes accounts waits, the rest goes on."""

from __future__ import annotations

from typing import Any

import pytest

from ops.people import explain
from tests.fixtures.looking import enrolled, invitations, outcomes, retry_now
from tests.fixtures.world import World


def _alerts(world: World) -> list[dict[str, Any]]:
    return world.rows("SELECT kind FROM alert WHERE closed_at IS NULL")


@pytest.fixture
def full(world: World) -> World:
    """Two people who have an account, and a licence for just them."""
    world.person(70)
    world.person(71)
    world.sync()
    world.pluvo.change_switches(seats=2)
    return world


def test_newcomers_wait_with_one_call_and_one_alert_while_changes_go_on(full: World) -> None:
    # given
    for internal_id in range(80, 88):
        full.person(internal_id)
    full.person(80, 341)
    full.afas.rename(70, "Hernoemd")
    full.clear_log()
    # when
    run = full.sync()
    # then
    assert outcomes(run) == {"pending": 9, "updated": 1, "unchanged": 1}
    assert full.user("p70@example.nl")["name"] == "Hernoemd"
    assert full.writes().count("createUser") == 1
    assert _alerts(full) == [{"kind": "no_room"}]
    assert full.rows("SELECT * FROM dead_letter") == []
    assert {row["attempts"] for row in full.rows("SELECT attempts FROM message")} == {0}
    asks = full.rows(
        "SELECT count(*) AS n FROM message WHERE run_at < now() + interval '2 minutes' AND after_id IS NULL"
    )
    assert asks == [{"n": 1}]


def test_they_go_on_by_themselves_once_there_is_room(full: World) -> None:
    # given
    for internal_id in range(80, 88):
        full.person(internal_id)
    run = full.sync()
    assert outcomes(full.sync()) == {"pending": 8, "unchanged": 2}  # a run in between changes nothing about it
    (person,) = explain.explain("acme", "87")["people"]
    assert "no room for another account" in str(person["next_action"])
    # when only the one that asks is due
    full.pluvo.change_switches(seats=None)
    full.rows("UPDATE message SET state = 'ready' WHERE run_at < now() + interval '2 minutes' RETURNING id")
    full.drain()
    # then
    assert _alerts(full) == []
    assert full.roster() == full.expected()
    assert invitations(full) == 10
    assert full.rows("SELECT * FROM message") == []
    assert outcomes(full.sync()) == {"unchanged": 10}
    assert outcomes(full.run(run.id)) == {"pending": 8, "unchanged": 2}


def test_one_seat_lets_one_in_and_the_others_wait_again(full: World) -> None:
    for internal_id in (80, 81, 82):
        full.person(internal_id)
    full.sync()
    full.pluvo.change_switches(seats=3)
    retry_now(full)
    full.drain()
    assert len(enrolled(full)) == 3
    assert _alerts(full) == [{"kind": "no_room"}]
    assert full.rows("SELECT * FROM dead_letter") == []


def test_who_must_be_restored_needs_room_too(full: World) -> None:
    full.pluvo.add_user("p80@example.nl", "Persoon 80", archived=True)
    full.person(80)
    assert outcomes(full.sync()) == {"pending": 1, "unchanged": 2}
    full.pluvo.change_switches(seats=3)
    retry_now(full)
    full.drain()
    assert not full.user("p80@example.nl")["archived"]
    assert (_alerts(full), full.rows("SELECT * FROM dead_letter")) == ([], [])


def test_without_room_the_probe_of_a_quarantine_reopens_the_direction(full: World) -> None:
    full.person(80)
    full.begin()
    full.rows(
        "UPDATE tenant_direction SET state = 'quarantined', since = now() - interval '1 hour' RETURNING tenant_id"
    )
    full.drain()
    states = full.rows("SELECT state FROM tenant_direction WHERE direction = 'enrollments'")
    assert states == [{"state": "healthy"}]
