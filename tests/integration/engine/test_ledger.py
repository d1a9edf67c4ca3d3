"""From the ledger through Redis to the handler and out of the ledger."""

from __future__ import annotations

from models.session import transaction
from tests.integration.engine.conftest import Engine


def test_enqueued_messages_are_done_once_and_leave_the_ledger(engine: Engine) -> None:
    # given
    tenant = engine.tenant()
    # when
    with engine.relay(), engine.worker():
        engine.enqueue(tenant, *range(1, 101))
        engine.empty()
    # then
    assert sorted(engine.effects()) == list(range(1, 101))
    assert engine.letters() == []
