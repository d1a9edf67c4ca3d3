"""The parts of dramatiq that are not promised by its documentation, and that this program stands on.

When one of these fails after an upgrade of dramatiq, look where the name is used below ``workers/``.
"""

from __future__ import annotations

import inspect
from typing import Any

import dramatiq
import pytest
from dramatiq import common, middleware, worker
from dramatiq.broker import Broker, Consumer, MessageProxy

import workers.broker
from models.message import Kind
from workers.messages.delivery import HOOKS
from workers.messages.execute import LedgerActor

# Class: what of it is overridden or used, with the names of the arguments.
USED: dict[type, dict[str, tuple[str, ...]]] = {
    dramatiq.Actor: {
        "__call__": ("self", "args", "kwargs"),
        "message_with_options": ("self", "args", "kwargs", "options"),
    },
    Broker: {
        "add_middleware": ("self", "middleware"),
        "consume": ("self", "queue_name", "prefetch", "timeout"),
        "declare_actor": ("self", "actor"),
        "declare_queue": ("self", "queue_name"),
        "emit_after": ("self", "signal"),
        "emit_before": ("self", "signal"),
        "get_actor": ("self", "actor_name"),
    },
    Consumer: {
        "__next__": ("self",),
        "ack": ("self", "message"),
        "nack": ("self", "message"),
        "requeue": ("self", "messages"),
        "close": ("self",),
    },
    middleware.TimeLimit: {
        "after_process_boot": ("self", "broker"),
        "before_process_message": ("self", "broker", "message"),
    },
    middleware.Middleware: {
        "after_process_boot": ("self", "broker"),
        "before_worker_boot": ("self", "broker", "worker"),
        "after_worker_boot": ("self", "broker", "worker"),
        "before_worker_shutdown": ("self", "broker", "worker"),
        "after_worker_shutdown": ("self", "broker", "worker"),
    },
}


@pytest.mark.parametrize(
    ("owner", "name", "arguments"),
    [(owner, name, found) for owner, used in USED.items() for name, found in used.items()],
)
def test_what_is_overridden_still_exists_and_takes_these_arguments(
    owner: type, name: str, arguments: tuple[str, ...]
) -> None:
    taken = list(inspect.signature(getattr(owner, name)).parameters)
    assert taken[: len(arguments)] == list(arguments)


def test_the_broker_has_the_attributes_that_ours_uses() -> None:
    broker = workers.broker.broker
    assert isinstance(broker.middleware[0], middleware.TimeLimit)
    for name in ("actors", "actor_options", "queues", "broker_id", "delay_queues", "get_declared_queues"):
        assert hasattr(broker, name), name


def test_a_worker_has_the_attributes_that_the_launcher_uses() -> None:
    made = dramatiq.Worker(workers.broker.broker, worker_threads=1)
    for name in ("worker_threads", "queue_prefetch", "worker_timeout", "consumers", "workers", "work_queue", "broker"):
        assert hasattr(made, name), name
    assert list(common.iter_queue(made.work_queue)) == []  # type: ignore[no-untyped-call]  # it has no types
    assert "self.consumer" in inspect.getsource(worker._ConsumerThread)


def test_a_worker_calls_the_actor_with_the_arguments_of_the_message() -> None:
    source = inspect.getsource(worker._WorkerThread.process_message)
    assert "actor(*message.args, **message.kwargs)" in source
    assert MessageProxy(dramatiq.Message("q", "a", (1,), {}, {})).args == (1,)


def test_a_time_limit_can_be_set_anew_while_a_message_runs() -> None:
    limit = middleware.TimeLimit()
    assert list(inspect.signature(type(limit.manager).add_timeout).parameters) == ["self", "thread_id", "ttl"]
    assert limit.time_limit > 0
    assert issubclass(middleware.TimeLimitExceeded, BaseException)


def test_options_of_an_actor_are_kept_and_unknown_ones_refused() -> None:
    upsert: Any = workers.broker.broker.get_actor(Kind.UPSERT)
    assert isinstance(upsert, LedgerActor)
    assert set(upsert.options) == HOOKS
    with pytest.raises(ValueError, match="undefined"):
        dramatiq.actor(actor_name="test.undefined", on_nothing=print)(print)


@pytest.mark.parametrize("kind", list(Kind))
def test_an_actor_is_never_sent_past_the_ledger(kind: Kind) -> None:
    actor = workers.broker.broker.get_actor(kind)
    for send in (actor.send, actor.message, actor.send_with_options):
        with pytest.raises(TypeError, match=r"models\.ledger: a message is a row first"):
            send()
