"""One person, one account, one enrollment, one invitation: whatever Pluvo, the line or the worker does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.fixtures.looking import enrolled, invitations, lines, link, outcomes, retry_now, sync_through
from tests.fixtures.world import World, now_removals
from workers.actors.enrollment_upsert import record
from workers.messages.delivery import Delivery

LINE_FAULTS: dict[str, dict[str, Any]] = {
    "answer lost": {"kind": "lost_answer", "match": {"operation": "createUser"}},
    "half an answer": {"kind": "half_body", "match": {"operation": "createUser"}},
    "reset before": {"kind": "reset", "match": {"operation": "createUser"}},
    "reset after": {"kind": "reset", "applies": True, "match": {"operation": "createUser"}},
    "server error before": {"kind": "status", "status": 500, "match": {"operation": "createUser"}},
    "server error after": {"kind": "status", "status": 500, "applies": True, "match": {"operation": "createUser"}},
    "gateway after": {"kind": "status", "status": 502, "applies": True, "match": {"operation": "createUser"}},
    "no JSON after": {"kind": "html", "applies": True, "match": {"operation": "createUser"}},
    "internal error after": {
        "kind": "graphql_error",
        "code": "InternalError",
        "applies": True,
        "match": {"operation": "createUser"},
    },
}


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("fault", LINE_FAULTS.values(), ids=LINE_FAULTS)
def test_unknown_create_never_makes_a_second_account(world: World, fault: dict[str, Any], times: int) -> None:
    # given
    world.person(80)
    world.person(80, 341)
    world.fault("pluvo", times=times, **fault)
    # when
    run = sync_through(world)
    # then
    assert outcomes(run) == {"created": 1, "updated": 1}
    assert len(world.pluvo.users) == 1
    assert invitations(world) == 1
    assert world.roster() == world.expected()
    assert link(world, 80)["created_by_us"]
    assert outcomes(world.sync()) == {"unchanged": 2}


@pytest.mark.parametrize("fault", LINE_FAULTS.values(), ids=LINE_FAULTS)
def test_unknown_update_is_repeated_harmlessly(world: World, fault: dict[str, Any]) -> None:
    # given
    world.person(80)
    world.sync()
    world.afas.rename(80, "Anders")
    world.afas.set_email(80, "anders@example.nl")
    world.fault("pluvo", times=1, **(fault | {"match": {"operation": "updateUser"}}))
    # when
    run = sync_through(world)
    # then
    assert outcomes(run) == {"updated": 1}
    assert world.user("anders@example.nl")["name"] == "Anders"
    assert len(world.pluvo.users) == 1
    assert world.roster() == world.expected()


@pytest.mark.parametrize("fault", LINE_FAULTS.values(), ids=LINE_FAULTS)
def test_unknown_removal_is_repeated_harmlessly(world: World, fault: dict[str, Any]) -> None:
    world.set_tenant(removals={"policy": "unenroll", "confirm_after": 0, "limits": {}})
    world.person(80)
    world.person(81)
    world.sync()
    world.afas.remove(340, 80)
    world.fault("pluvo", times=1, **(fault | {"match": {"operation": "unenrollUserFromOfferEvent"}}))
    run = sync_through(world)
    assert run.removed == 1
    assert enrolled(world) == {"p81@example.nl"}


@pytest.mark.parametrize("status", [429, 503])
def test_told_to_wait_the_whole_direction_waits_and_no_attempt_is_burnt(world: World, status: int) -> None:
    # given
    for internal_id in (80, 81, 82):
        world.person(internal_id)
    match = {"operation": "createUser"}
    world.fault("pluvo", "retry_after", status=status, seconds=600, times=1, match=match)
    # when
    run = world.begin()
    world.drain(limit=1)
    # then
    waiting = world.rows("SELECT wait_until > now() + interval '9 minutes' AS waits FROM tenant_direction")
    assert {"waits": True} in waiting
    assert {row["attempts"] for row in world.rows("SELECT attempts FROM message")} == {0}
    # and afterwards all is done
    retry_now(world)
    world.drain()
    assert outcomes(world.run(run.id)) == {"created": 3}
    assert invitations(world) == 3


def test_refused_token_quarantines_instead_of_killing_messages(world: World) -> None:
    world.person(80)
    match = {"operation": "createUser"}
    world.fault("pluvo", "graphql_error", code="AuthenticationError", match=match)
    world.begin()
    world.drain(limit=1)
    states = world.rows("SELECT state FROM tenant_direction WHERE direction = 'enrollments'")
    assert states == [{"state": "quarantined"}]
    assert world.rows("SELECT attempts FROM message") == [{"attempts": 0}]
    assert world.rows("SELECT * FROM dead_letter") == []


def test_token_that_expired_is_renewed_in_the_middle(world: World) -> None:
    world.pluvo.change_switches(auth_failure="200")
    for internal_id in range(80, 84):
        world.person(internal_id)
    world.begin()
    world.drain(limit=2)
    world.pluvo.expire_tokens()
    world.drain()
    assert world.roster() == world.expected()
    assert invitations(world) == 4


def test_enrollment_refused_after_the_account_was_made(world: World) -> None:
    # given a full event
    event = next(event for event in world.pluvo.offer_events.values() if event["ref"] == "afas-340")
    event["maxSubscriptions"] = 0
    world.person(80)
    world.person(80, 341)
    # when
    run = world.sync()
    # then the account is kept and their other event goes on
    assert outcomes(run) == {"failed": 1, "updated": 1}
    assert len(world.pluvo.users) == 1
    assert link(world, 80)["state"] == "linked"
    assert enrolled(world, "341") == {"p80@example.nl"}
    assert [one["error"] for one in world.rows("SELECT error FROM dead_letter")] != []
    # and what is written down of each call says what came of it
    world.set_tenant(settings_version=2)
    world.sync()  # the event is still full
    calls = world.rows(
        "SELECT operation, result, code, after->'enrolled' AS enrolled FROM change WHERE event_id = '340'"
    )
    assert [tuple(call.values()) for call in calls] == [
        ("create", "done", "refused", False),
        ("enroll", "refused", "refused", None),
    ]
    # and when there is room, a change of settings tries again, without a second invitation
    event["maxSubscriptions"] = None
    assert outcomes(world.sync()) == {"unchanged": 1, "failed": 1}
    world.set_tenant(settings_version=3)
    assert outcomes(world.sync()) == {"unchanged": 1, "updated": 1}
    assert invitations(world) == 1


def test_account_that_was_restored_for_a_refused_enrollment_is_noted_as_active(world: World) -> None:
    # given an archived account, whose person comes into an event that is full
    world.set_tenant(removals=now_removals() | {"policy": "unenroll_and_archive"})
    for one in (80, 81, 82):
        world.person(one)
    world.sync()
    world.afas.remove(340, 80)
    world.sync()
    assert link(world, 80)["archived"]
    event = next(event for event in world.pluvo.offer_events.values() if event["ref"] == "afas-341")
    event["maxSubscriptions"] = 0
    world.person(80, 341)
    # when
    assert outcomes(world.sync())["failed"] == 1
    # then
    assert (link(world, 80)["archived"], world.user("p80@example.nl")["archived"]) == (False, False)


def test_refused_person_stays_failed_until_their_content_changes(world: World) -> None:
    # given
    world.person(80)
    world.person(81)
    refusal = {"operation": "createUser", "body_contains": "p80@"}
    world.fault("pluvo", "graphql_error", code="Validation", message="No.", match=refusal)
    assert outcomes(world.sync()) == {"created": 1, "failed": 1}
    # when nothing changed
    world.clear_log()
    run = world.sync()
    # then it is not tried again
    assert outcomes(run) == {"unchanged": 1, "failed": 1}
    assert world.writes() == []
    assert len(world.rows("SELECT * FROM dead_letter WHERE state = 'open'")) == 1
    # until it did
    world.afas.set_email(80, "goed@example.nl")
    assert outcomes(world.sync()) == {"unchanged": 1, "created": 1}
    assert world.rows("SELECT * FROM dead_letter WHERE state = 'open'") == []


def test_attempts_used_up_get_a_fresh_message_in_the_next_run(world: World) -> None:
    # given
    world.person(80)
    world.fault("pluvo", "status", status=502, match={"operation": "createUser"})
    run = sync_through(world, tries=10)
    assert outcomes(run) == {"failed": 1}
    assert len(world.rows("SELECT * FROM dead_letter")) == 1
    # when
    world.clear_faults()
    run = world.sync()
    # then
    assert outcomes(run) == {"created": 1}
    assert (len(world.pluvo.users), invitations(world)) == (1, 1)


CRASHES = (
    "reserve",
    "adopt",
    "link",
    "applied",
    "target_id",
    "settle",
    "_hold",
    "_record_result",
    "_record_calls",
    "_settle_line",
)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("step", CRASHES)
def test_killed_between_any_two_steps(world: World, monkeypatch: pytest.MonkeyPatch, step: str, after: bool) -> None:
    """A worker that dies records nothing more: its lease runs out and the message is handed out again."""
    # given somebody new in two events, somebody to link, somebody renamed and somebody gone
    world.set_tenant(removals={"policy": "unenroll_and_archive", "confirm_after": 0, "limits": {}})
    for internal_id in (70, 71, 72, 73):
        world.person(internal_id)
    world.sync()
    world.person(80)
    world.person(80, 341)
    world.person(81)
    world.pluvo.add_user("p81@example.nl", "Anders")
    world.afas.rename(70, "Hernoemd")
    world.afas.remove(340, 71)
    run = world.begin()
    # when every message is killed once at this step
    _kill_each_once(monkeypatch, step, after=after)
    for _ in range(3):
        world.drain()
        world.rows("UPDATE message SET state = 'ready' WHERE state = 'sent' RETURNING id")  # the lease ran out
    # then
    assert outcomes(world.run(run.id)) == {"created": 1, "linked": 1, "updated": 2, "unchanged": 2}
    assert world.run(run.id).removed == 1
    assert world.roster() == world.expected()
    assert len(world.pluvo.users) == 6
    assert invitations(world) == 5
    assert world.user("p71@example.nl")["archived"]
    assert world.rows("SELECT * FROM message") == []
    assert outcomes(world.sync()) == {"unchanged": 6}


class Killed(BaseException):
    """The process is gone."""


def _kill_each_once(monkeypatch: pytest.MonkeyPatch, step: str, *, after: bool) -> None:
    real: Callable[..., Any] = getattr(record, step)
    killed: set[int] = set()

    def crashing(*args: Any, **kwargs: Any) -> Any:
        work = next(one for one in args if hasattr(one, "delivery"))
        message = work.delivery.message_id
        if message in killed:
            return real(*args, **kwargs)
        killed.add(message)
        if after:
            real(*args, **kwargs)
        work.delivery.settled = True  # nothing is recorded of how it ended
        work.adopted = None
        raise Killed

    monkeypatch.setattr(record, step, crashing)
    monkeypatch.setattr("tests.fixtures.world.run_delivery", _killable)


def _killable(envelope: Any) -> None:
    from workers.messages.execute import run_delivery

    try:
        run_delivery(envelope)
    except Killed:
        return


def test_message_delivered_twice_changes_nothing(world: World) -> None:
    world.person(80)
    world.begin()
    envelope = world.hand_out()
    assert envelope is not None
    _killable(envelope)
    world.clear_log()
    _killable(envelope)
    assert world.calls("pluvo") == []
    assert (len(world.pluvo.users), invitations(world)) == (1, 1)


def test_full_run_repairs_what_was_changed_by_hand_with_one_message_each(world: World) -> None:
    # given
    for internal_id in (80, 81, 82, 83):
        world.person(internal_id)
    world.person(80, 341)
    world.sync()
    users = {n: world.user(f"p{n}@example.nl")["id"] for n in (80, 81, 82, 83)}
    world.pluvo.change_user(users[80], name="Met de hand")
    world.pluvo.change_user(users[81], email="met.de.hand@example.org")
    world.pluvo.change_user(users[82], archived=True)
    event = next(event for event in world.pluvo.offer_events.values() if event["ref"] == "afas-340")
    del world.pluvo.enrollments[users[83], event["id"]]
    # when an ordinary run sees nothing
    assert outcomes(world.sync()) == {"unchanged": 5}
    # then a full one does
    run = world.begin(full=True)
    assert len(world.rows("SELECT * FROM message")) == 5
    world.drain()
    assert outcomes(world.run(run.id)) == {"updated": 4, "unchanged": 1}
    assert world.roster() == world.expected()
    assert world.user("p80@example.nl")["name"] == "Persoon 80"
    assert world.pluvo.find_user(email="met.de.hand@example.org") is None
    assert [line["action"] for line in lines(world, run)] == ["none"] * 5
    assert invitations(world) == 4


def test_newer_content_overtakes_a_message_in_hand(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    # given a message whose person changes while it is worked on
    world.person(80)
    world.sync()
    world.afas.rename(80, "Eerst")
    world.begin()
    real = Delivery.still_clear
    renamed: list[int] = []

    def still_clear(delivery: Delivery) -> bool:
        clear = real(delivery)
        if not renamed:
            renamed.append(1)
            world.afas.rename(80, "Laatst")
            world.begin()
        return clear

    monkeypatch.setattr(Delivery, "still_clear", still_clear)
    world.drain()
    # then
    assert world.user("p80@example.nl")["name"] == "Laatst"
    assert world.rows("SELECT * FROM message") == []


@pytest.mark.parametrize("code", ["PERMISSION_DENIED", "NotAuthorized", "VALIDATION_FAILED"])
def test_one_account_that_may_not_be_changed_stops_nobody_else(world: World, code: str) -> None:
    # given
    for internal_id in (80, 81, 82, 83):
        world.person(internal_id)
    world.sync()
    world.pluvo.change_switches(protected_users=[world.user("p80@example.nl")["id"]], protected_code=code)
    for internal_id in (80, 81, 82, 83):
        world.afas.rename(internal_id, f"Anders {internal_id}")
    # when
    run = world.sync()
    # then
    assert outcomes(run) == {"updated": 3, "failed": 1}
    assert world.user("p80@example.nl")["name"] == "Persoon 80"
    states = world.rows("SELECT state FROM tenant_direction WHERE direction = 'enrollments'")
    assert states == [{"state": "healthy"}]
    assert len(world.rows("SELECT * FROM dead_letter")) == 1


def test_token_refused_in_words_alone_is_renewed_once_and_then_quarantines(world: World) -> None:
    # given tokens that run out
    world.pluvo.change_switches(auth_failure="words")
    for internal_id in range(80, 84):
        world.person(internal_id)
    world.begin()
    world.drain(limit=2)
    world.pluvo.expire_tokens()
    world.drain()
    assert world.roster() == world.expected()
    # when no token helps
    for internal_id in range(84, 88):
        world.person(internal_id)
    world.begin()
    world.fault("pluvo", "graphql_error", code="", message="Signature has expired", match={"operation": "createUser"})
    world.clear_log()
    world.drain(limit=1)
    # then
    states = world.rows("SELECT state, reason FROM tenant_direction WHERE direction = 'enrollments'")
    assert states == [{"state": "quarantined", "reason": "auth_refused"}]
    assert [entry.operation for entry in world.calls()] == ["createUser", "token", "createUser"]
    assert world.rows("SELECT * FROM dead_letter") == []


def test_everybody_enrolled_by_hand_already_is_adopted_though_pluvo_lists_only_new_enrollments(world: World) -> None:
    # given
    event = next(event for event in world.pluvo.offer_events.values() if event["ref"] == "afas-340")
    for internal_id in (80, 81, 82):
        world.person(internal_id)
        user = world.pluvo.add_user(f"p{internal_id}@example.nl", f"Persoon {internal_id}")
        world.pluvo.enroll(user["id"], event["id"])
    world.pluvo.change_switches(lists_enrolled=False)
    # when
    run = world.sync()
    # then
    assert outcomes(run) == {"linked": 3}
    assert world.rows("SELECT * FROM dead_letter") == []
    assert outcomes(world.sync()) == {"unchanged": 3}


def test_everybody_put_in_a_group_by_hand_already_is_adopted_though_pluvo_lists_only_new_members(world: World) -> None:
    # given
    world.pluvo.add_group("Groep", "groep-340")
    world.retarget(340, group_ref="groep-340")
    group = next(group for group in world.pluvo.groups.values() if group["ref"] == "groep-340")
    for internal_id in (80, 81, 82):
        world.person(internal_id)
        user = world.pluvo.add_user(f"p{internal_id}@example.nl", f"Persoon {internal_id}")
        world.pluvo.join(group["id"], [user["id"]])
    world.pluvo.change_switches(lists_enrolled=False)
    # when
    run = world.sync()
    # then
    assert outcomes(run) == {"linked": 3}
    assert world.rows("SELECT * FROM dead_letter") == []
    assert outcomes(world.sync()) == {"unchanged": 3}
    assert outcomes(world.sync(full=True)) == {"unchanged": 3}
