"""``explain`` has a line about the completion of each event, also where nothing of it is known."""

from __future__ import annotations

import json

from ops.people.explain import explain
from ops.runs import history
from tests.integration.completions.conftest import TITLE, Classroom


def told(classroom: Classroom) -> tuple[str, str]:
    """The line about the completion of person 80 in event 340, and what is said to come next."""
    (person,) = explain("acme", "80")["people"]
    (enrollment,) = person["enrollments"]
    return enrollment["completion_note"], person["next_action"]


def test_it_says_under_which_title_nothing_was_seen(classroom: Classroom) -> None:
    # given somebody finished, but under another title than the rule's
    classroom.enroll(80)
    classroom.complete(80, "2026-05-04", "Trainng 340")
    classroom.run()
    # then
    assert TITLE in told(classroom)[0]
    assert "none is known" in told(classroom)[0]


def test_it_follows_the_date_to_afas(classroom: Classroom) -> None:
    # given
    classroom.enroll(80)
    classroom.complete(80, "2026-05-04")
    classroom.begin()
    assert told(classroom)[0] == "2026-05-04 is to be written to AFAS"
    # when
    classroom.world.drain()
    # then
    assert told(classroom)[0] == "2026-05-04 was written to AFAS and not seen there yet"


def test_what_is_listed_is_what_comes_next(classroom: Classroom) -> None:
    # given a finish without a date
    classroom.enroll(80)
    body = {"event": "TRAINING_FINISHED", "user": {"id": classroom.user(80)}, "training": {"title": TITLE}}
    classroom.signal(json.dumps(body).encode())
    classroom.world.drain()
    note, following = told(classroom)
    assert "no date" in note
    assert note in following

    # when its date can't be
    classroom.complete(80, "2099-01-01")
    classroom.run()
    # then
    note, following = told(classroom)
    assert "still to come" in note
    assert note in following


def test_an_event_without_a_rule_has_no_such_line(classroom: Classroom) -> None:
    classroom.enroll(80)
    classroom.execute("UPDATE course SET rules = '[]'")
    assert told(classroom)[0] is None


def test_a_run_shows_whom_it_counted_without_writing(classroom: Classroom) -> None:
    # given one of each that needs somebody: another date in AFAS, a stranger, a date that can't be, none at all
    classroom.enroll(80, 81, 82, 83)
    for person, day in ((80, "2026-05-04"), (82, "soon"), (83, "2026-05-04")):
        classroom.complete(person, day)
    classroom.type_date(80, "2026-01-01")
    stranger = classroom.world.pluvo.add_user("vreemd@example.org", "Vreemd")
    classroom.world.pluvo.complete(stranger["id"], TITLE, "2026-05-04")
    body = {"event": "TRAINING_FINISHED", "user": {"id": classroom.user(81)}, "training": {"title": TITLE}}
    classroom.signal(json.dumps(body).encode())
    classroom.world.drain()
    first = classroom.run()

    # when
    run = classroom.run()

    # then each has a line, in the run that planned something for it or among those that are listed
    lines = {(line["internal_id"], line["outcome"]) for line in history.show(first.id)["lines"]}
    assert {("80", "conflict"), ("83", "written")} <= lines
    found = {(one["internal_id"], one["outcome"], one["reason"]) for one in history.show(run.id)["listed"]}
    assert found == {
        ("80", "conflict", "other_date"),
        ("81", "no_date", None),
        ("82", "rejected", "unreadable_date"),
        (None, "orphan", "unknown_person"),
    }
    assert sum(run.outcomes[name] for name in ("conflict", "no_date", "rejected", "orphan")) == len(found)
    assert history.show(classroom.world.sync().id)["listed"] == []
