"""Each of the seven guards: what it holds, exactly at its limit and one above it, and nothing else."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

import pytest

from models.session import transaction
from ops.people import links
from producers.enrollments.decide_holds import release
from tests.fixtures.looking import enrolled, holds, invitations, outcomes
from tests.fixtures.world import World, now_removals

LOOSE = {"event_count": 500, "run_count": 500, "window_count": 500, "creates_count": 500, "email_changes_count": 500}


@dataclass(frozen=True)
class Case:
    """A limit of five over ``base`` people, and what goes over it."""

    guard: str
    limits: dict[str, float]
    kind: str = "removal"
    base: int = 30
    at: int = 5


CASES = [
    Case("removals_event", {"event_count": 5, "event_percent": 0}),
    Case("removals_event", {"event_count": 0, "event_percent": 10}, base=40, at=4),
    Case("removals_run", {"run_count": 5, "run_percent": 0}),
    Case("removals_run", {"run_count": 0, "run_percent": 5}, base=40, at=2),
    Case("removals_window", {"window_count": 5, "window_percent": 0}),
    Case("removals_window", {"window_count": 0, "window_percent": 15}, base=20, at=3),
    Case("creates", {"creates_count": 5, "creates_percent": 0}, kind="create"),
    Case("creates", {"creates_count": 0, "creates_percent": 50}, kind="create", base=12, at=6),
    Case("email_changes", {"email_changes_count": 5, "email_changes_percent": 0}, kind="email_change"),
    Case("email_changes", {"email_changes_count": 0, "email_changes_percent": 20}, kind="email_change", base=20, at=4),
]


def _fill(world: World, count: int, limits: dict[str, float]) -> None:
    world.set_tenant(removals=now_removals(**(LOOSE | limits)))
    for internal_id in range(1, count + 1):
        world.person(internal_id)
    world.sync()


def _do(world: World, kind: str, count: int, base: int) -> None:
    for n in range(1, count + 1):
        if kind == "removal":
            world.afas.remove(340, n)
        elif kind == "create":
            world.person(base + n)
        else:
            world.afas.set_email(n, f"nieuw{n}@example.nl")


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.guard}-{case.at}-of-{case.base}")
@pytest.mark.parametrize("over", [0, 1], ids=["at-limit", "one-above"])
def test_guard_holds_one_above_its_limit_and_only_its_kind(world: World, case: Case, over: int) -> None:
    # given
    _fill(world, case.base, case.limits)
    before = enrolled(world)
    # when something of another kind happens too
    _do(world, case.kind, case.at + over, case.base)
    world.afas.rename(case.base, "Hernoemd")
    run = world.sync()
    # then
    found = outcomes(run)
    held = found.get("held", 0) + run.held_removals
    assert held == (case.at + over if over else 0)
    assert [hold["guard"] for hold in holds(world)] == ([case.guard] if over else [])
    assert world.user(f"p{case.base}@example.nl")["name"] == "Hernoemd"
    if over:
        assert len(holds(world)[0]["people"]) == case.at + 1
        assert enrolled(world) == before
    else:
        assert world.roster() == world.expected()


@pytest.mark.parametrize("guard", ["run", "window"])
@pytest.mark.parametrize("leaving", [6, 7])
def test_run_and_window_count_enrollments_not_people(world: World, guard: str, leaving: int) -> None:
    # given people in two events each, and room for twelve removals
    world.set_tenant(removals=now_removals(**(LOOSE | {f"{guard}_count": 12, f"{guard}_percent": 0})))
    for event_id in (340, 341):
        for one in range(1, 31):
            world.person(one, event_id)
    world.sync()
    # when
    for event_id in (340, 341):
        for one in range(1, leaving + 1):
            world.afas.remove(event_id, one)
    run = world.sync()
    # then
    assert (run.removed, run.held_removals) == ((12, 0) if leaving == 6 else (0, 14))


def test_percentages_of_removals_are_of_enrollments(world: World) -> None:
    # given 40 people in two events each: 80 enrollments, of which a tenth may go
    world.set_tenant(removals=now_removals(**(LOOSE | {"run_count": 0, "run_percent": 10})))
    for event_id in (340, 341):
        for one in range(1, 41):
            world.person(one, event_id)
    world.sync()
    for one in range(1, 9):
        world.afas.remove(340, one)
    # when, then
    assert world.sync().removed == 8
    for one in range(9, 18):
        world.afas.remove(340, one)
    assert world.sync().held_removals == 9


def test_emptied_event_is_always_held_from_two_people_on(world: World) -> None:
    # given an event of two among others
    _fill(world, 25, {})
    world.person(1, 341)
    world.person(2, 341)
    world.person(3, 341, blocked=False)
    world.sync()
    # when two leave, one stays
    world.afas.remove(341, 1)
    world.afas.remove(341, 2)
    assert world.sync().removed == 2
    # when everybody is blocked, so that the event is not short but empty
    connector = world.afas.connectors["Deelnemer_per_cursusevenement"]
    connector.columns["Geblokkeerd"] = "blocked"
    fields = """UPDATE course SET fields = fields || '{"blocked": "Geblokkeerd"}' RETURNING id"""
    world.rows(fields)
    world.person(4, 341)
    world.sync()
    for internal_id in (3, 4):
        world.afas.change(341, internal_id, blocked=True)
    run = world.sync()
    # then
    assert run.held_removals == 2
    assert [(hold["guard"], hold["event_id"]) for hold in holds(world)] == [("event_emptied", "341")]
    assert enrolled(world, "341") == {"p3@example.nl", "p4@example.nl"}


def test_short_snapshot_holds_the_removals_of_that_event_only(world: World) -> None:
    # given
    _fill(world, 30, {})
    for internal_id in range(1, 6):
        world.person(internal_id, 341)
    world.sync()
    # when a filter hides a quarter, and someone really leaves elsewhere
    for internal_id in range(20, 31):
        world.afas.remove(340, internal_id)
    world.afas.remove(341, 1)
    run = world.sync()
    # then
    assert run.snapshot == "suspect"
    assert (run.removed, run.held_removals) == (1, 11)
    assert [(hold["guard"], len(hold["people"])) for hold in holds(world)] == [("short_snapshot", 11)]
    assert len(enrolled(world)) == 30


@pytest.mark.parametrize(("left", "short"), [(16, False), (15, True)])
def test_short_begins_under_four_fifths_of_twenty(world: World, left: int, short: bool) -> None:
    _fill(world, 20, {})
    for internal_id in range(left + 1, 21):
        world.afas.remove(340, internal_id)
    run = world.sync()
    assert (run.reasons == ["short"]) is short
    assert len(enrolled(world)) == (20 if short else left)


def test_nineteen_may_shrink_without_being_short_but_not_to_none(world: World) -> None:
    _fill(world, 19, {})
    for internal_id in range(2, 20):
        world.afas.remove(340, internal_id)
    assert world.sync().removed == 18
    world.afas.remove(340, 1)
    run = world.sync()
    assert run.reasons == ["short"]
    assert enrolled(world) == {"p1@example.nl"}


def test_window_counts_the_removals_of_seven_days(world: World) -> None:
    # given
    _fill(world, 40, {"window_count": 5, "window_percent": 0})
    for day in range(2):
        for internal_id in (1 + 2 * day, 2 + 2 * day):
            world.afas.remove(340, internal_id)
        assert world.sync().removed == 2
    # when the sixth goes
    world.afas.remove(340, 5)
    assert world.sync().removed == 1
    world.afas.remove(340, 6)
    run = world.sync()
    assert run.held_removals == 1
    assert holds(world)[0]["measure"]["before"] == 5
    # then a week later it may
    world.rows("UPDATE plan_line SET created_at = created_at - interval '7 days' RETURNING id")
    run = world.sync()
    assert (run.removed, holds(world)) == (1, [])


def test_window_does_not_count_what_an_operator_released(world: World) -> None:
    # given six who were released
    _fill(world, 40, {"window_count": 5, "window_percent": 0})
    _do(world, "removal", 6, 40)
    assert world.sync().held_removals == 6
    with transaction() as connection:
        release(connection, holds(world)[0]["id"], reason="it is so", who="tester")
    world.drain()
    # when as many as may leave by themselves
    for internal_id in range(7, 12):
        world.afas.remove(340, internal_id)
    # then
    assert world.sync().removed == 5
    assert world.roster() == world.expected()


def test_window_does_not_count_who_came_back_in_time(world: World) -> None:
    # given removals that did not get through before everybody was back
    _fill(world, 40, {"window_count": 5, "window_percent": 0})
    world.fault("pluvo", "status", status=502, match={"operation": "unenrollUserFromOfferEvent"})
    _do(world, "removal", 3, 40)
    world.sync()
    for internal_id in (1, 2, 3):
        world.person(internal_id)
    world.sync()
    world.clear_faults()
    # when others leave
    for internal_id in range(11, 16):
        world.afas.remove(340, internal_id)
    # then
    assert world.sync().removed == 5
    assert world.roster() == world.expected()


def test_window_counts_a_removal_that_is_planned_again_once(world: World) -> None:
    # given removals that do not get through
    _fill(world, 40, {"window_count": 5, "window_percent": 0})
    for internal_id in (1, 2, 3):
        world.afas.remove(340, internal_id)
    world.fault("pluvo", "status", status=502, match={"operation": "unenrollUserFromOfferEvent"})
    world.sync()
    world.rows("DELETE FROM message RETURNING id")  # as if all of them had used up their attempts
    # when they are planned again and again
    for _ in range(3):
        run = world.sync()
        assert run.held_removals == 0
        world.rows("DELETE FROM message RETURNING id")
    world.clear_faults()
    # then
    assert world.sync().removed == 3


def test_creates_are_unlimited_until_a_first_complete_run(world: World) -> None:
    world.set_tenant(removals=now_removals(creates_count=3, creates_percent=0))
    for internal_id in range(1, 11):
        world.person(internal_id)
    assert outcomes(world.sync()) == {"created": 10}
    for internal_id in range(11, 15):
        world.person(internal_id)
    assert outcomes(world.sync()) == {"unchanged": 10, "held": 4}


def test_held_creation_holds_every_event_of_that_person(world: World) -> None:
    _fill(world, 5, {"creates_count": 1, "creates_percent": 0})
    for internal_id in (10, 11):
        world.person(internal_id)
        world.person(internal_id, 341)
    run = world.sync()
    assert outcomes(run) == {"unchanged": 5, "held": 4}
    assert len(world.pluvo.users) == 5
    assert holds(world)[0]["measure"]["count"] == 2


def test_guards_never_overshoot_with_eight_workers(world: World) -> None:
    # given 40 leavers where 10 may go, among work of other kinds
    _fill(world, 60, {"run_count": 10, "run_percent": 0})
    for internal_id in range(1, 41):
        world.person(100 + internal_id, 341)
    world.sync()
    for internal_id in range(1, 11):
        world.afas.remove(340, internal_id)
        world.afas.rename(20 + internal_id, f"Hernoemd {internal_id}")
    world.afas.remove(341, 101)
    run = world.begin()
    # when eight workers empty the ledger at once
    errors: list[BaseException] = []
    workers = [threading.Thread(target=_drain, args=(world, errors)) for _ in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    # then eleven were too many: none is gone, everything else is done
    assert errors == []
    assert world.run(run.id).held_removals == 11
    assert len(enrolled(world)) == 60
    assert world.user("p30@example.nl")["name"] == "Hernoemd 10"
    # and with one fewer exactly ten go
    world.person(101, 341)
    run = world.begin()
    workers = [threading.Thread(target=_drain, args=(world, errors)) for _ in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert errors == []
    assert world.run(run.id).removed == 10
    assert world.roster() == world.expected()
    assert invitations(world) == 100


def _drain(world: World, errors: list[BaseException]) -> None:
    try:
        world.drain()
    except Exception as error:
        errors.append(error)


def _hold_values(world: World) -> dict[str, Any]:
    return world.rows("SELECT * FROM hold")[0]


def test_hold_is_bound_to_the_plan_that_raised_it(world: World) -> None:
    _fill(world, 30, {"event_count": 1, "event_percent": 0})
    for internal_id in (1, 2):
        world.afas.remove(340, internal_id)
    run = world.sync()
    hold = _hold_values(world)
    assert (hold["plan_hash"], hold["run_id"]) == (run.plan_hash, run.id)
    assert hold["measure"] == {"count": 2, "limit": 1.0, "limit_count": 1.0, "limit_percent": 0.0, "base": 30}


def _spoil(world: World, kind: str) -> None:
    """Make the listing of event 341 lastingly incomplete."""
    if kind == "contradicting":
        match = {"body_contains": ""}
        world.fault("afas", "contradicting", column="Naam", to="Anders", match={"path_contains": "341"} | match)
    elif kind == "missing_column":
        world.rows("""UPDATE course SET fields = fields || '{"name": "Weg"}' WHERE event_id = '341' RETURNING id""")
    else:
        world.fault("afas", "status", status=500, match={"path_contains": "341"})


@pytest.mark.parametrize("kind", ["contradicting", "missing_column", "page_failed"])
def test_an_event_that_never_gets_complete_keeps_the_others_guarded(world: World, kind: str) -> None:
    # given a tenant of which one event always has a fault
    world.set_tenant(removals=now_removals(**(LOOSE | {"creates_count": 3, "creates_percent": 10})))
    for internal_id in range(80, 85):
        world.person(internal_id)
    world.person(70, 341)
    _spoil(world, kind)
    assert world.sync().snapshot in ("suspect", "partial")
    # then its environment is known
    known = world.rows("SELECT envid, first_complete_at IS NOT NULL AS guarded FROM tenant")
    assert known == [{"envid": "O12345AA", "guarded": True}]
    # and a flood of newcomers is held
    for internal_id in range(90, 95):
        world.person(internal_id)
    run = world.sync()
    assert outcomes(run)["held"] == 5
    assert [hold["guard"] for hold in holds(world)] == ["creates"]


def test_a_first_reading_that_showed_nothing_usable_teaches_nothing(world: World) -> None:
    world.person(80)
    world.rows("""UPDATE course SET fields = fields || '{"name": "Weg"}' RETURNING id""")
    world.sync()
    assert world.rows("SELECT envid, first_complete_at FROM tenant") == [{"envid": None, "first_complete_at": None}]


def _accounts(world: World, count: int, box: str = "p") -> list[str]:
    """Accounts of people 1 to ``count``, under names that tell them apart."""
    return [world.pluvo.add_user(f"{box}{n}@example.nl", f"{NAMES[n]} {NAMES[-n]}")["id"] for n in range(1, count + 1)]


NAMES = ("Aafje", "Bakker", "Cornelis", "Dijkstra", "Everdina", "Fokkema", "Gerrit", "Hoekstra", "Ilse", "Jonkman")


@pytest.mark.parametrize("newcomer", [False, True])
def test_links_that_are_off_by_one_line_are_held_before_anybody_gets_anothers_name(
    world: World, *, newcomer: bool
) -> None:
    # given a file of links that slipped by a line
    world.set_tenant(removals=now_removals(**(LOOSE | {"email_changes_count": 3, "email_changes_percent": 0})))
    accounts = _accounts(world, 6, "prive")
    for n in range(1, 7):
        world.person(n, name=f"{NAMES[n]} {NAMES[-n]}")
        links.set_link("acme", str(n), accounts[n % 6], who="tester")
    if newcomer:  # then everybody in Pluvo is listed anyway
        world.person(99)
    before = {user["id"]: (user["name"], user["email"]) for user in world.pluvo.users.values()}
    # when
    run = world.sync()
    # then
    (hold,) = holds(world)
    assert (hold["guard"], len(hold["people"])) == ("email_changes", 6)
    assert outcomes(run)["held"] == 6
    after = {user["id"]: (user["name"], user["email"]) for user in world.pluvo.users.values() if user["id"] in before}
    assert after == before
    # and whom an operator lets go is linked as was said
    with transaction() as connection:
        assert release(connection, hold["id"], reason="right", who="tester", persons=["1"])["released"] == 1
    world.drain()
    assert world.pluvo.users[accounts[1]]["email"] == "p1@example.nl"
    # and what would be overwritten is shown
    shown = world.rows("SELECT before FROM plan_line WHERE run_id = :run AND internal_id = '1'", run=run.id)
    assert shown[0]["before"] == {"name": before[accounts[1]][0], "email": before[accounts[1]][1]}


def test_links_that_are_right_are_no_changes_of_address(world: World) -> None:
    world.set_tenant(removals=now_removals(**(LOOSE | {"email_changes_count": 3, "email_changes_percent": 0})))
    for n, account in enumerate(_accounts(world, 6), 1):
        world.person(n, name=f"{NAMES[-n]}, {NAMES[n][0]}.")
        links.set_link("acme", str(n), account, who="tester")
    assert outcomes(world.sync()) == {"linked": 6}
    assert holds(world) == []


@pytest.mark.parametrize("by", ["email", "afas_id"])
def test_accounts_that_would_get_clearly_anothers_name_or_address_count_as_changes(world: World, by: str) -> None:
    # given accounts found by address under other names, or by AFAS id under other addresses
    world.set_tenant(removals=now_removals(**(LOOSE | {"email_changes_count": 3, "email_changes_percent": 0})))
    for n in range(1, 6):
        if by == "email":
            world.pluvo.add_user(f"p{n}@example.nl", NAMES[n])
        else:
            world.pluvo.add_user(f"ander{n}@example.nl", f"Persoon {n}", afasContactId=str(n))
        world.person(n)
    world.person(6)
    # when
    run = world.sync()
    # then only they wait
    assert outcomes(run) == {"held": 5, "created": 1}
    assert [hold["guard"] for hold in holds(world)] == ["email_changes"]
