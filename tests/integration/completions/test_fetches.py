"""A finish event: the person's report is read at once, and ten signals are one PUT."""

from __future__ import annotations

import json

from simulators.pluvo.webhooks import event_body
from tests.integration.completions.conftest import TITLE, Classroom


def outcomes(classroom: Classroom) -> list[str]:
    """What became of the events, in order."""
    return [row["outcome"] for row in classroom.world.rows("SELECT outcome FROM webhook_event ORDER BY id")]


def test_a_finish_event_brings_the_date_to_afas(classroom: Classroom) -> None:
    # given
    classroom.enroll(80, 81)
    classroom.complete(80, "2026-06-30T22:30:00Z")
    classroom.complete(81, "2026-06-30T22:30:00Z")

    # when one of them is told of
    assert classroom.event(80) == "queued"
    classroom.world.drain()

    # then that one is written, and only that person's report was read
    assert (classroom.shown(80), classroom.shown(81)) == ("2026-07-01", None)
    assert outcomes(classroom) == ["due"]
    assert classroom.completion(80)["signalled_by"] == "webhook"
    assert [row["internal_id"] for row in classroom.completions()] == ["80"]


def test_ten_signals_of_every_kind_are_one_put(classroom: Classroom) -> None:
    # given
    classroom.enroll(80)
    classroom.complete(80, "2026-05-04")
    body = json.dumps(event_body("TRAINING_FINISHED", classroom.world.pluvo.users[classroom.user(80)])).encode()

    # when
    told = [classroom.signal(body) for _ in range(4)]
    told += [
        classroom.event(80, name) for name in ("COURSE_FINISHED", "EVENT_CERTIFICATE_ACHIEVED", "TRAINING_FINISHED")
    ]
    classroom.run()
    told += [classroom.signal(body), classroom.event(80)]
    classroom.world.drain()
    classroom.run()

    # then
    assert len(classroom.puts()) == 1
    assert told == ["queued"] * 7 + ["repeated", "queued"]
    assert classroom.world.rows("SELECT max(times) AS times FROM webhook_event") == [{"times": 5}]


def test_a_finish_without_a_date_is_listed_until_the_report_has_one(classroom: Classroom) -> None:
    # given the report lags
    classroom.enroll(80)
    classroom.event(80)
    classroom.world.drain()
    assert (outcomes(classroom), classroom.completion(80)["state"]) == (["no_date"], "no_date")
    waiting = classroom.run()
    assert (waiting.outcomes["no_date"], waiting.rows, classroom.puts()) == (1, 1, [])

    # when it catches up
    classroom.complete(80, "2026-05-04")
    run = classroom.run()

    # then
    assert (run.outcomes["written"], run.rows, classroom.shown(80)) == (1, 1, "2026-05-04")


def test_an_event_that_names_a_ref_only_finds_its_user(classroom: Classroom) -> None:
    # given
    classroom.enroll(80)
    classroom.complete(80, "2026-05-04")
    ref = classroom.world.user("p80@example.nl")["ref"]

    # when
    classroom.signal(json.dumps({"event": "TRAINING_FINISHED", "user": {"ref": ref}}).encode())
    classroom.signal(json.dumps({"event": "TRAINING_FINISHED", "user": {"ref": "nobody's"}}).encode())
    classroom.world.drain()

    # then
    assert classroom.shown(80) == "2026-05-04"
    assert outcomes(classroom) == ["due", "unknown_user"]


def test_a_date_inside_an_event_is_never_used(classroom: Classroom) -> None:
    # given
    classroom.enroll(80)
    user = {"id": classroom.user(80)}

    # when
    body = {
        "event": "TRAINING_FINISHED",
        "user": user,
        "completionDate": "2026-01-01",
        "sentDate": "2026-01-01T10:00:00Z",
    }
    classroom.signal(json.dumps(body | {"training": {"title": TITLE}}).encode())
    classroom.world.drain()

    # then
    assert (classroom.puts(), classroom.completion(80)["completed_on"]) == ([], None)


def test_other_events_and_unreadable_ones_change_nothing(classroom: Classroom) -> None:
    # given
    classroom.enroll(80)
    classroom.complete(80, "2026-05-04")

    # when
    told = [
        classroom.event(80, "USER_UPDATED"),
        classroom.event(80, "SOMETHING_NEW"),
        classroom.signal(b"\xff\x00 no json"),
        classroom.signal(b'{"event": "TRAINING_FINISHED"}'),
        classroom.signal(b'{"event": "TRAINING_FINISHED", "user": {"id": "\\u0000"}}'),
    ]
    delivered = classroom.world.drain()

    # then
    assert told == ["ignored", "ignored", "unreadable", "no_user", "no_user"]
    assert (delivered, classroom.completions(), classroom.puts()) == (0, [], [])


def test_an_event_about_a_stranger_writes_nothing(classroom: Classroom) -> None:
    # given someone in Pluvo whom AFAS does not know
    classroom.enroll(80)
    stranger = classroom.world.pluvo.add_user("vreemd@example.org", "Vreemd")
    classroom.world.pluvo.complete(stranger["id"], TITLE, "2026-05-04")

    # when
    classroom.signal(json.dumps(event_body("TRAINING_FINISHED", stranger)).encode())
    classroom.world.drain()

    # then
    assert classroom.puts() == []
    assert [(row["state"], row["reason"]) for row in classroom.completions()] == [("orphan", "unknown_person")]


def test_an_ambiguous_title_is_not_written_from_an_event_either(classroom: Classroom) -> None:
    # given
    classroom.enroll(80)
    classroom.complete(80, "2026-05-04")
    classroom.world.pluvo.add_training(TITLE)

    # when
    classroom.event(80)
    classroom.world.drain()

    # then
    assert (outcomes(classroom), classroom.completions(), classroom.puts()) == (["nothing_due"], [], [])


def test_any_finish_event_makes_the_report_be_read_for_all_rules(classroom: Classroom) -> None:
    # given a rule of level training, and Pluvo tells that a course of it was finished, which finished the training
    classroom.enroll(80)
    classroom.complete(80, "2026-05-04")

    # when
    classroom.event(80, "COURSE_FINISHED", course={"title": "Les 12"})
    classroom.world.drain()

    # then
    assert (classroom.shown(80), outcomes(classroom)) == ("2026-05-04", ["due"])


def test_an_event_of_another_level_says_nothing_of_a_finish_without_a_date(classroom: Classroom) -> None:
    # given a course with the title of the training was finished, the training only begun
    classroom.enroll(80)
    classroom.world.pluvo.progress(classroom.user(80), TITLE, progress=0.5)

    # when
    body = {"event": "COURSE_FINISHED", "user": {"id": classroom.user(80)}, "course": {"title": TITLE}}
    classroom.signal(json.dumps(body).encode())
    classroom.world.drain()

    # then
    assert (classroom.completions(), outcomes(classroom)) == ([], ["nothing_due"])


def test_where_pluvo_cannot_be_asked_for_one_person_one_run_serves_all_events(classroom: Classroom) -> None:
    # given a schema without that filter, a long report, and twenty events
    people = range(80, 100)
    classroom.enroll(*people)
    classroom.world.pluvo.change_switches(hidden=["Query.portfolioReport.userIds"])
    for number in range(120):
        other = classroom.world.pluvo.add_user(f"x{number}@example.org", f"Naam {number}")
        classroom.world.pluvo.progress(other["id"], "Iets anders", progress=0.5)
    for person in people:
        classroom.complete(person, "2026-05-04")
        classroom.event(person)
    classroom.world.clear_log()

    # when
    classroom.world.drain()

    # then the first one found out, and one run is asked for
    read = [call for call in classroom.world.calls("pluvo") if "portfolioReport" in call.fields]
    assert len(read) <= 2
    assert set(outcomes(classroom)) == {"run_requested"}
    runs = classroom.world.rows("SELECT trigger, status FROM run WHERE direction = 'completions'")
    assert runs == [{"trigger": "webhook", "status": "queued"}]
    classroom.run()
    assert {classroom.shown(person) for person in people} == {"2026-05-04"}


def test_events_that_keep_coming_leave_as_much_time_without_a_run_as_it_took(classroom: Classroom) -> None:
    """Where everybody's report must be read for one event, runs may not follow each other without a pause."""
    # given a run that an event asked for, and that took five minutes
    classroom.enroll(80, 81)
    classroom.world.pluvo.change_switches(hidden=["Query.portfolioReport.userIds"])
    classroom.event(80)
    classroom.world.drain()
    classroom.execute("UPDATE run SET status = 'done', started_at = now() - interval '5 minutes', finished_at = now()")

    # when the next event comes
    classroom.event(81)
    classroom.world.drain()

    # then it waits for as long, and nothing of it is lost or burnt
    waits = classroom.world.rows(
        "SELECT state, attempts, run_at > now() + interval '4 minutes' AS long FROM message WHERE kind LIKE '%fetch%'"
    )
    assert waits == [{"state": "scheduled", "attempts": 0, "long": True}]
    assert outcomes(classroom) == ["run_requested", None]

    # until the time is over
    classroom.execute("UPDATE run SET started_at = now() - '20m'::interval, finished_at = now() - '10m'::interval")
    classroom.execute("UPDATE message SET state = 'ready', run_at = now()")
    classroom.world.drain()
    assert outcomes(classroom) == ["run_requested", "run_requested"]
    assert len(classroom.world.rows("SELECT id FROM run WHERE status = 'queued' AND trigger = 'webhook'")) == 1
