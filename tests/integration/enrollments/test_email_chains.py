"""Addresses that change hands between linked people, newcomers and strangers: in order, or not at all.

Each case tells who has which address and which they want; ``done`` are those who end with what they want, the others
are ``ambiguous`` with a reason and keep what they have. Two runs: what is possible is done in the first one.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from models.tables.run import Run
from tests.fixtures.looking import holds, invitations, lines, link, outcomes, reasons
from tests.fixtures.world import World, now_removals


@dataclass(frozen=True)
class Case:
    """Letters are addresses, numbers are people. ``stuck``: person → reason."""

    name: str
    has: dict[int, str]
    wants: dict[int, str]
    done: set[int]
    stuck: dict[int, str] = field(default_factory=dict)
    newcomers: dict[int, str] = field(default_factory=dict)
    strangers: dict[str, bool] = field(default_factory=dict)  # address → archived
    leavers: set[int] = field(default_factory=set)
    events: dict[int, int] = field(default_factory=dict)


CASES = [
    Case("two: the second frees what the first wants", {1: "a", 2: "b"}, {1: "b", 2: "c"}, {1, 2}),
    Case("three in the order of ids", {1: "a", 2: "b", 3: "c"}, {1: "b", 2: "c", 3: "d"}, {1, 2, 3}),
    Case("three against the order of ids", {1: "a", 2: "b", 3: "c"}, {3: "b", 2: "a", 1: "d"}, {1, 2, 3}),
    Case(
        "five",
        {1: "a", 2: "b", 3: "c", 4: "d", 5: "e"},
        {1: "b", 2: "c", 3: "d", 4: "e", 5: "f"},
        {1, 2, 3, 4, 5},
    ),
    Case(
        "swap",
        {1: "a", 2: "b"},
        {1: "b", 2: "a"},
        set(),
        {1: "email_cycle", 2: "email_cycle"},
    ),
    Case(
        "cycle of three",
        {1: "a", 2: "b", 3: "c"},
        {1: "b", 2: "c", 3: "a"},
        set(),
        {1: "email_cycle", 2: "email_cycle", 3: "email_cycle"},
    ),
    Case(
        "chain behind a cycle",
        {1: "a", 2: "b", 3: "c", 4: "d"},
        {1: "b", 2: "a", 3: "a", 4: "c"},
        set(),
        {1: "email_cycle", 2: "email_cycle", 3: "email_taken", 4: "email_taken"},
    ),
    Case("only the spelling changes", {1: "a", 2: "b"}, {1: "A"}, {1}),
    Case("newcomer takes an address that comes free", {1: "a"}, {1: "b"}, {1}, newcomers={7: "a"}),
    Case("newcomer at the end of a chain", {1: "a", 2: "b"}, {1: "b", 2: "c"}, {1, 2}, newcomers={7: "a"}),
    Case(
        "a stranger has it",
        {1: "a", 2: "b"},
        {1: "x", 2: "a"},
        set(),
        {1: "email_taken", 2: "email_taken"},
        strangers={"x": False},
    ),
    Case(
        "an archived stranger has it",
        {1: "a"},
        {1: "x"},
        set(),
        {1: "email_taken"},
        strangers={"x": True},
    ),
    Case(
        "two want one that comes free: the lowest id gets it",
        {1: "a", 2: "b", 3: "c"},
        {1: "c", 2: "c", 3: "d"},
        {1, 3},
        {2: "email_taken"},
    ),
    Case("two want one that is free", {9: "a", 10: "b"}, {9: "x", 10: "x"}, {9}, {10: "email_taken"}),
    Case(
        "who stays behind keeps those behind",
        {1: "a", 2: "b", 3: "c"},
        {1: "x", 2: "x", 3: "b"},
        {1},
        {2: "email_taken", 3: "email_taken"},
    ),
    Case("the holder stays", {1: "a", 2: "b"}, {1: "b"}, set(), {1: "email_taken"}),
    Case(
        "a leaver's account keeps its address",
        {1: "a", 2: "b", 3: "c"},
        {1: "b"},
        set(),
        {1: "email_taken"},
        leavers={2},
    ),
    Case(
        "across events",
        {1: "a", 2: "b", 3: "c"},
        {1: "b", 2: "c", 3: "d"},
        {1, 2, 3},
        events={2: 341},
    ),
]


def _address(letter: str) -> str:
    return f"{letter}@example.nl"


def _prepare(world: World, case: Case) -> None:
    world.set_tenant(removals=now_removals(event_percent=100, event_count=50))
    for internal_id, letter in {**case.has, 77: "bystander", 78: "other"}.items():
        world.person(internal_id, case.events.get(internal_id, 340), email_primary=_address(letter))
    world.sync()
    for letter, archived in case.strangers.items():
        world.pluvo.add_user(_address(letter), "Vreemde", archived=archived)
    for internal_id, letter in case.wants.items():
        world.afas.set_email(internal_id, _address(letter))
    for internal_id in case.leavers:
        world.afas.remove(case.events.get(internal_id, 340), internal_id)
    for internal_id, letter in case.newcomers.items():
        world.person(internal_id, email_primary=_address(letter))


def _address_of(world: World, internal_id: int) -> str:
    return str(world.pluvo.users[link(world, internal_id)["pluvo_id"]]["email"])


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_addresses_change_hands_in_order_or_not_at_all(world: World, case: Case) -> None:
    # given
    _prepare(world, case)
    world.clear_log()
    accounts = {one: link(world, one)["pluvo_id"] for one in case.has}
    # when
    run = world.sync()
    # then
    outcomes(run)
    found = reasons(world, run)
    for internal_id in case.done:
        assert _address_of(world, internal_id) == _address(case.wants[internal_id])
    for internal_id, reason in case.stuck.items():
        assert found[str(internal_id)] == ("ambiguous", reason)
        assert _address_of(world, internal_id) == _address(case.has[internal_id])
    for internal_id, letter in case.newcomers.items():
        assert _address_of(world, internal_id) == _address(letter)
        assert world.user(_address(letter))["ref"] == f"afas:12345:{internal_id}"
    assert {one: link(world, one)["pluvo_id"] for one in case.has} == accounts
    assert invitations(world) == len(case.has) + 2 + len(case.newcomers)
    assert not any("error" in str(entry.faults) for entry in world.calls())
    # and no call was made in vain: what could not be done was not tried
    changes = world.rows("SELECT result FROM change WHERE run_id = :run", run=run.id)
    assert {change["result"] for change in changes} <= {"done"}
    # and the next run changes nothing more
    before = {user["id"]: user["email"] for user in world.pluvo.users.values()}
    world.sync()
    assert {user["id"]: user["email"] for user in world.pluvo.users.values()} == before


def _held_chain(world: World) -> Run:
    for internal_id in range(1, 31):
        world.person(internal_id, email_primary=f"n{internal_id}@example.nl")
    world.sync()
    # a chain of 15 into each other's addresses, and a newcomer at its end
    for internal_id in range(1, 16):
        world.afas.set_email(internal_id, f"n{internal_id + 1}@example.nl" if internal_id < 15 else "free@example.nl")
    world.afas.set_email(16, "other16@example.nl")
    world.person(99, email_primary="n1@example.nl")
    return world.sync()


def test_held_chain_holds_the_newcomer_who_waits_for_it(world: World) -> None:
    # given / when
    run = _held_chain(world)
    # then
    assert outcomes(run) == {"held": 17, "unchanged": 14}
    (hold,) = holds(world)
    assert hold["guard"] == "email_changes"
    assert "99" in hold["people"]
    assert len(world.pluvo.users) == 30
    assert all(line["reason"] == "email_changes" for line in lines(world, run))


def test_swap_is_done_once_an_operator_frees_one_address(world: World) -> None:
    # given
    for internal_id, letter in ((1, "a"), (2, "b")):
        world.person(internal_id, email_primary=_address(letter))
    world.sync()
    world.afas.set_email(1, _address("b"))
    world.afas.set_email(2, _address("a"))
    world.sync()
    assert link(world, 1)["reason"] == "email_cycle"
    # when someone gives one of them another address in Pluvo by hand
    world.pluvo.change_user(link(world, 2)["pluvo_id"], email="tijdelijk@example.nl")
    world.sync()
    # then
    assert _address_of(world, 1) == _address("b")
    world.sync()
    assert _address_of(world, 2) == _address("a")
    assert link(world, 2)["state"] == "linked"
