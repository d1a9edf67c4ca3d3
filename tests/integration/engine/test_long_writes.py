"""A producer that writes for longer than its lease: it stays the owner, and keeps nobody else waiting."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from models.session import transaction
from producers.runs import lease as leases
from producers.runs.request import request_run
from tests.integration.engine.conftest import Engine
from workers.runs import runner


def run_of(tenant: int) -> str:
    """Queue a run."""
    with transaction() as connection:
        return request_run(connection, tenant, "enrollments", trigger="test", options={}, batch=None)


def test_a_run_that_is_being_written_keeps_no_other_tenant_waiting_and_is_not_taken_over(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given: a producer whose lease ends in the middle of a long write, and another tenant's run
    monkeypatch.setattr(leases, "RENEW_SECONDS", 0.0)
    big = run_of(engine.tenant("big"))
    held = runner.claim()
    assert held is not None
    small = run_of(engine.tenant("small"))
    engine.execute("UPDATE run SET lease_until = now() - interval '1 minute' WHERE id = :run", run=big)

    # when another runner looks for work
    with held.writing(), ThreadPoolExecutor(1) as another:
        began = time.monotonic()
        claimed = another.submit(runner.claim).result()
        waited = time.monotonic() - began

    # then: the other run begins at once, and the big one brought a fresh lease along
    assert claimed is not None
    assert (claimed.run_id, waited < 2) == (small, True)
    assert runner.claim() is None
    held.check()
    assert engine.value("SELECT fence FROM run WHERE id = :run", run=big) == held.fence
