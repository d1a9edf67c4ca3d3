"""A process works on as many messages at once as it has threads; those that wait for a shared call don't count."""

from __future__ import annotations

import time

import redis

from models.worker import STANDING_BY
from tests.integration.engine import kinds
from tests.integration.engine.conftest import Engine

BEGUN = "SELECT count(DISTINCT subject_id) FROM test_begun WHERE subject_id BETWEEN :first AND :last"


def begun(engine: Engine, first: int, last: int) -> int:
    return int(engine.value(BEGUN, first=first, last=last))


def script(engine: Engine, action: str, first: int, last: int) -> None:
    for subject in range(first, last + 1):
        engine.script(subject, action)


def test_while_threads_wait_for_a_shared_call_others_go_on_and_never_more_than_there_are_threads(
    engine: Engine, client: redis.Redis
) -> None:
    tenant, other = engine.tenant(), engine.tenant("other")
    script(engine, "share", 1, 6)
    script(engine, "wait", 101, 104)
    with engine.relay(), engine.worker(threads=2):
        engine.enqueue(tenant, *range(1, 7))
        engine.wait(lambda: begun(engine, 1, 6) == 6, what="more than two wait for the call")
        engine.enqueue(other, *range(101, 105))
        engine.wait(lambda: begun(engine, 101, 104) == 2, what="the two threads' own messages")
        time.sleep(0.3)
        assert begun(engine, 101, 104) == 2

        script(engine, "note", 1, 6)
        script(engine, "note", 101, 104)
        engine.empty()
    assert sorted(engine.effects()) == [*range(1, 7), *range(101, 105)]


def test_only_so_many_stand_by_for_threads_that_wait(engine: Engine, client: redis.Redis) -> None:
    tenant, most = engine.tenant(), 2 + 2 * STANDING_BY
    script(engine, "share", 1, most + 4)
    with engine.relay(), engine.worker(threads=2):
        engine.enqueue(tenant, *range(1, most + 5))
        engine.wait(lambda: begun(engine, 1, most + 4) == most, what="all threads")
        time.sleep(0.3)
        assert begun(engine, 1, most + 4) == most

        script(engine, "note", 1, most + 4)
        engine.empty()
    assert len(engine.effects()) == most + 4


def test_both_queues_together_have_the_threads(engine: Engine, client: redis.Redis) -> None:
    tenant = engine.tenant()
    script(engine, "wait", 1, 4)
    script(engine, "wait", 101, 104)
    with engine.relay(), engine.worker(threads=2):
        engine.enqueue(tenant, *range(1, 5))
        engine.enqueue(tenant, *range(101, 105), kind=kinds.WRITES)
        engine.wait(lambda: begun(engine, 1, 104) == 2)
        time.sleep(0.3)
        assert begun(engine, 1, 104) == 2

        script(engine, "note", 1, 4)
        script(engine, "note", 101, 104)
        engine.empty()


def test_a_queue_that_is_always_full_leaves_the_other_its_turn(engine: Engine, client: redis.Redis) -> None:
    tenant = engine.tenant()
    engine.enqueue(tenant, *range(1, 301))
    engine.enqueue(tenant, *range(501, 506), kind=kinds.WRITES)
    with engine.relay(), engine.worker(threads=1):
        engine.empty(60)
    effects = engine.effects()
    assert max(effects.index(subject) for subject in range(501, 506)) < 200
