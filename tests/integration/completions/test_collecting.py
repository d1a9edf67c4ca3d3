"""Whose completion it is, under which title, and what is listed when that is not certain."""

from __future__ import annotations

from datetime import date

import pytest

from clients.errors import Unavailable
from models.completion_dates import NAIVE
from producers.completions.producer import collect_before_removal, preview
from producers.enrollments import load
from producers.runs.context import PreviewContext
from simulators.afas.tenant import COMPLETION_FIELD, FreeField
from tests.fixtures.world import now_removals
from tests.integration.completions.conftest import TITLE, Classroom

SECOND = "U" + "0" * 31 + "2"


def test_the_first_date_wins_and_later_ones_are_noted(classroom: Classroom) -> None:
    # given
    classroom.enroll(80)
    classroom.complete(80, "2026-05-04T10:00:00Z")
    classroom.run()

    # when the training is done again, twice the same day
    for _ in range(2):
        classroom.complete(80, "2026-09-09T10:00:00Z")
        classroom.run()

    # then
    row = classroom.completion(80)
    assert (classroom.shown(80), len(classroom.puts()), row["completed_on"]) == ("2026-05-04", 1, date(2026, 5, 4))
    assert [(later["raw"], later["on"]) for later in row["later"]] == [("2026-09-09T10:00:00Z", "2026-09-09")]


def test_an_ambiguous_title_is_refused_with_its_candidates_for_that_course_alone(classroom: Classroom) -> None:
    # given two trainings of one name, and another course that is fine
    classroom.enroll(80)
    classroom.enroll(80, event_id=341)
    twin = classroom.world.pluvo.add_training(f"  {TITLE} ", "oud", archived=True)
    classroom.complete(80, "2026-05-04")
    classroom.complete(80, "2026-05-05", "Training 341")

    # when
    run = classroom.run()

    # then
    assert (classroom.shown(80), classroom.shown(80, 341)) == (None, "2026-05-05")
    refused, fine = run.courses
    assert (refused["snapshot"], refused["reasons"]) == ("partial", ["title_ambiguous"])
    assert twin["id"] in {one["id"] for one in refused["candidates"]}
    assert (fine["snapshot"], fine["reasons"], fine["rows"]) == ("complete", [], 1)
    assert (run.status, run.reason, run.snapshot, run.rows) == ("done_with_failures", "course_refused", "partial", 1)


def test_an_unknown_title_is_refused_with_what_comes_near(classroom: Classroom) -> None:
    # given
    classroom.enroll(80)
    classroom.rule(title="Training")
    classroom.complete(80, "2026-05-04")

    # when
    run = classroom.run()

    # then
    assert run.courses[0]["reasons"] == ["title_unknown"]
    assert TITLE in {one["title"] for one in run.courses[0]["candidates"]}
    assert (run.rows, classroom.puts()) == (0, [])


@pytest.mark.parametrize(("in_pluvo", "in_file"), [("Cafe\u0301 1", "Caf\u00e9 1"), ("Caf\u00e9 1", "Cafe\u0301 1")])
def test_an_accent_written_otherwise_is_the_same_title(classroom: Classroom, in_pluvo: str, in_file: str) -> None:
    classroom.enroll(80)
    classroom.world.pluvo.add_training(in_pluvo, "cafe")
    classroom.rule(title=in_file)
    classroom.complete(80, "2026-05-04", in_pluvo)
    run = classroom.run()
    assert run.courses[0]["reasons"] == []
    assert classroom.shown(80) == "2026-05-04"


def test_an_updateconnector_that_does_not_exist_refuses_its_course_alone(classroom: Classroom) -> None:
    # given
    classroom.enroll(80)
    classroom.enroll(80, event_id=341)
    classroom.complete(80, "2026-05-04")
    classroom.complete(80, "2026-05-05", "Training 341")
    classroom.execute("UPDATE course SET updateconnector = 'KnBestaatNiet' WHERE event_id = '340'")

    # when
    run = classroom.run()

    # then
    assert (classroom.shown(80), classroom.shown(80, 341)) == (None, "2026-05-05")
    assert (run.courses[0]["reasons"], run.outcomes["rejected"]) == (["field_unknown"], 1)
    assert classroom.world.rows("SELECT state FROM tenant_direction WHERE state <> 'healthy'") == []

    # and when the name is put right, the date is written
    classroom.execute("UPDATE course SET updateconnector = 'KnCourseMember' WHERE event_id = '340'")
    assert classroom.run().outcomes["written"] == 1


def test_an_updateconnector_that_is_refused_at_the_put_refuses_its_course_alone(classroom: Classroom) -> None:
    # given AFAS tells the fields of a connector of which it takes no PUT, and another one works
    classroom.enroll(80, 81)
    classroom.enroll(80, event_id=341)
    for person, title in ((80, "Training 340"), (81, "Training 340"), (80, "Training 341")):
        classroom.complete(person, "2026-05-04", title)
    classroom.execute("UPDATE course SET updateconnector = 'KnAnders' WHERE event_id = '340'")
    classroom.world.afas.update_connectors["KnAnders"] = "Anders"
    refused = '{"externalMessage": "De connector is niet geautoriseerd"}'
    match = {"operation": "put", "path_contains": "KnAnders"}
    classroom.world.fault("afas", "status", match=match, status=500, body=refused)

    # when
    run = classroom.run()

    # then its people are listed after one PUT, and the others' dates are written
    assert (classroom.shown(80, 341), run.outcomes["rejected"], run.outcomes["written"]) == ("2026-05-04", 2, 1)
    assert classroom.world.rows("SELECT state FROM tenant_direction WHERE state <> 'healthy'") == []

    # and when the right is given
    classroom.world.clear_faults()
    assert classroom.run().outcomes["written"] == 2


def test_a_getconnector_that_is_gone_keeps_only_its_own_course_waiting(classroom: Classroom) -> None:
    # given
    classroom.enroll(80)
    classroom.enroll(80, event_id=341)
    classroom.complete(80, "2026-05-04", "Training 340")
    classroom.complete(80, "2026-05-04", "Training 341")
    classroom.execute("UPDATE course SET getconnector = 'Weg' WHERE event_id = '340'")

    # when
    run = classroom.run()

    # then the date that can't be compared waits, as with a column that is gone
    assert (classroom.shown(80), classroom.shown(80, 341)) == (None, "2026-05-04")
    assert (run.outcomes["pending"], run.outcomes["written"]) == (1, 1)
    assert classroom.world.rows("SELECT state FROM tenant_direction WHERE state <> 'healthy'") == []
    assert classroom.world.rows("SELECT attempts FROM message") == [{"attempts": 1}]


def test_a_blocked_getconnector_of_many_keeps_only_its_own_course_waiting(classroom: Classroom) -> None:
    # given so many are due that the run reads the whole event
    people = range(80, 86)
    classroom.enroll(*people)
    classroom.enroll(80, event_id=341)
    for person in people:
        classroom.complete(person, "2026-05-04", "Training 340")
    classroom.complete(80, "2026-05-04", "Training 341")
    classroom.execute("UPDATE course SET getconnector = 'Dicht' WHERE event_id = '340'")
    blocked = '{"externalMessage": "De connector is geblokkeerd"}'
    match = {"operation": "page", "path_contains": "Dicht"}
    classroom.world.fault("afas", "status", match=match, status=500, body=blocked)

    # when
    run = classroom.run()

    # then
    assert (run.outcomes["pending"], run.outcomes["written"], classroom.shown(80, 341)) == (6, 1, "2026-05-04")
    assert {row["reason"] for row in classroom.completions() if row["state"] == "pending"} == {"connector_blocked"}
    assert classroom.world.rows("SELECT state FROM tenant_direction WHERE state <> 'healthy'") == []


def test_course_level_completions_count_where_the_rule_says_so(classroom: Classroom) -> None:
    # given
    classroom.enroll(80)
    classroom.rule(level="course", title="Module 1")
    classroom.complete(80, "2026-01-01", "Module 1", "TRAINING")
    classroom.complete(80, "2026-05-04", "Module 1", "COURSE")

    # when
    run = classroom.run()

    # then
    assert (classroom.shown(80), run.rows) == ("2026-05-04", 1)


def test_two_courses_of_one_title_are_noticed_in_the_report_itself(classroom: Classroom) -> None:
    # given one person with two rows under one course title
    classroom.enroll(80, 81)
    classroom.rule(level="course", title="Module 1")
    classroom.complete(80, "2026-05-04", "Module 1", "COURSE")
    classroom.complete(81, "2026-05-04", "Module 1", "COURSE")
    twin = {**classroom.world.pluvo.portfolio[-1], "completionDate": None}
    classroom.world.pluvo.portfolio.append(twin)
    classroom.world.pluvo.changed()

    # when
    run = classroom.run()

    # then nothing is written and nothing of it is remembered
    assert run.courses[0]["reasons"] == ["title_ambiguous"]
    assert (run.rows, classroom.puts(), classroom.completions()) == (0, [], [])


def test_two_events_with_one_training_get_the_dates_of_their_own_people(classroom: Classroom) -> None:
    # given both events give the same training
    classroom.enroll(80)
    classroom.enroll(81, event_id=341)
    classroom.execute("UPDATE course SET rules = jsonb_set(rules, '{0,title}', '\"Training 340\"')")
    classroom.complete(80, "2026-05-04")
    classroom.complete(81, "2026-05-05")

    # when
    run = classroom.run()

    # then nobody is an orphan of the other's event
    assert (classroom.shown(80), classroom.shown(81, 341)) == ("2026-05-04", "2026-05-05")
    assert (run.outcomes["written"], run.outcomes["orphan"], run.rows) == (2, 0, 2)


def test_a_stranger_is_an_orphan_and_is_taken_over_when_linked(classroom: Classroom) -> None:
    # given an account that finished before its person came to AFAS
    user = classroom.world.pluvo.add_user("p80@example.nl", "Persoon 80")
    classroom.world.pluvo.complete(user["id"], TITLE, "2026-05-04")
    first = classroom.run()
    assert (first.outcomes["orphan"], first.rows) == (1, 1)

    # when
    classroom.enroll(80)
    classroom.complete(80, "2026-09-09")
    run = classroom.run()

    # then the date seen first counts
    assert (run.outcomes["written"], run.rows, classroom.shown(80)) == (1, 1, "2026-05-04")
    assert [row["subject"] for row in classroom.completions()] == ["person:80"]


def test_persons_who_share_an_account_are_told_apart_by_their_enrollments(classroom: Classroom) -> None:
    # given two AFAS persons with one account, each in an event of their own
    classroom.world.person(80, 340, name="Jan Jansen", email_primary="jan@example.nl")
    classroom.world.person(81, 341, name="Jan Jansen", email_primary="jan@example.nl")
    classroom.world.sync()
    user = classroom.world.user("jan@example.nl")
    classroom.world.pluvo.complete(user["id"], TITLE, "2026-05-04")

    # when
    run = classroom.run()

    # then
    assert (classroom.shown(80), classroom.shown(81, 341)) == ("2026-05-04", None)
    assert (run.outcomes["written"], run.rows) == (1, 1)


def test_several_rules_of_one_course_write_several_fields(classroom: Classroom) -> None:
    # given
    classroom.enroll(80)
    classroom.world.afas.free_fields[SECOND] = FreeField("Module klaar op")
    classroom.execute(
        """UPDATE course SET rules = rules || jsonb_build_array(jsonb_build_object(
               'level', 'course', 'title', 'Module 1', 'field', CAST(:field AS text))) WHERE event_id = '340'""",
        field=SECOND,
    )
    classroom.complete(80, "2026-05-04")
    classroom.complete(80, "2026-04-03", "Module 1", "COURSE")

    # when
    run = classroom.run()

    # then
    assert (classroom.shown(80), classroom.shown(80, field=SECOND)) == ("2026-05-04", "2026-04-03")
    assert (run.outcomes["written"], run.rows) == (2, 2)
    assert {name for put in classroom.puts() for name in put["Fields"]} == {"BcCo", COMPLETION_FIELD, SECOND}


def test_a_date_that_cannot_be_read_is_rejected_and_not_guessed(classroom: Classroom) -> None:
    # given
    classroom.enroll(80, 81)
    classroom.complete(80, "soon")
    classroom.complete(81, "2026-06-30T22:30:00")

    # when
    run = classroom.run()

    # then
    assert (run.outcomes["rejected"], run.outcomes["written"], run.rows) == (1, 1, 2)
    assert classroom.completion(80)["reason"] == "unreadable_date"
    assert (classroom.completion(81)["reason"], classroom.shown(81)) == (NAIVE, "2026-07-01")


def test_since_and_until_choose_days_and_the_rest_stays_unwritten(classroom: Classroom) -> None:
    # given
    classroom.enroll(80, 81, 82)
    for person, day in ((80, "2026-03-31T22:00:00Z"), (81, "2026-04-30"), (82, "2026-05-01")):
        classroom.complete(person, day)
    tenant, _ = load(classroom.world.tenant_id)

    # when
    seen = preview(tenant, {"since": "2026-04-01", "until": "2026-04-30"})
    run = classroom.run(since="2026-04-01", until="2026-04-30")

    # then
    assert (seen.rows, len(seen.lines), seen.outcomes["pending"]) == (2, 2, 2)
    assert [classroom.shown(person) for person in (80, 81, 82)] == ["2026-04-01", "2026-04-30", None]
    assert (run.outcomes["written"], run.rows) == (2, 2)
    assert classroom.run().outcomes["written"] == 1


def test_completions_of_leavers_are_read_before_they_are_removed(classroom: Classroom) -> None:
    # given someone finished and has left AFAS
    classroom.world.set_tenant(removals=now_removals(event_count=99, run_count=99, window_count=99))
    classroom.enroll(80, 81)
    classroom.complete(80, "2026-05-04")
    classroom.world.afas.remove(340, 80)

    # when
    classroom.world.sync()

    # then the date is known although nobody can be asked for it later, and nothing was written
    assert classroom.completion(80)["completed_on"] == date(2026, 5, 4)
    assert classroom.puts() == []
    run = classroom.run()
    assert (run.outcomes["orphan"], classroom.completion(80)["state"]) == (1, "orphan")


def test_a_report_that_cannot_be_read_lets_nobody_be_removed(classroom: Classroom) -> None:
    # given
    classroom.enroll(80)
    classroom.world.fault("pluvo", "status", status=502, match={"operation": "portfolioReport"})
    context = PreviewContext("01TEST", classroom.world.tenant_id, {})

    # then
    with pytest.raises(Unavailable):
        collect_before_removal(context, [1])


@pytest.mark.parametrize("kind", ["down", "forbidden", "nonsense"])
def test_a_report_that_cannot_be_read_holds_up_the_removals_and_nothing_else(classroom: Classroom, kind: str) -> None:
    # given somebody leaves and somebody is new, and the report can't be read
    classroom.world.set_tenant(removals=now_removals(event_count=99, run_count=99, window_count=99))
    classroom.enroll(80, 81)
    classroom.complete(80, "2026-05-04")
    classroom.world.afas.remove(340, 80)
    classroom.world.person(82)
    match = {"operation": "portfolioReport"}
    if kind == "forbidden":
        classroom.world.fault("pluvo", "graphql_error", match=match, code="FORBIDDEN", message="permission denied")
    else:
        classroom.world.fault("pluvo", "status", match=match, status=502 if kind == "down" else 200, body="{}")

    # when
    run = classroom.world.sync()

    # then
    assert classroom.world.roster()["340"] == {f"p{person}@example.nl" for person in (80, 81, 82)}
    assert (run.outcomes["created"], run.removed, run.unconfirmed) == (1, 0, 1)
    assert "completions_unread" in run.reasons
    line = classroom.world.rows("SELECT outcome, reason FROM plan_line WHERE kind = 'removal'")
    assert line == [{"outcome": "postponed", "reason": "completions_unread"}]

    # when it can be read again
    classroom.world.clear_faults()
    run = classroom.world.sync()

    # then
    assert (run.removed, classroom.completion(80)["completed_on"]) == (1, date(2026, 5, 4))
    assert classroom.world.roster()["340"] == {"p81@example.nl", "p82@example.nl"}


def test_a_failing_report_is_a_partial_run_that_says_so(classroom: Classroom) -> None:
    # given one date is known from an earlier run that could not write it
    classroom.enroll(80)
    classroom.complete(80, "2026-05-04")
    classroom.begin()
    classroom.execute("DELETE FROM message")
    classroom.execute("UPDATE run SET status = 'done' WHERE direction = 'completions'")
    classroom.world.fault("pluvo", "status", status=502, match={"operation": "portfolioReport"})

    # when
    run = classroom.run()

    # then what is known is written all the same
    assert (run.status, run.snapshot, run.courses[0]["reasons"]) == ("done_with_failures", "partial", ["server_error"])
    assert run.reason == "report_incomplete"
    assert (run.outcomes["written"], run.rows, classroom.shown(80)) == (1, 1, "2026-05-04")


def test_our_write_causes_no_echo(classroom: Classroom) -> None:
    # given
    classroom.enroll(80, 81)
    classroom.complete(80, "2026-05-04")
    classroom.run()
    classroom.world.clear_log()

    # when AFAS's modified stamp and the column are new
    run = classroom.world.sync()

    # then
    assert (run.outcomes["unchanged"], classroom.world.calls("pluvo")) == (2, [])
