"""Who gets which Pluvo account."""

from __future__ import annotations

from typing import Any

import pytest

from models.session import session
from models.tenant import Tenant
from ops.people import explain, links
from tests.fixtures.looking import enrolled, invitations, lines, link, outcomes, reasons
from tests.fixtures.world import World

WHO = "tester"


def test_afas_id_goes_before_the_address(world: World) -> None:
    # given an account with the AFAS id under another address, and one with the address
    world.person(80)
    by_id = world.pluvo.add_user("oud@example.org", "Vroeger", afasContactId="80")
    by_email = world.pluvo.add_user("p80@example.nl", "Persoon 80")
    # when
    run = world.sync()
    # then the address can't be had, and nothing is done instead of something wrong
    assert outcomes(run) == {"ambiguous": 1}
    assert link(world, 80)["reason"] == "email_taken"
    assert world.pluvo.users[by_id["id"]]["email"] == "oud@example.org"
    assert world.pluvo.users[by_email["id"]]["name"] == "Persoon 80"
    assert len(world.pluvo.users) == 2


@pytest.mark.parametrize("target", ["offer_event", "group"])
@pytest.mark.parametrize("takes_ids", [True, False], ids=["by-id", "by-ref-only"])
def test_ref_that_is_somebody_elses_by_now_enrolls_no_stranger(world: World, target: str, takes_ids: bool) -> None:
    # given an account with a ref of the customer's own, and a Pluvo that may know no enrolling by id
    group = world.pluvo.add_group("BHV", "bhv")
    if target == "group":
        world.retarget(341, group_ref="bhv")
    if not takes_ids:
        lacking = ["Mutation.createOfferEventEnrollments.userIds", "Mutation.addUsersToGroup.userIds"]
        world.pluvo.change_switches(hidden=lacking)
    account = world.pluvo.add_user("p80@example.nl", "Persoon 80", ref="hr-7")
    world.person(80)
    world.sync()
    assert enrolled(world) == {"p80@example.nl"}
    # when the customer numbers its people anew
    world.pluvo.change_user(account["id"], ref="hr-8")
    world.pluvo.add_user("vreemd@example.org", "Vreemde", ref="hr-7")
    world.person(80, 341)
    world.sync()
    # then
    if target == "group":
        assert set(group["members"]) == {account["id"]}
    else:
        assert enrolled(world, "341") == {"p80@example.nl"}


def test_account_with_the_afas_id_is_linked_and_follows_the_address(world: World) -> None:
    world.person(80)
    account = world.pluvo.add_user("oud@example.org", "Vroeger", afasContactId="80", ref="hr-80", roles=["MANAGER"])
    run = world.sync()
    assert outcomes(run) == {"linked": 1}
    assert link(world, 80)["linked_by"] == "afas_id"
    after = world.pluvo.users[account["id"]]
    assert (after["email"], after["name"], after["ref"]) == ("p80@example.nl", "Persoon 80", "hr-80")
    assert after["roles"] == ["MANAGER"]
    assert invitations(world) == 0


def test_same_address_is_linked_keeps_its_own_and_gets_only_empty_afas_ids(world: World) -> None:
    # given
    world.person(80)
    world.person(81)
    own = world.pluvo.add_user(
        "P80@EXAMPLE.NL", "Persoon 80", ref="sso-80", roles=["MANAGER"], language="EN", afasPersonId="from-elsewhere"
    )
    # when
    run = world.sync()
    # then
    assert outcomes(run) == {"linked": 1, "created": 1}
    linked = world.pluvo.users[own["id"]]
    assert linked["email"] == "p80@example.nl"
    assert (linked["ref"], linked["roles"], linked["language"]) == ("sso-80", ["MANAGER"], "EN")
    assert (linked["afasPersonId"], linked["afasContactId"]) == ("from-elsewhere", "80")
    made = world.user("p81@example.nl")
    assert (made["ref"], made["roles"], made["language"]) == ("afas:12345:81", ["PARTICIPANT"], "NL")
    assert (made["afasPersonId"], made["afasContactId"]) == ("1000081", "81")
    assert [mail["userId"] for mail in world.pluvo.mails] == [made["id"]]
    assert enrolled(world) == {"p80@example.nl", "p81@example.nl"}


def test_nobody_is_invited_from_a_test_environment_of_afas(world: World) -> None:
    # given courses with send_invite
    assert all(course.pluvo.send_invite for course in world.courses())
    tenant = world.rows("SELECT afas FROM tenant")[0]["afas"]
    world.set_tenant(afas=tenant | {"environment": "test"})
    world.person(80)
    # when
    world.sync()
    # then
    assert world.user("p80@example.nl")["invitedOn"] is None
    assert world.pluvo.mails == []


def test_archived_account_is_restored(world: World) -> None:
    world.person(80)
    world.pluvo.add_user("p80@example.nl", "Persoon 80", archived=True, isActive=False)
    run = world.sync()
    assert outcomes(run) == {"linked": 1}
    assert not world.user("p80@example.nl")["archived"]
    assert invitations(world) == 0
    assert world.roster() == world.expected()


def test_enrollment_that_exists_is_adopted(world: World) -> None:
    world.person(80)
    user = world.pluvo.add_user("p80@example.nl", "Persoon 80")
    event = next(event for event in world.pluvo.offer_events.values() if event["ref"] == "afas-340")
    before = dict(world.pluvo.enroll(user["id"], event["id"]))
    world.sync()
    assert world.pluvo.enrollments[user["id"], event["id"]] == before
    assert world.rows("SELECT state FROM enrollment") == [{"state": "enrolled"}]


def test_preset_link_is_taken_before_anything_else(world: World) -> None:
    # given an operator's word about someone never seen, and a tempting account
    account = world.pluvo.add_user("elders@example.org", "Iemand")
    links.set_link("acme", "80", account["id"], who=WHO)
    world.person(80)
    # when
    run = world.sync()
    # then
    assert outcomes(run) == {"linked": 1}
    assert (link(world, 80)["pluvo_id"], link(world, 80)["linked_by"]) == (account["id"], "operator")
    assert world.pluvo.users[account["id"]]["email"] == "p80@example.nl"
    assert len(world.pluvo.users) == 1
    assert outcomes(world.sync()) == {"unchanged": 1}


def test_preset_link_to_an_account_that_is_gone_waits_for_an_operator(world: World) -> None:
    links.set_link("acme", "80", "00000000-0000-0000-0000-000000000000", who=WHO)
    world.person(80)
    assert outcomes(world.sync()) == {"ambiguous": 1}
    assert link(world, 80)["reason"] == "account_gone"
    assert world.pluvo.users == {}


def test_two_people_of_one_name_and_address_share_one_account(world: World) -> None:
    # given
    world.person(80, name="Jan  de Vries", email_primary="jan@example.nl")
    world.person(9, name="JAN de vries", email_primary="Jan@Example.nl")
    world.person(81, event_id=341, name="Jan de Vries", email_primary="jan@example.nl")
    # when
    run = world.sync()
    # then the lowest id speaks
    assert outcomes(run) == {"created": 1, "linked": 2}
    assert len(world.pluvo.users) == 1
    account = world.user("jan@example.nl")
    assert (account["name"], account["email"]) == ("JAN de vries", "Jan@Example.nl")
    assert {link(world, one)["pluvo_id"] for one in (9, 80, 81)} == {account["id"]}
    assert invitations(world) == 1
    assert outcomes(world.sync()) == {"unchanged": 3}
    full = world.sync(full=True)
    assert outcomes(full) == {"unchanged": 3}


def test_two_people_of_other_names_with_one_address_wait_for_an_operator(world: World) -> None:
    # given
    for internal_id in (80, 81, 82):
        world.person(internal_id, email_primary="info@example.nl")
    world.person(83)
    # when
    run = world.sync()
    # then the lowest id has the account
    assert outcomes(run) == {"created": 2, "ambiguous": 2}
    assert reasons(world, run)["81"] == reasons(world, run)["82"] == ("ambiguous", "same_email")
    assert world.user("info@example.nl")["ref"] == "afas:12345:80"
    # and from now on they are shown whose account it is
    world.sync()
    assert [one["linked_to"] for one in link(world, 81)["candidates"]] == ["80"]


def test_operator_links_even_to_an_account_that_someone_has(world: World) -> None:
    # given
    for internal_id in (80, 81):
        world.person(internal_id, email_primary="info@example.nl")
    world.person(81, event_id=341, email_primary="info@example.nl")
    world.sync()
    account = world.user("info@example.nl")
    # when
    links.decide("acme", "81", "link", account["id"], who=WHO)
    run = world.sync()
    # then
    assert outcomes(run)["linked"] == 1
    assert link(world, 81)["pluvo_id"] == account["id"]
    assert account["name"] == "Persoon 80"
    assert enrolled(world, "341") == {"info@example.nl"}
    assert outcomes(world.sync()) == {"unchanged": 3}


def test_operator_ignores_someone_for_ever(world: World) -> None:
    for internal_id in (80, 81):
        world.person(internal_id, email_primary="info@example.nl")
    world.sync()
    links.decide("acme", "81", "ignore", None, who=WHO)
    for _ in range(2):
        run = world.sync()
        assert outcomes(run) == {"unchanged": 1, "rejected": 1}
        assert reasons(world, run)["81"] == ("rejected", "ignored")
    # and is never removed either
    world.afas.remove(340, 81)
    world.set_tenant(removals={"policy": "unenroll", "confirm_after": 0, "limits": {}})
    assert outcomes(world.sync()) == {"unchanged": 1}


def test_operator_lets_an_account_be_made_once_the_address_is_free(world: World) -> None:
    # given an account that says it is another AFAS person's
    stranger = world.pluvo.add_user("p80@example.nl", "Iemand", afasContactId="999")
    world.person(80)
    assert reasons(world, world.sync())["80"] == ("ambiguous", "other_afas_id")
    # when it is decided, but the address is still in use
    links.decide("acme", "80", "create", None, who=WHO)
    run = world.sync()
    assert reasons(world, run)["80"] == ("ambiguous", "email_taken")
    assert world.user("p80@example.nl")["id"] == stranger["id"]
    # then it is made as soon as it is not
    world.pluvo.change_user(stranger["id"], email="iemand@example.org")
    assert outcomes(world.sync()) == {"created": 1}
    assert world.user("p80@example.nl")["ref"] == "afas:12345:80"


@pytest.mark.parametrize("own", [{"afasContactId": "999"}, {"ref": "afas:12345:999"}])
def test_account_that_names_another_afas_person_is_not_taken(world: World, own: dict[str, Any]) -> None:
    world.person(80)
    world.pluvo.add_user("p80@example.nl", "Persoon 80", **own)
    run = world.sync()
    assert reasons(world, run)["80"] == ("ambiguous", "other_afas_id")
    assert world.writes() == []


def test_candidate_of_another_afas_person_is_not_taken(world: World) -> None:
    # given a leaver whose account keeps the address
    world.person(80)
    world.person(82)
    world.sync()
    world.set_tenant(removals={"policy": "unenroll", "confirm_after": 0, "limits": {}})
    world.afas.remove(340, 80)
    world.sync()
    # when somebody else comes with that address
    world.person(81, email_primary="p80@example.nl")
    run = world.sync()
    # then
    assert reasons(world, run)["81"] == ("ambiguous", "same_email")
    assert [one["linked_to"] for one in link(world, 81)["candidates"]] == ["80"]
    assert enrolled(world) == {"p82@example.nl"}


def test_new_contact_of_the_same_name_and_address_goes_on_with_the_leavers_account(world: World) -> None:
    # given a contact that was made anew in AFAS
    world.set_tenant(removals={"policy": "unenroll", "confirm_after": 0, "limits": {}})
    world.person(70)
    world.person(80)
    world.sync()
    world.afas.remove(340, 80)
    world.person(81, name="Persoon 80", email_primary="p80@example.nl")
    # when
    run = world.sync()
    # then
    assert outcomes(run) == {"unchanged": 1, "linked": 1}
    assert link(world, 81)["pluvo_id"] == link(world, 80)["pluvo_id"]
    assert enrolled(world) == {"p70@example.nl", "p80@example.nl"}
    assert invitations(world) == 2


def test_linked_person_whose_new_address_is_a_strangers_keeps_all(world: World) -> None:
    world.person(80)
    world.sync()
    stranger = world.pluvo.add_user("nieuw@example.nl", "Vreemde")
    world.afas.set_email(80, "nieuw@example.nl")
    run = world.sync()
    assert reasons(world, run)["80"] == ("ambiguous", "email_taken")
    assert [one["pluvo_id"] for one in link(world, 80)["candidates"]] == [stranger["id"]]
    assert world.pluvo.find_user(email="p80@example.nl") is not None
    # and goes on by itself once it is free
    world.pluvo.change_user(stranger["id"], email="ander@example.nl")
    assert outcomes(world.sync()) == {"updated": 1}
    assert link(world, 80)["state"] == "linked"


def test_account_that_is_gone_is_never_replaced_by_itself(world: World) -> None:
    # given
    world.person(80)
    world.sync()
    world.pluvo.purge_user(world.user("p80@example.nl")["id"])
    # when a full run looks
    run = world.sync(full=True)
    # then
    assert reasons(world, run)["80"] == ("ambiguous", "account_gone")
    for _ in range(2):
        assert reasons(world, world.sync())["80"] == ("ambiguous", "account_gone")
    assert world.pluvo.users == {}
    # until an operator forgets the link
    links.remove("acme", "80", erase=False, who=WHO)
    assert outcomes(world.sync()) == {"created": 1}


def test_link_never_moves_by_itself(world: World) -> None:
    # given two linked people
    world.person(80)
    world.person(81)
    world.sync()
    before = {one: link(world, one)["pluvo_id"] for one in (80, 81)}
    # when everything about them changes, also who carries which AFAS id in Pluvo
    for user, other in ((before[80], "81"), (before[81], "80")):
        world.pluvo.change_user(user, afasContactId=other)
    world.afas.rename(80, "Persoon 81")
    world.afas.rename(81, "Persoon 80")
    world.sync(full=True)
    # then
    assert {one: link(world, one)["pluvo_id"] for one in (80, 81)} == before


@pytest.mark.parametrize("verb", ["remove", "move-and-remove"])
def test_account_that_an_operator_took_away_does_not_come_back_by_the_afas_id_we_wrote(world: World, verb: str) -> None:
    # given somebody who was linked to a stranger's account, which got their AFAS id with it
    strangers = world.pluvo.add_user("vreemd@example.org", "Vreemde", ref="hr-9")
    links.set_link("acme", "80", strangers["id"], who=WHO)
    world.person(80)
    world.sync()
    assert world.pluvo.users[strangers["id"]]["afasContactId"] == "80"
    # when an operator takes it back, and gives the stranger name and address again
    if verb == "move-and-remove":
        links.set_link("acme", "80", world.pluvo.add_user("elders@example.org", "Iemand")["id"], who=WHO)
    links.remove("acme", "80", erase=False, who=WHO)
    world.pluvo.change_user(strangers["id"], name="Vreemde", email="vreemd@example.org")
    # then they get one of their own
    assert reasons(world, world.sync(full=True))["80"][0] == "created"
    assert world.pluvo.users[strangers["id"]]["name"] == "Vreemde"
    # when it is theirs after all
    links.set_link("acme", "80", strangers["id"], who=WHO)
    (found,) = world.rows("SELECT not_theirs FROM person WHERE internal_id = '80'")
    assert strangers["id"] not in found["not_theirs"]


def test_operators_link_holds_against_a_message_under_way(world: World) -> None:
    # given a planned create
    other = world.pluvo.add_user("elders@example.org", "Iemand")
    world.person(80)
    world.begin()
    # when an operator links before it is done
    links.set_link("acme", "80", other["id"], who=WHO)
    world.drain()
    # then
    assert link(world, 80)["pluvo_id"] == other["id"]
    assert enrolled(world) == {"p80@example.nl"}
    assert len(world.pluvo.users) == 1


def test_address_that_a_linked_account_got_after_the_plan_is_not_taken_with_it(world: World) -> None:
    # given a planned create
    world.pluvo.add_user("p80@example.nl", "Persoon 80", ref="hr-80")
    world.person(80)
    world.sync()
    world.person(81)
    run = world.begin()
    # when somebody else's account has that address by then, and does not say whose it is
    account = link(world, 80)["pluvo_id"]
    world.pluvo.users[account]["afasContactId"] = None
    world.pluvo.change_user(account, email="p81@example.nl")
    world.drain()
    # then
    assert reasons(world, run)["81"] == ("ambiguous", "candidate_taken")
    assert link(world, 81)["pluvo_id"] is None
    assert [one["linked_to"] for one in link(world, 81)["candidates"]] == ["80"]
    assert world.pluvo.users[account]["name"] == "Persoon 80"


def test_account_made_after_the_plan_is_linked_instead_of_doubled(world: World) -> None:
    world.person(80)
    run = world.begin()
    world.pluvo.add_user("P80@example.nl", "Persoon 80", ref="hr")
    world.drain()
    assert outcomes(world.run(run.id)) == {"linked": 1}
    assert len(world.pluvo.users) == 1
    assert invitations(world) == 0
    assert not link(world, 80)["created_by_us"]


def test_several_names_in_several_events_follow_the_lowest_event(world: World) -> None:
    world.person(80, event_id=341, name="Naam in 341")
    world.person(80, event_id=340, name="Naam in 340")
    world.sync()
    assert world.user("p80@example.nl")["name"] == "Naam in 340"
    world.afas.change(341, 80, name="Nog anders in 341")
    assert outcomes(world.sync()) == {"unchanged": 2}
    assert world.user("p80@example.nl")["name"] == "Naam in 340"
    # when the lowest event can't be read, what is stored stays
    world.afas.change(341, 80, name="Weer anders")
    world.fault("afas", "status", status=502, match={"operation": "page", "path_contains": "340"})
    run = world.sync()
    assert run.snapshot == "partial"
    assert world.user("p80@example.nl")["name"] == "Naam in 340"
    world.clear_faults()
    # and once they have left it, the next event speaks, at the latest in the nightly full run
    world.afas.remove(340, 80)
    world.person(99)
    world.sync(full=True)
    assert world.user("p80@example.nl")["name"] == "Weer anders"


def test_thousand_foreign_accounts_are_never_touched(world: World) -> None:
    # given
    for n in range(1000):
        world.pluvo.add_user(f"vreemd{n}@example.org", f"Vreemde {n}", archived=n % 7 == 0)
    before = {user["id"]: dict(user) for user in world.pluvo.users.values()}
    for internal_id in range(80, 90):
        world.person(internal_id)
    world.set_tenant(removals={"policy": "unenroll_and_archive", "confirm_after": 0, "limits": {"event_percent": 100}})
    # when people come, change, leave and are looked at again
    world.sync()
    world.afas.rename(80, "Hernoemd")
    world.afas.remove(340, 81)
    world.sync()
    world.sync(full=True)
    # then
    assert {key: world.pluvo.users[key] for key in before} == before
    assert {user_id for user_id, _ in world.pluvo.enrollments}.isdisjoint(before)


def test_each_writing_call_is_recorded_once(world: World) -> None:
    world.person(80)
    run = world.sync()
    world.afas.rename(80, "Anders")
    world.sync()
    changes = world.rows("SELECT operation, result, internal_id, run_id FROM change ORDER BY id")
    assert [(one["operation"], one["result"], one["internal_id"]) for one in changes] == [
        ("create", "done", "80"),
        ("update", "done", "80"),
    ]
    assert changes[0]["run_id"] == run.id
    assert lines(world, run, 80)[0]["after"]["name"] == "Persoon 80"


def test_who_is_parked_beside_an_account_still_to_be_made_learns_its_id(world: World) -> None:
    # given two newcomers of different names with one address
    world.person(80, email_primary="samen@example.nl")
    world.person(81, email_primary="samen@example.nl")
    # when only the plan was made
    run = world.begin()
    # then the operator sees beside whom
    assert reasons(world, run)["81"] == ("ambiguous", "same_email")
    (candidate,) = links.show("acme", "81")["candidates"]
    assert candidate == {
        "pluvo_id": None,
        "name": "Persoon 80",
        "email": "samen@example.nl",
        "archived": False,
        "linked_to": "80",
    }
    # and when the account was made, which one it is
    world.drain()
    account = world.user("samen@example.nl")["id"]
    assert [one["pluvo_id"] for one in links.show("acme", "81")["candidates"]] == [account]
    (listed,) = links.listing(tenant="acme", state="ambiguous").items
    assert listed["candidates"][0]["pluvo_id"] == account
    (explained,) = explain.explain("acme", "81")["people"]
    assert (explained["link"] or {})["candidates"][0]["pluvo_id"] == account
    # so that it can be decided
    links.decide("acme", "81", "link", account, who=WHO)
    assert outcomes(world.sync()) == {"linked": 1, "unchanged": 1}


@pytest.mark.parametrize("found", ["address", "our ref", "both"])
def test_account_deleted_and_made_again_is_offered(world: World, found: str) -> None:
    # given an account that is gone, and another one of the same person
    world.person(80)
    world.sync()
    world.pluvo.purge_user(world.user("p80@example.nl")["id"])
    email = "elders@example.nl" if found == "our ref" else "P80@example.nl"
    again = world.pluvo.add_user(email, "Persoon 80", ref="hr-80" if found == "address" else "afas:12345:80")
    # when it is looked at
    world.sync(full=True)
    # then
    assert link(world, 80)["reason"] == "account_gone"
    assert [one["pluvo_id"] for one in links.show("acme", "80")["candidates"]] == [again["id"]]
    links.decide("acme", "80", "link", again["id"], who=WHO)
    world.sync()
    assert world.roster() == world.expected()


def test_who_lost_their_account_to_another_person_never_puts_it_into_an_event(world: World) -> None:
    # given the account that was made for 80, which an operator gave to 81
    world.person(80)
    world.person(81, 341)
    world.sync()
    account = world.user("p80@example.nl")
    links.remove("acme", "80", erase=False, who="tester")
    links.remove("acme", "81", erase=False, who="tester")
    links.set_link("acme", "81", account["id"], who="tester")
    world.sync()
    event = next(event for event in world.pluvo.offer_events.values() if event["ref"] == "afas-340")
    world.pluvo.enrollments.pop((account["id"], event["id"]), None)
    # when 80, under another address, is to get an account of their own: our ref is in use
    world.afas.set_email(80, "anders@example.nl")
    world.sync()
    # then
    assert (account["id"], event["id"]) not in world.pluvo.enrollments
    assert link(world, 80)["state"] == "ambiguous"


def test_archived_account_whose_new_address_is_taken_stays_archived(world: World) -> None:
    # given an account that was made for 80, archived by hand, and an operator who took it away
    world.person(80)
    world.sync()
    account = world.user("p80@example.nl")
    links.remove("acme", "80", erase=False, who="tester")
    world.pluvo.change_user(account["id"], archived=True)
    # and someone who takes the address that 80 has in AFAS now, between the plan and its message
    world.afas.set_email(80, "bezet@example.nl")
    world.begin()
    world.pluvo.add_user("bezet@example.nl", "Iemand", ref="een")
    # when
    world.drain()
    # then
    assert link(world, 80)["state"] == "ambiguous"
    assert world.pluvo.users[account["id"]]["archived"]


def leave_other_names(world: World) -> None:
    with session() as opened:
        now = opened.get_one(Tenant, world.tenant_id).pluvo
    world.set_tenant(pluvo=now.model_dump() | {"other_name": "ambiguous"})


def test_an_account_of_another_name_is_linked_unless_the_tenant_leaves_that_to_an_operator(world: World) -> None:
    # given
    world.person(80, name="Piet Jansen", email_primary="info@example.nl")
    world.person(81, name="Bos, A.", email_primary="bos@example.nl")
    world.pluvo.add_user("info@example.nl", "Karin Bos")
    world.pluvo.add_user("bos@example.nl", "Anna Bos")
    assert world.plan().outcomes["linked"] == 2
    leave_other_names(world)
    # when
    run = world.sync()
    # then only who may be somebody else waits, with the account to look at
    assert reasons(world, run) == {"80": ("ambiguous", "other_name"), "81": ("linked", None)}
    assert [one["name"] for one in link(world, 80)["candidates"]] == ["Karin Bos"]
    assert world.user("info@example.nl")["name"] == "Karin Bos"
    assert enrolled(world) == {"bos@example.nl"}
    # and whoever says that it is theirs is not asked again
    links.decide("acme", "80", "link", world.user("info@example.nl")["id"], who=WHO)
    assert outcomes(world.sync()) == {"linked": 1, "unchanged": 1}
    assert world.user("info@example.nl")["name"] == "Piet Jansen"


def test_an_account_that_got_another_name_since_the_plan_is_left_to_an_operator_too(world: World) -> None:
    leave_other_names(world)
    world.person(80, name="Piet Jansen", email_primary="info@example.nl")
    account = world.pluvo.add_user("info@example.nl", "P. Jansen")
    world.begin()
    world.pluvo.change_user(account["id"], name="Karin Bos")
    world.drain()
    assert (link(world, 80)["state"], link(world, 80)["reason"]) == ("ambiguous", "other_name")
    assert world.writes() == []
