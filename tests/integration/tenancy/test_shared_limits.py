"""Limits that several processes share, as the other side counts: calls at once at AFAS, calls a second at Pluvo."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import datetime
from pathlib import Path

from models.session import session
from models.tenant import Tenant
from tests.fixtures.world import World

ROOT = Path(__file__).resolve().parents[3]
RATE, CALLS = 10, 4


def test_two_processes_of_two_tenants_stay_within_the_limits_of_one_environment_and_one_organisation(
    world: World, environment: dict[str, str]
) -> None:
    # given two tenants with the same AFAS environment and Pluvo organisation
    other = world.neighbour()
    with session() as opened:
        tenant = opened.get_one(Tenant, world.tenant_id)
        afas, pluvo = tenant.afas.model_dump(), tenant.pluvo.model_dump() | {"calls_per_second": RATE}
    for each in (world, other):
        each.set_tenant(afas=afas, pluvo=pluvo)
    world.pluvo.change_switches(calls_per_second=RATE, rate_burst=1 + RATE // 2)
    world.fault("afas", "delay", seconds=0.1)
    # when
    begun = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.integration.tenancy.caller_process", str(each.tenant_id), str(CALLS)],
            cwd=ROOT,
            env={**os.environ, **environment},
        )
        for each in (world, other)
    ]
    assert [process.wait(120) for process in begun] == [0, 0]
    # then
    reads = [entry for entry in world.calls("afas") if entry.operation == "metainfo"]
    assert len(reads) == 2 * 3 * CALLS
    assert max(entry.in_flight for entry in world.calls("afas")) == 2
    asked = [entry for entry in world.calls() if entry.operation != "token"]
    assert [entry.status for entry in asked] == [200] * (2 * 3 * CALLS)
    # no more in all that time than the rate allows
    times = [datetime.fromisoformat(entry.at).timestamp() for entry in asked]
    assert len(times) <= RATE * (max(times) - min(times)) + 1 + RATE // 2
