"""No tenant, no kind of message and no system that hangs keeps the others waiting; no probe is spent on nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
import redis

from models.session import transaction
from tenancy import health
from tests.integration.engine import kinds
from tests.integration.engine.conftest import Engine
from workers.broker import broker
from workers.messages.envelope import Envelope
from workers.messages.execute import claim
from workers.messages.interruptions import STOPPING
from workers.relay.relay import Relay

LONG = 20.0


@pytest.fixture
def leader(database_url: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(database_url, autocommit=True) as connection:
        yield connection


def hang(engine: Engine, first: int, last: int) -> None:
    for subject in range(first, last + 1):
        engine.script(subject, "sleep", LONG)


@pytest.mark.parametrize("slow_tenants", [1, 3])
def test_tenants_whose_systems_hang_do_not_delay_a_small_one(
    engine: Engine, client: redis.Redis, slow_tenants: int
) -> None:
    small = engine.tenant("small")
    for number in range(slow_tenants):
        tenant = engine.tenant(f"slow{number}")
        hang(engine, 100 * number + 1, 100 * number + 12)
        engine.enqueue(tenant, *range(100 * number + 1, 100 * number + 13))
    with engine.process(threads=8):
        engine.wait(lambda: engine.value("SELECT count(*) FROM test_begun") >= slow_tenants, 30)
        engine.enqueue(small, *range(5001, 5021))
        engine.wait(lambda: len(engine.effects()) >= 20, LONG - 3, "all of the small one")
        # the slow ones are still at their first messages
        assert set(engine.effects()) == set(range(5001, 5021))


def test_calls_without_an_answer_take_no_thread_from_others(engine: Engine, client: redis.Redis) -> None:
    # given as many tenants whose systems hang as there are threads: each may always have one message
    for subject in range(101, 109):
        engine.script(subject, "hang", LONG)
        engine.enqueue(engine.tenant(f"hangs{subject}"), subject)
    small = engine.tenant("small")
    with engine.process(threads=8):
        engine.wait(lambda: engine.value("SELECT count(*) FROM test_begun") == 8, 30)
        # when
        engine.enqueue(small, *range(1, 21))
        # then
        engine.wait(lambda: len(engine.effects()) >= 20, LONG - 3, "all of the small one")
        assert set(engine.effects()) == set(range(1, 21))


def test_one_tenant_whose_calls_take_long_holds_half_of_the_threads(engine: Engine, client: redis.Redis) -> None:
    # given one that answered quickly, and then no more
    tenant = engine.tenant()
    hang(engine, 101, 120)
    engine.enqueue(tenant, *range(1, 41))
    engine.enqueue(tenant, *range(101, 121))
    with engine.process(threads=8):
        engine.wait(lambda: engine.value("SELECT count(*) FROM test_begun WHERE subject_id > 100") == 4, 30)
        engine.wait(lambda: engine.value("SELECT bool_and(sent_at < now() - interval '2 seconds') FROM message"
                                         " WHERE state = 'sent'"), 10)  # fmt: skip
        assert engine.value("SELECT count(*) FROM message WHERE state = 'sent'") == 4


def test_a_row_of_time_outs_leaves_a_lane_one_thread_until_it_is_answered(
    engine: Engine, client: redis.Redis, leader: psycopg.Connection
) -> None:
    tenant = engine.tenant()
    for subject in (1, 2, 3):
        engine.script(subject, "unknown")
    engine.enqueue(tenant, 1, 2, 3)
    with engine.relay(), engine.worker():
        engine.wait(lambda: engine.value("SELECT count(*) FROM message WHERE state = 'scheduled'") == 3)
    assert engine.value("SELECT timeouts FROM tenant_direction WHERE direction = 'enrollments'") == 3

    # one at a time now
    engine.enqueue(tenant, *range(11, 31))
    Relay(broker).tick(leader)
    assert engine.value("SELECT count(*) FROM message WHERE state = 'sent'") == 1

    # and as before with the first answer
    engine.execute("UPDATE message SET state = 'ready' WHERE state = 'sent'")
    with engine.relay(), engine.worker():
        engine.wait(lambda: len(engine.effects()) == 20)
    assert engine.value("SELECT timeouts FROM tenant_direction WHERE direction = 'enrollments'") == 0


@pytest.mark.parametrize("by", ["priority", "kind"])
def test_a_flood_leaves_a_share_to_what_else_waits_in_its_lane(
    engine: Engine, client: redis.Redis, leader: psycopg.Connection, by: str
) -> None:
    """500 webhooks before the write-backs of a run; or 500 before the write-backs that webhooks ask for."""
    tenant = engine.tenant()
    kind, priority = (kinds.WRITES, 0) if by == "kind" else (kinds.CALLS, 5)
    engine.enqueue(tenant, *range(1001, 1501), kind=kinds.CALLS, priority=0)
    engine.enqueue(tenant, *range(1, 11), kind=kind, priority=priority)
    relay = Relay(broker)
    order = handed_out(engine, relay, leader, 60)
    assert sum(subject < 1000 for subject in order) == 10  # all of them among the first sixty
    if by == "priority":
        assert sum(subject > 1000 for subject in order[:16]) > 8  # and the urgent ones have the larger share


def handed_out(engine: Engine, relay: Relay, leader: psycopg.Connection, count: int) -> list[int]:
    """Subjects in the order in which they are handed out, each done at once."""
    order: list[int] = []
    while len(order) < count:
        relay.tick(leader)
        gone = engine.execute(
            """WITH gone AS (DELETE FROM message WHERE state = 'sent' RETURNING subject_id, priority, id)
               SELECT subject_id FROM gone ORDER BY priority, id"""
        )
        assert gone, "the relay stands still"
        order += [row[0] for row in gone]
    return order


def quarantine(engine: Engine, tenant: int, direction: str = "enrollments", call: dict[str, Any] | None = None) -> None:
    with transaction() as connection:
        health.quarantine(connection, tenant, direction, "token_refused", "x", call or {"operation": "do"})
    due(engine, tenant)


def due(engine: Engine, tenant: int) -> None:
    engine.execute(
        """UPDATE tenant_direction SET probe_at = now() - interval '1 second'
            WHERE tenant_id = :t AND state = 'quarantined'""",
        t=tenant,
    )


def probes(engine: Engine, tenant: int) -> int:
    return int(engine.value("SELECT max(probes) FROM tenant_direction WHERE tenant_id = :t", t=tenant))


def test_a_probe_counts_when_it_is_sent_and_not_while_the_in_flight_limit_is_reached(
    engine: Engine, client: redis.Redis, leader: psycopg.Connection
) -> None:
    sick = engine.tenant("sick")
    for number in range(4):
        engine.enqueue(engine.tenant(f"busy{number}"), *range(number * 100 + 1, number * 100 + 51))
    relay = Relay(broker)
    relay.tick(leader)
    assert engine.value("SELECT count(*) FROM message WHERE state = 'sent'") == 32
    engine.enqueue(sick, 9001)
    quarantine(engine, sick)

    relay.tick(leader)
    assert probes(engine, sick) == 0

    engine.execute("DELETE FROM message WHERE tenant_id <> :t", t=sick)
    relay.tick(leader)
    assert engine.value("SELECT state FROM message") == "sent"
    assert probes(engine, sick) == 1


def test_a_message_that_may_not_go_uses_up_no_probe(
    engine: Engine, client: redis.Redis, leader: psycopg.Connection
) -> None:
    sick = engine.tenant()
    first = engine.enqueue(sick, 1)[1]
    engine.execute("UPDATE message SET state = 'scheduled', run_at = now() + interval '2 hours', attempts = 4")
    engine.enqueue(sick, 2, after_id=first)
    quarantine(engine, sick)
    for _ in range(3):
        due(engine, sick)
        Relay(broker).tick(leader)
    assert probes(engine, sick) == 0


def test_a_probe_that_reached_nobody_does_not_count(
    engine: Engine, client: redis.Redis, leader: psycopg.Connection
) -> None:
    sick = engine.tenant()
    message = engine.enqueue(sick, 1)[1]
    quarantine(engine, sick)
    # Redis lost it, or all that it knew
    relay = Relay(broker)
    relay.tick(leader)
    assert probes(engine, sick) == 1
    client.delete("koppeling:enrollments.msgs")
    relay._take_back_lost(leader, age=0.0)
    assert probes(engine, sick) == 0
    relay.tick(leader)
    client.flushdb()
    relay.tick(leader)  # taken back, and handed out again at once
    assert (probes(engine, sick), engine.message(message).state) == (1, "sent")
    # its worker is told to stop before it begins
    STOPPING.set()
    try:
        assert claim(Envelope(kinds.KIND, sick, message, engine.message(message).deliveries)) is None
    finally:
        STOPPING.clear()
    assert (probes(engine, sick), engine.message(message).state) == (0, "ready")
    assert engine.value("SELECT probe_at <= clock_timestamp() FROM tenant_direction WHERE state = 'quarantined'")


def test_only_the_kind_of_message_that_failed_probes_and_only_its_call_reopens(
    engine: Engine, client: redis.Redis, leader: psycopg.Connection
) -> None:
    """A look at Pluvo says nothing about a right that AFAS took away."""
    tenant = engine.tenant()
    failed = {"kind": kinds.WRITES, "system": "AFAS", "call": "writing a completion", "access": False}
    quarantine(engine, tenant, "completions", failed)
    # another kind stays where it is
    engine.enqueue(tenant, 1, kind=kinds.CALLS)
    Relay(broker).tick(leader)
    assert engine.value("SELECT state FROM message") == "ready"
    # the kind that failed goes, but calls another system: nothing is proved, and the next probe has its time
    engine.enqueue(tenant, 2, kind=kinds.WRITES)
    with engine.relay(), engine.worker():
        engine.wait(lambda: engine.effects() == [2])
    assert engine.value("SELECT state FROM tenant_direction WHERE direction = 'completions'") == "quarantined"
    assert engine.value("SELECT probe_at > now() FROM tenant_direction WHERE direction = 'completions'")
    assert probes(engine, tenant) == 1


def test_a_message_that_may_not_go_makes_the_relay_ask_as_seldom_as_when_idle(
    engine: Engine, client: redis.Redis
) -> None:
    tenant = engine.tenant()
    first = engine.enqueue(tenant, 1)[1]
    engine.execute("UPDATE message SET state = 'scheduled', attempts = 5, run_at = now() + interval '6 hours'")
    engine.enqueue(tenant, 2, after_id=first)
    with engine.relay() as relay:
        engine.wait(lambda: relay.leader.leading and relay.pause >= 0.25, 10)
        # and what is said to it does not pile up
        for _ in range(50):
            engine.execute("SELECT pg_notify('koppeling_ledger', '')")
        engine.wait(lambda: relay.leader.connection and not relay.leader.connection._notifies_backlog, 10)
