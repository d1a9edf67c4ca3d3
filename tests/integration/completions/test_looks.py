"""What a PUT was decided on is asked once more right before it: whatever changed on the way stops or corrects it."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

import settings
from clients.afas import Authorizer
from clients.http import tokens
from simulators.afas.tenant import COMPLETION_FIELD, FreeField
from tests.fixtures.looking import retry_now
from tests.fixtures.world import FIELDS
from tests.integration.completions.conftest import Classroom

OTHER_FIELD = "U11111111111111111111111111111111"
Action = Callable[[], object]


def before_call(monkeypatch: pytest.MonkeyPatch, number: int, action: Action) -> None:
    """Do something while the n-th AFAS call from here on is got ready: its decision is made, nothing is sent yet."""
    made = 0
    value = Authorizer.value

    def slow_value(self: Authorizer) -> str:
        nonlocal made
        made += 1
        if made == number:
            action()
        return value(self)

    monkeypatch.setattr(Authorizer, "value", slow_value)


@pytest.fixture
def due(classroom: Classroom) -> Classroom:
    """Person 80 finished, and one message is ready to write it. The first AFAS call then looks, the second PUTs."""
    classroom.enroll(80)
    classroom.complete(80, "2026-05-04")
    classroom.begin()
    classroom.world.clear_log()
    return classroom


def test_a_date_typed_after_the_look_stays_when_the_way_to_the_put_takes_too_long(
    due: Classroom, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a minute passes between the look and the PUT, and somebody types meanwhile
    def a_minute_passes() -> None:
        due.type_date(80, "2026-01-01")
        due.execute("UPDATE completion SET shown_at = shown_at - interval '60 seconds'")

    before_call(monkeypatch, 2, a_minute_passes)

    # when
    due.world.drain()

    # then
    assert (due.shown(80), due.puts()) == ("2026-01-01", [])
    assert (due.completion(80)["state"], due.completion(80)["puts"]) == ("conflict", 0)


def test_a_look_of_the_run_that_grows_too_old_on_the_way_is_looked_at_again(
    classroom: Classroom, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given six dates, so the run reads the event as a page, 40 s ago
    people = range(80, 86)
    classroom.enroll(*people)
    for person in people:
        classroom.complete(person, "2026-05-04")
    classroom.begin()
    classroom.execute("UPDATE completion SET shown_at = shown_at - interval '40 seconds'")

    # when 20 s more go by before the first PUT, and somebody types
    def twenty_seconds_pass() -> None:
        classroom.type_date(80, "2026-01-01")
        classroom.execute("UPDATE completion SET shown_at = shown_at - interval '20 seconds'")

    before_call(monkeypatch, 1, twenty_seconds_pass)
    classroom.world.drain()

    # then
    assert classroom.shown(80) == "2026-01-01"
    assert [classroom.shown(person) for person in people[1:]] == ["2026-05-04"] * 5


@pytest.mark.parametrize("slow", ["token", "metainfo", "look"])
def test_whatever_is_slow_a_human_s_date_is_not_written_over(
    due: Classroom, monkeypatch: pytest.MonkeyPatch, slow: str
) -> None:
    # given a look is good for half a second, and one step takes longer than that, once
    monkeypatch.setattr("workers.actors.completion_write_back.record.LOOK_SECONDS", 0.5)
    operation = {"token": "token", "metainfo": "metainfo_update", "look": "page"}[slow]
    due.world.fault("afas", "delay", match={"operation": operation}, seconds=1.0, times=1)
    if slow == "metainfo":
        due.execute("UPDATE course SET completion_types = NULL")

    def typed_and_token_over() -> None:
        due.type_date(80, "2026-01-01")
        for cache in tokens._shared.values():
            cache._until = 0.0

    before_call(monkeypatch, 2, typed_and_token_over)

    # when
    due.world.drain()

    # then
    assert (due.shown(80), due.puts()) == ("2026-01-01", [])


def test_the_put_without_the_code_that_afas_refused_has_a_look_of_its_own(
    due: Classroom, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given AFAS stumbles over the code, and somebody types before the second PUT
    due.world.afas.change(340, 80, external_id="9999999")
    before_call(monkeypatch, 3, lambda: due.type_date(80, "2026-01-01"))

    # when
    due.world.drain()

    # then
    assert [put["Fields"].get("BcCo") for put in due.puts()] == ["1000080"]
    assert (due.shown(80), due.completion(80)["state"]) == ("2026-01-01", "conflict")


def test_a_look_that_is_always_too_old_costs_attempts_and_says_why(
    due: Classroom, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given no look is ever new enough at the PUT
    monkeypatch.setattr("workers.actors.completion_write_back.record.LOOK_SECONDS", 0.0)

    # when
    delivered = due.world.drain(limit=5)

    # then it does not go round for ever, and whoever looks sees it
    message = due.world.rows("SELECT state, attempts, history FROM message")[0]
    assert (delivered, message["state"], message["attempts"]) == (1, "scheduled", 1)
    assert message["history"][0]["code"] == due.completion(80)["reason"] == "look_too_old"
    assert due.puts() == []
    assert len(due.world.calls("afas")) < 10


def test_a_slow_look_is_kept_and_its_put_gets_a_fresh_lease(due: Classroom, monkeypatch: pytest.MonkeyPatch) -> None:
    # given a lease of 10 s, of which the look takes 2.5
    monkeypatch.setenv("KOPPELING_LEASE", "10s")
    settings.get.cache_clear()
    due.world.fault("afas", "delay", match={"operation": "page"}, seconds=2.5)

    # when
    delivered = due.world.drain(limit=8)

    # then
    assert (delivered, due.shown(80)) == (1, "2026-05-04")
    assert [call.operation for call in due.world.calls("afas") if call.operation in ("page", "put")] == ["page", "put"]


OBSTACLES: dict[str, tuple[str, str, str]] = {
    "the course is taken out": ("UPDATE course SET active = false WHERE event_id = '340'", "rejected", "no_rule"),
    "the rule is taken out": ("UPDATE course SET rules = '[]' WHERE event_id = '340'", "rejected", "no_rule"),
    "the rule names another title": (
        "UPDATE course SET rules = jsonb_set(rules, '{0,title}', '\"Iets anders\"') WHERE event_id = '340'",
        "rejected",
        "no_rule",
    ),
    "the person left": ("UPDATE enrollment SET row_state = 'absent'", "orphan", "not_in_afas"),
    "the enrollment is erased": ("DELETE FROM enrollment", "orphan", "not_in_afas"),
    "the link is another account's": (
        "UPDATE link SET pluvo_id = 'another', revision = revision + 1",
        "orphan",
        "no_longer_linked",
    ),
    "the link is gone": ("DELETE FROM link", "orphan", "no_longer_linked"),
    "the person is ignored": ("UPDATE link SET state = 'ignored'", "orphan", "no_longer_linked"),
}


@pytest.mark.parametrize("what", OBSTACLES)
@pytest.mark.parametrize("when", [1, 2], ids=["before the look", "before the put"])
def test_what_changes_on_the_way_is_not_written(
    due: Classroom, monkeypatch: pytest.MonkeyPatch, what: str, when: int
) -> None:
    # given
    statement, state, reason = OBSTACLES[what]
    before_call(monkeypatch, when, lambda: due.execute(statement))

    # when
    due.world.drain()

    # then
    completion = due.world.rows("SELECT state, reason, puts FROM completion")[0]
    assert (completion["state"], completion["reason"], completion["puts"]) == (state, reason, 0)
    assert due.puts() == []
    lines = due.world.rows("SELECT outcome FROM plan_line WHERE completion_id IS NOT NULL")
    assert all(line["outcome"] == state for line in lines)
    assert lines or what == "the enrollment is erased"


def test_a_rule_that_names_another_field_writes_nothing_into_the_old_one(
    due: Classroom, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given the administrator corrects the field while the PUT is on its way
    due.world.afas.free_fields[OTHER_FIELD] = FreeField("Ander veld", "date", 10)
    before_call(monkeypatch, 2, lambda: due.rule(field=OTHER_FIELD, column=None))

    # when
    due.world.drain()

    # then
    assert (due.puts(), due.completion(80)["reason"]) == ([], "no_rule")


def test_a_format_that_changes_on_the_way_is_the_one_that_is_written(
    due: Classroom, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given
    due.world.afas.free_fields[COMPLETION_FIELD] = FreeField("Voltooid op", "string", 12)
    due.rule(type="text", format="%Y-%m-%d")
    before_call(monkeypatch, 3, lambda: due.rule(format="%d-%m-%Y"))

    # when
    due.world.drain()

    # then
    assert due.shown(80) == "04-05-2026"


@pytest.mark.parametrize("verb", ["paused", "stopped"])
def test_a_pause_or_a_stop_on_the_way_lets_no_put_go(
    due: Classroom, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    # given
    statement = {
        "paused": "UPDATE tenant_direction SET state = 'paused'",
        "stopped": "UPDATE run SET stop_requested = true",
    }[verb]
    before_call(monkeypatch, 2, lambda: due.execute(statement))

    # when
    due.world.drain(limit=1)

    # then
    assert (due.puts(), due.completion(80)["state"], due.completion(80)["puts"]) == ([], "pending", 0)


def test_a_column_that_is_mapped_on_the_way_is_looked_at(due: Classroom, monkeypatch: pytest.MonkeyPatch) -> None:
    # given no column was mapped, and somebody had typed a date
    due.rule(column=None)
    due.type_date(80, "2026-01-01")
    # when it is mapped while the PUT is on its way (metainfo, PUT)
    before_call(monkeypatch, 2, lambda: due.rule(column="Voltooid_op"))
    due.world.drain()
    # then
    assert (due.shown(80), due.completion(80)["state"]) == ("2026-01-01", "conflict")


@pytest.mark.parametrize("who", [999, None, "8O"])
def test_an_answer_with_other_rows_makes_nobody_an_orphan(due: Classroom, who: object) -> None:
    # given AFAS answers the look with somebody else's row, or with one that nobody can read
    row = dict.fromkeys(FIELDS.columns()) | {"CrId": 340, "Intern_ID": who}
    body = json.dumps({"skip": 0, "take": 10, "rows": [row]})
    due.world.fault("afas", "status", match={"operation": "page"}, status=200, body=body, times=1)

    # when
    due.world.drain()

    # then it is looked at again
    assert (due.completion(80)["state"], due.completion(80)["reason"], due.puts()) == ("pending", "unasked_rows", [])
    retry_now(due.world)
    due.world.drain()
    assert due.shown(80) == "2026-05-04"
