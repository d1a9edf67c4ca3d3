"""Both simulators over real HTTP, each with a small tenant."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from simulators.afas import AfasSimulator
from simulators.core.control_client import ControlClient
from simulators.core.server import running
from simulators.pluvo import PluvoSimulator
from tests.unit.simulators.calls import TOKEN, Afas, Pluvo


@pytest.fixture(scope="session")
def running_afas() -> Iterator[tuple[AfasSimulator, str]]:
    """Serve one empty AFAS for all tests."""
    simulator = AfasSimulator()
    with running(simulator.app) as url:
        yield simulator, url


@pytest.fixture(scope="session")
def running_pluvo() -> Iterator[tuple[PluvoSimulator, str]]:
    """Serve one empty Pluvo for all tests."""
    simulator = PluvoSimulator()
    with running(simulator.app) as url:
        yield simulator, url


def emptied(simulator: AfasSimulator | PluvoSimulator) -> None:
    """Forget what an earlier test left."""
    simulator.tenants.clear()
    simulator.faults.clear()
    simulator.log.entries.clear()


@pytest.fixture
def afas(running_afas: tuple[AfasSimulator, str]) -> Afas:
    """Give an AFAS with five people in event 340 and one of them in 341."""
    simulator, url = running_afas
    emptied(simulator)
    tenant = simulator.add_tenant("12345", tokens=[TOKEN])
    for number in range(80, 85):
        tenant.enroll(
            340,
            number,
            external_id=f"{number:07}",
            name=f"Persoon {number}",
            email_primary=f"p{number}@example.nl",
            modified="2026-11-20T09:49:49",
        )
    tenant.enroll(341, 80, external_id="0000080", name="Persoon 80", email_primary="p80@example.nl")
    return Afas(url, simulator, tenant, ControlClient(url))


@pytest.fixture
def pluvo(running_pluvo: tuple[PluvoSimulator, str]) -> Pluvo:
    """Give a Pluvo with a training behind an offer event and behind a group, and nobody in it."""
    simulator, url = running_pluvo
    emptied(simulator)
    tenant = simulator.add_tenant("acme", client_id="us", client_secret="s3cret")
    training = tenant.add_training("BHV basis")["id"]
    tenant.add_offer_event("BHV basis", "afas-340", trainings=[training])
    tenant.add_group("BHV", "group-340", trainings=[training])
    return Pluvo(url, simulator, tenant, ControlClient(url))
