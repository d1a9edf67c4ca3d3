"""Random rosters, random changes, random read faults: no wrong removal, ever; and in the end Pluvo equals AFAS.

A history has four to eight rounds of changes and a run with up to three faults, over two events and pages of five
rows, so that every seam is met. The suite plays some 240 rounds, the same ones each time; ``PYTEST_HISTORIES=45`` plays
more than a thousand.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from clients.errors import RemoteError
from models.course_settings import CourseDefaults, CourseRule
from models.session import transaction
from models.tables.run import Run
from producers.enrollments import decide_holds
from tests.fixtures.looking import invitations
from tests.fixtures.world import EVENTS, World

PARTS = 4  # so that several processes share the work
SHRINK = bool(os.environ.get("PYTEST_SHRINK"))  # takes minutes
HISTORIES = int(os.environ.get("PYTEST_HISTORIES", "10"))  # of each part
PEOPLE = st.integers(1, 14)
EVENT = st.sampled_from([340, 341])
GUARDS_OPEN = {
    "policy": "unenroll",
    "confirm_after": 0,
    "limits": {
        f"{name}_{unit}": most
        for name in ("event", "run", "window", "creates", "email_changes")
        for unit, most in (("count", 10_000), ("percent", 100))
    },
}


@dataclass(frozen=True)
class Step:
    """One thing that happens in AFAS."""

    what: str
    who: int
    event: int = 340
    value: int = 0


@dataclass(frozen=True)
class Round:
    """Changes, then a run with faults."""

    steps: list[Step]
    faults: list[dict[str, Any]]


STEPS = st.one_of(
    st.builds(Step, st.just("join"), PEOPLE, EVENT),
    st.builds(Step, st.just("leave"), PEOPLE, EVENT),
    st.builds(Step, st.just("rename"), PEOPLE, value=st.integers(0, 3)),
    st.builds(Step, st.just("address"), PEOPLE, value=st.integers(0, 9)),
    st.builds(Step, st.just("block"), PEOPLE, EVENT, st.integers(0, 1)),
    st.builds(Step, st.just("swap"), PEOPLE, value=st.integers(1, 14)),
)
PAGE = {"operation": "page"}
WHOLE = ["empty", "hundred", "reset", "half_body", "html", "bad_json"]
FAULTS = st.builds(
    lambda fault, skip, times: {"match": PAGE, "skip": skip, "times": times} | fault,
    st.one_of(
        st.builds(lambda n: {"kind": "short", "count": n}, st.integers(1, 6)),
        st.builds(lambda n: {"kind": "doubled", "count": n}, st.integers(1, 3)),
        st.builds(lambda n: {"kind": "shuffled", "seed": n}, st.integers(0, 50)),
        st.builds(lambda n: {"kind": "status", "status": n}, st.sampled_from([500, 502, 503, 429])),
        st.builds(
            lambda n: {"kind": n}, st.sampled_from(["empty", "hundred", "reset", "half_body", "html", "bad_json"])
        ),
        st.builds(
            lambda kind, column: {"kind": kind, "column": column},
            st.sampled_from(["column_missing", "column_renamed", "replaced", "contradicting"]),
            st.sampled_from(["Naam", "Email_werk", "Intern_ID", "CrId", "Voltooid_op"]),
        ),
        st.builds(lambda n: {"kind": "deleted_between", "count": n}, st.integers(1, 2)),
        st.just({"kind": "other_envid", "match": {}}),
        st.just({"kind": "page_error"}),
    ),
    st.integers(0, 8),
    st.one_of(st.none(), st.integers(1, 4)),
)
ROUNDS = st.lists(st.builds(Round, st.lists(STEPS, max_size=6), st.lists(FAULTS, max_size=3)), min_size=4, max_size=8)


@pytest.fixture(autouse=True)
def _small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("producers.event_reader.MAX_TAKE", 5)


@pytest.mark.parametrize("part", range(PARTS))
def test_no_wrong_removal_ever_and_in_the_end_pluvo_equals_afas(world: World, part: int) -> None:
    # given / when / then: see there
    starts = st.sets(st.tuples(PEOPLE, EVENT), min_size=4, max_size=20)
    rules = settings(
        max_examples=HISTORIES,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, *([Phase.shrink] if SHRINK else [])],
    )

    @seed(part)
    @rules
    @given(start=starts, rounds=ROUNDS)
    def history(start: set[tuple[int, int]], rounds: list[Round]) -> None:
        _play(world, start, rounds)

    history()


def test_events_of_rules_that_are_read_many_at_once_are_read_no_worse(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given: walks however few events there are, in pages as small
    monkeypatch.setattr("producers.enrollments.read_ahead.EVENTS_A_PAGE", 0.01)
    monkeypatch.setattr("producers.enrollments.read_ahead.page_size", lambda columns: 5)
    monkeypatch.setattr("producers.enrollments.event_list.page_size", lambda columns: 5)

    @seed(PARTS)
    @settings(
        max_examples=HISTORIES,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, *([Phase.shrink] if SHRINK else [])],
    )
    @given(start=st.sets(st.tuples(PEOPLE, EVENT), min_size=4, max_size=20), rounds=ROUNDS)
    def history(start: set[tuple[int, int]], rounds: list[Round]) -> None:
        _play(world, start, rounds, by_rule=True)

    # when / then: see there
    history()


def _play(world: World, start: set[tuple[int, int]], rounds: list[Round], *, by_rule: bool = False) -> None:
    # given people who are in Pluvo, and two who have nothing to do with AFAS
    _begin(world, start, by_rule)
    for one in rounds:
        for step in one.steps:
            _happens(world, step)
        for fault in one.faults:
            world.fault("afas", **fault)
        before = _in_pluvo(world)
        # when
        run = _sync(world)
        # then nobody is removed who is in AFAS, and every row has one outcome
        gone = before - _in_pluvo(world)
        assert gone.isdisjoint(_in_afas(world)), f"wrongly removed: {gone & _in_afas(world)}"
        assert run is None or run.rows == sum(run.outcomes.values())
        _each_has_one_of_everything(world)
    # and once AFAS can be read again, with no two people of one address
    world.clear_faults()
    _part(world)
    for _ in range(2):
        _sync(world)
    _release_what_is_short(world)
    run = _sync(world)
    assert run is not None
    _each_has_one_of_everything(world)
    assert _in_pluvo(world) == _in_afas(world)
    for (event_id, internal_id), row in world.afas.rows.items():
        if not row.blocked:
            user = world.pluvo.users[_account(world)[str(internal_id)]]
            assert (user["name"], user["email"]) == (row.name, row.email_primary), (event_id, internal_id)
    stranger = world.pluvo.users["stranger"]
    assert (stranger["email"], stranger["name"], stranger["archived"]) == ("vreemd@example.org", "Vreemd", False)


def _begin(world: World, start: set[tuple[int, int]], by_rule: bool) -> None:
    world.reset(GUARDS_OPEN)
    world.afas.connectors["Deelnemer_per_cursusevenement"].columns["Geblokkeerd"] = "blocked"
    world.rows("""UPDATE course SET fields = fields || '{"blocked": "Geblokkeerd"}' RETURNING id""")
    if by_rule:
        _let_a_rule_link(world)
    for internal_id, event_id in start:
        world.person(internal_id, event_id)
    world.pluvo.add_user("p3@example.nl", "Persoon 3")
    world.pluvo.add_user("vreemd@example.org", "Vreemd", id="stranger", ref="theirs")
    _sync(world)


def _let_a_rule_link(world: World) -> None:
    """The same courses, as a rule would make them."""
    (course, _) = world.courses()
    rule = course.rules[0]
    world.set_tenant(
        course_defaults=CourseDefaults.model_validate(
            {
                "getconnector": course.getconnector,
                "fields": course.fields.model_dump(),
                "pluvo": {"send_invite": True},
                "completion_field": rule.field,
                "completion_type": rule.type,
            }
        ),
        course_rules=[
            CourseRule(events=("all",), offer_event_ref="afas-{event_id}", completion_title="Training {event_id}")
        ],
    )
    world.rows("UPDATE course SET rule = 'all' RETURNING id")


def _happens(world: World, step: Step) -> None:
    known = {internal_id: row for (_, internal_id), row in world.afas.rows.items()}
    row = known.get(step.who)
    if step.what == "join":
        like = {"name": row.name, "email_primary": row.email_primary} if row else {}
        world.person(step.who, step.event, **like)
    elif step.what == "leave" and (step.event, step.who) in world.afas.rows:
        world.afas.remove(step.event, step.who)
    elif step.what == "rename":
        world.afas.rename(step.who, f"Naam {step.value}")
    elif step.what == "address":
        world.afas.set_email(step.who, f"adres{step.value}@example.nl")
    elif step.what == "block" and (step.event, step.who) in world.afas.rows:
        world.afas.change(step.event, step.who, blocked=bool(step.value))
    elif step.what == "swap" and row and (other := known.get(step.value)):
        mine, theirs = row.email_primary, other.email_primary
        world.afas.set_email(step.who, theirs)
        world.afas.set_email(step.value, mine)


def _sync(world: World) -> Run | None:
    """A run with all its messages; None when AFAS could not be reached at all."""
    try:
        return world.sync()
    except RemoteError:
        return None


def _account(world: World) -> dict[str, str]:
    found = world.rows(
        """SELECT p.internal_id, l.pluvo_id FROM link l JOIN person p ON p.id = l.person_id
            WHERE l.pluvo_id IS NOT NULL"""
    )
    return {row["internal_id"]: row["pluvo_id"] for row in found}


def _in_pluvo(world: World) -> set[tuple[str, str]]:
    """Who is enrolled: (event, internal id), found through the links."""
    refs = {event["id"]: str(event["ref"]).removeprefix("afas-") for event in world.pluvo.offer_events.values()}
    people: dict[str, set[str]] = {}
    for internal_id, pluvo_id in _account(world).items():
        people.setdefault(pluvo_id, set()).add(internal_id)
    return {
        (refs[event_id], internal_id)
        for user_id, event_id in world.pluvo.enrollments
        for internal_id in people.get(user_id, ())
    }


def _in_afas(world: World) -> set[tuple[str, str]]:
    return {(str(event), str(internal_id)) for (event, internal_id), row in world.afas.rows.items() if not row.blocked}


def _each_has_one_of_everything(world: World) -> None:
    refs = [user["ref"] for user in world.pluvo.users.values()]
    assert len(refs) == len(set(refs))
    made = [user for user in world.pluvo.users.values() if str(user["ref"]).startswith("afas:")]
    assert invitations(world) == len(made)
    assert {mail["userId"] for mail in world.pluvo.mails} == {user["id"] for user in made}
    assert len(world.pluvo.enrollments) == len({(user, event) for user, event in world.pluvo.enrollments})


def _part(world: World) -> None:
    """Give everybody an address and a name of their own, as an administrator would who reads the list."""
    for _, internal_id in sorted(world.afas.rows):
        world.afas.set_email(internal_id, f"eigen{internal_id}@example.nl")
        world.afas.rename(internal_id, f"Eigen {internal_id}")
    for event in EVENTS:  # an empty event proves nothing
        world.person(99, int(event), name="Eigen 99", email_primary="eigen99@example.nl")


def _release_what_is_short(world: World) -> None:
    for hold in world.rows("SELECT id FROM hold WHERE state = 'open'"):
        with transaction() as connection:
            decide_holds.release(connection, hold["id"], reason="it is so", who="tester")
    world.drain()
