"""A change that Pluvo made and we could not record, and AFAS going back to what we last recorded meanwhile."""

from __future__ import annotations

from typing import Any

import pytest

from clients.pluvo import PluvoClient
from tests.fixtures.world import World, now_removals
from workers.messages.execute import run_delivery


class Killed(BaseException):
    """What a killed worker does to the code that runs."""


def deliver_and_die_after(world: World, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    """Hand out the next message, and let its worker die right after a call of Pluvo's client was answered."""
    real = getattr(PluvoClient, call)

    def die(self: PluvoClient, *arguments: Any, **named: Any) -> Any:
        real(self, *arguments, **named)
        raise Killed

    envelope = world.hand_out()
    assert envelope is not None
    with monkeypatch.context() as patched:
        patched.setattr(PluvoClient, call, die)
        patched.setattr("workers.messages.outcome.record", lambda *whatever: None)  # the dead record nothing
        run_delivery(envelope)
    # the lease ends
    world.rows("UPDATE message SET state = 'ready', kills = kills + 1, started_at = NULL WHERE true RETURNING id")


def test_who_left_and_came_back_while_nobody_could_record_it_is_enrolled(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given: somebody is in step, leaves, is taken out of the event, and the worker dies before it writes that down
    world.set_tenant(removals=now_removals(event_count=100, run_count=100))
    for number in (10, 11, 12):
        world.person(number)
    world.sync()
    world.afas.remove(340, 12)
    world.begin()
    deliver_and_die_after(world, monkeypatch, "unenroll")
    assert "p12@example.nl" not in world.roster()["340"]

    # when
    world.person(12)
    world.sync()

    # then
    assert world.roster() == world.expected()


def test_who_was_renamed_and_renamed_back_while_nobody_could_record_it_has_the_old_name(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given
    world.person(10, name="Anna Jansen")
    world.sync()
    world.afas.rename(10, "Anna de Vries")
    world.begin()
    deliver_and_die_after(world, monkeypatch, "update_user")
    assert world.user("p10@example.nl")["name"] == "Anna de Vries"

    # when
    world.afas.rename(10, "Anna Jansen")
    world.sync()

    # then
    assert world.user("p10@example.nl")["name"] == "Anna Jansen"


def test_what_is_in_step_is_still_not_asked_for(world: World) -> None:
    # given
    world.person(10)
    world.sync()
    world.afas.rename(10, "Anna de Vries")
    world.clear_log()

    # when
    world.sync()

    # then: one call, and it writes
    assert len([entry for entry in world.calls() if entry.operation != "token"]) == len(world.writes()) == 1
