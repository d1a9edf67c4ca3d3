"""Somebody in the middle of everything."""

from __future__ import annotations

import json

import pytest

from models.session import _Pool, transaction
from ops.dead_letters import replay_batch
from ops.people import person, search
from ops.tenants import manage
from producers.completions.webhook_events import store
from simulators.pluvo.webhooks import event_body
from tests.fixtures.world import World, now_removals

PERSON, OTHER, NAMESAKE = 987654321, 81, 82
OLD_NAME, NAME = "Oudenaam-Xyz, Quirijn", "Zürich-Köhler, Quirijn"
OLD_EMAIL, EMAIL = "oud.quirijn@example.org", "Quirijn.Zk@example.org"
TITLE = "Training 340"
REF = f"afas:12345:{PERSON}"


@pytest.fixture
def world(shared_world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """The world, empty. Whatever nests two connections in one thread fails at once."""
    monkeypatch.setattr(_Pool, "one_each", True)
    shared_world.reset()
    return shared_world


@pytest.fixture
def account(world: World) -> str:
    """Somebody in the middle of everything; their account's id."""
    world.person(PERSON, name=OLD_NAME, email_primary=OLD_EMAIL)
    world.person(PERSON, 341, name=OLD_NAME, email_primary=OLD_EMAIL)
    world.person(OTHER, name="Anders, A.")
    world.person(NAMESAKE, name=NAME, email_primary="naamgenoot@example.org")
    world.sync()
    account = str(world.user(OLD_EMAIL)["id"])
    world.afas.rename(PERSON, NAME)
    world.afas.set_email(PERSON, EMAIL)
    world.sync()
    # another person gets their address: a parked link with their account among its candidates
    world.afas.set_email(OTHER, EMAIL)
    world.sync(person=str(PERSON))
    world.sync()
    # a removal that is held
    world.set_tenant(removals=now_removals(event_count=0, event_percent=0))
    world.afas.remove(341, PERSON)
    world.sync()
    # a dead letter of theirs, and one of somebody else that speaks of them
    refused = {"code": "BAD_USER_INPUT", "message": f"{NAME} may not", "match": {"operation": "updateUser"}}
    world.fault("pluvo", kind="graphql_error", times=1, **refused)
    world.afas.set_email(PERSON, "weer.anders@example.org")
    world.sync()
    _dead_letter(world, f"{NAME} <{EMAIL}> has it ({REF})")
    # webhooks: about the account, by ref only, and one that can't be read
    user = world.pluvo.users[account]
    by_ref = user | {"id": None}
    for body in (event_body("TRAINING_FINISHED", user, {"title": TITLE}), event_body("COURSE_FINISHED", by_ref)):
        _webhook(world, json.dumps(body).encode())
    _webhook(world, json.dumps({"event": 7, "who": NAME, "mail": EMAIL}).encode())
    world.pluvo.complete(account, TITLE, "2026-06-30T22:30:00Z")
    world.drain()
    for body in ({"event": "TRAINING_FINISHED", "user": user}, {"event": "TRAINING_FINISHED", "user": by_ref}):
        _webhook(world, json.dumps(body).encode())  # not fetched yet
    # an operator's words, and a run that is reading them at this moment
    manage.pause("acme", reason=f"{NAME} phoned", direction=None, who="tester")
    manage.resume("acme", direction=None, who="tester")
    world.rows("UPDATE alert SET text = text || :name RETURNING id", name=NAME)
    # why somebody sent letters again
    replay_batch.cancel(replay_batch.create(["D"], reason=f"{NAME} <{OLD_EMAIL}> phoned", who="tester"))
    # a page on which somebody looked for them, and at them
    search.keep(NAME)
    search.keep(EMAIL, "acme")
    person.opened("acme", str(PERSON))
    return account


def _webhook(world: World, body: bytes) -> None:
    with transaction() as connection:
        store(connection, world.tenant_id, body)


def _dead_letter(world: World, words: str) -> None:
    world.rows(
        """INSERT INTO dead_letter (id, tenant_id, kind, direction, internal_id, error, message, history, fingerprint,
                                    code_version)
           VALUES ('D', :tenant, 'enrollment.upsert', 'enrollments', :other, 'x', :words, CAST(:history AS jsonb), 'f',
                   'v') RETURNING id""",
        tenant=world.tenant_id,
        other=str(OTHER),
        words=words,
        history=json.dumps([{"text": words}]),
    )


def words(account: str) -> list[str]:
    """Everything that names the person, the name of their namesake apart."""
    return [
        OLD_NAME, OLD_EMAIL, EMAIL, "weer.anders@example.org", REF, account, str(PERSON),
    ]  # fmt: skip


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test waits between tries."""
    monkeypatch.setattr("producers.completions.report.RETRY_WAITS_SECONDS", (0.0, 0.0, 0.0))
