"""The main job: people of AFAS come to Pluvo, and follow every change."""

from __future__ import annotations

from sqlalchemy import text

from models.session import transaction
from simulators.afas.tenant import COMPLETION_FIELD
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


def test_a_written_completion_is_verified_by_the_next_enrollment_run(world: World) -> None:
    # given somebody whose date was written into AFAS
    world.person(80)
    world.sync()
    world.afas.rows[340, 80].free[COMPLETION_FIELD] = "2026-07-01"
    with transaction() as connection:
        connection.execute(
            text(
                """INSERT INTO completion (tenant_id, course_id, subject, internal_id, enrollment_id, pluvo_id, field,
                                           level, title, completed_raw, completed_on, state, value, written_at)
                   SELECT e.tenant_id, e.course_id, 'person:80', '80', e.id, l.pluvo_id, :field, 'training',
                          'Training 340', '2026-07-01', '2026-07-01', 'written', '2026-07-01', now()
                     FROM enrollment e JOIN link l ON l.person_id = e.person_id"""
            ),
            {"field": COMPLETION_FIELD},
        )
        connection.execute(
            text("UPDATE course SET completion_types = jsonb_build_object(CAST(:field AS text), CAST(:type AS jsonb))"),
            {"field": COMPLETION_FIELD, "type": '{"type": "date", "length": 10}'},
        )

    # when
    world.sync()

    # then
    assert world.rows("SELECT state FROM completion") == [{"state": "verified"}]
