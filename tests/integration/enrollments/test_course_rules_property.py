"""In whatever order rules change, targets appear and events come and go: a rule's change makes nobody a leaver."""

from __future__ import annotations

import os
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from simulators.afas.tenant import AfasTenant
from tests.fixtures.ruled import Ruled
from tests.fixtures.world import World

HISTORIES = int(os.environ.get("PYTEST_HISTORIES", "6"))
EVENTS = (340, 341, 342)
BLOCK = 350
PATTERNS = ("afas-{event_id}", "new-{event_id}", "together")
RULES = ("all", "340-341", "342", "341-400")
WIDE = "\n".join(
    f"{kind}_count = 10000\n{kind}_percent = 100" for kind in ("event", "run", "window", "creates", "email_changes")
)
Step = tuple[Any, ...]

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("rules"), st.lists(st.tuples(st.sampled_from(RULES), st.sampled_from(PATTERNS)), max_size=2)),
        st.tuples(st.just("target"), st.sampled_from(PATTERNS), st.sampled_from(EVENTS)),
        st.tuples(st.just("join"), st.integers(1, 6), st.sampled_from((*EVENTS, BLOCK))),
        st.tuples(st.just("vanish"), st.sampled_from(EVENTS)),
        st.tuples(st.just("sync")),
    ),
    min_size=4,
    max_size=14,
)


def test_no_change_of_rules_makes_a_leaver_and_no_block_is_touched(world: World) -> None:
    # given / when / then: see ``_play``
    @settings(
        max_examples=HISTORIES,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.explicit, Phase.generate],
    )
    @given(steps=STEPS)
    def play(steps: list[Step]) -> None:
        _play(Ruled(world, limits=WIDE), steps)

    play()


def _play(ruled: Ruled, steps: list[Step]) -> None:
    ruled.blocks = {str(BLOCK): 'offer_event_ref = "mine"'}
    ruled.target("mine")
    ruled.enroll(BLOCK, 1, 2, 3)
    for event in EVENTS:
        ruled.enroll(event, 1, event)
    ruled.import_()
    vanished: set[str] = set()
    for what, *values in steps:
        if what == "rules":
            ruled.rules = [f'events = "{events}"\noffer_event_ref = "{pattern}"' for events, pattern in values[0]]
            ruled.import_()
        elif what == "target":
            _appear(ruled, values[0].replace("{event_id}", str(values[1])))
        elif what == "join":
            ruled.enroll(values[1], values[0])
        elif what == "vanish":
            vanished.add(str(values[0]))
            _empty(ruled.world.afas, values[0])
        else:
            _sync(ruled, vanished)
    # in the end: one rule for all, and every target is there
    ruled.rules = ['events = "all"\noffer_event_ref = "afas-{event_id}"']
    ruled.import_()
    for event in EVENTS:
        _appear(ruled, f"afas-{event}")
    for _ in range(3):  # in, out of the old place, and nothing more
        _sync(ruled, vanished)
    found = ruled.roster()
    for event in EVENTS:
        if str(event) not in vanished:
            assert found.get(f"afas-{event}", set()) == _people(ruled.world.afas, event)


def _sync(ruled: Ruled, vanished: set[str]) -> None:
    run = ruled.world.sync()
    removals = ruled.world.rows(
        "SELECT event_id, reason, outcome FROM plan_line WHERE run_id = :run AND NOT is_row", run=run.id
    )
    for one in removals:
        if one["event_id"] in vanished:
            assert one["reason"] in ("short_snapshot", "left_afas", "target_changed"), one
        else:
            assert (one["reason"], one["event_id"] == str(BLOCK)) == ("target_changed", False), one
    assert ruled.roster()["mine"] == _people(ruled.world.afas, BLOCK)


def _appear(ruled: Ruled, ref: str) -> None:
    if ref not in {event["ref"] for event in ruled.world.pluvo.offer_events.values()}:
        ruled.target(ref)


def _empty(afas: AfasTenant, event: int) -> None:
    for row in list(afas.rows.values()):
        if row.event_id == event:
            afas.remove(event, row.internal_id)


def _people(afas: AfasTenant, event: int) -> set[str]:
    return {str(row.internal_id) for row in afas.rows.values() if row.event_id == event}
