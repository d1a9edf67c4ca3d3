"""A suspect in a process of its own: only what it did itself counts against it."""

from __future__ import annotations

import time

import redis

from tests.integration.engine import kinds
from tests.integration.engine.conftest import Engine, closed_database
from workers.messages import isolation, outcome
from workers.messages.delivery import Delivery
from workers.messages.envelope import Envelope
from workers.messages.execute import claim
from workers.messages.interruptions import Snooze


def suspect(engine: Engine, tenant: int) -> Delivery:
    """A message whose worker died twice, claimed once more."""
    message = engine.enqueue(tenant, 1)[1]
    engine.execute(
        """UPDATE message SET kills = 2, state = 'sent', deliveries = 1, sent_at = now(),
                  lease_until = now() + interval '1 minute'"""
    )
    delivery = claim(Envelope(kinds.KIND, tenant, message, 1))
    assert delivery is not None
    return delivery


def test_a_process_that_does_not_even_start_is_not_the_messages_fault(engine: Engine, client: redis.Redis) -> None:
    """The program on the disk was replaced, a module can't be imported, memory is short: the suspect did nothing."""
    delivery = suspect(engine, engine.tenant())
    try:
        isolation.run(delivery, "module_of_the_next_version")
    except Snooze as error:
        outcome.record(delivery, error)
    assert engine.letters() == []
    row = engine.execute("SELECT state, attempts, kills, run_at > now() + interval '30 seconds' FROM message")[0]
    assert tuple(row) == ("scheduled", 0, 2, True)
    assert engine.value("SELECT count(*) FROM test_begun") == 0


def test_a_suspect_whose_database_was_away_is_given_back_like_any_other(
    engine: Engine, client: redis.Redis, postgres_url: str, database_url: str
) -> None:
    tenant = engine.tenant()
    engine.script(1, "sleep", 3.0)
    engine.enqueue(tenant, 1)
    engine.execute("UPDATE message SET kills = 2")
    with engine.process(KOPPELING_LEASE="120s"):
        engine.wait(lambda: engine.value("SELECT count(*) FROM test_begun") == 1, 30)
        with closed_database(postgres_url, database_url):
            time.sleep(4)
        # long before its lease ends, and nothing is held against it
        engine.wait(lambda: engine.value("SELECT deliveries FROM message") == 2, 40)
        assert engine.value("SELECT kills FROM message") == 2
        engine.script(1, "note")
        engine.empty(40)
    assert engine.letters() == []
