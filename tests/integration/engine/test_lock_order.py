"""Locks are taken in one order, messages first and the oldest of them before the others: nothing deadlocks."""

from __future__ import annotations

from collections.abc import Callable
from typing import LiteralString

import pytest

from models.message import Kind
from models.session import transaction
from ops.tenants import manage
from producers.completions.webhook_events import store
from tenancy.alerts import open_alert
from tests.fixtures.beside import beside
from tests.integration.engine.conftest import Engine
from workers.messages import lease_expiry, no_room, unrecorded
from workers.messages.delivery import Delivery


def newcomers(engine: Engine) -> tuple[int, list[int]]:
    """A tenant, and two messages for people without an account. The older one comes last in every table and index."""
    tenant = engine.tenant()
    engine.execute(
        "INSERT INTO course (tenant_id, event_id, getconnector, updateconnector, fields, pluvo)"
        " VALUES (:t, '340', 'x', 'y', '{}', '{}')",
        t=tenant,
    )
    subjects = []
    for number in ("81", "80"):
        person = engine.value(
            "INSERT INTO person (tenant_id, internal_id, match) VALUES (:t, :n, 'create') RETURNING id",
            t=tenant,
            n=number,
        )
        subjects.append(
            engine.value(
                "INSERT INTO enrollment (tenant_id, person_id, course_id, desired)"
                " SELECT :t, :p, id, 'enrolled' FROM course RETURNING id",
                t=tenant,
                p=person,
            )
        )
    made = engine.enqueue(tenant, *reversed(subjects), kind=Kind.UPSERT)
    messages = sorted(made.values())
    engine.execute("UPDATE message SET run_at = now() + interval '1 minute' WHERE id = :id", id=messages[0])
    return tenant, messages


def let_wait(engine: Engine, tenant: int, messages: list[int]) -> None:
    with transaction() as connection:
        no_room.none_left(connection, Delivery(0, 1, tenant, Kind.UPSERT, "enrollments", 0), "full")


def wake(engine: Engine, tenant: int, messages: list[int]) -> None:
    with transaction() as connection:
        no_room.found(connection, tenant)


def release(engine: Engine, tenant: int, messages: list[int]) -> None:
    with transaction() as connection:
        lease_expiry.release_worker(connection, "gone", killed=False)


def give_back(engine: Engine, tenant: int, messages: list[int]) -> None:
    with unrecorded.given_back():
        pass


Act = Callable[[Engine, int, list[int]], None]


@pytest.mark.parametrize("act", [let_wait, wake, release, give_back])
def test_the_oldest_message_is_locked_first(engine: Engine, act: Act) -> None:
    # given
    tenant, messages = newcomers(engine)
    if act is wake:
        with transaction() as connection:
            open_alert(connection, tenant, no_room.NO_ROOM, None, "full")
        engine.execute("UPDATE message SET state = 'scheduled'")
    if act in (release, give_back):
        for message in reversed(messages):
            engine.execute("UPDATE message SET state = 'sent', deliveries = 1 WHERE id = :id", id=message)
    if act is release:
        for message in reversed(messages):
            engine.execute("UPDATE message SET worker = 'gone' WHERE id = :id", id=message)
    if act is give_back:
        for message in reversed(messages):
            unrecorded.remember(message, tenant, 1)
    # when another transaction has the older one, and then wants the other
    failed = beside(
        [("SELECT 1 FROM message WHERE id = %s FOR UPDATE", message) for message in messages],
        lambda: act(engine, tenant, messages),
    )
    # then both go on
    assert failed == []


def test_a_webhook_that_comes_again_while_its_message_is_settled_is_stored(engine: Engine) -> None:
    # given
    tenant = engine.tenant()
    body = b'{"event": "TRAINING_FINISHED", "user": {"id": "u1"}}'

    def again() -> None:
        with transaction() as connection:
            store(connection, tenant, body)

    again()
    message, event = engine.execute("SELECT id, subject_id FROM message")[0]
    # when the message is locked, and then its event, as whoever settles it does
    settling = [
        ("SELECT 1 FROM message WHERE id = %s FOR UPDATE", message),
        ("UPDATE webhook_event SET handled_at = now() WHERE id = %s", event),
    ]
    failed = beside(settling, again)
    # then both go on
    assert failed == []
    assert engine.value("SELECT times FROM webhook_event") == 2


@pytest.mark.parametrize("holds", ["run", "message", "person"])
def test_a_tenant_is_removed_beside_a_run_a_worker_or_a_verb_that_is_just_writing(engine: Engine, holds: str) -> None:
    # given
    tenant, messages = newcomers(engine)
    engine.execute(
        """INSERT INTO run (id, batch, tenant_id, direction, trigger, status)
           VALUES ('r1', 'r1', :t, 'enrollments', 'test', 'running')""",
        t=tenant,
    )
    held: dict[str, tuple[LiteralString, int | str]] = {
        "run": ("SELECT 1 FROM run WHERE id = %s FOR UPDATE", "r1"),
        "message": ("SELECT 1 FROM message WHERE id = %s FOR UPDATE", messages[1]),
        "person": ("SELECT 1 FROM person WHERE tenant_id = %s FOR NO KEY UPDATE", tenant),
    }
    # when somebody holds what their work is about, and then writes something new of the tenant
    failed = beside(
        [held[holds], ("INSERT INTO person (tenant_id, internal_id) VALUES (%s, '99')", tenant)],
        lambda: manage.remove("acme", who="tester"),
    )
    # then both go on
    assert failed == []
    assert engine.value("SELECT count(*) FROM tenant") == engine.value("SELECT count(*) FROM person") == 0
