"""Who is in which offer event or group of Pluvo: membership is per target, and only what we put there is taken away."""

from __future__ import annotations

from collections.abc import Callable
from json import dumps
from typing import Any

import pytest
from sqlalchemy import Connection, text

from clients.pluvo import PluvoClient
from models.session import transaction
from ops.people import explain, links
from producers.enrollments import commit
from producers.enrollments import decide_holds as decide
from tests.fixtures.looking import enrolled, holds, lines, link, outcomes, reasons
from tests.fixtures.world import World, now_removals

WHO = {"reason": "it is so", "who": "tester"}


def _with(world: World, policy: str = "unenroll", **limits: float) -> None:
    world.set_tenant(removals={"policy": policy, "confirm_after": 0, "limits": limits})


def _in(world: World, ref: str) -> set[str]:
    """Addresses of those who are in an offer event, by its ref now."""
    event = next(event for event in world.pluvo.offer_events.values() if event["ref"] == ref)
    return {
        world.pluvo.users[user]["email"]
        for (user, event_id), enrollment in world.pluvo.enrollments.items()
        if event_id == event["id"] and enrollment["status"] == "ENROLLED"
    }


def _one_target(world: World, kind: str) -> Callable[[], set[str]]:
    """Both courses lead to one offer event or group; returns who is in it."""
    if kind == "offer_event":
        for event_id in (340, 341):
            world.retarget(event_id, offer_event_ref="afas-340")
        return lambda: _in(world, "afas-340")
    group = world.pluvo.add_group("BHV", "bhv")
    for event_id in (340, 341):
        world.retarget(event_id, group_ref="bhv")
    return lambda: {world.pluvo.users[user]["email"] for user in group["members"]}


def _by_hand(world: World, user_id: str, ref: str = "afas-340") -> None:
    event = next(event for event in world.pluvo.offer_events.values() if event["ref"] == ref)
    world.pluvo.enroll(user_id, event["id"])


def _before_the_first(monkeypatch: pytest.MonkeyPatch, call: str, happens: Callable[[], object]) -> None:
    """Let something happen right before the first such call to Pluvo."""
    real, due = getattr(PluvoClient, call), [happens]

    def first(client: PluvoClient, *args: Any, **options: Any) -> Any:
        while due:
            due.pop()()
        return real(client, *args, **options)

    monkeypatch.setattr(PluvoClient, call, first)


def _joined_by_merging(commit_plan: Callable[..., int]) -> Callable[..., int]:
    """The same, with a way to join that PostgreSQL may take for large plans."""

    def joined(connection: Connection, *args: Any) -> int:
        for way in ("nestloop", "hashjoin"):
            connection.execute(text(f"SET LOCAL enable_{way} = off"))
        return commit_plan(connection, *args)

    return joined


def _map(world: World, **columns: str) -> None:
    """Map more columns of AFAS."""
    connector = world.afas.connectors["Deelnemer_per_cursusevenement"]
    connector.columns |= {column: name for name, column in columns.items()}
    world.rows("UPDATE course SET fields = fields || CAST(:more AS jsonb) RETURNING id", more=dumps(columns))


# ------------------------------------------------------------------------------------------------ one target of several


@pytest.mark.parametrize("kind", ["offer_event", "group"])
def test_who_leaves_one_of_two_events_with_one_target_stays_in_it_until_the_last(world: World, kind: str) -> None:
    # given
    _with(world)
    there = _one_target(world, kind)
    for one in (80, 81, 82):
        world.person(one, 340)
        world.person(one, 341)
    world.sync()
    # when they leave one
    world.afas.remove(340, 80)
    assert world.sync().removed == 1
    # then
    assert "p80@example.nl" in there()
    assert outcomes(world.sync()) == {"unchanged": 5}
    # and when they leave the other
    world.afas.remove(341, 80)
    world.sync()
    assert there() == {"p81@example.nl", "p82@example.nl"}


@pytest.mark.parametrize("kind", ["offer_event", "group"])
def test_people_who_share_an_account_keep_each_other_in_a_target_of_two_events(world: World, kind: str) -> None:
    _with(world)
    there = _one_target(world, kind)
    world.person(80, 340, name="Jan", email_primary="jan@example.nl")
    world.person(85, 341, name="Jan", email_primary="jan@example.nl")
    for one in (90, 91):
        world.person(one, 340)
        world.person(one, 341)
    world.sync()
    assert link(world, 80)["pluvo_id"] == link(world, 85)["pluvo_id"]
    world.afas.remove(340, 80)
    world.sync()
    assert "jan@example.nl" in there()
    world.afas.remove(341, 85)
    world.sync()
    assert "jan@example.nl" not in there()


def test_who_stays_for_a_row_that_can_not_be_used_leaves_with_that_row(world: World) -> None:
    # given 80 in 340, and in 341 only with a row that was never acted on
    _with(world)
    there = _one_target(world, "offer_event")
    for one in (80, 81, 82):
        world.person(one, 340)
    for one in (81, 82):
        world.person(one, 341)
    world.person(80, 341, email_primary="geen")
    world.sync()
    # when
    world.afas.remove(340, 80)
    world.sync()
    assert "p80@example.nl" in there()  # AFAS still has them in 341
    world.afas.remove(341, 80)
    world.sync()
    # then nobody is forgotten there
    assert there() == {"p81@example.nl", "p82@example.nl"}


def test_nobody_leaves_a_target_while_another_event_that_leads_to_it_can_not_be_read(world: World) -> None:
    # given 80, who moves from one event to another of the same target
    _with(world)
    there = _one_target(world, "offer_event")
    for one in (80, 81, 82):
        world.person(one)
    world.person(90, 341)
    world.sync()
    world.afas.remove(340, 80)
    world.person(80, 341)
    world.fault("afas", "status", status=502, match={"operation": "page", "path_contains": "341"})
    # when
    world.clear_log()
    run = world.sync()
    # then
    assert (run.removed, run.unconfirmed) == (0, 1)
    world.clear_faults()
    world.sync()
    assert "p80@example.nl" in there()
    assert "unenrollUserFromOfferEvent" not in world.writes()


def test_event_that_is_no_longer_in_the_tenants_file_keeps_nobody_in_a_target(world: World) -> None:
    _with(world)
    there = _one_target(world, "offer_event")
    for one in (80, 81, 82):
        world.person(one, 340)
        world.person(one, 341)
    world.sync()
    world.rows("UPDATE course SET active = false WHERE event_id = '341' RETURNING id")
    world.afas.remove(340, 80)
    world.sync()
    assert there() == {"p81@example.nl", "p82@example.nl"}


# --------------------------------------------------------------------------------------------------- a changed target


def test_changed_target_is_followed_by_everybody(world: World) -> None:
    # given
    _with(world)
    for one in (80, 81):
        world.person(one)
    world.sync()
    world.pluvo.add_offer_event("New", "afas-340-new")
    # when
    world.retarget(340, offer_event_ref="afas-340-new")
    run = world.sync()
    # then they are in the new one first
    assert outcomes(run) == {"updated": 2}
    assert reasons(world, run) == {"80": ("updated", None), "81": ("updated", None)}
    assert _in(world, "afas-340-new") == {"p80@example.nl", "p81@example.nl"}
    told = explain.explain("acme", "80")["people"][0]
    assert told["enrollments"][0]["target"] == "offer_event:afas-340-new"
    assert told["enrollments"][0]["left_behind"] == ["offer_event:afas-340"]
    assert "take the person out of offer_event:afas-340" in told["next_action"]
    # and leave the old one once that is so
    run = world.sync()
    assert (outcomes(run), run.removed) == ({"unchanged": 2}, 2)
    assert _in(world, "afas-340") == set()
    assert _in(world, "afas-340-new") == {"p80@example.nl", "p81@example.nl"}
    world.clear_log()
    assert outcomes(world.sync()) == {"unchanged": 2}
    assert world.writes() == []


def test_from_an_offer_event_to_a_group_and_back(world: World) -> None:
    _with(world)
    group = world.pluvo.add_group("BHV", "bhv")
    for one in (80, 81):
        world.person(one)
    world.sync()
    world.retarget(340, group_ref="bhv")
    world.sync()
    world.sync()
    assert (len(group["members"]), enrolled(world)) == (2, set())
    world.retarget(340, offer_event_ref="afas-340")
    world.sync()
    world.sync()
    assert (len(group["members"]), len(enrolled(world))) == (0, 2)


def test_target_that_is_put_back_at_once_takes_nobody_out(world: World) -> None:
    _with(world)
    world.pluvo.add_offer_event("New", "afas-340-new")
    for one in (80, 81):
        world.person(one)
    world.sync()
    world.retarget(340, offer_event_ref="afas-340-new")
    world.sync()
    world.retarget(340, offer_event_ref="afas-340")
    world.sync()
    world.sync()
    assert enrolled(world) == {"p80@example.nl", "p81@example.nl"}
    assert _in(world, "afas-340-new") == set()


def test_move_of_many_is_held_and_goes_on_when_released(world: World) -> None:
    # given
    _with(world, event_count=3, event_percent=10)
    world.pluvo.add_offer_event("New", "afas-340-new")
    for one in range(1, 13):
        world.person(one)
    world.sync()
    world.retarget(340, offer_event_ref="afas-340-new")
    world.sync()
    # when
    run = world.sync()
    # then
    (hold,) = holds(world)
    assert (hold["guard"], len(hold["people"]), run.removed) == ("removals_event", 12, 0)
    assert len(_in(world, "afas-340")) == len(_in(world, "afas-340-new")) == 12
    world.sync()
    assert len(holds(world)) == 1  # seen again in AFAS: nothing of theirs is dropped, they stay in AFAS all along
    with transaction() as connection:
        assert decide.release(connection, hold["id"], reason=WHO["reason"], who=WHO["who"]) == {
            "released": 12,
            "dropped": 0,
            "open": 0,
        }
    world.drain()
    assert _in(world, "afas-340") == set()
    assert len(_in(world, "afas-340-new")) == 12
    assert outcomes(world.sync()) == {"unchanged": 12}
    assert holds(world) == []


def test_refused_move_leaves_people_in_both_and_is_not_raised_again(world: World) -> None:
    _with(world, event_count=1, event_percent=0)
    world.pluvo.add_offer_event("New", "afas-340-new")
    for one in (80, 81, 82):
        world.person(one)
    world.sync()
    world.retarget(340, offer_event_ref="afas-340-new")
    world.sync()
    world.sync()
    (hold,) = holds(world)
    with transaction() as connection:
        decide.refuse(connection, hold["id"], **WHO)
    world.sync()
    assert holds(world) == []
    assert len(_in(world, "afas-340")) == len(_in(world, "afas-340-new")) == 3
    # who leaves AFAS leaves where they belong
    world.afas.remove(340, 80)
    world.sync()
    assert "p80@example.nl" not in _in(world, "afas-340-new")


def test_who_leaves_before_they_moved_leaves_the_target_they_were_told(world: World) -> None:
    _with(world)
    world.pluvo.add_offer_event("New", "afas-340-new")
    for one in (80, 81, 82):
        world.person(one)
    world.sync()
    world.retarget(340, offer_event_ref="afas-340-new")
    world.afas.remove(340, 80)
    world.sync()
    assert _in(world, "afas-340") == {"p81@example.nl", "p82@example.nl"}
    # 81 leaves between the two halves of the move
    world.afas.remove(340, 81)
    world.sync()
    assert "p81@example.nl" not in _in(world, "afas-340") | _in(world, "afas-340-new")


def test_new_ref_of_the_same_offer_event_takes_nobody_out(world: World) -> None:
    _with(world)
    for one in (80, 81):
        world.person(one)
    world.sync()
    event = next(event for event in world.pluvo.offer_events.values() if event["ref"] == "afas-340")
    event["ref"] = "afas-340-renamed"
    world.retarget(340, offer_event_ref="afas-340-renamed")
    world.sync()
    world.sync()
    assert _in(world, "afas-340-renamed") == {"p80@example.nl", "p81@example.nl"}


def test_lost_answer_to_a_move_is_asked_again_by_the_next_run(world: World) -> None:
    # given a move whose answer never came, and whose message was given up
    _with(world)
    world.pluvo.add_offer_event("New", "afas-340-new")
    for one in (80, 81):
        world.person(one)
    world.sync()
    world.retarget(340, offer_event_ref="afas-340-new")
    world.fault("pluvo", "status", status=502, match={"operation": "createOfferEventEnrollments"})
    world.sync()
    world.rows("DELETE FROM message RETURNING id")
    world.clear_faults()
    # when, then
    world.sync()
    assert len(_in(world, "afas-340-new")) == 2
    world.sync()
    assert _in(world, "afas-340") == set()


def test_who_returns_after_a_removal_whose_answer_was_lost_is_enrolled_again(world: World) -> None:
    _with(world)
    for one in (80, 81, 82):
        world.person(one)
    world.sync()
    world.afas.remove(340, 80)
    world.fault("pluvo", "lost_answer", match={"operation": "unenrollUserFromOfferEvent"})
    world.sync()
    world.clear_faults()
    world.rows("DELETE FROM message RETURNING id")
    world.person(80)
    # when, then
    world.sync()
    assert "p80@example.nl" in enrolled(world)


def test_target_that_changes_while_messages_wait_is_the_one_that_counts(world: World) -> None:
    _with(world)
    world.pluvo.add_offer_event("New", "afas-340-new")
    for one in (80, 81):
        world.person(one)
    world.begin()
    world.retarget(340, offer_event_ref="afas-340-new")
    world.drain()
    assert (len(_in(world, "afas-340-new")), enrolled(world)) == (2, set())


@pytest.mark.parametrize("change", ["policy", "put back"])
def test_leaving_the_old_target_is_dropped_when_it_no_longer_holds(world: World, change: str) -> None:
    # given a move that only waits to be ended
    _with(world)
    world.pluvo.add_offer_event("New", "afas-340-new")
    for one in (80, 81):
        world.person(one)
    world.sync()
    world.retarget(340, offer_event_ref="afas-340-new")
    world.sync()
    run = world.begin()
    # when
    if change == "policy":
        _with(world, "keep")
    else:
        world.retarget(340, offer_event_ref="afas-340")
    world.drain()
    # then
    assert len(enrolled(world)) == 2
    if change == "policy":
        assert reasons(world, run)["80"][0] == "dropped"
        _with(world, event_count=1, event_percent=0)
        world.sync()
        assert (len(enrolled(world)), holds(world)[0]["guard"]) == (2, "removals_event")  # judged anew


def test_nobody_is_taken_out_of_the_old_target_once_the_policy_keeps_them_there(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    _with(world)
    world.pluvo.add_offer_event("New", "afas-340-new")
    for one in (80, 81):
        world.person(one)
    world.sync()
    world.retarget(340, offer_event_ref="afas-340-new")
    world.sync()
    run = world.begin()
    # when the policy changes while the first is looked at for the call
    _before_the_first(monkeypatch, "get_user", lambda: _with(world, "keep"))
    world.drain()
    # then
    assert (len(enrolled(world)), len(_in(world, "afas-340-new"))) == (2, 2)
    assert {why[0] for why in reasons(world, run).values()} == {"dropped"}
    # and what was left behind is not forgotten
    _with(world)
    world.sync()
    assert enrolled(world) == set()


def test_a_full_run_moves_people_too_and_looks_at_them(world: World) -> None:
    # given two who are in the new target already
    _with(world)
    world.pluvo.add_offer_event("New", "afas-340-new")
    for one in (80, 81):
        world.person(one)
    world.sync()
    world.retarget(340, offer_event_ref="afas-340-new")
    world.sync()
    # when somebody renames one of them in Pluvo, and a full run comes before another one
    world.pluvo.change_user(world.user("p80@example.nl")["id"], name="Anders")
    run = world.sync(full=True)
    # then
    assert run.removed == 2
    assert _in(world, "afas-340") == set()
    assert _in(world, "afas-340-new") == {"p80@example.nl", "p81@example.nl"}
    assert world.user("p80@example.nl")["name"] == "Persoon 80"
    assert sum(outcomes(run).values()) == 2
    assert outcomes(world.sync()) == {"unchanged": 2}


def test_a_move_that_a_full_run_held_goes_when_it_is_released(world: World) -> None:
    # given two who are in the new target already, and a full run whose guard holds that they leave the old one
    _with(world, event_count=1, event_percent=0)
    world.pluvo.add_offer_event("New", "afas-340-new")
    for one in (80, 81):
        world.person(one)
    world.sync()
    world.retarget(340, offer_event_ref="afas-340-new")
    world.sync()
    planned = world.plan(full=True)
    run = world.sync(full=True)
    assert (run.held_removals, run.rows, outcomes(run)) == (2, 2, {"unchanged": 2})
    assert (planned.held_removals, planned.rows, planned.hash) == (2, 2, run.plan_hash)
    assert planned.outcomes["unchanged"] == sum(planned.outcomes.values()) == 2
    [hold] = holds(world)
    # when
    with transaction() as connection:
        done = decide.release(connection, hold["id"], reason=WHO["reason"], who=WHO["who"])
    world.drain()
    # then
    assert done == {"released": 2, "dropped": 0, "open": 0}
    assert (_in(world, "afas-340"), len(_in(world, "afas-340-new"))) == (set(), 2)
    assert outcomes(world.sync()) == {"unchanged": 2}


def test_a_full_run_takes_all_out_of_the_old_target_whatever_way_postgresql_joins_its_lines(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    _with(world, event_count=50)
    world.pluvo.add_offer_event("New", "afas-340-new")
    for one in range(80, 90):
        world.person(one)
    world.sync()
    world.retarget(340, offer_event_ref="afas-340-new")
    world.sync()
    monkeypatch.setattr(commit, "commit_plan", _joined_by_merging(commit.commit_plan))
    run = world.sync(full=True)
    assert (run.removed, outcomes(run)) == (10, {"unchanged": 10})
    assert _in(world, "afas-340") == set()


def test_policy_keep_keeps_people_in_the_old_target(world: World) -> None:
    _with(world, "keep")
    world.pluvo.add_offer_event("New", "afas-340-new")
    for one in (80, 81):
        world.person(one)
    world.sync()
    world.retarget(340, offer_event_ref="afas-340-new")
    world.sync()
    world.sync()
    assert len(_in(world, "afas-340")) == len(_in(world, "afas-340-new")) == 2


def test_move_that_could_not_be_made_forgets_nothing(world: World) -> None:
    # given a new target that Pluvo does not know
    _with(world)
    for one in (80, 81, 82):
        world.person(one)
    world.sync()
    world.retarget(340, offer_event_ref="afas-typo")
    assert outcomes(world.sync())["failed"] == 3
    assert len(enrolled(world)) == 3
    # who leaves, leaves the old one
    world.afas.remove(340, 80)
    world.sync()
    assert enrolled(world) == {"p81@example.nl", "p82@example.nl"}
    # and when the file is put right all is as before
    world.retarget(340, offer_event_ref="afas-340")
    world.sync()
    assert outcomes(world.sync()) == {"unchanged": 2}
    assert enrolled(world) == {"p81@example.nl", "p82@example.nl"}


# ----------------------------------------------------------------------------------------------- only what we put there


@pytest.mark.parametrize("why", ["rejected", "not_yet"])
def test_enrollment_made_by_hand_stays_when_its_row_was_never_acted_on(world: World, why: str) -> None:
    # given 80, linked through 341, enrolled in 340 by hand
    _with(world)
    _map(world, start="Van")
    for one in (80, 81, 82):
        world.person(one, 341)
    for one in (81, 82, 83):
        world.person(one, 340)
    world.sync()
    _by_hand(world, world.user("p80@example.nl")["id"])
    odd: dict[str, Any] = {"email_primary": "geen"} if why == "rejected" else {"start": "2999-01-01"}
    world.person(80, 340, **odd)
    world.sync()
    # when
    world.afas.remove(340, 80)
    run = world.sync()
    # then
    assert [line["outcome"] for line in lines(world, run, 80)] == ["kept"]
    assert "p80@example.nl" in enrolled(world)


def test_another_account_is_not_taken_out_of_an_event_that_was_left_before(world: World) -> None:
    _with(world)
    for one in (80, 81, 82, 83):
        world.person(one, 340)
        world.person(one, 341)
    world.sync()
    world.afas.remove(340, 80)
    world.sync()
    world.pluvo.change_user(link(world, 80)["pluvo_id"], email="ander@example.org")
    right = world.pluvo.add_user("echt@example.org", "Persoon 80")
    _by_hand(world, right["id"])
    links.set_link("acme", "80", right["id"], who="tester")
    world.sync()
    world.sync()
    assert world.user("p80@example.nl")["id"] == right["id"]
    assert "p80@example.nl" in enrolled(world)


def test_wrong_account_leaves_the_event_once_the_right_one_is_in_it(world: World) -> None:
    # given
    _with(world)
    world.pluvo.add_user("p80@example.nl", "Persoon 80")
    for one in (80, 81, 82):
        world.person(one)
    world.sync()
    wrong = link(world, 80)["pluvo_id"]
    right = world.pluvo.add_user("echt@example.org", "Persoon 80")
    world.pluvo.change_user(wrong, email="ander@example.org")
    # when
    links.set_link("acme", "80", right["id"], who="tester")
    world.sync()
    run = world.sync()
    # then
    assert (run.removed, enrolled(world)) == (1, {"p80@example.nl", "p81@example.nl", "p82@example.nl"})
    assert lines(world, run, 80)[0]["action"] == "unenroll"
    assert not world.pluvo.users[wrong]["archived"]
    # and the call is written down with the account that it was about
    (left,) = world.rows("SELECT pluvo_id FROM change WHERE operation = 'unenroll'")
    assert left["pluvo_id"] == wrong


@pytest.mark.parametrize("verb", ["decide", "remove"])
def test_wrong_account_leaves_every_event_once_a_new_one_was_made(world: World, verb: str) -> None:
    # given somebody in two events with a stranger's account
    _with(world)
    wrong = world.pluvo.add_user("p80@example.nl", "Persoon 80", ref="hr-1")["id"]
    for one in (80, 81, 82, 83, 84):
        world.person(one)
        world.person(one, 341)
    world.sync()
    world.pluvo.change_user(wrong, email="ander@example.org")
    # when they get one of their own: it is made through one event and enrolled in the other
    links.remove("acme", "80", erase=False, who="tester")
    if verb == "decide":
        links.decide("acme", "80", "create", None, who="tester")
    for _ in range(2):
        world.sync()
    # then
    everybody = {f"p{one}@example.nl" for one in (80, 81, 82, 83, 84)}
    assert enrolled(world, "340") == enrolled(world, "341") == everybody


def test_account_of_a_link_that_was_removed_leaves_with_the_person(world: World) -> None:
    _with(world)
    for one in (80, 81, 82):
        world.person(one)
    world.sync()
    links.remove("acme", "80", erase=False, who="tester")
    world.afas.remove(340, 80)
    world.sync()
    assert enrolled(world) == {"p81@example.nl", "p82@example.nl"}


def test_enrollment_that_was_refused_is_not_ours(world: World) -> None:
    # given an event that is full
    world.set_tenant(removals=now_removals())
    event = next(event for event in world.pluvo.offer_events.values() if event["ref"] == "afas-340")
    event["maxSubscriptions"] = 2
    for one in (80, 81):
        world.person(one)
    world.sync()
    world.person(82)
    assert outcomes(world.sync())["failed"] == 1
    # when somebody makes room for them by hand, and they leave AFAS
    event["maxSubscriptions"] = 3
    _by_hand(world, world.user("p82@example.nl")["id"])
    world.afas.remove(340, 82)
    world.sync()
    # then
    assert "p82@example.nl" in enrolled(world)


@pytest.mark.parametrize("event_id", [340, 341])
@pytest.mark.parametrize("kind", ["offer_event", "group"])
@pytest.mark.parametrize("moment", ["before", "during"])
def test_who_comes_back_to_one_event_while_they_are_taken_out_of_the_target_for_another_is_in_it(
    world: World, monkeypatch: pytest.MonkeyPatch, moment: str, kind: str, event_id: int
) -> None:
    # given somebody who left both events that lead to one target
    _with(world)
    there = _one_target(world, kind)
    for one in (80, 81, 82):
        world.person(one, 340)
        world.person(one, 341)
    world.sync()
    world.afas.remove(340, 80)
    world.afas.remove(341, 80)
    world.begin()

    def come_back() -> None:
        world.person(80, event_id)
        world.begin()

    # when a run sees them in one of the events again right before or during the call
    call = "unenroll" if kind == "offer_event" else "remove_from_group"
    _before_the_first(monkeypatch, call if moment == "during" else "get_user", come_back)
    world.drain()
    world.sync()
    # then
    assert "p80@example.nl" in there()


def test_an_account_is_not_archived_once_another_event_needs_it(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    # given somebody who left their only event
    _with(world, "unenroll_and_archive")
    for one in (80, 81, 82):
        world.person(one)
    world.person(81, 341)
    world.sync()
    world.afas.remove(340, 80)
    run = world.begin()

    def come_back() -> None:
        world.person(80, 341)
        world.begin()

    # when a run sees them in another event while Pluvo is asked what the account is used for
    _before_the_first(monkeypatch, "memberships", come_back)
    world.drain()
    # then
    assert world.rows("SELECT operation FROM change WHERE operation IN ('archive', 'restore')") == []
    assert reasons(world, run)["80"] == ("removed", "account_needed")
    assert "p80@example.nl" in enrolled(world, "341")


# ------------------------------------------------------------------------------------------------------ no place there


def _event(world: World, ref: str = "afas-340") -> dict[str, Any]:
    return next(event for event in world.pluvo.offer_events.values() if event["ref"] == ref)


def test_waiting_list_is_told_and_looked_at_again(world: World) -> None:
    # given two places and four people, one of whom is in Pluvo already
    _with(world)
    _event(world).update(maxSubscriptions=2, waitingList=True)
    world.pluvo.add_user("p82@example.nl", "Persoon 82", ref="hr-82")
    for one in (80, 81, 82, 83):
        world.person(one)
    # when
    run = world.sync()
    # then
    assert outcomes(run) == {"created": 2, "waiting": 2}
    assert reasons(world, run)["83"] == ("waiting", "waiting_list")
    told = explain.explain("acme", "83")["people"][0]
    assert (told["enrollments"][0]["outcome"], told["enrollments"][0]["reason"]) == ("waiting", "waiting_list")
    assert "waiting list" in told["next_action"]
    # and again as long as it is so, without a write
    world.clear_log()
    assert outcomes(world.sync()) == {"unchanged": 2, "waiting": 2}
    assert world.plan().outcomes["waiting"] == 2
    assert world.writes() == []
    # when a place comes free for one
    key = (world.user("p83@example.nl")["id"], _event(world)["id"])
    world.pluvo.enrollments[key]["status"] = "ENROLLED"
    assert outcomes(world.sync()) == {"unchanged": 2, "waiting": 1, "updated": 1}
    assert outcomes(world.sync()) == {"unchanged": 3, "waiting": 1}
    assert outcomes(world.sync(full=True)) == {"unchanged": 3, "waiting": 1}


def test_who_waits_for_a_place_leaves_the_waiting_list_with_afas(world: World) -> None:
    _with(world)
    _event(world).update(maxSubscriptions=2, waitingList=True)
    for one in (80, 81, 82):
        world.person(one)
    world.sync()
    world.afas.remove(340, 82)
    assert world.sync().removed == 1
    assert len(world.pluvo.enrollments) == 2


def test_who_waits_for_a_place_in_a_new_target_stays_in_the_old_one(world: World) -> None:
    _with(world)
    for one in (80, 81):
        world.person(one)
    world.sync()
    world.pluvo.add_offer_event("New", "afas-340-new")
    _event(world, "afas-340-new").update(maxSubscriptions=1, waitingList=True)
    world.retarget(340, offer_event_ref="afas-340-new")
    world.sync()
    world.sync()
    assert (_in(world, "afas-340-new"), enrolled(world)) == ({"p80@example.nl"}, {"p81@example.nl"})


def test_full_run_of_a_course_with_a_group_says_unchanged_and_changes_nothing(world: World) -> None:
    world.pluvo.add_group("BHV", "bhv")
    world.retarget(340, group_ref="bhv")
    for one in (80, 81, 82):
        world.person(one)
    world.sync()
    run = world.sync(full=True)
    assert outcomes(run) == {"unchanged": 3}
    assert world.rows("SELECT operation FROM change WHERE run_id = :run", run=run.id) == []
