"""Webhooks over real HTTP with a real worker: none lost, none trusted without its signature."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
import requests
from sqlalchemy.exc import OperationalError
from sqlmodel import select

from models.session import session
from models.tenant import Tenant
from ops.http import webhooks
from ops.http.app import make_app
from ops.http.webhooks import MAX_BYTES, Secrets
from simulators.core.server import running
from simulators.pluvo.webhooks import event_body, signed_headers
from tests.fixtures.world import World

SECRET = "whk-geheim"
TITLE = "Training 340"


@pytest.fixture
def url(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Where the webhooks of tenant acme come in."""
    world.set_tenant(webhook_secret=SECRET)
    monkeypatch.setattr(webhooks, "secrets", Secrets())
    with running(make_app()) as base:
        yield f"{base}/webhooks/pluvo/acme"


@contextmanager
def worker(environment: dict[str, str]) -> Iterator[None]:
    """A real worker process, as `dramatiq workers` starts it."""
    command = [sys.executable, "-m", "dramatiq", "workers", "--processes", "1", "--threads", "8"]
    process = subprocess.Popen(
        command, env=os.environ | environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(40)


def until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    """Wait for a condition."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come about in time"
        time.sleep(0.05)  # between two looks


def finished(world: World, person: int) -> bytes:
    """The body of a finish event about a person."""
    user = world.user(f"p{person}@example.nl")
    return json.dumps(event_body("TRAINING_FINISHED", user, {"title": TITLE}), ensure_ascii=False).encode()


def post(url: str, body: bytes, **headers: str) -> int:
    """Deliver a signed body; headers replace those of the signature."""
    with requests.post(url, data=body, headers=signed_headers(SECRET, body) | headers, timeout=30) as answer:
        return answer.status_code


def nothing_happened(world: World) -> bool:
    """Whether no event was kept and no message made."""
    return world.rows("SELECT id FROM webhook_event") == [] and world.rows("SELECT id FROM message") == []


def test_forged_oversized_and_misdirected_webhooks_change_nothing(world: World, url: str) -> None:
    # given a tenant beside it with a secret of its own, and one without webhooks
    world.person(80)
    world.sync()
    body = finished(world, 80)
    for slug, secret in (("borg", "another"), ("delta", None)):
        world.rows(
            """INSERT INTO tenant (slug, name, timezone, interval_seconds, afas, pluvo)
               VALUES (:slug, :slug, 'UTC', 3600, '{"member_id": "67890"}',
                       '{"organisation": "other", "client_id": "koppeling"}')
               RETURNING id""",
            slug=slug,
        )
        if secret:
            _set_secret(slug, secret)
    other = signed_headers("another", body)
    large = body + b" " * MAX_BYTES

    # when
    statuses = {
        "forged": post(url, body, **{"X-Signature": "NO9cHygSFRPWq30QvvjWBs8Q_iE"}),
        "changed after signing": post(url, body + b" ", **signed_headers(SECRET, body)),
        "unsigned": requests.post(url, data=body, timeout=30).status_code,
        "no salt": post(url, body, **{"X-Signature-Salt": ""}),
        "empty": post(url, b""),
        "another tenant's": post(url, body, **other),
        "to another tenant": post(url.replace("acme", "borg"), body),
        "to one without webhooks": post(url.replace("acme", "delta"), body),
        "to nobody": post(url.replace("acme", "nobody"), body),
        "too large": post(url, large),
        "far too large": _post_anyhow(url, b"x" * 6_000_000),
    }

    # then
    assert statuses == {
        **dict.fromkeys(("forged", "changed after signing", "unsigned", "no salt", "empty", "another tenant's"), 403),
        **{"to another tenant": 403, "to one without webhooks": 404, "to nobody": 404},
        **{"too large": 200, "far too large": statuses["far too large"]},
    }
    assert statuses["far too large"] in (200, 0)
    assert nothing_happened(world)


def _post_anyhow(url: str, body: bytes) -> int:
    """0 when the server hung up before it heard everything."""
    try:
        return post(url, body)
    except requests.ConnectionError:
        return 0


def _set_secret(slug: str, secret: str) -> None:
    with session() as database:
        tenant = database.exec(select(Tenant).where(Tenant.slug == slug)).one()
        tenant.webhook_secret = secret
        database.add(tenant)


def test_bad_content_under_a_good_signature_is_kept_and_answered_with_200(world: World, url: str) -> None:
    bodies = [b"\xff\xfe", b"null", b"[" * 50_000, b'{"event": 7}', b'{"event": "COURSE_FINISHED"}', b'"\\u0000"']
    assert [post(url, body) for body in bodies] == [200] * 6
    kept = world.rows("SELECT outcome, count(*) AS n FROM webhook_event GROUP BY outcome ORDER BY outcome")
    assert kept == [{"outcome": "no_user", "n": 1}, {"outcome": "unreadable", "n": 5}]
    assert world.rows("SELECT id FROM message") == []


def test_a_new_secret_counts_within_seconds(world: World, url: str) -> None:
    assert post(url, b'{"event": "USER_CREATED"}') == 200
    _set_secret("acme", "new")
    until(lambda: post(url, b'{"event": "USER_CREATED"}') == 403, seconds=15)


def test_a_database_that_is_away_is_a_503(world: World, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # given the secret is known and the database goes away
    assert post(url, b'{"event": "USER_CREATED"}') == 200

    def away() -> Any:
        raise OperationalError("SELECT 1", {}, Exception("gone"))

    monkeypatch.setattr(webhooks, "transaction", away)

    # then Pluvo is to send it again
    assert post(url, b'{"event": "COURSE_FINISHED", "user": {"id": "u1"}}') == 503


def test_five_hundred_webhooks_beside_a_running_worker_are_all_done(
    world: World, url: str, environment: dict[str, str]
) -> None:
    # given fifty people finished; each is told of ten times, in any order, every third delivery is a repetition
    people = range(100, 150)
    for person in people:
        world.person(person)
    world.set_tenant(removals={"policy": "keep", "confirm_after": 3600, "limits": {}})
    world.sync()
    for person in people:
        world.pluvo.complete(world.user(f"p{person}@example.nl")["id"], TITLE, "2026-06-30T22:30:00Z")
    bodies = [finished(world, person) for _ in range(7) for person in people]
    bodies += bodies[:150]

    # when
    with worker(environment):
        with ThreadPoolExecutor(16) as pool:
            statuses = list(pool.map(lambda body: post(url, body), bodies))
        until(lambda: world.rows("SELECT id FROM message") == [])

    # then
    assert statuses == [200] * 500
    assert world.rows("SELECT sum(times) AS times FROM webhook_event WHERE handled_at IS NOT NULL") == [{"times": 500}]
    rows = [world.afas.rows[340, person] for person in people]
    assert {next(iter(row.free.values())) for row in rows} == {"2026-07-01"}
    assert {row.writes for row in rows} == {1}
