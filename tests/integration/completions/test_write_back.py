"""The actor: look first, write once, say what happened."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from clients.afas import Authorizer
from simulators.afas.tenant import COMPLETION_FIELD, FreeField
from tenancy.call_slots import call_slot
from tests.fixtures.statements import counted, promised
from tests.integration.completions.conftest import Classroom
from workers.messages.execute import run_delivery

MANY = range(80, 90)


def retry_now(classroom: Classroom) -> None:
    """Let time pass until everything that waits is due, and do it."""
    classroom.execute("UPDATE message SET state = 'ready', run_at = now() WHERE state = 'scheduled'")
    classroom.execute("UPDATE tenant_direction SET wait_until = NULL")
    classroom.world.forget_told()
    classroom.world.drain()


def test_afas_never_gets_more_calls_at_once_than_the_tenant_allows(classroom: Classroom) -> None:
    # given more dates to write than AFAS takes at a time, each slow, all handed out at once
    classroom.enroll(*MANY)
    for person in MANY:
        classroom.complete(person, "2026-05-04")
    classroom.begin()
    classroom.world.clear_log()
    classroom.world.fault("afas", "delay", seconds=0.1)
    envelopes = [envelope for _ in MANY if (envelope := classroom.world.hand_out())]

    # when
    with ThreadPoolExecutor(len(MANY)) as threads:
        list(threads.map(run_delivery, envelopes))

    # then
    assert len(classroom.puts()) == len(MANY)
    assert max(entry.in_flight for entry in classroom.world.calls("afas")) == 2


def test_waiting_in_vain_for_a_slot_is_no_attempt(classroom: Classroom, monkeypatch: pytest.MonkeyPatch) -> None:
    # given dates to write, just read as a page, while others use all that AFAS takes at once
    classroom.enroll(*MANY)
    for person in MANY:
        classroom.complete(person, "2026-05-04")
    classroom.begin()
    monkeypatch.setattr("workers.actors.completion_write_back.actor.SLOT_PATIENCE_SECONDS", 0.2)
    environment = f"{classroom.world.afas_url}/t/12345/ProfitRestServices"

    # when
    with call_slot(environment, 2), call_slot(environment, 2):
        classroom.world.drain()

    # then it counts as never sent, and is written later
    waiting = classroom.completions()
    assert {(row["state"], row["puts"], row["sending_at"]) for row in waiting} == {("pending", 0, None)}
    assert classroom.puts() == []
    # and whoever asks hears why it is not written yet
    assert {row["reason"] for row in waiting} == {"no_slot"}
    retry_now(classroom)
    assert {(classroom.shown(person), classroom.completion(person)["puts"]) for person in MANY} == {("2026-05-04", 1)}


@pytest.mark.parametrize("people", [(80,), MANY], ids=["one by one", "as a page"])
def test_a_date_typed_by_hand_is_never_written_over(classroom: Classroom, people: range) -> None:
    # given someone typed another date, someone else the same
    classroom.enroll(*people, 91)
    for person in (*people, 91):
        classroom.complete(person, "2026-05-04T10:00:00Z")
    classroom.type_date(80, "2026-01-01")
    classroom.type_date(91, "2026-05-04")

    # when
    run = classroom.run()

    # then
    assert (classroom.shown(80), classroom.shown(91)) == ("2026-01-01", "2026-05-04")
    assert run.outcomes["conflict"] == run.outcomes["unchanged"] == 1
    assert run.outcomes["written"] == len(people) - 1
    assert run.rows == sum(run.outcomes.values()) == len(people) + 1
    assert {put["@CdId"] for put in classroom.puts()}.isdisjoint({"80", "91"})
    assert classroom.completion(80)["found_value"] == "2026-01-01T00:00:00Z"


@pytest.mark.parametrize("written", [False, True])
@pytest.mark.parametrize(
    "value", ["1\0", "\0", "klaar \ud800", "\u4e00" * 20_000], ids=["NUL", "only NUL", "half", "long"]
)
def test_text_that_no_database_keeps_in_the_column_is_a_conflict_of_one_person(
    classroom: Classroom, value: str, written: bool
) -> None:
    # given such text stands there before the date is written, or afterwards
    classroom.enroll(80, 81)
    classroom.complete(80, "2026-06-15")
    if written:
        classroom.run()
    classroom.type_date(80, value)
    classroom.complete(81, "2026-06-15")
    # when
    classroom.run()
    classroom.world.sync()
    # then it stays, and the others go on
    assert classroom.completion(80)["state"] == "conflict"
    assert (classroom.shown(80), classroom.shown(81)) == (value, "2026-06-15")


def test_a_conflict_that_is_cleared_in_afas_is_written_after_all(classroom: Classroom) -> None:
    # given a conflict
    classroom.enroll(80)
    classroom.complete(80, "2026-05-04")
    classroom.type_date(80, "2026-01-01")
    classroom.run()

    # when the human takes the date out, and an hour later
    classroom.type_date(80, None)
    classroom.execute("UPDATE completion SET changed_at = changed_at - interval '2 hours'")
    run = classroom.run()

    # then
    assert (classroom.shown(80), run.outcomes["written"]) == ("2026-05-04", 1)


def test_what_a_human_changes_after_our_write_stays(classroom: Classroom) -> None:
    # given a date of ours
    classroom.enroll(80)
    classroom.complete(80, "2026-05-04")
    classroom.run()

    # when a human corrects it
    classroom.type_date(80, "2026-05-01")
    runs = [classroom.run() for _ in range(2)]

    # then
    assert classroom.shown(80) == "2026-05-01"
    assert [run.outcomes["conflict"] for run in runs] == [1, 1]
    assert len(classroom.puts()) == 1


def test_a_refused_organisation_code_is_left_out_once(classroom: Classroom) -> None:
    # given AFAS knows another code than its GetConnector gives
    classroom.enroll(80)
    classroom.complete(80, "2026-05-04")
    classroom.world.afas.change(340, 80, external_id="9999999")

    # when
    run = classroom.run()

    # then
    assert [put["Fields"].get("BcCo") for put in classroom.puts()] == ["1000080", None]
    assert (classroom.shown(80), run.outcomes["written"]) == ("2026-05-04", 1)
    changes = classroom.world.rows("SELECT result, code FROM change WHERE system = 'afas' ORDER BY id")
    assert changes == [{"result": "refused", "code": "external_id_refused"}, {"result": "done", "code": None}]


def test_a_functional_refusal_is_one_dead_letter_and_neighbours_go_on(classroom: Classroom) -> None:
    # given
    classroom.enroll(80, 81, 82)
    for person in (80, 81, 82):
        classroom.complete(person, "2026-05-04")
    classroom.world.afas.change(340, 81, blocked=True)
    classroom.world.afas.change_switches(refuses_blocked=True)

    # when
    run = classroom.run()
    again = classroom.run()

    # then
    assert (run.outcomes["written"], run.outcomes["failed"], run.status) == (2, 1, "done_with_failures")
    letters = classroom.world.rows("SELECT * FROM dead_letter")
    assert [(one["internal_id"], one["event_id"], one["error"]) for one in letters] == [("81", "340", "functional")]
    assert "geblokkeerd" in letters[0]["message"]
    assert letters[0]["afas_reference"]
    assert (again.outcomes["failed"], again.rows, len(classroom.puts())) == (1, 3, 3)

    # when the settings change, it is tried again
    classroom.world.afas.change_switches(refuses_blocked=False)
    classroom.execute("UPDATE tenant SET settings_version = settings_version + 1")
    assert classroom.run().outcomes["written"] == 1


def test_a_lost_answer_is_looked_up_before_anything_is_repeated(classroom: Classroom) -> None:
    # given the PUT arrives and its answer is lost
    classroom.enroll(80)
    classroom.complete(80, "2026-05-04")
    classroom.world.fault("afas", "lost_answer", match={"method": "PUT"}, times=1)

    # when
    run = classroom.run()
    assert (run.outcomes["pending"], classroom.completion(80)["state"]) == (1, "sending")
    retry_now(classroom)

    # then
    assert (classroom.shown(80), len(classroom.puts())) == ("2026-05-04", 1)
    assert classroom.completion(80)["state"] == "verified"
    assert classroom.run_again(run).outcomes["verified"] == 1


def test_without_a_mapped_column_the_same_value_is_sent_again(classroom: Classroom) -> None:
    # given
    classroom.enroll(80)
    classroom.rule(column=None)
    classroom.complete(80, "2026-05-04")
    classroom.world.fault("afas", "lost_answer", match={"method": "PUT"}, times=1)

    # when
    classroom.run()
    retry_now(classroom)
    again = classroom.run()

    # then
    assert [put["Fields"][COMPLETION_FIELD] for put in classroom.puts()] == ["2026-05-04"] * 2
    assert (classroom.completion(80)["state"], again.outcomes["unchanged"], again.rows) == ("written", 1, 1)


def test_attempts_that_ran_out_get_a_fresh_message_in_the_next_run(classroom: Classroom) -> None:
    # given AFAS fails until the message dies
    classroom.enroll(80)
    classroom.complete(80, "2026-05-04")
    fault = classroom.world.fault("afas", "status", status=502, match={"method": "PUT"})
    run = classroom.run()
    for _ in range(7):
        retry_now(classroom)
    assert classroom.run_again(run).outcomes["failed"] == 1
    assert len(classroom.puts()) == 7

    # when AFAS is well again
    classroom.world.afas_simulator.faults.clear(fault.id)
    again = classroom.run()

    # then
    assert (again.outcomes["written"], classroom.shown(80)) == (1, "2026-05-04")


def test_someone_who_left_afas_is_an_orphan_until_they_return(classroom: Classroom) -> None:
    # given someone who finished has left the event
    classroom.enroll(80, *range(90, 100))
    classroom.complete(80, "2026-05-04")
    row = vars(classroom.world.afas.rows[340, 80]).copy()
    classroom.world.afas.remove(340, 80)
    classroom.world.sync()

    # when
    gone = classroom.run()

    # then
    assert (gone.outcomes["orphan"], gone.rows, classroom.puts()) == (1, 1, [])
    assert classroom.completion(80)["reason"] == "not_in_afas"

    # when they return
    classroom.world.afas.enroll(**row)
    classroom.world.sync()
    back = classroom.run()

    # then
    assert (back.outcomes["written"], classroom.shown(80)) == (1, "2026-05-04")


def test_a_row_that_vanished_since_the_last_snapshot_is_an_orphan(classroom: Classroom) -> None:
    # given the snapshot has them, AFAS has them no more
    classroom.enroll(80, 81)
    classroom.complete(80, "2026-05-04")
    classroom.world.afas.remove(340, 80)

    # when
    run = classroom.run()

    # then
    assert (run.outcomes["orphan"], classroom.puts()) == (1, [])


def test_a_refused_token_quarantines_the_direction_and_burns_nothing(classroom: Classroom) -> None:
    # given
    classroom.enroll(80)
    classroom.complete(80, "2026-05-04")
    begun = classroom.begin()
    classroom.world.fault("afas", "status", status=401, body='{"externalMessage":"Ongeldige token"}')

    # when
    classroom.world.drain(limit=3)

    # then
    state = classroom.world.rows("SELECT state FROM tenant_direction WHERE direction = 'completions'")
    assert state == [{"state": "quarantined"}]
    assert classroom.world.rows("SELECT attempts, run_id FROM message") == [{"attempts": 0, "run_id": begun.id}]
    assert classroom.world.rows("SELECT * FROM dead_letter") == []


def test_a_token_that_only_the_put_finds_refused_quarantines_the_direction(classroom: Classroom) -> None:
    """The look before it was answered, and a fresh token is tried once: nobody goes round with look and PUT."""
    # given
    classroom.enroll(80)
    classroom.complete(80, "2026-05-04")
    classroom.begin()
    classroom.world.clear_log()
    classroom.world.fault("afas", "status", match={"operation": "put"}, status=401, body="{}")

    # when
    classroom.world.drain(limit=1)

    # then
    state = classroom.world.rows("SELECT state, reason FROM tenant_direction WHERE direction = 'completions'")
    assert state == [{"state": "quarantined", "reason": "token_refused"}]
    assert classroom.world.rows("SELECT attempts FROM message") == [{"attempts": 0}]
    assert len(classroom.puts()) == 2


def test_a_token_refused_at_the_put_is_renewed_and_the_same_look_serves(classroom: Classroom) -> None:
    # given
    classroom.enroll(80)
    classroom.complete(80, "2026-05-04")
    classroom.begin()
    classroom.world.clear_log()
    classroom.world.fault("afas", "status", match={"operation": "put"}, status=401, body="{}", times=1)

    # when
    classroom.world.drain()

    # then
    assert (classroom.shown(80), len(classroom.puts())) == ("2026-05-04", 2)
    assert sum(call.operation == "page" for call in classroom.world.calls("afas")) == 1


def test_a_put_with_a_fresh_token_is_not_sent_on_an_old_look(
    classroom: Classroom, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a minute passes over the fresh token, and somebody types meanwhile
    classroom.enroll(80)
    classroom.complete(80, "2026-05-04")
    classroom.begin()
    classroom.world.clear_log()
    classroom.world.fault("afas", "status", match={"operation": "put"}, status=401, body="{}", times=1)
    renew = Authorizer.renew

    def slow(self: Authorizer, refused: str) -> bool:
        classroom.type_date(80, "2026-01-01")
        classroom.execute("UPDATE completion SET shown_at = shown_at - interval '60 seconds'")
        return renew(self, refused)

    monkeypatch.setattr(Authorizer, "renew", slow)

    # when
    classroom.world.drain()

    # then
    assert (classroom.shown(80), classroom.completion(80)["state"]) == ("2026-01-01", "conflict")
    assert len(classroom.puts()) == 1


def test_a_column_that_disappeared_stops_the_writing_of_what_cannot_be_seen(classroom: Classroom) -> None:
    # given the administrator renamed the completion column
    classroom.enroll(80)
    classroom.complete(80, "2026-05-04")
    connector = classroom.world.afas.connectors["Deelnemer_per_cursusevenement"]
    columns = {"Klaar_op" if name == "Voltooid_op" else name: source for name, source in connector.columns.items()}
    classroom.world.afas.change_connector("Deelnemer_per_cursusevenement", columns=columns)

    # when
    run = classroom.run()

    # then
    assert (run.outcomes["pending"], classroom.puts()) == (1, [])
    assert classroom.completion(80)["reason"] == "missing_column"


def test_a_text_field_gets_the_day_in_the_customers_format(classroom: Classroom) -> None:
    # given
    classroom.enroll(80, 81)
    classroom.world.afas.free_fields[COMPLETION_FIELD] = FreeField("Voltooid op", "string", 12)
    classroom.rule(type="text", format="%d-%m-%Y")
    classroom.complete(80, "2026-05-04")
    classroom.complete(81, "2026-05-04")
    classroom.type_date(81, " 04-05-2026 ")

    # when
    run = classroom.run()

    # then
    assert (classroom.shown(80), classroom.shown(81)) == ("04-05-2026", " 04-05-2026 ")
    assert (run.outcomes["written"], run.outcomes["unchanged"]) == (1, 1)


@pytest.mark.parametrize(
    ("kind", "length", "rule", "reason"),
    [
        ("string", 8, {"type": "text"}, "field_too_short"),
        ("string", 20, {"type": "date"}, "field_type"),
        ("int", 10, {"type": None}, "field_type"),
        ("date", 10, {"field": "U00000000000000000000000000000000"}, "field_unknown"),
    ],
)
def test_a_field_that_cannot_hold_a_date_refuses_its_course(
    classroom: Classroom, kind: str, length: int, rule: dict[str, str], reason: str
) -> None:
    # given
    classroom.enroll(80)
    classroom.enroll(80, event_id=341)
    classroom.world.afas.free_fields[COMPLETION_FIELD] = FreeField("Voltooid op", kind, length)
    classroom.rule(**rule)
    classroom.complete(80, "2026-05-04")

    # when
    run = classroom.run()

    # then
    entry = next(one for one in run.courses if one["event_id"] == "340")
    assert (entry["reasons"], run.outcomes["rejected"], run.rows) == ([reason], 1, 1)
    assert run.status == "done_with_failures"
    assert classroom.puts() == []


@pytest.mark.parametrize("path", ["written back", "written back after a look"])
def test_a_date_costs_what_is_promised(classroom: Classroom, path: str) -> None:
    # given a date that is to be written, a look at AFAS that is new or old, and a process that knows the event
    classroom.enroll(79, 80)
    for person in (79, 80):
        classroom.complete(person, "2026-05-04")
    classroom.begin()
    classroom.world.drain(1)
    classroom.execute("UPDATE completion SET shown_at = now() - make_interval(mins => :n)", n=9 * path.endswith("look"))
    envelope = classroom.world.hand_out()
    assert envelope is not None
    # when
    with counted() as cost:
        run_delivery(envelope)
    # then
    assert classroom.shown(80) is not None
    assert (len(cost.statements), cost.transactions) == promised(path), cost
