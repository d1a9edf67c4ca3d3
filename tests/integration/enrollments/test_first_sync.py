"""The main job: people of AFAS come to Pluvo, and follow every change."""

from __future__ import annotations

from tests.fixtures.world import World


def test_first_sync_creates_links_and_enrolls(world: World) -> None:
    # given three people in AFAS, one of whom has a Pluvo account already
    for internal_id in (80, 81, 82):
        world.person(internal_id)
    world.person(82, event_id=341)
    world.pluvo.add_user("P81@Example.nl", "Persoon 81", ref="sso-81")

    # when
    run = world.sync()

    # then
    assert world.roster() == world.expected()
    assert run.outcomes["created"] == 2
    assert run.outcomes["linked"] == 1
    assert run.outcomes["updated"] == 1
    assert run.rows == sum(run.outcomes.values()) == 4
    assert world.user("p81@example.nl")["ref"] == "sso-81"
    assert world.user("p80@example.nl")["ref"] == "afas:12345:80"


def test_second_sync_of_an_unchanged_roster_makes_no_pluvo_call(world: World) -> None:
    # given
    for internal_id in range(80, 95):
        world.person(internal_id)
    world.sync()
    world.clear_log()

    # when
    run = world.sync()

    # then
    assert run.outcomes["unchanged"] == run.rows == 15
    assert world.calls("pluvo") == []
    assert world.rows("SELECT * FROM message") == []
    assert len(world.calls("afas")) == 3  # metainfo and a page of each event
