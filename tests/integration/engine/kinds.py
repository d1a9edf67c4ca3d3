"""Kinds of messages that only tests have. One table scripts what a subject does, another counts what it did.

Imported by tests and by the worker processes they start.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from contextlib import nullcontext
from typing import Any

from dramatiq.middleware.threading import raise_thread_exception
from sqlalchemy import Connection, text

from clients.errors import Misconfigured, Rejected, Unauthorized, Unavailable, Unknown
from clients.http import Call, waiting
from models.session import session, transaction
from models.tenant import Tenant
from producers.runs.lease import RunLease
from tenancy.call_slots import call_slot
from workers.messages.delivery import Delivery
from workers.messages.execute import actor
from workers.runs import runner

TABLES = """
CREATE TABLE test_script (subject_id bigint PRIMARY KEY, action text NOT NULL, seconds float NOT NULL DEFAULT 0);
CREATE TABLE test_effect (id bigserial PRIMARY KEY, subject_id bigint NOT NULL, tenant_id bigint NOT NULL,
    message_id bigint NOT NULL, delivery int NOT NULL, version bigint NOT NULL, pid int NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp());
CREATE TABLE test_begun (subject_id bigint NOT NULL, pid int NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp());
CREATE TABLE test_hook (subject_id bigint NOT NULL, hook text NOT NULL, code text NOT NULL);
"""
_raise_in: Any = raise_thread_exception  # dramatiq's has no types
KIND = "test.do"
WRITES = "completion.test"
CALLS = "completion.calls"


def _hook(name: str) -> object:
    def note(connection: Connection, delivery: Delivery, code: str) -> None:
        connection.execute(
            text("INSERT INTO test_hook VALUES (:s, :h, :c)"), {"s": delivery.subject_id, "h": name, "c": code}
        )

    return note


def _describe(connection: Connection, delivery: Delivery) -> dict[str, str]:
    return {"internal_id": f"1000{delivery.subject_id}", "event_id": "340"}


def _script(delivery: Delivery) -> tuple[str, float]:
    with transaction() as connection:
        connection.execute(
            text("INSERT INTO test_begun (subject_id, pid) VALUES (:s, :p)"),
            {"s": delivery.subject_id, "p": os.getpid()},
        )
    return _scripted(delivery)


def _scripted(delivery: Delivery) -> tuple[str, float]:
    with transaction() as connection:
        row = connection.execute(
            text("SELECT action, seconds FROM test_script WHERE subject_id = :s"), {"s": delivery.subject_id}
        ).first()
    return (row.action, row.seconds) if row else ("note", 0.0)


def end_thread(name: str) -> None:
    """End a thread of this process in a way that no ``except Exception`` catches."""
    for thread in threading.enumerate():
        if thread.name.startswith(name) and thread is not threading.current_thread():
            _raise_in(thread.ident, SystemExit)
            return
    raise LookupError(name)


def _read_secret(delivery: Delivery) -> None:
    with session() as database:
        database.get(Tenant, delivery.tenant_id)


def _work(delivery: Delivery) -> None:  # noqa: PLR0912  one branch for each action
    action, seconds = _script(delivery)
    {"secret": _read_secret}.get(action, lambda _: None)(delivery)
    delivery.call_log.append(Call("test", "do", 200, 0.0, None))
    if action == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if action.startswith("end "):
        end_thread(action.removeprefix("end "))
    if action == "sleep":
        time.sleep(seconds)
    if action == "hang":  # like a call without an answer
        with waiting.if_long():
            time.sleep(seconds)
    with waiting if action == "share" else nullcontext():
        while action in ("wait", "share"):  # until the test scripts something else
            time.sleep(0.1)
            action, seconds = _scripted(delivery)
    if action == "quiet":
        delivery.call_log.clear()
    if action == "unavailable":
        raise Unavailable("throttled", "too many calls", status=429, retry_after_seconds=seconds or None)
    if action == "sleep_then_unknown":
        time.sleep(seconds)
    if action.endswith("unknown"):
        raise Unknown("timeout", "no answer in time")
    if action == "rejected":
        said = "bij 'Medewerker' 17, jan@example.org"
        raise Rejected("functional", "AFAS refused it", status=500, reference="ABC123", remote_text=said)
    if action == "unauthorized":
        raise Unauthorized("token_refused", "AFAS does not accept the token", status=401)
    if action == "misconfigured":
        raise Misconfigured("unknown_field", "the field does not exist")
    if action == "broken":
        raise KeyError("jan@example.org")
    if action.startswith("checked"):
        time.sleep(seconds)
        delivery.check(60 if action == "checked_long" else 1)
        time.sleep(seconds if action == "checked_long" else 0)
    with delivery.settle() as connection:
        connection.execute(
            text(
                """INSERT INTO test_effect (subject_id, tenant_id, message_id, delivery, version, pid)
                   VALUES (:s, :t, :m, :d, :v, :p)"""
            ),
            {
                "s": delivery.subject_id,
                "t": delivery.tenant_id,
                "m": delivery.message_id,
                "d": delivery.number,
                "v": delivery.version,
                "p": os.getpid(),
            },
        )
        if delivery.plan_line_id:
            connection.execute(
                text("UPDATE plan_line SET outcome = 'created', settled_at = now() WHERE id = :id"),
                {"id": delivery.plan_line_id},
            )


for _kind in (KIND, WRITES):
    actor(_kind, on_dead=_hook("died"), on_wait=_hook("waiting"), describe=_describe)(_work)


def _call(delivery: Delivery) -> None:
    """Like a write-back: a slot for the length of a call, and a check inside it."""
    with call_slot(f"https://{delivery.tenant_id}.example.org", 2, 15.0):
        delivery.check(1)
        time.sleep(0.05)
    with delivery.settle() as connection:
        connection.execute(
            text(
                """INSERT INTO test_effect (subject_id, tenant_id, message_id, delivery, version, pid)
                   VALUES (:s, :t, :m, :d, 0, 0)"""
            ),
            {"s": delivery.subject_id, "t": delivery.tenant_id, "m": delivery.message_id, "d": delivery.number},
        )


actor(CALLS)(_call)


def produce(lease: RunLease) -> None:
    """A producer that finds nothing, and sleeps first where subject 0 says so."""
    with transaction() as connection:
        seconds = connection.execute(text("SELECT seconds FROM test_script WHERE subject_id = 0")).scalar()
    time.sleep(seconds or 0)


def produce_nothing() -> None:
    """In a process of the engine's tests, runs find nothing."""
    runner.PRODUCERS["enrollments"] = produce


if os.environ.get("TEST_KINDS"):  # a process that was started for them, also by dramatiq's own command
    produce_nothing()
