"""Random histories of who is in which event and which event leads where: in the end Pluvo has everybody just there.

People come, leave, are blocked and share accounts; the tenants file gives events other targets, also the same one;
answers of Pluvo get lost, and what still waits in the ledger is given up. ``PYTEST_HISTORIES=100`` plays more.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from models.session import transaction
from producers.enrollments import decide_holds
from tests.fixtures.looking import retry_now
from tests.fixtures.world import World

HISTORIES = int(os.environ.get("PYTEST_HISTORIES", "12"))
EVENTS = ("340", "341", "342")
TARGETS = (
    {"offer_event_ref": "afas-340"},
    {"offer_event_ref": "afas-341"},
    {"group_ref": "bhv"},
    {"group_ref": "ehbo"},
)
GUARDS_OPEN = {
    f"{name}_{unit}": most
    for name in ("event", "run", "window", "creates", "email_changes")
    for unit, most in (("count", 10_000), ("percent", 100))
}


@dataclass(frozen=True)
class Step:
    """One thing that happens in AFAS, or to the tenants file (``target``)."""

    what: str
    who: int = 1
    event: int = 0
    value: int = 0


PEOPLE, EVENT, VALUE = st.integers(1, 6), st.integers(0, 2), st.integers(0, 3)
STEPS = st.builds(Step, st.sampled_from(["join", "join", "leave", "leave", "block", "target"]), PEOPLE, EVENT, VALUE)
WRITES = ("createOfferEventEnrollments", "unenrollUserFromOfferEvent", "addUsersToGroup", "removeUsersFromGroup")
FAULTS = st.one_of(
    st.builds(
        lambda kind, write, skip: ("pluvo", {"kind": kind, "match": {"operation": write}, "skip": skip, "status": 502}),
        st.sampled_from(["lost_answer", "status"]),
        st.sampled_from(WRITES),
        st.integers(0, 2),
    ),
    st.builds(
        lambda skip: ("afas", {"kind": "status", "status": 502, "match": {"operation": "page"}, "skip": skip}),
        st.integers(0, 3),
    ),
)
ROUNDS = st.lists(
    st.tuples(st.lists(STEPS, max_size=4), st.lists(FAULTS, max_size=1), st.booleans()), min_size=3, max_size=6
)


def test_everybody_is_in_the_end_just_where_afas_and_the_tenants_file_want_them(world: World) -> None:
    @seed(1)
    @settings(
        max_examples=HISTORIES,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
    )
    @given(rounds=ROUNDS)
    def history(rounds: list[tuple[list[Step], list[tuple[str, dict[str, Any]]], bool]]) -> None:
        _begin(world)
        for steps, faults, given_up in rounds:
            for step in steps:
                _happens(world, step)
            for system, fault in faults:
                world.fault(system, **fault)
            before = set(_memberships(world))
            # when
            world.sync()
            # then nobody is taken out of a place that is wanted, whatever fails
            lost = before - set(_memberships(world))
            assert lost.isdisjoint(_wanted(world)), lost
            assert set(_by_hand(world)) <= set(_memberships(world))
            world.clear_faults()
            if given_up:
                world.rows("DELETE FROM message RETURNING id")
        # and in the end, without faults, all is as it is wanted
        for _ in range(4):
            retry_now(world)
            world.drain()
            world.sync()
            _release_all(world)
        assert set(_memberships(world)) - set(_by_hand(world)) == _wanted(world)

    history()


def _begin(world: World) -> None:
    removals = {"policy": "unenroll", "confirm_after": 0, "limits": GUARDS_OPEN}
    world.reset(removals, events=EVENTS)
    world.afas.connectors["Deelnemer_per_cursusevenement"].columns["Geblokkeerd"] = "blocked"
    world.rows("""UPDATE course SET fields = fields || '{"blocked": "Geblokkeerd"}' RETURNING id""")
    for ref in ("bhv", "ehbo"):
        world.pluvo.add_group(ref, ref)
    for event_id in EVENTS:
        world.person(99, int(event_id))  # an empty event proves nothing
    # somebody who has nothing to do with AFAS is everywhere, by hand
    stranger = world.pluvo.add_user("vreemd@example.org", "Vreemd", id="stranger", ref="theirs")
    for event in world.pluvo.offer_events.values():
        world.pluvo.enroll(stranger["id"], event["id"])
    for group in world.pluvo.groups.values():
        world.pluvo.join(group["id"], [stranger["id"]])
    world.sync()


def _person(internal_id: int) -> dict[str, Any]:
    """Two by two they have one name and address, and so one account."""
    account = (internal_id + 1) // 2
    return {"name": f"Persoon {account}", "email_primary": f"p{account}@example.nl"}


def _happens(world: World, step: Step) -> None:
    event = int(EVENTS[step.event])
    there = (event, step.who) in world.afas.rows
    if step.what == "join":
        world.person(step.who, event, **_person(step.who))
    elif step.what == "leave" and there:
        world.afas.remove(event, step.who)
    elif step.what == "block" and there:
        world.afas.change(event, step.who, blocked=bool(step.value % 2))
    elif step.what == "target":
        world.retarget(event, **TARGETS[step.value])


def _memberships(world: World) -> Iterator[tuple[str, str]]:
    """(address, target) of everybody in Pluvo."""
    users, events = world.pluvo.users, world.pluvo.offer_events
    for user_id, event_id in world.pluvo.enrollments:
        yield users[user_id]["email"], f"offer_event:{events[event_id]['ref']}"
    for group in world.pluvo.groups.values():
        for user_id in group["members"]:
            yield users[user_id]["email"], f"group:{group['ref']}"


def _by_hand(world: World) -> list[tuple[str, str]]:
    return [(email, target) for email, target in _memberships(world) if email == "vreemd@example.org"]


def _wanted(world: World) -> set[tuple[str, str]]:
    """The same as AFAS and the tenants file say it."""
    targets = {course.event_id: str(course.target) for course in world.courses()}
    return {
        (str(row.email_primary), targets[str(event)]) for (event, _), row in world.afas.rows.items() if not row.blocked
    }


def _release_all(world: World) -> None:
    for hold in world.rows("SELECT id FROM hold WHERE state = 'open'"):
        with transaction() as connection:
            decide_holds.release(connection, hold["id"], reason="it is so", who="tester")
    world.drain()
