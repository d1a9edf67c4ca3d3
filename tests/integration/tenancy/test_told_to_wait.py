"""``Retry-After`` is said to one caller and meant for all of us: other tenants and the other direction wait, too."""

from __future__ import annotations

import time

import pytest

import settings
from clients.errors import Unavailable
from clients.http import Call
from models.session import session
from models.tenant import Tenant
from tenancy.rate_limit import RateLimit, RateLimited, ToldToWait, tell
from tenancy.systems import afas_of, systems_at_once
from tests.fixtures.looking import retry_now
from tests.fixtures.world import World
from workers.messages.execute import run_delivery


@pytest.mark.parametrize("calls_per_second", [0, 5])
def test_what_pluvo_tells_one_tenant_holds_for_each_tenant_of_the_organisation(
    world: World, calls_per_second: float
) -> None:
    # given
    other = world.neighbour()
    for each, internal_id in ((world, 80), (other, 90)):
        with session() as opened:
            now = opened.get_one(Tenant, each.tenant_id).pluvo.model_dump()
        each.set_tenant(pluvo=now | {"calls_per_second": calls_per_second})
        each.person(internal_id)
        each.begin()
    world.fault("pluvo", "retry_after", status=429, seconds=30, times=1, match={"operation": "createUser"})
    # when
    for told in ([], ["acme"]):
        envelope = world.hand_out(but_not=told)
        assert envelope
        run_delivery(envelope)
    # then
    assert len([entry for entry in world.calls() if "createUser" in entry.fields]) == 1
    waits = "SELECT tenant_id FROM tenant_direction WHERE wait_until > now() + interval '20 seconds'"
    assert {row["tenant_id"] for row in world.rows(waits)} == {world.tenant_id, other.tenant_id}
    assert {row["attempts"] for row in world.rows("SELECT attempts FROM message")} == {0}
    # and afterwards
    retry_now(world)
    world.drain()
    assert len(world.pluvo.users) == 2


def test_what_afas_tells_a_run_holds_for_every_other_call_to_that_environment(world: World) -> None:
    # given
    heard: list[Call] = []
    with session() as opened:
        tenant = opened.get_one(Tenant, world.tenant_id)
        opened.expunge(tenant)
    world.fault("afas", "retry_after", status=503, seconds=30, times=1)
    with pytest.raises(Unavailable):
        afas_of(tenant, heard.append).metainfo()
    before = len(world.calls("afas"))
    # when
    with pytest.raises(ToldToWait) as told:
        afas_of(tenant, heard.append, 15.0).metainfo()
    with pytest.raises(Unavailable) as at_once:
        systems_at_once(tenant).afas.metainfo()
    # then
    assert 20 < told.value.seconds <= 30
    assert at_once.value.code == "no_slot"
    assert len(world.calls("afas")) == before


def test_when_it_is_over_callers_go_on_one_after_the_other(configured: settings.Settings) -> None:
    key = "https://told.example.org"
    limit = RateLimit(key, 0.2, 10.0)
    tell(key, 1.0)
    tell(key, 0.1)  # the longest one counts
    began = time.monotonic()
    limit()
    assert time.monotonic() - began >= 0.9
    with pytest.raises(RateLimited):  # the next place is five seconds later
        RateLimit(key, 0.2, 0.3)()


def test_nobody_hears_longer_than_a_minute_of_what_somebody_else_was_told(configured: settings.Settings) -> None:
    """After that each asks, and is told itself: an operator who resumes a tenant is not stopped by others for a day."""
    key = "https://day.example.org"
    tell(key, 86_400.0)
    with pytest.raises(ToldToWait) as told:
        RateLimit(key, 5.0, 1.0)()
    assert 50 < told.value.seconds <= 60
