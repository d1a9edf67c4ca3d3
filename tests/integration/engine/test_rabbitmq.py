"""RabbitMQ as carrier: what it does otherwise than Redis, and that nothing is lost or doubled when it fails."""

from __future__ import annotations

import signal

import pytest

from ops import doctor, status
from tests.fixtures.rabbitmq import RabbitMQ
from tests.integration.engine.conftest import Engine
from tests.integration.engine.kinds import KIND
from tests.integration.engine.test_processes import supervised
from tests.integration.engine.test_redis_failover import fill
from workers.broker import broker
from workers.broker.carrier import RabbitTrouble
from workers.broker.rabbitmq_carrier import RabbitCarrier
from workers.messages.envelope import Envelope

SECONDS = 90
pytestmark = pytest.mark.xdist_group("rabbitmq")


def carrier() -> RabbitCarrier:
    found = broker.carrier
    assert isinstance(found, RabbitCarrier)
    return found


def test_what_was_pushed_is_fetched_acknowledged_and_gone(engine: Engine, on_rabbitmq: RabbitMQ) -> None:
    sent = [("enrollments", Envelope(KIND, 1, number, 1)) for number in (1, 2, 3)]
    assert broker.lost_memory()
    assert not broker.lost_memory()
    broker.push(sent)
    assert broker.missing([("enrollments", "1-1")]) == []

    found = carrier().fetch("enrollments", 2, 10_000)
    assert [each[0] for each in found] == ["1-1", "2-1"]
    carrier().requeue("enrollments", "2-1")
    rest = carrier().fetch("enrollments", 5, 10_000, ["1-1"])

    assert sorted(str(each[0]) for each in rest) == ["2-1", "3-1"]
    carrier().ack("enrollments", "2-1", "3-1")
    assert carrier().fetched("enrollments") == set()
    with on_rabbitmq.connect() as other:
        assert other.channel().queue_declare("koppeling:enrollments", passive=True).method.message_count == 0


def test_what_is_in_hand_is_not_begun_again_when_it_is_delivered_anew(engine: Engine, on_rabbitmq: RabbitMQ) -> None:
    assert broker.lost_memory()
    broker.push([("enrollments", Envelope(KIND, 1, 1, 1))])
    assert carrier().fetch("enrollments", 5, 10_000)
    # when the connection breaks, everything that was not acknowledged is delivered once more
    on_rabbitmq.control("close_all_connections", "tests")
    handed: list[object] = []

    def delivered_anew() -> bool:
        handed.extend(carrier().fetch("enrollments", 5, 10_000))
        return on_rabbitmq.unacknowledged("enrollments") == 1

    # then what is in hand is not handed on a second time, and one acknowledgement is enough
    engine.wait(delivered_anew, SECONDS)
    assert handed == []
    carrier().ack("enrollments", "1-1")
    assert carrier().fetched("enrollments") == set()
    carrier().close()
    assert carrier().fetch("enrollments", 5, 10_000) == []


def test_a_push_that_nobody_confirmed_is_missing_once(engine: Engine, on_rabbitmq: RabbitMQ) -> None:
    assert broker.lost_memory()
    with on_rabbitmq.connect() as other:
        other.channel().queue_delete("koppeling:completions")
    sent = [("enrollments", Envelope(KIND, 1, 1, 1)), ("completions", Envelope(KIND, 1, 2, 1))]
    with pytest.raises(RabbitTrouble):
        broker.push(sent)
    asked = [("enrollments", "1-1"), ("completions", "2-1")]
    assert broker.missing(asked) == [("completions", "2-1")]
    assert broker.missing(asked) == []


def test_rubbish_becomes_dead_letters_and_the_good_ones_beside_it_are_done(
    engine: Engine, on_rabbitmq: RabbitMQ
) -> None:
    tenant = engine.tenant()
    with engine.process():
        engine.alive(1)
        with on_rabbitmq.connect() as other:
            channel = other.channel()
            for rubbish in (b"", b"\xff\xfe", b'{"a": 1}', b"x" * 100_000):
                channel.basic_publish("", "koppeling:enrollments", rubbish)
        engine.enqueue(tenant, 1, 2)
        engine.empty(SECONDS)
        engine.wait(lambda: len(engine.letters()) == 3, SECONDS)  # an empty one never was a message
        with on_rabbitmq.connect() as other:
            count = other.channel().queue_declare("koppeling:enrollments", passive=True).method.message_count
            assert count == 0
    assert sorted(engine.effects()) == [1, 2]


@pytest.mark.parametrize("what", ["killed", "frozen", "emptied"])
def test_a_rabbitmq_that_fails_in_mid_run_loses_and_doubles_nothing(
    engine: Engine, on_rabbitmq: RabbitMQ, what: str
) -> None:
    engine.environment["KOPPELING_LEASE"] = "30s"  # what ends the wait for a message that nobody can ask for
    with supervised(engine, 2, threads=4):
        subjects = fill(engine, 300, 0.05)
        engine.wait(lambda: len(engine.effects()) >= 40, SECONDS)
        if what == "killed":
            on_rabbitmq.kill()
            on_rabbitmq.start()
        elif what == "frozen":
            on_rabbitmq.send(signal.SIGSTOP)
            done = len(engine.effects())
            engine.wait(lambda: engine.value("SELECT count(*) FROM message WHERE started_at IS NOT NULL") == 0, SECONDS)
            assert len(engine.effects()) >= done
            on_rabbitmq.send(signal.SIGCONT)
        else:
            on_rabbitmq.empty()
        engine.empty(SECONDS)
    assert sorted(engine.effects()) == subjects
    assert engine.letters() == []


def test_a_rabbitmq_that_is_full_stops_the_flow_and_costs_no_deliveries(engine: Engine, on_rabbitmq: RabbitMQ) -> None:
    tenant = engine.tenant()
    with engine.process():
        engine.enqueue(tenant, 1)
        engine.empty(SECONDS)
        on_rabbitmq.control("set_vm_memory_high_watermark", "absolute", "1MB")
        try:
            engine.wait(lambda: status.broker() == "refuses", SECONDS)
            engine.enqueue(tenant, *range(2, 40))
            engine.wait(lambda: doctor_says() == "rabbitmq_full", SECONDS)
        finally:
            on_rabbitmq.control("set_vm_memory_high_watermark", "absolute", "400MB")
        engine.empty(SECONDS)
    assert sorted(engine.effects()) == list(range(1, 40))
    assert engine.value("SELECT max(delivery) FROM test_effect") <= 3


def doctor_says() -> str:
    found = doctor.document()["checks"]
    return next(one["code"] for one in found if one["check"] == "rabbitmq")
