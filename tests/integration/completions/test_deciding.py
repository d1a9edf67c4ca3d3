"""What an operator sees of completions and decides about them: list, close, try again."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from models.session import transaction
from ops import access, audit, completions, overview
from ops.access import Actor, Role
from ops.alerts import needs
from ops.listing import Row
from ops.people import explain
from ops.problems import AlreadyDecided, Forbidden, NotThere, Problem
from ops.runs import history
from tests.integration.completions.conftest import Classroom

SLUG = "acme"
LATE = "2026-06-30T22:30:00Z"


def conflict(classroom: Classroom, person: int = 80) -> Row:
    """Somebody typed another day in AFAS than Pluvo has."""
    classroom.enroll(person)
    classroom.complete(person, LATE)
    classroom.type_date(person, "2026-01-31")
    classroom.run()
    return completions.find_one([SLUG, str(person), "340"])


def test_every_state_that_waits_is_listed_with_where_it_stands_and_what_to_do(classroom: Classroom) -> None:
    # given one that conflicts, one without a date, one whose row is gone, one that is fine
    classroom.enroll(80, 81, 82, 83)
    for person, at in ((80, LATE), (82, LATE), (83, LATE)):
        classroom.complete(person, at)
    classroom.type_date(80, "2026-01-31")
    classroom.run()
    classroom.world.afas.remove(340, 82)
    classroom.execute("UPDATE completion SET state = 'orphan', reason = 'not_in_afas' WHERE internal_id = '82'")
    # when
    found = completions.listing(tenant=SLUG)
    # then
    told = {item["internal_id"]: (item["state"], completions.told(item).say("en")) for item in found.items}
    assert told == {
        "80": ("conflict", "AFAS holds 2026-01-31, Pluvo says 2026-07-01: nothing is written over it."),
        "82": ("orphan", "2026-07-01 is not written: The row is gone from AFAS."),
        "83": ("written", "2026-07-01 was written to AFAS and not seen there yet."),
    }
    assert all(completions.to_do(item).say("nl") for item in found.items)
    assert completions.counts(SLUG) | {"pending": 0} == {
        **{"pending": 0, "unverified": 1, "conflict": 1, "orphan": 1},
        **{"no_date": 0, "rejected": 0, "failed": 0, "closed": 0},
    }
    assert [item["internal_id"] for item in completions.listing(state="unverified").items] == ["83"]
    assert len(completions.listing(everything=True).items) == 3


def test_pages_of_a_list_are_by_key_and_hold_each_once(classroom: Classroom) -> None:
    people = range(80, 87)
    classroom.enroll(*people)
    for person in people:
        classroom.complete(person, LATE)
    classroom.run()
    seen: list[str] = []
    cursor: str | None = None
    while True:
        part = completions.listing(3, cursor)
        seen += [item["internal_id"] for item in part.items]
        cursor = part.next
        if cursor is None:
            break
    assert sorted(seen) == sorted(str(person) for person in people)


def test_a_closed_conflict_alarms_nobody_and_counts_as_unchanged(classroom: Classroom) -> None:
    # given
    item = conflict(classroom)
    assert overview.document()["tiles"]["conflicts"] == 1
    # when
    done = completions.close(
        [item["id"]], reason="AFAS has the exam's day", seen={item["id"]: item["basis"]}, who="anna"
    )
    # then no list, no overview, no run tells of it; AFAS keeps its day
    assert done == {"closed": 1, "discarded": 0}
    assert completions.listing(tenant=SLUG).items == []
    (closed,) = completions.listing(tenant=SLUG, state="closed").items
    assert (closed["closed_by"], closed["closed_reason"]) == ("anna", "AFAS has the exam's day")
    assert overview.document()["tiles"]["conflicts"] == 0
    run = classroom.run()
    assert (run.outcomes["conflict"], run.outcomes["unchanged"], run.rows) == (0, 1, 1)
    assert history.exit_code(history.by_ids([run.id])) == 0
    assert history.show(run.id)["listed"] == []
    assert classroom.puts() == []
    assert [(one["verb"], one["who"], one["reason"]) for one in audit.of(completions.subject(item["id"]), SLUG)] == [
        ("completions close", "anna", "AFAS has the exam's day")
    ]


def _other_value(classroom: Classroom) -> None:
    classroom.type_date(80, "2026-02-02")
    classroom.execute(
        "UPDATE completion SET shown_at = now() - interval '2 hours', changed_at = now() - interval '3 hours'"
    )
    classroom.run()


def _emptied(classroom: Classroom) -> None:
    classroom.type_date(80, None)
    classroom.execute(
        "UPDATE completion SET shown_at = now() - interval '2 hours', changed_at = now() - interval '3 hours'"
    )
    classroom.run()


def _another_day_in_pluvo(classroom: Classroom) -> None:
    classroom.complete(80, "2026-08-15")
    classroom.run()


@pytest.mark.parametrize(
    ("change", "state"), [(_other_value, "conflict"), (_emptied, "written"), (_another_day_in_pluvo, "conflict")]
)
def test_a_closed_one_comes_back_once_something_of_it_changes(
    classroom: Classroom, change: Callable[[Classroom], None], state: str
) -> None:
    item = conflict(classroom)
    completions.close([item["id"]], reason="AFAS is right")
    change(classroom)
    (back,) = completions.listing(tenant=SLUG).items
    assert (back["state"], back["closed"]) == (state, False)


def test_closing_what_looks_otherwise_by_now_is_refused(classroom: Classroom) -> None:
    item = conflict(classroom)
    classroom.execute("UPDATE completion SET shown_value = '2026-03-03'")
    with pytest.raises(AlreadyDecided, match="changed since it was looked at"):
        completions.close([item["id"]], reason="AFAS is right", seen={item["id"]: item["basis"]})
    with pytest.raises(Problem, match="reason is empty"):
        completions.close([item["id"]], reason=" ")


def test_of_two_who_close_the_same_the_second_is_told_who_was_first(classroom: Classroom) -> None:
    item = conflict(classroom)
    told: dict[str, str] = {}

    def close(who: str) -> None:
        try:
            completions.close([item["id"]], reason="both at once", who=who)
        except AlreadyDecided as problem:
            told[who] = str(problem)

    threads = [threading.Thread(target=close, args=(who,)) for who in ("anna", "bert")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (second,) = told
    first = ({"anna", "bert"} - {second}).pop()
    assert told[second] == f"Completion {item['id']} was closed by {first} before."


@pytest.mark.parametrize(
    ("state", "problem"),
    [("pending", "is pending"), ("written", "is written"), ("verified", "is verified"), ("unchanged", "is unchanged")],
)
def test_only_what_somebody_can_accept_is_closed(classroom: Classroom, state: str, problem: str) -> None:
    item = conflict(classroom)
    classroom.execute("UPDATE completion SET state = :state", state=state)
    with pytest.raises(Problem, match=problem):
        completions.close([item["id"]], reason="no more of it")


def test_what_is_tried_again_looks_at_afas_first(classroom: Classroom) -> None:
    # given a conflict that is still there
    item = conflict(classroom)
    assert completions.retry(item["id"], who="anna")["result"] == "queued"
    classroom.world.drain()
    assert completions.find_one([str(item["id"])])["state"] == "conflict"
    assert classroom.puts() == []
    # when the field is emptied in AFAS
    classroom.type_date(80, None)
    completions.retry(item["id"])
    classroom.world.drain()
    # then it is written
    assert completions.find_one([str(item["id"])])["state"] == "written"
    assert classroom.shown(80) == "2026-07-01"
    done = audit.of(completions.subject(item["id"]), SLUG)
    assert [one["verb"] for one in done] == ["completions retry", "completions retry"]


def refuse(classroom: Classroom) -> None:
    """From now on AFAS takes no date."""
    body = '{"externalMessage":"Het evenement is afgesloten."}'
    classroom.world.fault("afas", "status", status=500, body=body, match={"method": "PUT"})


def refused(classroom: Classroom) -> Row:
    """AFAS refused the date, so there is a dead letter."""
    classroom.enroll(80)
    classroom.complete(80, LATE)
    refuse(classroom)
    classroom.run()
    classroom.world.clear_faults()
    return completions.find_one([SLUG, "80", "340"])


def test_a_failed_one_is_tried_again_with_its_dead_letter(classroom: Classroom) -> None:
    item = refused(classroom)
    assert item["state"] == "failed"
    completions.retry(item["id"], who="anna")
    shown = completions.show([str(item["id"])])
    assert [(one["state"], one["error"]) for one in shown["dead_letters"]] == [("replayed", item["reason"])]
    classroom.world.drain()
    assert classroom.shown(80) == "2026-07-01"
    assert [one["result"] for one in completions.show([str(item["id"])])["calls"]] == ["done", "refused"]


def test_closing_a_failed_one_discards_its_dead_letter_for_the_same_reason(classroom: Classroom) -> None:
    item = refused(classroom)
    assert completions.close([item["id"]], reason="AFAS keeps it empty", who="anna") == {"closed": 1, "discarded": 1}
    (letter,) = classroom.world.rows("SELECT state, closed_by, closed_reason FROM dead_letter")
    assert letter == {"state": "discarded", "closed_by": "anna", "closed_reason": "AFAS keeps it empty"}
    assert classroom.run().outcomes["failed"] == 0


def test_a_closed_one_that_is_tried_again_is_open_also_where_it_fails_as_before(classroom: Classroom) -> None:
    item = refused(classroom)
    completions.close([item["id"]], reason="the event is closed")
    assert completions.listing(tenant=SLUG).items == []
    # when somebody tries it again after all
    refuse(classroom)
    completions.retry(item["id"], who="bert")
    classroom.world.drain()
    # then they hear that it failed
    (back,) = completions.listing(tenant=SLUG).items
    assert (back["state"], back["reason"], back["closed"]) == ("failed", item["reason"], False)


def test_what_waits_for_its_next_attempt_goes_at_once(classroom: Classroom) -> None:
    # given a date that AFAS could not take, so it waits
    classroom.enroll(80)
    classroom.complete(80, LATE)
    classroom.world.fault("afas", "status", status=502, match={"method": "PUT"})
    classroom.run()
    classroom.world.clear_faults()
    classroom.execute("UPDATE message SET state = 'scheduled', run_at = now() + interval '1 hour'")
    item = completions.find_one([SLUG, "80", "340"])
    # when
    assert completions.retry(item["id"])["result"] == "hurried"
    # then
    assert classroom.world.rows("SELECT state FROM message") == [{"state": "ready"}]
    with pytest.raises(AlreadyDecided, match="is under way"):
        completions.retry(item["id"])


def test_of_several_those_that_can_go_are_tried_and_the_others_are_told(classroom: Classroom) -> None:
    item = conflict(classroom)
    other = conflict(classroom, 81)
    assert completions.retry_each([item["id"]]) == 1
    with pytest.raises(Problem, match=f"1 of 2 is tried again. Completion {item['id']} is under way."):
        completions.retry_each([item["id"], other["id"]])
    with pytest.raises(AlreadyDecided, match="is under way"):
        completions.retry_each([item["id"], other["id"]])


@pytest.mark.parametrize(
    ("columns", "problem"),
    [
        ("state = 'no_date', completed_on = NULL", "has no date"),
        ("state = 'orphan', reason = 'unknown_person', enrollment_id = NULL", "has no row in AFAS"),
        ("state = 'written'", "is written"),
        ("state = 'verified'", "is verified: nothing is left"),
    ],
)
def test_trying_again_what_can_not_go_says_why(classroom: Classroom, columns: str, problem: str) -> None:
    item = conflict(classroom)
    classroom.execute(f"UPDATE completion SET {columns}")
    with pytest.raises(Problem, match=problem):
        completions.retry(item["id"])


def test_a_completion_is_named_by_number_or_by_tenant_person_and_event(classroom: Classroom) -> None:
    item = conflict(classroom)
    assert completions.find_one([SLUG, "00080", "340"])["id"] == item["id"]
    for words in (["999999"], [SLUG, "80", "999"], [SLUG, "81", "340"]):
        with pytest.raises(NotThere, match="no completion"):
            completions.find(words)
    for wrong in (["a"], [SLUG, "80"], [SLUG, "nobody", "340"]):
        with pytest.raises(Problem):
            completions.find(wrong)


def test_nobody_decides_about_completions_that_are_not_theirs(classroom: Classroom) -> None:
    item = conflict(classroom)
    with access.acting(Actor("eva", Role.OPERATOR, frozenset({"beta"}))):
        assert completions.listing().items == []
        decisions: list[Callable[[], Any]] = [
            lambda: completions.close([item["id"]], reason="mine?"),
            lambda: completions.retry(item["id"]),
            lambda: completions.show([str(item["id"])]),
            lambda: completions.listing(tenant=SLUG),
        ]
        for decide in decisions:
            with pytest.raises(NotThere):
                decide()
    with access.acting(Actor("vera", Role.VIEWER, frozenset({SLUG}))):
        assert len(completions.listing().items) == 1
        with pytest.raises(Forbidden):
            completions.close([item["id"]], reason="may I?")
        with pytest.raises(Forbidden):
            completions.retry(item["id"])


def test_a_closed_one_is_no_step_for_whoever_asks_about_the_person(classroom: Classroom) -> None:
    item = conflict(classroom)
    before = explain.explain(SLUG, "80")["people"][0]
    completions.close([item["id"]], reason="AFAS is right")
    after = explain.explain(SLUG, "80")["people"][0]
    assert "another completion date" in before["next_action"]
    assert "completion date" not in after["next_action"]
    assert after["enrollments"][0]["completion"]["closed"] is True
    with transaction() as connection:
        assert "conflict" not in {line["code"] for line in needs.lines(connection, None)}
