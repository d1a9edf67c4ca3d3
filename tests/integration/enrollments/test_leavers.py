"""Who is gone from AFAS: only after proof, only what is ours, and back as they were when they return."""

from __future__ import annotations

from json import dumps
from typing import Any

import pytest

from tests.fixtures.looking import enrolled, invitations, lines, link, outcomes, reasons, retry_now
from tests.fixtures.world import World, now_removals

BLOCKED_MAP = {"blocked": "Geblokkeerd"}


def _with(world: World, policy: str = "unenroll", confirm_after: int = 0, **limits: float) -> None:
    world.set_tenant(removals={"policy": policy, "confirm_after": confirm_after, "limits": limits})


def _people(world: World, *internal_ids: int, event_id: int = 340) -> None:
    for internal_id in internal_ids:
        world.person(internal_id, event_id)


def _later(world: World, seconds: int) -> None:
    """As if the first absence was seen so long ago."""
    world.rows(
        "UPDATE enrollment SET absent_since = absent_since - make_interval(secs => :seconds) RETURNING id",
        seconds=seconds,
    )


def test_leaver_is_removed_only_after_confirm_after(world: World) -> None:
    # given
    _with(world, confirm_after=3600)
    _people(world, 80, 81, 82)
    world.sync()
    world.afas.remove(340, 80)
    # when absent for the first time
    run = world.sync()
    assert (run.removed, run.unconfirmed) == (0, 1)
    # and just too short
    _later(world, 3590)
    assert world.sync().removed == 0
    assert "p80@example.nl" in enrolled(world)
    # then
    _later(world, 20)
    run = world.sync()
    assert run.removed == 1
    assert outcomes(run) == {"unchanged": 2}
    assert enrolled(world) == {"p81@example.nl", "p82@example.nl"}
    assert not world.user("p80@example.nl")["archived"]
    assert link(world, 80)["state"] == "left"
    assert world.sync().removed == 0


def test_absence_must_be_unbroken(world: World) -> None:
    _with(world, confirm_after=3600)
    _people(world, 80, 81, 82)
    world.sync()
    world.afas.remove(340, 80)
    world.sync()
    _later(world, 7200)
    _people(world, 80)
    world.sync()
    world.afas.remove(340, 80)
    assert world.sync().removed == 0
    assert "p80@example.nl" in enrolled(world)


def test_keep_removes_nobody_and_takes_back_who_returns(world: World) -> None:
    _with(world, "keep")
    _people(world, 80, 81)
    world.sync()
    world.clear_log()
    world.afas.remove(340, 80)
    run = world.sync()
    assert [line["outcome"] for line in lines(world, run, 80)] == ["kept"]
    assert world.writes() == []
    assert "p80@example.nl" in enrolled(world)
    _people(world, 80)
    run = world.sync()
    assert outcomes(run)["updated"] == 1
    assert outcomes(world.sync()) == {"unchanged": 2}


def test_a_stricter_policy_later_removes_nobody_who_left_under_keep(world: World) -> None:
    # given one who left while the policy was to keep people
    _with(world, "keep")
    _people(world, 80, 81, 82)
    world.sync()
    world.afas.remove(340, 80)
    world.sync()
    # when the policy changes, and another one leaves
    _with(world, "unenroll")
    world.afas.remove(340, 81)
    world.sync()
    # then only the second one is taken out
    assert {"p80@example.nl", "p82@example.nl"} == set(enrolled(world))
    # and the first one as well once they came back and left again
    _people(world, 80)
    world.sync()
    world.afas.remove(340, 80)
    world.sync()
    assert set(enrolled(world)) == {"p82@example.nl"}


def test_keep_also_keeps_who_left_with_a_message_under_way(world: World) -> None:
    # given an update that waits in the ledger
    _with(world, "keep")
    _people(world, 80, 81)
    world.sync()
    world.afas.rename(80, "Anders")
    world.begin()
    # when they leave before it is done
    world.afas.remove(340, 80)
    world.sync()
    # then
    assert "p80@example.nl" in enrolled(world)
    assert world.rows("SELECT * FROM message") == []


def test_archiving_takes_only_accounts_made_by_us_that_serve_nobody_else(world: World) -> None:
    # given one made by us, one adopted, one with another role, one in a second event
    _with(world, "unenroll_and_archive", event_count=50)
    world.pluvo.add_user("p81@example.nl", "Persoon 81")
    _people(world, 80, 81, 82, 83, 90)
    world.person(83, 341)
    world.sync()
    world.pluvo.change_user(world.user("p82@example.nl")["id"], roles=["PARTICIPANT", "MANAGER"])
    for internal_id in (80, 81, 82, 83):
        world.afas.remove(340, internal_id)
    # when
    run = world.sync()
    # then
    assert run.removed == 4
    assert enrolled(world) == {"p90@example.nl"}
    assert enrolled(world, "341") == {"p83@example.nl"}
    archived = [n for n in (80, 81, 82, 83) if world.user(f"p{n}@example.nl")["archived"]]
    assert archived == [80]


@pytest.mark.parametrize("policy", ["unenroll", "unenroll_and_archive"])
def test_account_with_pluvos_own_link_is_not_removed(world: World, policy: str) -> None:
    _with(world, policy)
    _people(world, 80, 81)
    world.sync()
    world.pluvo.change_user(world.user("p80@example.nl")["id"], afasConnectionId="own")
    world.afas.remove(340, 80)
    run = world.sync()
    assert not world.user("p80@example.nl")["archived"]
    assert enrolled(world) == {"p80@example.nl", "p81@example.nl"}
    assert reasons(world, run)["80"] == ("kept", "own_link")
    assert lines(world, world.sync(), 80) == []


@pytest.mark.parametrize("by_hand", ["offer_event", "group"])
def test_account_that_pluvo_shows_in_use_is_not_archived(world: World, by_hand: str) -> None:
    # given a leaver whom a manager enrolled elsewhere in Pluvo
    _with(world, "unenroll_and_archive")
    _people(world, 80, 81, 82)
    world.sync()
    account = world.user("p80@example.nl")["id"]
    if by_hand == "group":
        world.pluvo.join(world.pluvo.add_group("Own", "own")["id"], [account])
    else:
        world.pluvo.enroll(account, world.pluvo.add_offer_event("Own", "own")["id"])
    world.afas.remove(340, 80)
    # when
    run = world.sync()
    # then
    assert "p80@example.nl" not in enrolled(world)
    assert not world.user("p80@example.nl")["archived"]
    assert reasons(world, run)["80"] == ("removed", "account_in_use")


def test_account_is_not_archived_where_pluvo_does_not_show_what_it_is_in(world: World) -> None:
    _with(world, "unenroll_and_archive")
    _people(world, 80, 81)
    world.sync()
    world.pluvo.change_switches(hidden=["Query.enrollments"])
    world.afas.remove(340, 80)
    run = world.sync()
    assert reasons(world, run)["80"] == ("removed", "memberships_not_shown")
    assert not world.user("p80@example.nl")["archived"]


def test_account_that_leaves_a_group_is_archived(world: World) -> None:
    _with(world, "unenroll_and_archive")
    world.pluvo.add_group("BHV", "bhv")
    world.retarget(340, group_ref="bhv")
    _people(world, 80, 81)
    world.sync()
    world.afas.remove(340, 80)
    world.sync()
    assert world.user("p80@example.nl")["archived"]


def test_nobody_is_archived_before_every_event_was_read(world: World) -> None:
    # given 80, who moves to an event that can't be read, and 81, who leaves
    _with(world, "unenroll_and_archive", event_count=9)
    _people(world, 80, 81, 82)
    world.person(90, 341)
    world.sync()
    world.afas.remove(340, 80)
    world.afas.remove(340, 81)
    world.person(80, 341)
    world.fault("afas", "status", status=502, match={"operation": "page", "path_contains": "341"})
    # when
    world.sync()
    # then they are only taken out
    assert enrolled(world) == {"p82@example.nl"}
    assert not world.user("p80@example.nl")["archived"]
    assert not world.user("p81@example.nl")["archived"]
    # and once all can be read, whoever is in no event at all goes to the archive
    world.clear_faults()
    world.sync()
    assert enrolled(world, "341") == {"p80@example.nl", "p90@example.nl"}
    assert world.user("p81@example.nl")["archived"]
    assert not world.user("p80@example.nl")["archived"]
    world.clear_log()
    world.sync()
    assert world.writes() == []


def test_archived_once_the_last_event_is_left(world: World) -> None:
    _with(world, "unenroll_and_archive")
    _people(world, 80, 81)
    world.person(80, 341)
    world.person(81, 341)
    world.sync()
    world.afas.remove(340, 80)
    world.sync()
    assert not world.user("p80@example.nl")["archived"]
    world.afas.remove(341, 80)
    world.sync()
    assert world.user("p80@example.nl")["archived"]


@pytest.mark.parametrize("policy", ["unenroll", "unenroll_and_archive"])
def test_who_returns_gets_the_same_account_and_enrollment(world: World, policy: str) -> None:
    # given
    _with(world, policy)
    _people(world, 80, 81)
    world.sync()
    before = link(world, 80)["pluvo_id"]
    world.afas.remove(340, 80)
    world.sync()
    # when, with another name meanwhile
    world.person(80, name="Terug")
    run = world.sync()
    # then
    assert outcomes(run) == {"updated": 1, "unchanged": 1}
    assert [line["action"] for line in lines(world, run, 80)] == ["restore"]
    assert world.roster() == world.expected()
    assert link(world, 80)["pluvo_id"] == before
    assert link(world, 80)["state"] == "linked"
    assert world.user("p80@example.nl")["name"] == "Terug"
    assert invitations(world) == 2
    assert outcomes(world.sync()) == {"unchanged": 2}


def test_who_returns_is_restored_although_somebody_archived_them_by_hand(world: World) -> None:
    _with(world)
    _people(world, 80, 81)
    world.sync()
    world.afas.remove(340, 80)
    world.sync()
    world.pluvo.change_user(world.user("p80@example.nl")["id"], archived=True)
    _people(world, 80)
    world.sync()
    assert world.roster() == world.expected()


def test_blocked_counts_as_absent(world: World) -> None:
    # given a column that says so
    _with(world)
    connector = world.afas.connectors["Deelnemer_per_cursusevenement"]
    connector.columns["Geblokkeerd"] = "blocked"
    _map(world, BLOCKED_MAP)
    _people(world, 80, 81)
    world.sync()
    # when
    world.afas.change(340, 80, blocked=True)
    run = world.sync()
    # then
    assert outcomes(run) == {"unchanged": 1, "blocked": 1}
    assert run.removed == 1
    assert enrolled(world) == {"p81@example.nl"}
    # and back
    world.afas.change(340, 80, blocked=False)
    world.sync()
    assert world.roster() == world.expected()


def _map(world: World, fields: dict[str, str]) -> None:
    world.rows(
        "UPDATE course SET fields = fields || CAST(:fields AS jsonb) RETURNING id",
        fields=dumps(fields),
    )


def test_not_begun_and_ended_rows_stop_nobody_and_remove_nobody(world: World) -> None:
    connector = world.afas.connectors["Deelnemer_per_cursusevenement"]
    connector.columns |= {"Van": "start", "Tot": "end"}
    _map(world, {"start": "Van", "end": "Tot"})
    _with(world)
    world.person(80)
    world.person(81, start="2999-01-01")
    world.person(82)
    world.sync()
    assert enrolled(world) == {"p80@example.nl", "p82@example.nl"}
    world.afas.change(340, 82, end="2020-01-01")
    run = world.sync()
    assert outcomes(run) == {"unchanged": 1, "not_yet": 1, "ended": 1}
    assert (run.removed, run.held_removals) == (0, 0)
    assert enrolled(world) == {"p80@example.nl", "p82@example.nl"}


def test_shared_account_stays_while_the_other_remains(world: World) -> None:
    _with(world, "unenroll_and_archive")
    for internal_id in (80, 81):
        world.person(internal_id, name="Jan", email_primary="jan@example.nl")
    _people(world, 90)
    world.sync()
    world.afas.remove(340, 80)
    run = world.sync()
    assert run.removed == 1
    assert enrolled(world) == {"jan@example.nl", "p90@example.nl"}
    assert not world.user("jan@example.nl")["archived"]
    world.afas.remove(340, 81)
    world.sync()
    assert enrolled(world) == {"p90@example.nl"}
    assert world.user("jan@example.nl")["archived"]


def test_who_stays_on_a_shared_account_gives_it_their_own_address(world: World) -> None:
    # given 9, who speaks for the account, and 80 with another address by now
    _with(world)
    for one in (9, 80):
        world.person(one, name="Jan", email_primary="jan@example.nl")
    _people(world, 90)
    world.sync()
    world.afas.set_email(80, "jan80@example.nl")
    world.sync()
    assert enrolled(world) == {"jan@example.nl", "p90@example.nl"}
    # when
    world.afas.remove(340, 9)
    world.sync()
    world.sync()
    # then
    assert enrolled(world) == {"jan80@example.nl", "p90@example.nl"}
    assert outcomes(world.sync()) == {"unchanged": 2}


def test_lower_id_speaks_for_a_shared_account_also_while_it_is_parked(world: World) -> None:
    for one in (9, 80):
        world.person(one, name="Jan", email_primary="jan@example.nl")
    world.sync()
    account = link(world, 9)["pluvo_id"]
    world.afas.set_email(80, "jan80@example.nl")
    world.sync()
    world.pluvo.add_user("bezet@example.org", "Vreemde")
    world.afas.set_email(9, "bezet@example.org")
    assert outcomes(world.sync())["ambiguous"] == 1
    # when
    world.sync(full=True)
    # then
    assert world.pluvo.users[account]["email"] == "jan@example.nl"


def test_two_who_share_an_account_may_leave_together(world: World) -> None:
    _with(world)
    for internal_id in (80, 81):
        world.person(internal_id, name="Jan", email_primary="jan@example.nl")
    _people(world, 90, 91)
    world.sync()
    for internal_id in (80, 81):
        world.afas.remove(340, internal_id)
    assert world.sync().removed == 2
    assert enrolled(world) == {"p90@example.nl", "p91@example.nl"}


def test_course_out_of_the_tenants_file_removes_nobody(world: World) -> None:
    _with(world)
    _people(world, 80, 81)
    world.person(80, 341)
    world.sync()
    world.rows("UPDATE course SET active = false WHERE event_id = '341' RETURNING id")
    for _ in range(2):
        run = world.sync()
        assert (run.rows, run.removed) == (2, 0)
    assert enrolled(world, "341") == {"p80@example.nl"}
    # nor does it free an account for the archive
    _with(world, "unenroll_and_archive")
    world.afas.remove(340, 80)
    assert world.sync().removed == 1
    assert not world.user("p80@example.nl")["archived"]


def test_absence_that_cannot_be_proven_is_not_acted_on(world: World) -> None:
    # given a page that hides somebody, who shows when asked for
    _with(world)
    _people(world, *range(80, 90))
    world.sync()
    world.fault("afas", "short", count=1, times=1)
    # when
    run = world.sync()
    # then
    assert run.snapshot == "suspect"
    assert run.reasons == ["absence_unproven"]
    assert (run.removed, run.unconfirmed) == (0, 1)
    assert world.roster() == world.expected()


def test_answers_that_are_cut_off_each_time_prove_nothing(world: World) -> None:
    # given AFAS that leaves out the last rows of whatever it is asked
    _with(world)
    _people(world, 80, 81, 82)
    world.sync()
    world.fault("afas", "short", count=2)
    # when
    run = world.sync()
    # then the ones who come last backwards are others
    assert run.reasons == ["absence_unproven"]
    assert world.roster() == world.expected()


def test_long_column_names_only_make_the_proof_take_more_questions(world: World) -> None:
    # given
    _with(world, event_count=50)
    connector = world.afas.connectors["Deelnemer_per_cursusevenement"]
    long = {"event_id": "CrId_" + "x" * 90, "internal_id": "Intern_ID_" + "x" * 90}
    connector.columns |= {long["event_id"]: "event_id", long["internal_id"]: "internal_id"}
    _map(world, long)
    _people(world, *range(80, 90))
    world.sync()
    for internal_id in (81, 82, 83, 84, 85):
        world.afas.remove(340, internal_id)
    # when / then
    assert world.sync().removed == 5
    assert world.roster() == world.expected()


def test_neighbours_who_do_not_show_prove_nothing(world: World) -> None:
    _with(world)
    _people(world, *range(80, 90))
    world.sync()
    world.afas.remove(340, 85)
    world.fault("afas", "empty", skip=2, times=1)
    run = world.sync()
    assert run.reasons == ["absence_unproven"]
    assert "p85@example.nl" in enrolled(world)
    world.clear_faults()
    assert world.sync().removed == 1


def test_one_person_who_left_is_handled_at_once(world: World) -> None:
    # given
    _with(world)
    _people(world, 80, 81, 82)
    world.sync()
    world.afas.remove(340, 81)
    world.afas.remove(340, 82)
    # when only one is asked about
    run = world.sync(person="81")
    # then
    assert run.removed == 1
    assert enrolled(world) == {"p80@example.nl", "p82@example.nl"}


def test_one_person_who_came_or_changed_is_handled_alone(world: World) -> None:
    _people(world, 80, 81)
    world.sync()
    world.afas.rename(80, "Anders")
    _people(world, 90, 91)
    run = world.sync(person="90")
    assert outcomes(run) == {"created": 1}
    assert enrolled(world) == {"p80@example.nl", "p81@example.nl", "p90@example.nl"}
    assert world.user("p80@example.nl")["name"] == "Persoon 80"
    assert outcomes(world.sync(person="80")) == {"updated": 1}
    assert outcomes(world.sync(person="4711")) == {}


def test_removal_that_pluvo_refused_stays_failed_until_something_changes(world: World) -> None:
    # given
    _with(world)
    _people(world, 80, 81)
    world.sync()
    world.afas.remove(340, 80)
    world.fault("pluvo", "graphql_error", code="Validation", match={"operation": "unenrollUserFromOfferEvent"})
    run = world.sync()
    assert [line["outcome"] for line in lines(world, run, 80)] == ["failed"]
    world.clear_log()
    # when
    run = world.sync()
    # then nothing is tried again
    assert world.writes() == []
    assert [line["outcome"] for line in lines(world, run, 80)] == ["failed"]
    # until the settings change
    world.clear_faults()
    world.set_tenant(settings_version=2)
    assert world.sync().removed == 1
    assert enrolled(world) == {"p81@example.nl"}


def test_removal_under_way_is_not_planned_twice(world: World) -> None:
    _with(world)
    _people(world, 80, 81)
    world.sync()
    world.afas.remove(340, 80)
    world.fault("pluvo", "status", status=502, match={"operation": "unenrollUserFromOfferEvent"})
    first = world.sync()
    second = world.sync()
    assert [line["outcome"] for line in lines(world, first, 80)] == ["pending"]
    assert lines(world, second, 80) == []
    world.clear_faults()
    retry_now(world)
    world.drain()
    assert world.run(first.id).removed == 1
    assert enrolled(world) == {"p81@example.nl"}


def test_somebody_who_left_before_they_were_made_leaves_no_trace(world: World) -> None:
    _with(world)
    _people(world, 80, 81)
    world.sync()
    _people(world, 82)
    world.begin()
    world.afas.remove(340, 82)
    world.sync()
    assert enrolled(world) == {"p80@example.nl", "p81@example.nl"}
    assert world.pluvo.find_user(email="p82@example.nl") is None
    assert world.rows("SELECT * FROM message") == []


def test_somebody_whose_creation_got_lost_and_who_left_is_taken_out_again(world: World) -> None:
    # given an account of which we never heard
    _with(world)
    _people(world, 80, 81)
    world.sync()
    _people(world, 82)
    world.fault("pluvo", "lost_answer", times=1, match={"operation": "createUser"})
    world.sync()
    assert "p82@example.nl" in enrolled(world)
    assert link(world, 82) == {}
    # when they leave before it is looked up
    world.afas.remove(340, 82)
    world.sync()
    retry_now(world)
    world.drain()
    # then
    assert world.roster() == world.expected()
    assert link(world, 82)["created_by_us"]


def test_limits_are_the_tenants_own(world: World) -> None:
    removals: dict[str, Any] = now_removals(event_count=0, event_percent=0)
    world.set_tenant(removals=removals)
    _people(world, *range(80, 90))
    world.sync()
    world.afas.remove(340, 80)
    assert world.sync().held_removals == 1
