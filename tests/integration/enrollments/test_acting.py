"""Between the plan and the call the world goes on: what is carried out is what is true at that moment."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from json import dumps
from pathlib import Path
from threading import Event
from time import sleep
from typing import Any

import pytest
from sqlalchemy import text

from clients.errors import Unknown
from clients.pluvo import PluvoClient
from models import ledger, locks
from models.ledger import NewMessage
from models.message import Kind
from models.session import connect_alone, transaction
from ops.people import links, links_import
from producers.enrollments import decide_holds as decide
from producers.runs import request
from tests.fixtures.looking import enrolled, holds, lines, link, outcomes, reasons, retry_now
from tests.fixtures.world import World, now_removals
from workers.messages.delivery import Delivery
from workers.messages.execute import run_delivery

UNENROLL = "unenrollUserFromOfferEvent"
WAITING = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"


def _down(world: World, operation: str) -> None:
    world.fault("pluvo", "status", status=502, match={"operation": operation})


def _again(world: World, tries: int = 4) -> None:
    """All is well again, and everything that waits is tried."""
    world.clear_faults()
    for _ in range(tries):
        retry_now(world)
        world.drain()


def _during(
    monkeypatch: pytest.MonkeyPatch, method: str, act: Callable[[], Any], error: Exception | None = None
) -> None:
    """Do something while the first call of this kind is out."""
    real = getattr(PluvoClient, method)

    def slow(self: PluvoClient, *args: Any, **given: Any) -> Any:
        monkeypatch.setattr(PluvoClient, method, real)
        done = None if error else real(self, *args, **given)
        act()
        if error:
            raise error
        return done

    monkeypatch.setattr(PluvoClient, method, slow)


def _while_locked(monkeypatch: pytest.MonkeyPatch, act: Callable[[], Any]) -> None:
    """Do something while a result is being recorded, after its first locks were taken."""
    real = locks.hold

    def held(connection: Any, *people: int) -> Any:
        found = real(connection, *people)
        monkeypatch.setattr(locks, "hold", real)
        act()
        return found

    monkeypatch.setattr(locks, "hold", held)


def _four_of_whom_83_is_to_be_removed(world: World) -> str:
    """The removal of 83 waits, because Pluvo does not answer."""
    world.set_tenant(removals=now_removals())
    connector = world.afas.connectors["Deelnemer_per_cursusevenement"]
    connector.columns |= {"Tot": "end"}
    world.rows("UPDATE course SET fields = fields || CAST(:f AS jsonb) RETURNING id", f=dumps({"end": "Tot"}))
    for internal_id in (80, 81, 82, 83):
        world.person(internal_id)
    world.sync()
    world.afas.remove(340, 83)
    _down(world, UNENROLL)
    run = world.sync()
    assert [line["outcome"] for line in lines(world, run, 83)] == ["pending"]
    world.clear_faults()
    world.clear_log()
    return run.id


# ---------------------------------------------------------------------------------------------------------- removals


@pytest.mark.parametrize("row", ["rejected", "ended", "contradictory"])
def test_who_is_listed_again_in_whatever_row_is_not_removed(world: World, row: str) -> None:
    run_id = _four_of_whom_83_is_to_be_removed(world)
    # when 83 is back, in a row that nothing is done with
    if row == "contradictory":
        world.person(83)
        world.fault("afas", "contradicting", column="Naam", to="Dubbel", count=1, match={"operation": "page"})
    else:
        values: dict[str, Any] = {"end": "2020-01-01"} if row == "ended" else {"email_primary": "geen adres"}
        world.person(83, **values)
    world.sync()
    _again(world)
    # then
    assert "p83@example.nl" in enrolled(world)
    assert UNENROLL not in world.writes()
    (line,) = world.rows("SELECT outcome FROM plan_line WHERE run_id = :run AND NOT is_row", run=run_id)
    assert line["outcome"] == "dropped"
    # and once the row can be used, nothing is left of it
    world.afas.remove(340, 83)
    world.person(83)
    world.sync()
    assert outcomes(world.sync()) == {"unchanged": 4}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("UPDATE course SET active = false RETURNING id", "course_inactive"),
        ("""UPDATE tenant SET removals = removals || '{"policy": "keep"}' RETURNING id""", "policy_keep"),
        ("UPDATE enrollment SET removal_refused = true RETURNING id", "refused_by_operator"),
    ],
)
def test_a_removal_that_waits_is_dropped_once_the_settings_or_an_operator_say_otherwise(
    world: World, change: str, reason: str
) -> None:
    run_id = _four_of_whom_83_is_to_be_removed(world)
    world.rows(change)
    _again(world)
    assert world.writes() == []
    (line,) = world.rows("SELECT outcome, reason FROM plan_line WHERE run_id = :run AND NOT is_row", run=run_id)
    assert (line["outcome"], line["reason"]) == ("dropped", reason)


def test_an_account_is_not_archived_once_the_policy_only_takes_people_out(world: World) -> None:
    # given the removal of 83, planned while accounts go to the archive
    world.set_tenant(removals=now_removals() | {"policy": "unenroll_and_archive"})
    for internal_id in (80, 81, 82, 83):
        world.person(internal_id)
    world.sync()
    world.afas.remove(340, 83)
    world.begin()
    # when the policy changes before it is carried out
    world.set_tenant(removals=now_removals())
    world.drain()
    # then
    assert "p83@example.nl" not in enrolled(world)
    assert not world.user("p83@example.nl")["archived"]
    (made,) = world.rows("SELECT outcome, reason FROM enrollment WHERE state = 'removed'")
    assert (made["outcome"], made["reason"]) == ("removed", "policy_unenroll")


def test_a_removal_decided_for_another_account_is_not_carried_out_on_the_new_one(world: World) -> None:
    # given an operator's account for 83, enrolled by hand, while the removal of 83 waits
    _four_of_whom_83_is_to_be_removed(world)
    right = world.pluvo.add_user("echt@example.org", "Persoon 83")
    event = next(event for event in world.pluvo.offer_events.values() if event["ref"] == "afas-340")
    world.pluvo.enroll(right["id"], event["id"])
    links.set_link("acme", "83", right["id"], who="tester")
    # when
    _again(world)
    # then
    assert "echt@example.org" in enrolled(world)


def test_what_a_lost_answer_left_in_doubt_is_looked_at_after_a_stop_too(world: World) -> None:
    # given a removal that happened, of which the answer was lost, in a run that is then stopped
    world.set_tenant(removals=now_removals())
    for internal_id in (80, 81, 82):
        world.person(internal_id)
    world.sync()
    world.afas.remove(340, 80)
    world.fault("pluvo", "lost_answer", times=1, match={"operation": UNENROLL})
    run = world.sync()
    assert "p80@example.nl" not in enrolled(world)
    with transaction() as connection:
        assert request.request_stop(connection, run.id) == "stopped"
    # when 80 is back
    world.person(80)
    world.sync()
    # then
    assert world.roster() == world.expected()
    assert outcomes(world.sync()) == {"unchanged": 3}


def test_an_update_in_doubt_is_looked_at_after_its_dead_letter_was_discarded(world: World) -> None:
    # given a new address that Pluvo took, of which the answer was lost; nothing of it is left in the ledger
    world.person(80)
    world.sync()
    world.afas.set_email(80, "nieuw@example.nl")
    world.fault("pluvo", "lost_answer", times=1, match={"operation": "updateUser"})
    world.sync()
    world.rows("DELETE FROM message RETURNING id")
    # when AFAS takes it back
    world.afas.set_email(80, "p80@example.nl")
    world.sync()
    # then
    assert world.roster() == world.expected()
    assert outcomes(world.sync()) == {"unchanged": 1}


# ------------------------------------------------------------------------------------------------------ matches, plans


def test_two_who_are_no_longer_one_person_do_not_share_an_account(world: World) -> None:
    # given two rows with one name and address, while Pluvo does not answer
    for internal_id in (80, 81):
        world.person(internal_id, name="Jan de Vries", email_primary="info@example.nl")
    _down(world, "createUser")
    world.sync()
    world.clear_faults()
    # when AFAS corrects the name of one, and the newest plan parks the other
    world.afas.rename(80, "Petra Bakker")
    assert reasons(world, world.sync())["81"] == ("ambiguous", "same_email")
    _again(world)
    # then
    assert link(world, 80)["state"] == "linked"
    assert link(world, 81).get("pluvo_id") is None


def test_sharing_is_compared_again_also_where_only_the_other_was_read(world: World) -> None:
    for internal_id in (80, 81):
        world.person(internal_id, name="Jan de Vries", email_primary="info@example.nl")
    _down(world, "createUser")
    first = world.sync()
    world.clear_faults()
    world.afas.rename(80, "Petra Bakker")
    world.sync(person="80")
    _again(world)
    assert link(world, 81).get("pluvo_id") is None
    assert reasons(world, first)["81"] == ("pending", "plan_changed")
    assert reasons(world, world.sync())["81"] == ("ambiguous", "same_email")


@pytest.mark.parametrize("planned_again", [True, False])
@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, {"afasContactId": "999", "name": "Iemand Anders"}),
        ({}, {"email": "verhuisd@example.org"}),
        ({"afasContactId": "81", "email": "oud@example.org"}, {"afasContactId": "999"}),
    ],
)
def test_an_account_is_adopted_only_while_it_shows_what_the_plan_went_by(
    world: World, before: dict[str, str], after: dict[str, str], *, planned_again: bool
) -> None:
    # given an account that the plan found, while Pluvo does not answer
    account = world.pluvo.add_user("p81@example.nl", "Persoon 81", ref="hr-1")
    world.pluvo.change_user(account["id"], **before)
    world.person(81)
    _down(world, "updateUser")
    world.sync()
    world.clear_faults()
    # when the account turns out to be somebody else's
    world.pluvo.change_user(account["id"], **after)
    told = dict(world.pluvo.users[account["id"]])
    if planned_again:
        world.sync()
    _again(world)
    # then
    assert link(world, 81).get("pluvo_id") != account["id"]
    assert world.pluvo.users[account["id"]] == told


@pytest.mark.parametrize(
    ("row", "reason"),
    [({"email_primary": "geen adres"}, "row_rejected"), ({"end": "2020-01-01"}, "row_ended"), (None, "row_absent")],
)
def test_nobody_is_enrolled_whose_newest_row_says_otherwise(
    world: World, row: dict[str, Any] | None, reason: str
) -> None:
    connector = world.afas.connectors["Deelnemer_per_cursusevenement"]
    connector.columns |= {"Tot": "end"}
    world.rows("UPDATE course SET fields = fields || CAST(:f AS jsonb) RETURNING id", f=dumps({"end": "Tot"}))
    world.person(90)
    world.sync()
    world.person(80)
    begun = world.begin()
    world.afas.remove(340, 80)
    if row is not None:
        world.person(80, **row)
    world.begin()
    world.drain()
    assert enrolled(world) == {"p90@example.nl"}
    assert reasons(world, begun)["80"] == ("unchanged", reason)


def test_a_course_taken_out_of_the_file_gets_nobody_any_more(world: World) -> None:
    world.person(80)
    world.begin()
    world.rows("UPDATE course SET active = false WHERE event_id = '340' RETURNING id")
    world.drain()
    assert world.pluvo.users == {}


def test_who_was_parked_for_one_event_is_not_acted_on_for_another(world: World) -> None:
    # given somebody new in two events
    world.person(80, 340)
    world.person(80, 341)
    world.begin()
    # when somebody else's account has the address by then
    world.pluvo.change_user(world.pluvo.add_user("p80@example.nl", "Iemand")["id"], afasContactId="999")
    world.drain()
    # then neither event is tried further
    assert {row["outcome"] for row in world.rows("SELECT outcome FROM enrollment")} == {"ambiguous"}
    assert world.rows("SELECT id FROM message") == []


# ------------------------------------------------------------------------------------------------ operators, while out


@pytest.mark.parametrize("moved", [True, False])
def test_a_result_is_recorded_only_for_the_account_that_was_told(
    world: World, monkeypatch: pytest.MonkeyPatch, *, moved: bool
) -> None:
    # given an update that is out while an operator moves or forgets the link
    world.person(80)
    world.sync()
    other = world.pluvo.add_user("elders@example.org", "Iemand")
    world.afas.rename(80, "Anders")
    world.begin()

    def decide() -> None:
        if moved:
            world.pluvo.change_user(link(world, 80)["pluvo_id"], email="vroeger@example.org")
            links.set_link("acme", "80", other["id"], who="tester")
        else:
            links.remove("acme", "80", erase=False, who="tester")

    _during(monkeypatch, "update_user", decide)
    # when
    world.drain()
    world.sync()
    # then the account of now has it all
    account = world.pluvo.users[link(world, 80)["pluvo_id"]]
    assert (account["id"] == other["id"]) == moved
    event = next(event for event in world.pluvo.offer_events.values() if event["ref"] == "afas-340")
    assert (account["id"], event["id"]) in world.pluvo.enrollments
    assert (account["name"], account["email"]) == ("Anders", "p80@example.nl")
    assert outcomes(world.sync()) == {"unchanged": 1}


@pytest.mark.parametrize("verb", ["set", "decide", "remove", "erase", "import"])
def test_an_operator_and_a_result_that_is_recorded_wait_for_each_other_in_one_order(
    world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, verb: str
) -> None:
    # given a result that is being recorded: its message and its person are locked
    world.person(80)
    world.sync()
    world.afas.rename(80, "Anders")
    world.begin()
    other = world.pluvo.add_user("elders@example.org", "Iemand")["id"]
    file = tmp_path / "links.csv"
    file.write_text(f"tenant,internal_id,pluvo_id\nacme,80,{other}\n")
    verbs = {
        "set": lambda: links.set_link("acme", "80", other, who="tester"),
        "decide": lambda: links.decide("acme", "80", "ignore", None, who="tester"),
        "remove": lambda: links.remove("acme", "80", erase=False, who="tester"),
        "erase": lambda: links.remove("acme", "80", erase=True, who="tester"),
        "import": lambda: links_import.run(file, who="tester"),
    }
    with ThreadPoolExecutor(2) as threads:
        begun: list[Future[Any]] = []

        def until_it_waits() -> None:
            begun.append(threads.submit(verbs[verb]))
            while not (begun[0].done() or threads.submit(world.rows, WAITING).result()):
                sleep(0.02)

        _while_locked(monkeypatch, until_it_waits)
        # when an operator comes in between
        world.drain(1)
        # then both are done, the operator's last
        begun[0].result()
    (found,) = world.rows("SELECT count(*) AS n FROM change WHERE operation = 'update' OR internal_id IS NULL")
    assert found["n"] == (0 if verb == "erase" else 1)


def test_what_is_planned_for_a_person_while_a_result_waits_for_them_follows_their_new_account(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given an account that is being made, and a plan that is being stored: it holds the person
    world.person(80, 340)
    world.person(80, 341)
    world.begin()
    second = world.rows("DELETE FROM message WHERE id = (SELECT max(id) FROM message) RETURNING subject_id")[0]
    stored = Event()

    def store() -> None:
        with transaction() as connection:
            connection.execute(text("UPDATE person SET seen_at = now()"))
            key = locks.of_upsert(connection, world.tenant_id, second["subject_id"])
            new = NewMessage(world.tenant_id, Kind.UPSERT, "enrollments", second["subject_id"], key)
            ledger.enqueue(connection, [new])
            stored.set()
            while not threads.submit(world.rows, WAITING).result():
                sleep(0.02)

    def begin() -> None:
        begun.append(threads.submit(store))
        stored.wait()

    with ThreadPoolExecutor(2) as threads:
        begun: list[Future[None]] = []
        _during(monkeypatch, "create_user", begin)
        # when the result comes, and waits
        world.drain(1)
        begun[0].result()
    # then
    account = link(world, 80)["pluvo_id"]
    assert world.rows("SELECT lock FROM message") == [{"lock": locks.of_account(account)}]


@pytest.mark.parametrize("known", [True, False])
def test_a_call_that_was_foreseen_leaves_no_trace_when_it_may_not_be_made_after_all(
    world: World, monkeypatch: pytest.MonkeyPatch, *, known: bool
) -> None:
    # given somebody new, or somebody who is to move to another place
    world.person(80)
    if known:
        world.sync()
        world.retarget(340, group_ref="bhv")
    world.begin()
    told = "SELECT told_target, left_behind, intent_at FROM enrollment e JOIN person p ON p.id = e.person_id"
    before = world.rows(told)
    world.clear_log()

    # when the course ends between the claim and the call, which comes late
    def late(delivery: Delivery) -> bool:
        assert world.rows(told) != before
        world.rows("UPDATE course SET active = false RETURNING id")
        return False

    monkeypatch.setattr(Delivery, "still_clear", late)
    world.drain()
    # then
    assert world.writes() == []
    assert world.rows(told) == before
    assert world.rows("SELECT outcome FROM enrollment WHERE outcome <> 'dropped'") == []


@pytest.mark.parametrize("known", [False, True])
def test_an_account_that_was_made_is_linked_and_recorded_when_postgresql_drops_its_connections_then(
    world: World, monkeypatch: pytest.MonkeyPatch, *, known: bool
) -> None:
    # given an event of which Pluvo's own id is known, or is told with the account
    if known:
        world.person(81)
        world.sync()
    world.person(80)
    world.begin()
    drop = """SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
               WHERE datname = current_database() AND application_name = 'koppeling'"""
    # when
    with connect_alone("test") as other:
        _during(monkeypatch, "create_user", lambda: other.execute(drop))
        world.drain(1)
    # then
    assert link(world, 80)["linked_by"] == "created"
    made = world.rows("SELECT result FROM change WHERE operation = 'create' AND internal_id = '80'")
    assert made == [{"result": "done"}]


@pytest.mark.parametrize("moves_again", [False, True])
def test_a_refusal_to_take_people_out_of_an_old_place_holds_for_who_is_just_being_worked_on(
    world: World, monkeypatch: pytest.MonkeyPatch, *, moves_again: bool
) -> None:
    # given people who moved to another place, and a hold of their leaving the old one
    world.set_tenant(removals=now_removals(event_count=1, event_percent=0))
    for one in (80, 81, 82):
        world.person(one)
    world.sync()
    world.pluvo.add_offer_event("New", "afas-340-new")
    world.retarget(340, offer_event_ref="afas-340-new")
    world.sync()
    world.sync()
    (hold,) = holds(world)

    def refuse() -> None:
        with transaction() as connection:
            decide.refuse(connection, hold["id"], reason="they stay", who="tester")

    # when an operator refuses that while one of them is being told something else
    world.afas.rename(80, "Andere Naam")
    if moves_again:
        world.pluvo.add_offer_event("Newer", "afas-340-newer")
        world.retarget(340, offer_event_ref="afas-340-newer")
    _during(monkeypatch, "update_user", refuse)
    world.sync(person="80")
    # then
    (left,) = world.rows(
        "SELECT left_behind FROM enrollment e JOIN person p ON p.id = e.person_id WHERE internal_id = '80'"
    )
    assert [place["target"] for place in left["left_behind"]] == (["offer_event:afas-340-new"] if moves_again else [])


def test_an_account_being_adopted_is_not_linked_once_an_operator_decided_for_a_new_one(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = world.pluvo.add_user("p80@example.nl", "Persoon 80", ref="hr-1")
    world.person(80)
    world.begin()
    _during(monkeypatch, "update_user", lambda: links.decide("acme", "80", "create", None, who="tester"))
    world.drain()
    assert link(world, 80)["pluvo_id"] != account["id"]


@pytest.mark.parametrize("leaves", [False, True])
def test_an_account_that_was_being_made_leaves_when_an_operator_decided_for_another(
    world: World, *, leaves: bool
) -> None:
    # given an account that was made and enrolled, of which no answer came
    world.set_tenant(removals=now_removals())
    for one in (80, 81, 82):
        world.person(one)
    world.sync()
    world.person(83)
    world.fault("pluvo", "lost_answer", match={"operation": "createUser"})
    world.begin()
    world.drain(1)
    made = world.user("p83@example.nl")["id"]
    world.pluvo.change_user(made, email="gemaakt@example.org")
    # when
    links.set_link("acme", "83", world.pluvo.add_user("elders@example.org", "Iemand")["id"], who="tester")
    if leaves:
        world.afas.remove(340, 83)
    _again(world)
    for _ in range(2):
        world.sync()
    # then
    everybody = {f"p{one}@example.nl" for one in (80, 81, 82)}
    assert enrolled(world) == everybody | (set() if leaves else {"p83@example.nl"})


def test_the_plan_is_compared_right_before_the_call(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    # given a delivery that has looked at the account and is about to change it
    account = world.pluvo.add_user("p80@example.nl", "Persoon 80", ref="hr-1")
    world.person(80)
    world.begin()
    _during(
        monkeypatch,
        "get_user",
        lambda: world.rows("UPDATE enrollment SET outcome = 'ambiguous', reason = 'x' RETURNING id"),
    )
    # when
    world.drain()
    # then
    assert "updateUser" not in world.writes()
    assert link(world, 80) == {}
    assert world.pluvo.users[account["id"]]["name"] == "Persoon 80"


def test_who_was_ignored_and_gets_an_account_of_their_own_is_enrolled_in_every_event(world: World) -> None:
    # given somebody in two events, ignored since their account turned out to be another person's
    account = world.pluvo.add_user("p80@example.nl", "Persoon 80", ref="hr-80")
    for event_id in (340, 341):
        world.person(80, event_id)
        world.person(81, event_id)
    world.sync()
    links.decide("acme", "80", "ignore", None, who="tester")
    world.sync()
    world.pluvo.change_user(account["id"], email="iemand@example.org", afasContactId="999")
    # when
    links.decide("acme", "80", "create", None, who="tester")
    world.sync()
    # then
    assert link(world, 80)["pluvo_id"] != account["id"]
    assert all("p80@example.nl" in enrolled(world, event) for event in ("340", "341"))


@pytest.mark.parametrize("answered", [True, False])
def test_who_is_erased_while_a_call_is_out_leaves_no_row(
    world: World, monkeypatch: pytest.MonkeyPatch, *, answered: bool
) -> None:
    world.person(80)
    world.person(81)
    world.sync()
    world.afas.rename(80, "Anders")
    world.begin()
    lost = None if answered else Unknown("timeout", "no answer", system="pluvo")
    _during(monkeypatch, "update_user", lambda: links.remove("acme", "80", erase=True, who="tester"), lost)
    world.drain()
    for table in ("person", "change", "plan_line", "dead_letter", "hold_line", "completion"):
        assert world.rows(f"SELECT * FROM {table} WHERE internal_id = '80'") == [], table
    assert world.rows("SELECT l.id FROM link l LEFT JOIN person p ON p.id = l.person_id WHERE p.id IS NULL") == []


def test_a_message_that_the_next_run_has_joined_survives_the_stop_of_its_own(world: World) -> None:
    # given a delivery that is out, its run stopped, and a next run that wants the same
    world.person(80)
    first = world.begin()
    envelope = world.hand_out()
    assert envelope is not None
    world.rows("UPDATE message SET started_at = now() RETURNING id")
    with transaction() as connection:
        request.request_stop(connection, first.id)
    world.rows("UPDATE message SET started_at = NULL RETURNING id")
    second = world.begin()
    # when
    run_delivery(envelope)
    world.drain()
    # then
    assert enrolled(world) == {"p80@example.nl"}
    assert outcomes(world.run(second.id)) == {"created": 1}


# ---------------------------------------------------------------------------------- the last look before a removal


def test_who_is_back_in_afas_when_a_removal_is_carried_out_is_not_removed(world: World) -> None:
    # given a removal that waits, whoever or whatever made it wait
    world.set_tenant(removals=now_removals())
    for internal_id in (80, 81, 82):
        world.person(internal_id)
    world.sync()
    world.afas.remove(340, 80)
    run = world.begin()
    # when no listing has shown yet that they are back
    world.person(80)
    world.drain()
    # then
    assert UNENROLL not in world.writes()
    assert [(line["outcome"], line["reason"]) for line in lines(world, run, 80)] == [("dropped", "came_back")]
    assert outcomes(world.sync())["unchanged"] == 3


def test_a_removal_that_cannot_be_proven_when_it_is_carried_out_is_planned_afresh(world: World) -> None:
    world.set_tenant(removals=now_removals())
    for internal_id in (80, 81, 82):
        world.person(internal_id)
    world.sync()
    world.afas.remove(340, 80)
    run = world.begin()
    world.fault("afas", "empty")
    world.drain()
    assert "p80@example.nl" in enrolled(world)
    assert [(line["outcome"], line["reason"]) for line in lines(world, run, 80)] == [("dropped", "absence_unproven")]
    world.clear_faults()
    assert world.sync().removed == 1


def test_who_is_blocked_no_more_when_a_removal_is_carried_out_is_not_removed(world: World) -> None:
    world.set_tenant(removals=now_removals())
    world.afas.connectors["Deelnemer_per_cursusevenement"].columns["Geblokkeerd"] = "blocked"
    world.rows(
        "UPDATE course SET fields = fields || CAST(:f AS jsonb) RETURNING id", f=dumps({"blocked": "Geblokkeerd"})
    )
    for internal_id in (80, 81, 82):
        world.person(internal_id)
    world.sync()
    for internal_id in (80, 81):
        world.afas.change(340, internal_id, blocked=True)
    world.begin()
    world.afas.change(340, 80, blocked=False)
    world.drain()
    assert enrolled(world) == {"p80@example.nl", "p82@example.nl"}


@pytest.mark.parametrize("readable", [True, False])
def test_what_people_finished_is_read_before_a_released_removal(world: World, *, readable: bool) -> None:
    # given a held removal of somebody who finishes while it is held
    world.set_tenant(removals=now_removals(event_count=0, event_percent=0))
    for internal_id in range(80, 90):
        world.person(internal_id)
    world.sync()
    world.afas.remove(340, 80)
    world.sync()
    (hold,) = holds(world)
    world.pluvo.complete(world.user("p80@example.nl")["id"], "Training 340", "2026-11-20T10:00:00Z")
    if not readable:
        _down(world, "portfolioReport")
    with transaction() as connection:
        decide.release(connection, hold["id"], reason="it is so", who="tester")
    # when
    world.drain()
    # then it waits for the report, and only it
    assert ("p80@example.nl" in enrolled(world)) == (not readable)
    _again(world)
    assert "p80@example.nl" not in enrolled(world)
    assert world.rows("SELECT internal_id FROM completion") == [{"internal_id": "80"}]


def test_a_hold_costs_afas_nothing_until_it_is_released(world: World) -> None:
    world.set_tenant(removals=now_removals())
    for internal_id in range(1, 31):
        world.person(internal_id)
    world.sync()
    world.clear_log()
    world.sync()
    quiet = len(world.calls("afas"))
    for internal_id in range(1, 6):
        world.afas.remove(340, internal_id)
    world.clear_log()
    world.sync()
    assert len(holds(world)[0]["people"]) == 5
    assert len(world.calls("afas")) == quiet
