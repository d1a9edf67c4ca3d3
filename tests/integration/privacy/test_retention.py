"""What is old is forgotten: payloads first, then the ledger, then people who left."""

from __future__ import annotations

from sqlalchemy import text

from models.session import transaction
from tests.fixtures.looking import link, outcomes, traces
from tests.fixtures.world import World, now_removals
from tests.integration.privacy.conftest import EMAIL, NAME, NAMESAKE, OLD_EMAIL, OLD_NAME, OTHER, PERSON, words
from workers.maintenance import retention

_TIMES = """
    SELECT table_name, string_agg(column_name, ',') AS columns
      FROM information_schema.columns JOIN information_schema.tables USING (table_schema, table_name)
     WHERE table_schema = 'public' AND table_type = 'BASE TABLE' AND data_type = 'timestamp with time zone'
     GROUP BY table_name
"""
PEOPLE = {"person.name", "person.email", "person.email_folded", "person.applied_name", "person.applied_email"}


def let_pass(world: World, days: int) -> None:
    """Make everything older, in every column of every table that holds a time."""
    for row in world.rows(_TIMES):
        older = [f'"{name}" = "{name}" - make_interval(days => :days)' for name in row["columns"].split(",")]
        with transaction() as connection:
            connection.execute(text(f'UPDATE "{row["table_name"]}" SET {", ".join(older)}'), {"days": days})


def test_after_the_retention_of_payloads_names_stand_only_with_the_people_themselves(
    world: World, account: str
) -> None:
    let_pass(world, 100)

    retention.apply()

    assert traces(world, OLD_NAME, NAME, OLD_EMAIL, EMAIL, "weer.anders@example.org", "p81@example.nl") <= PEOPLE | {
        "dead_letter.message", "dead_letter.history",  # written into the scene as it never would be
        "operator_action.reason", "replay_batch.reason",  # an operator's own words
    }  # fmt: skip


def test_the_lines_of_an_old_run_go_before_it_and_not_all_of_them_at_once_with_it(world: World) -> None:
    for number in (PERSON, OTHER):
        world.person(number)
    world.sync()
    world.rows("UPDATE run SET status = 'done' RETURNING id")
    let_pass(world, 500)

    forgotten = retention.apply()

    assert (forgotten["plan_line deleted"], forgotten["run deleted"]) == (2, 1)


def test_of_people_who_left_years_ago_nothing_is_left(world: World, account: str) -> None:
    # given all but one leave
    world.set_tenant(removals=now_removals(event_count=99, run_count=99, window_count=99))
    for number in (PERSON, OTHER):
        world.afas.remove(340, number)
    world.sync()
    world.rows("UPDATE hold SET state = 'released' RETURNING id")
    world.rows("UPDATE hold_line SET state = 'released' RETURNING id")
    world.rows("DELETE FROM message RETURNING id")
    world.rows(
        """UPDATE enrollment e SET state = 'removed', row_state = 'absent', absent_since = coalesce(absent_since, now())
             FROM person p WHERE p.id = e.person_id AND p.internal_id <> :namesake RETURNING e.id""",
        namesake=str(NAMESAKE),
    )
    world.rows("UPDATE run SET status = 'done' RETURNING id")
    let_pass(world, 5 * 365)

    retention.apply()

    assert traces(world, OLD_NAME, OLD_EMAIL, EMAIL, "weer.anders@example.org", *words(account)) == set()
    assert traces(world, NAME) <= PEOPLE  # the namesake's, who is still there
    assert [row["internal_id"] for row in world.rows("SELECT internal_id FROM person")] == [str(NAMESAKE)]
    assert link(world, NAMESAKE)["state"] == "linked"


def test_who_comes_back_after_years_gets_the_same_account(world: World) -> None:
    world.person(PERSON)
    world.person(OTHER)
    world.sync()
    account = link(world, PERSON)["pluvo_id"]
    world.set_tenant(removals=now_removals())
    world.afas.remove(340, PERSON)
    world.sync()
    let_pass(world, 500)
    retention.apply()
    assert link(world, PERSON) == {}
    # when
    world.person(PERSON)
    run = world.sync()
    # then
    assert outcomes(run)["unchanged"] == 1
    assert link(world, PERSON)["pluvo_id"] == account
    assert len(world.pluvo.users) == 2


def test_nobody_is_forgotten_who_is_still_there_or_for_whom_work_is_left(world: World) -> None:
    for number in (80, 81, 82, 83):
        world.person(number)
    world.sync()
    world.set_tenant(removals=now_removals())
    for number in (81, 82, 83):
        world.afas.remove(340, number)
    world.begin()  # the removals are not done yet
    world.rows("DELETE FROM message WHERE subject_id = (SELECT max(id) FROM enrollment) RETURNING id")
    let_pass(world, 500)

    retention.apply()

    assert len(world.rows("SELECT id FROM person")) == 4


def test_whoever_is_in_afas_stays_however_far_they_came(world: World) -> None:
    for number in (80, 81, 82, 83):
        world.person(number)
    world.pluvo.add_user(email="p81@example.nl", name="Heel Iemand Anders")  # parked: another name
    world.pluvo.add_user(email="p82@example.nl", name="Iemand", ref="afas:999:1")  # or somebody else's by its ref
    world.sync()
    world.rows(
        """UPDATE enrollment SET state = 'new', told_account = NULL, told_target = NULL
            WHERE person_id = (SELECT id FROM person WHERE internal_id = '83') RETURNING id"""
    )
    states = """
        SELECT p.internal_id, e.state, l.state AS link FROM person p
          JOIN enrollment e ON e.person_id = p.id LEFT JOIN link l ON l.person_id = p.id ORDER BY 1
    """
    before = world.rows(states)
    assert {row["state"] for row in before} > {"enrolled"}

    for days in (0, 500, 5 * 365):
        let_pass(world, days)
        retention.apply()
        assert world.rows(states) == before
