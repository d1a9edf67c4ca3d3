"""Processes that have room share the work, whichever of them pushes it."""

from __future__ import annotations

import threading

import pytest
import redis

import settings
from tests.integration.engine.conftest import Engine, OwnRedis
from workers.broker.redis_carrier import RedisCarrier
from workers.messages.envelope import Envelope

QUEUE, MAX_BYTES = "enrollments", 1000


def address(seconds: float) -> str:
    """Of the test's Redis, with a time-out."""
    url = settings.get().need_redis()
    return f"{url}{'&' if '?' in url else '?'}socket_timeout={seconds}"


def carriers(*names: str) -> list[RedisCarrier]:
    """What processes of these names use, which have shown a sign of life."""
    made = [RedisCarrier(address(60), name) for name in names]
    for each in made:
        each.show_alive()
    return made


def put(carrier: RedisCarrier, *messages: int) -> None:
    carrier.push([(QUEUE, Envelope("test.do", 1, message, 1)) for message in messages])


def test_two_processes_do_the_work_of_one_tenant(engine: Engine) -> None:
    # given two processes, of which one pushes what both can do
    tenant = engine.tenant()
    with engine.process(threads=4), engine.process(threads=4):
        engine.alive(2)
        # when
        engine.enqueue(tenant, *range(400))
        engine.empty(60)
    # then neither did nearly all of it
    done = [count for _, count in engine.execute("SELECT pid, count(*) FROM test_effect GROUP BY pid")]
    assert sum(done) == 400
    assert min(done) >= 80, done
    assert len(done) == 2


def test_one_process_takes_no_more_than_its_share(engine: Engine) -> None:
    one, _, _ = carriers("one", "two", "three")
    put(one, *range(7))
    # when it has room for all, then a third of it is its own, and of what is left
    assert [len(one.fetch(QUEUE, 20, MAX_BYTES)) for _ in range(5)] == [3, 2, 1, 1, 0]


def test_who_has_waited_longest_hears_first_of_what_is_pushed(engine: Engine, client: redis.Redis) -> None:
    # given two processes that wait, one after the other
    one, two = carriers("one", "two")
    heard: list[str] = []

    def wait(carrier: RedisCarrier) -> None:
        carrier.listen(QUEUE, 30)
        heard.append(carrier.broker_id)

    def begin(carrier: RedisCarrier, among: int) -> None:
        threading.Thread(target=wait, args=(carrier,), daemon=True).start()
        engine.wait(lambda: client.info("clients")["blocked_clients"] == among)

    begin(two, 1)
    begin(one, 2)
    # when
    put(one, 1)
    # then one of them is woken, and the other by the next
    engine.wait(lambda: heard == ["two"])
    put(one, 2)
    engine.wait(lambda: heard == ["two", "one"])


def test_nobody_is_told_more_often_than_there_are_processes(engine: Engine, client: redis.Redis) -> None:
    one, _ = carriers("one", "two")
    for message in range(10):
        put(one, message)
    assert client.llen(one.bell(QUEUE)) == 2


def test_what_is_pushed_while_a_process_looks_is_heard_when_it_waits(engine: Engine) -> None:
    (one,) = carriers("one")
    assert one.fetch(QUEUE, 1, MAX_BYTES) == []
    put(one, 1)
    waited = threading.Thread(target=one.listen, args=(QUEUE, 30), daemon=True)
    waited.start()
    waited.join(10)
    assert not waited.is_alive()


def test_where_the_address_has_a_short_time_out_nobody_listens(engine: Engine) -> None:
    carrier = RedisCarrier(address(0.1), "one")
    assert not carrier.listen(QUEUE, 0.1)  # TimeoutError, as from a server that does not answer, if it did


@pytest.mark.parametrize("seconds", [0.8, 3])
def test_a_server_that_looks_once_a_second_who_has_waited_is_not_taken_for_one_that_does_not_answer(
    own_redis: OwnRedis, seconds: float
) -> None:
    # given the slowest that Redis can be set to, and time-outs that an address may have
    with redis.Redis.from_url(own_redis.url) as server:
        server.config_set("hz", 1)
    carrier = RedisCarrier(address(seconds), "one")
    # then nobody hears a TimeoutError: who can't wait so long does not listen
    heard = [carrier.listen(QUEUE, 0.1) for _ in range(5)]
    assert heard == [seconds == 3] * 5
