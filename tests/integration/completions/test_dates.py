"""Which day is the first one, whoever tells it, on whichever page, and which is no day at all."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Any

import pytest
from sqlalchemy import text

from models.session import transaction
from producers.completions.afas_column import confirm_written
from producers.completions.collect import load
from producers.completions.preview import _rehearsal
from producers.completions.record import Finished, lock_completions, record
from producers.completions.rules import rules_of
from simulators.afas.tenant import COMPLETION_FIELD
from tests.integration.completions.conftest import TITLE, Classroom

LATE, EARLY = "2026-02-01", "2025-05-01"


def read(classroom: Classroom, *days: str | None, person: int = 80, reading: str | None = None, **more: Any) -> None:
    """A part of a reading of the report: this person's rows."""
    tenant, courses = load(classroom.world.tenant_id)
    rules = [rule for course in courses for rule in rules_of(course, {COMPLETION_FIELD: {"type": "date"}})]
    user = classroom.user(person)
    with transaction() as connection:
        finished = [Finished(user, "training", TITLE, day) for day in days]
        record(connection, tenant, rules, finished, reading=reading, **more)


def again(classroom: Classroom, person: int, day: str) -> None:
    """One more row of the report for somebody who finished: another date under the same title."""
    user = classroom.user(person)
    first = next(row for row in classroom.world.pluvo.portfolio if (row["userId"], row["title"]) == (user, TITLE))
    row = dict(first) | {"completionDate": day}
    classroom.world.pluvo.portfolio.append(row)
    classroom.world.pluvo.changed()


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("days", [(LATE, EARLY), (EARLY, LATE)])
def test_the_earliest_day_of_a_reading_is_the_first_wherever_it_stands(
    classroom: Classroom, days: tuple[str, str], together: bool
) -> None:
    # given
    classroom.enroll(80)
    # when both stand on one page, or on two
    if together:
        read(classroom, *days, reading="one")
    else:
        for day in days:
            read(classroom, day, reading="one")
    # then
    row = classroom.completion(80)
    assert row["completed_on"] == date.fromisoformat(EARLY)
    assert [one["on"] for one in row["later"]] == [LATE]


def test_all_days_of_one_person_on_one_page_are_kept_behind_the_first(classroom: Classroom) -> None:
    classroom.enroll(80, 81)
    days = [f"2026-05-{day:02}" for day in range(1, 29)]
    read(classroom, *days[::-1], *days, reading="one")
    row = classroom.completion(80)
    assert row["completed_on"] == date(2026, 5, 1)
    assert [one["on"] for one in row["later"]] == days[1:21]


def test_a_day_of_an_earlier_reading_is_never_moved(classroom: Classroom) -> None:
    classroom.enroll(80)
    read(classroom, LATE, reading="one")
    read(classroom, EARLY, reading="two")
    assert classroom.completion(80)["completed_on"] == date.fromisoformat(LATE)


def test_a_day_that_may_have_been_sent_is_never_moved(classroom: Classroom) -> None:
    classroom.enroll(80)
    read(classroom, LATE, reading="one")
    classroom.execute("UPDATE completion SET state = 'sending', puts = 1, sending_at = now()")
    read(classroom, EARLY, reading="one")
    assert classroom.completion(80)["completed_on"] == date.fromisoformat(LATE)


def test_the_two_pages_of_a_whole_run_give_the_earliest_day(
    classroom: Classroom, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given the later date comes in an earlier batch
    monkeypatch.setattr("producers.completions.report.BATCH", 1)
    classroom.enroll(80)
    classroom.complete(80, LATE)
    for number in range(60):
        other = classroom.world.pluvo.add_user(f"x{number}@example.org", f"Naam {number}")
        classroom.world.pluvo.progress(other["id"], "Iets anders", progress=0.5)
    again(classroom, 80, EARLY)
    # when
    classroom.run()
    # then
    assert classroom.shown(80) == EARLY


def test_a_backfill_never_makes_a_later_date_the_first(classroom: Classroom) -> None:
    # given the report shows two dates of one person, and a backfill begins between them
    classroom.enroll(80, 81)
    classroom.complete(81, "2026-03-03")
    classroom.complete(80, EARLY)
    again(classroom, 80, LATE)
    # when
    run = classroom.run(since="2026-01-01", until="2026-12-31")
    # then the one whose first day is outside is left alone, and not counted
    assert (classroom.shown(80), classroom.shown(81)) == (None, "2026-03-03")
    assert (run.rows, run.outcomes["written"]) == (1, 1)
    # and a run without a range writes the first day
    classroom.run()
    assert (classroom.shown(80), len(classroom.puts())) == (EARLY, 2)


def test_a_backfill_settles_and_counts_nothing_outside_its_days(classroom: Classroom) -> None:
    # given six dates inside the range, so the event is read as a page, and one outside that AFAS has already
    people = range(81, 87)
    classroom.enroll(80, *people)
    classroom.complete(80, EARLY)
    classroom.type_date(80, EARLY)
    for person in people:
        classroom.complete(person, "2026-03-03")
    # when
    run = classroom.run(since="2026-01-01")
    # then
    assert (run.rows, run.outcomes["written"], run.outcomes["unchanged"]) == (6, 6, 0)
    assert classroom.run().outcomes["unchanged"] == 1


def test_a_stranger_s_first_date_outlives_a_finish_without_one(classroom: Classroom) -> None:
    # given an account that finished before its person was linked
    classroom.enroll(80)
    user = classroom.user(80)
    classroom.execute("DELETE FROM link")
    read(classroom, EARLY, reading="one")
    assert classroom.completions()[0]["subject"] == f"pluvo:{user}"
    # when it is linked; the report was reset, a finish without a date comes, then a second attempt
    classroom.execute(
        """INSERT INTO link (tenant_id, person_id, pluvo_id, state, linked_by)
           SELECT tenant_id, id, :user, 'linked', 'operator' FROM person""",
        user=user,
    )
    read(classroom, None, reading="two")
    # then it is due with the first day
    (row,) = classroom.completions()
    assert (row["subject"], row["completed_on"], row["state"]) == ("person:80", date.fromisoformat(EARLY), "pending")
    read(classroom, LATE, reading="three")
    assert classroom.completions()[0]["completed_on"] == date.fromisoformat(EARLY)


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ("0001-01-01T00:00:00Z", "implausible_date"),
        ("1900-01-01", "implausible_date"),
        ("1989-12-31", "implausible_date"),
        ("2099-01-01", "implausible_date"),
        ("9999-12-31T12:00:00Z", "implausible_date"),
        ((datetime.now(UTC) + timedelta(days=2)).date().isoformat(), "implausible_date"),
        ("gisteren", "unreadable_date"),
    ],
)
def test_a_day_nobody_can_have_finished_on_is_listed_and_not_the_first(
    classroom: Classroom, raw: str, reason: str
) -> None:
    # given
    classroom.enroll(80)
    classroom.complete(80, raw)
    # when
    run = classroom.run()
    # then it is told
    row = classroom.completion(80)
    assert (row["state"], row["reason"], row["completed_raw"], row["completed_on"]) == ("rejected", reason, raw, None)
    assert (run.outcomes["rejected"], run.rows, classroom.puts()) == (1, 1, [])
    # and a real date that comes later is the first
    classroom.complete(80, "2026-05-04")
    assert classroom.run().outcomes["written"] == 1
    assert classroom.shown(80) == "2026-05-04"


@pytest.mark.parametrize("raw", ["2026-06-30 22:30:00+00", "2026-06-30t22:30:00z", "2026-07-01T00:30:00 +02"])
def test_odd_spellings_of_an_instant_are_written(classroom: Classroom, raw: str) -> None:
    classroom.enroll(80)
    classroom.complete(80, raw)
    classroom.run()
    assert classroom.shown(80) == "2026-07-01"


def test_a_completion_of_a_link_that_was_wrong_goes_with_the_account(classroom: Classroom) -> None:
    # given 80 was linked to the account of 81, and its date is due for 80
    classroom.enroll(80, 81)
    own, other = classroom.user(80), classroom.user(81)
    classroom.execute("UPDATE link SET pluvo_id = 'none' WHERE pluvo_id = :own", own=own)
    classroom.execute(
        """UPDATE link SET pluvo_id = CASE WHEN p.internal_id = '80' THEN :other ELSE :own END
             FROM person p WHERE p.id = link.person_id""",
        other=other,
        own=own,
    )
    classroom.complete(81, "2026-05-04")
    classroom.begin()
    assert classroom.completion(80)["state"] == "pending"

    # when the operator puts it right before it is written
    classroom.execute(
        """UPDATE link SET pluvo_id = CASE WHEN p.internal_id = '80' THEN :own ELSE :other END
             FROM person p WHERE p.id = link.person_id""",
        other=other,
        own=own,
    )
    classroom.world.drain()
    classroom.execute("UPDATE run SET status = 'done'")
    first = classroom.completion(80)
    assert (first["state"], first["reason"], classroom.shown(80)) == ("orphan", "no_longer_linked", None)

    # then the date is 81's, and 80's own date is not held back by it
    classroom.run()
    assert (classroom.shown(80), classroom.shown(81)) == (None, "2026-05-04")
    classroom.complete(80, "2026-06-01")
    classroom.run()
    assert (classroom.shown(80), classroom.completion(80)["later"]) == ("2026-06-01", [])


def test_a_date_of_what_the_rule_no_longer_means_is_not_written(classroom: Classroom) -> None:
    # given the date of the wrong training is due
    classroom.enroll(80)
    classroom.world.pluvo.add_training("De goede")
    classroom.complete(80, "2026-05-04")
    classroom.begin()

    # when the rule is put right before it is written
    classroom.rule(title="De goede")
    classroom.world.drain()
    classroom.execute("UPDATE run SET status = 'done'")
    first = classroom.completion(80)
    assert (first["state"], first["reason"], classroom.puts()) == ("rejected", "no_rule", [])

    # then the right one's date is the first
    classroom.complete(80, "2026-06-01", "De goede")
    run = classroom.run()
    assert (run.outcomes["written"], classroom.shown(80), classroom.completion(80)["later"]) == (1, "2026-06-01", [])


def test_a_date_without_a_message_whose_rule_is_gone_does_not_wait_for_ever(classroom: Classroom) -> None:
    # given a run was stopped before its PUT, and the course is taken out
    classroom.enroll(80)
    classroom.complete(80, "2026-05-04")
    classroom.begin()
    classroom.execute("DELETE FROM message")
    classroom.execute("UPDATE run SET status = 'stopped'")
    classroom.execute("UPDATE course SET active = false WHERE event_id = '340'")

    # when
    classroom.run()

    # then
    assert (classroom.completion(80)["state"], classroom.completion(80)["reason"]) == ("rejected", "no_rule")


def test_what_was_rejected_for_its_field_is_written_when_the_field_is_good_again(classroom: Classroom) -> None:
    # given a rule that names a field AFAS does not have, and a date
    classroom.enroll(80)
    classroom.complete(80, "2026-05-04")
    good = classroom.world.rows("SELECT rules FROM course WHERE event_id = '340'")[0]["rules"][0]
    classroom.rule(type="text")
    assert classroom.run().outcomes["rejected"] == 1

    # when the report does not show the date any more, and the rule is put right
    classroom.world.pluvo.portfolio.clear()
    classroom.world.pluvo.changed()
    classroom.rule(**good)
    run = classroom.run()

    # then
    assert (run.outcomes["written"], classroom.shown(80)) == (1, "2026-05-04")


def test_a_course_that_was_out_while_its_date_waited_is_written_when_it_is_back(classroom: Classroom) -> None:
    # given
    classroom.enroll(80)
    classroom.complete(80, "2026-05-04")
    classroom.begin()
    classroom.execute("UPDATE course SET active = false WHERE event_id = '340'")
    classroom.world.drain()
    classroom.execute("UPDATE run SET status = 'done'")
    assert (classroom.completion(80)["reason"], classroom.puts()) == ("no_rule", [])

    # when it is back, and the report is empty
    classroom.world.pluvo.portfolio.clear()
    classroom.world.pluvo.changed()
    classroom.execute("UPDATE course SET active = true WHERE event_id = '340'")
    classroom.run()

    # then
    assert classroom.shown(80) == "2026-05-04"


def test_a_conflict_after_our_write_that_is_cleared_is_written_again(classroom: Classroom) -> None:
    # given a human changed our date, then took it out
    classroom.enroll(80)
    classroom.complete(80, "2026-05-04")
    classroom.run()
    classroom.type_date(80, "2026-05-01")
    classroom.run()
    assert classroom.completion(80)["reason"] == "changed_after_writing"
    classroom.type_date(80, None)

    # when
    old = "changed_at = changed_at - interval '2 hours', shown_at = shown_at - interval '2 hours'"
    classroom.execute(f"UPDATE completion SET {old}")
    run = classroom.run()

    # then
    assert (run.outcomes["written"], classroom.shown(80), len(classroom.puts())) == (1, "2026-05-04", 2)
    assert classroom.run().outcomes["verified"] == 1


def test_a_stopped_put_of_a_leaver_does_not_wait_for_ever(classroom: Classroom) -> None:
    # given a PUT whose answer was lost, whose message was dropped with its run, and whose person left
    classroom.enroll(80)
    classroom.complete(80, "2026-05-04")
    classroom.world.fault("afas", "reset", match={"operation": "put"}, times=1)
    classroom.begin()
    classroom.world.drain()
    assert classroom.completion(80)["state"] == "sending"
    classroom.execute("DELETE FROM message")
    classroom.execute("UPDATE run SET status = 'stopped'")
    classroom.execute("UPDATE enrollment SET row_state = 'absent', absent_since = now()")

    # when
    run = classroom.run()

    # then
    assert (run.outcomes["pending"], run.outcomes["orphan"]) == (0, 1)
    assert classroom.completion(80)["reason"] == "not_in_afas"


def _lock_at_once(tenant_id: int) -> None:
    with transaction() as connection:
        connection.execute(text("SET LOCAL lock_timeout = '1s'"))
        lock_completions(connection, tenant_id)


def test_nobody_waits_for_a_preview(classroom: Classroom) -> None:
    # given a preview in the middle of its work
    classroom.enroll(80)
    tenant, courses = load(classroom.world.tenant_id)
    rules = [rule for course in courses for rule in rules_of(course, {})]
    finished = [Finished(classroom.user(80), "training", TITLE, EARLY)]
    with _rehearsal(classroom.world.tenant_id) as rehearsal:
        record(rehearsal, tenant, rules, finished, reading="one")
        # then a run, a webhook or a snapshot goes on
        with ThreadPoolExecutor(1) as another:
            another.submit(_lock_at_once, classroom.world.tenant_id).result()
    assert classroom.completions() == []


def test_a_snapshot_is_no_look_for_a_put(classroom: Classroom) -> None:
    # given a due date, and a snapshot that says it was read this very moment
    classroom.enroll(80)
    classroom.complete(80, "2026-05-04")
    classroom.begin()
    classroom.execute("UPDATE enrollment SET completion_value = NULL, completion_read_at = now() + interval '1 hour'")
    classroom.world.sync()
    # when
    classroom.type_date(80, "2026-01-01")
    classroom.world.drain()
    # then
    assert classroom.shown(80) == "2026-01-01"


def test_a_worker_whose_clock_is_ahead_makes_no_false_conflict(
    classroom: Classroom, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a machine whose clock is an hour ahead read another date, which was gone before ours was written
    classroom.enroll(80)
    classroom.type_date(80, "2026-01-01")

    class Ahead(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Ahead:
            return super().now(tz) + timedelta(hours=1)

    monkeypatch.setattr("producers.enrollments.snapshot.datetime", Ahead)
    classroom.world.sync()
    monkeypatch.undo()
    classroom.type_date(80, None)
    classroom.complete(80, "2026-05-04")
    classroom.run()

    # when a snapshot of before is confirmed once more
    (course,) = [one for one in load(classroom.world.tenant_id)[1] if one.event_id == "340"]
    with transaction() as connection:
        confirm_written(connection, course)

    # then
    assert (classroom.shown(80), classroom.completion(80)["state"]) == ("2026-05-04", "written")
