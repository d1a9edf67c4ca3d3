"""Credentials that are replaced while a run is under way: no call fails."""

from __future__ import annotations

from clients.http import tokens
from ops.tenants import onboarding, onboarding_credentials, onboarding_store
from simulators.pluvo.switches import ApiClient
from tests.fixtures.world import World
from workers.messages.execute import run_delivery


def replace_credentials(system: str, **given: str) -> None:
    draft = onboarding_credentials.credentials_of("acme", system)
    while question := onboarding.pending(draft):
        draft = onboarding_store.give(draft, question.name, given.get(question.name.rpartition(".")[2], ""), "tester")
    onboarding_credentials.change_credentials(draft, system, "tester")


def test_credentials_are_switched_between_two_messages_and_no_call_fails(world: World) -> None:
    # given a run of which half is done, and no token of another world
    tokens._shared.clear()
    for number in range(80, 88):
        world.person(number)
    run = world.begin()
    for _ in range(4):
        envelope = world.hand_out()
        assert envelope
        run_delivery(envelope)
    # when both systems get other credentials, and the old ones are withdrawn
    world.afas.oauth_clients["koppeling"].secrets.append("nieuw")
    world.pluvo.clients["tweede"] = ApiClient("nieuw")
    replace_credentials("afas", client_secret="nieuw")
    replace_credentials("pluvo", client_id="tweede", client_secret="nieuw")
    world.afas.oauth_clients["koppeling"].secrets.remove("geheim")
    del world.pluvo.clients["koppeling"]
    world.drain()
    world.sync(full=True)
    # then
    assert world.run(run.id).outcomes["created"] == 8
    assert world.roster() == world.expected()
    assert world.rows("SELECT id FROM dead_letter") == []
    assert {entry.status for entry in world.calls("afas") + world.calls("pluvo")} == {200}
