"""The known traps of dramatiq on Redis, each shown not to catch us. ``docs/engine.md`` says which test is for which."""

from __future__ import annotations

import json
import threading
import time
from typing import Any

import pytest
import redis
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

import workers.broker.consumer
from clients.http import waiting
from models.session import transaction
from tests.integration.engine.conftest import Engine, OwnRedis, closed_database
from tests.integration.engine.kinds import KIND
from workers.broker import LedgerBroker, broker
from workers.broker.consumer import LedgerConsumer
from workers.broker.unknown_messages import record
from workers.messages.envelope import Envelope, encode

LIST, BODIES = "koppeling:enrollments", "koppeling:enrollments.msgs"


def put(client: redis.Redis, redis_id: str | bytes, body: bytes) -> None:
    """Put anything on the queue, as whoever can reach Redis could."""
    client.hset(BODIES, redis_id, body)
    client.rpush(LIST, redis_id)


def handed_out(engine: Engine, message: int) -> None:
    """Make the ledger believe that a message is out, as its first delivery."""
    engine.execute(
        """UPDATE message SET state = 'sent', deliveries = 1, sent_at = now(), lease_until = now() + '1h'::interval
            WHERE id = :id""",
        id=message,
    )


def test_what_a_killed_process_had_fetched_comes_back_as_soon_as_it_counts_as_dead(
    engine: Engine, client: redis.Redis
) -> None:
    # given a process that fetched a message and was silent for 31 s since
    tenant = engine.tenant()
    message = engine.enqueue(tenant, 1)[1]
    with engine.relay():
        engine.wait(lambda: client.llen(LIST))
    dead = LedgerBroker(LedgerConsumer)
    client.rpoplpush(LIST, "nowhere")
    client.sadd(f"koppeling:__acks__.{dead.broker_id}.enrollments", f"{message}-1")
    client.zadd("koppeling:__heartbeats__", {dead.broker_id: int(time.time() * 1000) - 31_000})
    # when the leader does its rounds, then another process gets it: no chance is involved
    with engine.relay(), engine.worker():
        engine.empty(4)
    assert engine.effects() == [1]
    assert client.zscore("koppeling:__heartbeats__", dead.broker_id) is None


def test_a_push_into_a_stalled_redis_doubles_nothing(own_redis: OwnRedis) -> None:
    # given
    client = redis.Redis.from_url(own_redis.url)
    pushed = [("enrollments", Envelope(KIND, 1, number, 1)) for number in range(1, 4)]
    client.client_pause(4000, all=True)
    # when the push times out, and the relay, not knowing, pushes again
    with pytest.raises(redis.TimeoutError):
        broker.push(pushed)
    time.sleep(1.2)
    broker.push(pushed)
    # then each is there once
    assert client.lrange(LIST, 0, -1) == [b"1-1", b"2-1", b"3-1"]
    assert client.hlen(BODIES) == 3


def test_what_a_timed_out_fetch_took_is_found_again_by_the_living_process(
    engine: Engine, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a message that Redis says this process has, which never saw it
    monkeypatch.setattr(workers.broker.consumer, "CARE_SECONDS", 0.3)
    tenant = engine.tenant()
    message = engine.enqueue(tenant, 1)[1]
    handed_out(engine, message)
    with engine.worker():
        engine.wait(lambda: client.zscore("koppeling:__heartbeats__", broker.broker_id))
        client.hset(BODIES, f"{message}-1", encode(Envelope(KIND, tenant, message, 1), "enrollments", 0))
        client.sadd(f"koppeling:__acks__.{broker.broker_id}.enrollments", f"{message}-1")
        # then it is done without a restart
        engine.empty()
    assert engine.effects() == [1]


def test_a_real_stall_during_fetches_loses_nothing(own_redis: OwnRedis, engine: Engine) -> None:
    tenant = engine.tenant()
    client = redis.Redis.from_url(own_redis.url)
    with engine.relay(), engine.worker():
        engine.enqueue(tenant, *range(1, 201))
        engine.wait(lambda: len(engine.effects()) > 20)
        client.client_pause(4000, all=True)
        engine.empty(30)
    assert sorted(engine.effects()) == list(range(1, 201))


def test_redis_killed_while_messages_wait_are_worked_on_and_are_scheduled_loses_nothing(
    own_redis: OwnRedis, engine: Engine
) -> None:
    # given messages in every state
    tenant = engine.tenant()
    for subject in (1, 2, 3, 4):
        engine.script(subject, "sleep", 0.5)
    later = engine.enqueue(tenant, 500)[500]
    engine.execute("UPDATE message SET state = 'scheduled', run_at = now() + '2s' WHERE id = :id", id=later)
    with engine.relay(), engine.worker() as worker:
        assert sorted(worker.consumers) == ["completions", "enrollments"]  # none for delays
        engine.enqueue(tenant, *range(1, 61))
        engine.wait(lambda: engine.value("SELECT count(*) FROM test_begun") >= 4)
        # when Redis dies under them and comes back empty
        own_redis.kill()
        time.sleep(1)
        own_redis.start()
        # then
        engine.empty(20)
    assert sorted(engine.effects()) == [*range(1, 61), 500]


def test_a_message_that_fails_while_redis_is_down_is_not_lost(own_redis: OwnRedis, engine: Engine) -> None:
    # given a message whose handler raises while Redis is away
    tenant = engine.tenant()
    message = engine.enqueue(tenant, 1)[1]
    engine.script(1, "sleep_then_unknown", 1)
    with engine.relay(), engine.worker():
        engine.wait(lambda: engine.value("SELECT count(*) FROM test_begun"))
        own_redis.kill()
        # then the ledger knows, though nothing could be told to Redis
        engine.wait(lambda: engine.message(message).state == "scheduled")
        # and it is done when Redis is back
        engine.script(1, "note")
        engine.execute("UPDATE message SET run_at = now()")
        own_redis.start()
        engine.empty()
    assert engine.effects() == [1]


def test_a_full_redis_stops_the_flow_and_loses_nothing(own_redis: OwnRedis, engine: Engine) -> None:
    tenant = engine.tenant()
    client = redis.Redis.from_url(own_redis.url)
    with engine.relay(), engine.worker():
        engine.enqueue(tenant, *range(1, 101))
        engine.wait(lambda: len(engine.effects()) > 10)
        client.config_set("maxmemory", "1")
        engine.wait(lambda: refuses_writes(client))
        engine.enqueue(tenant, *range(101, 151))
        time.sleep(1)
        deliveries = engine.value("SELECT max(deliveries) FROM message")
        client.config_set("maxmemory", "0")
        engine.empty(30)
    assert deliveries <= 2  # nothing is claimed for a Redis that takes nothing
    assert sorted(engine.effects()) == list(range(1, 151))


def refuses_writes(client: redis.Redis) -> bool:
    try:
        client.set("x", "y")
    except redis.exceptions.OutOfMemoryError:
        return True
    return False


def test_a_flushed_redis_is_noticed_at_once(engine: Engine, client: redis.Redis) -> None:
    tenant = engine.tenant()
    engine.enqueue(tenant, *range(1, 21))
    with engine.relay():
        engine.wait(lambda: client.llen(LIST) == 16)
        client.flushdb()
        engine.wait(lambda: client.llen(LIST) == 16, 2)
        with engine.worker():
            engine.empty()
    assert sorted(engine.effects()) == list(range(1, 21))


def test_messages_that_redis_evicted_are_handed_out_again(engine: Engine, client: redis.Redis) -> None:
    # given messages that are out, of which Redis forgets all without having been restarted
    tenant = engine.tenant()
    engine.enqueue(tenant, *range(1, 6))
    with engine.relay():
        engine.wait(lambda: client.llen(LIST) == 5)
        client.delete(LIST, BODIES)
        with engine.worker():
            engine.empty(15)
    assert sorted(engine.effects()) == [1, 2, 3, 4, 5]


def test_rubbish_becomes_dead_letters_and_the_good_ones_beside_it_are_done(engine: Engine, client: redis.Redis) -> None:
    # given good messages with every kind of rubbish between them
    tenant = engine.tenant()
    rubbish = {
        "a": b"{not json",
        "b": b"x" * 70_000,
        "c": encode(Envelope("enrollment.unheard_of", tenant, 10**12, 1), "enrollments", 0),
        "d": json.dumps({"actor_name": KIND, "kwargs": {"name": "jan@example.org"}}).encode(),
        "e": encode(Envelope(KIND, tenant, 10**12, 1), "enrollments", 0),
    }
    for redis_id, body in rubbish.items():
        put(client, redis_id, body)
    put(client, b"\xff\xfe", b"\x00")
    client.rpush(LIST, "an id without a body")
    put(client, "f", encode(Envelope(KIND, tenant, 10**12 + 1, 1), "elsewhere", 0))
    with engine.relay(), engine.worker():
        engine.enqueue(tenant, 1, 2, 3)
        engine.empty()
        engine.wait(lambda: len(engine.letters()) == 7)
        engine.wait(lambda: not client.hlen(BODIES))
    # then
    assert sorted(engine.effects()) == [1, 2, 3]
    assert sorted(letter.error for letter in engine.letters()) == [
        "foreign_message",
        "foreign_message",
        "malformed_message",
        "oversized",
        "undecodable",
        "undecodable",
        "unknown_actor",
    ]
    assert all(letter.tenant_id is None and "jan" not in str(letter) for letter in engine.letters())
    big = next(letter for letter in engine.letters() if letter.error == "oversized")
    assert big.message.startswith("A message is 70000 bytes long; 70000 bytes, sha256 ")


def test_a_good_message_does_not_wait_after_each_piece_of_rubbish_before_it(
    engine: Engine, client: redis.Redis
) -> None:
    # given much rubbish, a good message behind it, and a consumer that rests for long when there is nothing to do
    for number in range(100):
        put(client, f"bad{number}", b"{not json")
    good = Envelope(KIND, engine.tenant(), 1, 1)
    broker.push([("enrollments", good)])
    consumer = broker.consume("enrollments", prefetch=4, timeout=3_600_000)
    found: list[Any] = []

    def fetch() -> None:
        while not found:
            found.extend(message for message in [next(consumer)] if message is not None)

    threading.Thread(target=fetch, daemon=True).start()
    engine.wait(lambda: [message.kwargs["envelope"] for message in found] == [good])
    consumer.ack(found[0])
    consumer.close()


def test_rubbish_that_is_still_being_recorded_holds_up_no_other_queue(engine: Engine, client: redis.Redis) -> None:
    good = Envelope(KIND, engine.tenant(), 1, 1)
    with transaction() as connection:
        connection.execute(text("LOCK TABLE dead_letter"))
        put(client, "bad", b"{not json")
        other, consumer = (broker.consume(queue, prefetch=4, timeout=100) for queue in ("enrollments", "completions"))
        recording = threading.Thread(target=lambda: next(other), daemon=True)
        recording.start()
        engine.wait(lambda: not client.llen(LIST))
        # when
        broker.push([("completions", good)])
        found: list[Any] = []
        threading.Thread(target=lambda: found.append(next(consumer)), daemon=True).start()
        # then
        engine.wait(lambda: [message.kwargs["envelope"] for message in found] == [good])
    recording.join(10)
    assert [letter.error for letter in engine.letters()] == ["undecodable"]
    consumer.ack(found[0])
    consumer.close()


def test_a_place_that_comes_free_while_a_consumer_looks_for_one_wakes_it(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given two queues that share the one thread of a process, and a message of the one in it
    tenant = engine.tenant()
    busy, consumer = (broker.consume(queue, prefetch=1, timeout=100) for queue in ("completions", "enrollments"))
    broker.push([("completions", Envelope(KIND, tenant, 1, 1))])
    message = next(busy)
    assert message is not None
    look = broker.room

    def ends_meanwhile(threads: int) -> int:
        room = look(threads)
        busy.ack(message)
        return room

    with monkeypatch.context() as patch:
        patch.setattr(broker, "room", ends_meanwhile)
        # when
        assert next(consumer) is None
    # then
    assert broker.news["enrollments"].is_set()
    busy.close()


def test_who_begins_to_wait_for_a_call_of_others_wakes_each_queue_that_found_no_room(engine: Engine) -> None:
    tenant = engine.tenant()
    busy, consumer = (broker.consume(queue, prefetch=1, timeout=100) for queue in ("enrollments", "completions"))
    broker.push([("enrollments", Envelope(KIND, tenant, 1, 1))])
    message = next(busy)
    assert message is not None
    assert next(consumer) is None
    assert not broker.news["completions"].is_set()
    # when
    with waiting:
        woken = broker.news["completions"].is_set()
    # then
    assert woken
    busy.ack(message)
    busy.close()


def test_ten_megabytes_become_a_dead_letter_without_a_crash(engine: Engine, client: redis.Redis) -> None:
    put(client, "big", b"x" * 10_000_000)
    with engine.worker():
        engine.wait(lambda: [letter.error for letter in engine.letters()] == ["oversized"])
    assert not client.hlen(BODIES)


def test_rubbish_that_comes_while_postgresql_is_away_is_a_dead_letter_later(
    engine: Engine, client: redis.Redis, postgres_url: str, database_url: str
) -> None:
    # given
    with engine.worker():
        with closed_database(postgres_url, database_url):
            with pytest.raises(DBAPIError):
                engine.value("SELECT 1")
            put(client, "bad", b"{not json")
            put(client, "huge", b"x" * 70_000)
            # when it was taken and could not be recorded, it stays in Redis
            engine.wait(lambda: not client.llen(LIST))
            assert client.hlen(BODIES) == 2
        # then
        engine.wait(lambda: not client.hlen(BODIES), 30)
    assert sorted(letter.error for letter in engine.letters()) == ["oversized", "undecodable"]
    assert client.keys("koppeling:enrollments.XQ*") == []


def test_postgresql_gone_in_the_middle_of_turns_burns_nothing_and_loses_nothing(
    engine: Engine, postgres_url: str, database_url: str
) -> None:
    tenant = engine.tenant()
    for subject in range(1, 5):
        engine.script(subject, "sleep", 1)
    with engine.process(threads=4) as process:
        engine.alive(1)
        engine.enqueue(tenant, *range(1, 31))
        engine.wait(lambda: engine.value("SELECT count(*) FROM test_begun") >= 4)
        with closed_database(postgres_url, database_url):
            time.sleep(2)
        engine.wait(lambda: engine.value("SELECT count(*) FROM message") == 0, 30)
        assert process.poll() is None
    assert sorted(engine.effects()) == list(range(1, 31))
    assert engine.letters() == []


def test_a_kind_of_a_newer_version_is_kept_for_later(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    # given a ledger that holds what only another version of the program understands
    tenant = engine.tenant()
    unknown = engine.enqueue(tenant, 1, kind="enrollment.newer")[1]
    with engine.relay(), engine.worker():
        engine.wait(lambda: engine.message(unknown).state == "scheduled")
    assert engine.message(unknown).history[0]["code"] == "unknown_actor"
    assert engine.letters() == []
    # when it stays unknown to the end of the schedule
    engine.execute("UPDATE message SET state = 'sent', deliveries = 9, attempts = 6")
    record(Envelope("enrollment.newer", tenant, unknown, 9), 10, "")
    # then it is a dead letter of its tenant
    (letter,) = engine.letters()
    assert (letter.error, letter.tenant_id, letter.kind) == ("unknown_actor", tenant, "enrollment.newer")


def test_a_newer_form_of_a_known_kind_is_kept_for_later(engine: Engine, client: redis.Redis) -> None:
    tenant = engine.tenant()
    message = engine.enqueue(tenant, 1)[1]
    handed_out(engine, message)
    put(client, f"{message}-1", encode(Envelope(KIND, tenant, message, 1, version=2), "enrollments", 0))
    with engine.worker():
        engine.wait(lambda: engine.message(message).state == "scheduled")
    assert engine.effects() == []


def test_a_process_with_full_hands_still_shows_that_it_lives(
    engine: Engine, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers.broker.consumer, "CARE_SECONDS", 0.2)
    tenant = engine.tenant()
    engine.script(1, "sleep", 2)
    with engine.relay(), engine.worker(1):
        engine.enqueue(tenant, 1)
        engine.wait(lambda: engine.value("SELECT count(*) FROM test_begun"))

        def heartbeat() -> float:
            return float(client.zscore("koppeling:__heartbeats__", broker.broker_id) or 0)

        before = heartbeat()
        engine.wait(lambda: heartbeat() > before + 500, 1.9)
        engine.empty()
    assert engine.value("SELECT count(*) FROM test_begun") == 1


def test_options_that_somebody_added_to_a_message_go_nowhere(engine: Engine, client: redis.Redis) -> None:
    # given a good message whose copy says "wait till next year, on another queue, with a callback"
    tenant = engine.tenant()
    message = engine.enqueue(tenant, 1)[1]
    handed_out(engine, message)
    body = json.loads(encode(Envelope(KIND, tenant, message, 1), "nowhere", 0))
    body["options"] |= {"eta": 10**14, "pipe_target": {}, "time_limit": 1}
    put(client, f"{message}-1", json.dumps(body).encode())
    with engine.worker():
        engine.empty()
    assert engine.effects() == [1]
