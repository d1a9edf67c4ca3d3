"""What one enrollment costs PostgreSQL is what docs/engine.md says of it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.fixtures.looking import link
from tests.fixtures.statements import counted, promised
from tests.fixtures.world import World, now_removals
from workers.messages.execute import run_delivery


def _created(world: World) -> None:
    world.person(82)
    world.begin()


def _updated(world: World) -> None:
    world.afas.rename(81, "Andere Naam")
    world.begin()


def _linked(world: World) -> None:
    world.pluvo.add_user("p82@example.nl", "Persoon 82")
    world.person(82)
    world.begin()


def _unchanged(world: World) -> None:
    world.begin(full=True, person="81")


def _removed(world: World) -> None:
    world.afas.remove(340, 81)
    world.begin()


@pytest.mark.parametrize("given", [_created, _updated, _linked, _unchanged, _removed])
def test_an_enrollment_costs_what_is_promised(world: World, given: Callable[[World], None]) -> None:
    # given a process that knows the tenant and the event
    world.set_tenant(removals=now_removals())
    world.person(80)
    world.person(81)
    world.sync()
    given(world)
    envelope = world.hand_out()
    assert envelope is not None
    # when
    with counted() as cost:
        run_delivery(envelope)
    # then
    path = given.__name__.removeprefix("_")
    assert world.rows("SELECT 1 FROM plan_line WHERE outcome = :path", path=path) or path == "unchanged"
    assert world.rows("SELECT 1 FROM message") == []
    assert (len(cost.statements), cost.transactions) == promised(path), cost
    if path in {"created", "linked"}:
        assert link(world, 82)["state"] == "linked"
