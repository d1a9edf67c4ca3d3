"""Who is erased is named nowhere any more, whatever was going on with them; everybody else stays as they are."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest

from models.session import transaction
from ops import links, tenants
from producers.completion_events import store
from producers.lease import RunLease, RunLost
from simulators.webhooks import event_body
from tests.fixtures.looking import link, outcomes, traces
from tests.fixtures.world import World, now_removals
from workers.turns import run_delivery

PERSON, OTHER, NAMESAKE = 987654321, 81, 82
OLD_NAME, NAME = "Oudenaam-Xyz, Quirijn", "Zürich-Köhler, Quirijn"
OLD_EMAIL, EMAIL = "oud.quirijn@example.org", "Quirijn.Zk@example.org"
TITLE = "Training 340"
REF = f"afas:12345:{PERSON}"


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
    tenants.pause("acme", reason=f"{NAME} phoned", direction=None, who="tester")
    tenants.resume("acme", direction=None, who="tester")
    world.rows("UPDATE alert SET text = text || :name RETURNING id", name=NAME)
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


def test_the_scene_is_worth_it(world: World, account: str) -> None:
    found = traces(world, *words(account), NAME)
    assert found >= {
        "person.email", "person.applied_name", "link.pluvo_id", "link.candidates", "enrollment.told_account",
        "hold_line.before", "plan_line.before", "plan_line.after", "plan_line.todo", "change.before", "change.after",
        "dead_letter.message", "dead_letter.history", "webhook_event.body", "webhook_event.ref", "message.turn",
        "operator_action.reason", "run.options", "completion.pluvo_id",
    }  # fmt: skip


def test_an_erased_person_is_in_no_column_of_any_table(world: World, account: str) -> None:
    before = world.rows("SELECT id, rows, outcomes FROM run ORDER BY id")

    links.remove("acme", str(PERSON), erase=True, who="tester")

    # the candidates of the one who uses the address now keep nothing of the account
    assert traces(world, *[word for word in words(account) if word != EMAIL]) == set()
    theirs = {"person.email", "person.email_folded", "plan_line.after", "plan_line.todo"}
    assert traces(world, EMAIL) <= theirs | {"dead_letter.message", "dead_letter.history"}
    assert world.rows("SELECT DISTINCT internal_id FROM plan_line WHERE lower(after::text) LIKE '%quirijn.zk%'") in (
        [{"internal_id": str(OTHER)}],
        [],
    )
    assert world.rows("SELECT id, rows, outcomes FROM run ORDER BY id") == before
    # the namesake keeps name, account and history
    assert link(world, NAMESAKE)["state"] == "linked"
    kept = world.rows("SELECT name FROM person WHERE internal_id = :id", id=str(NAMESAKE))
    assert kept == [{"name": NAME}]
    assert world.rows("SELECT id FROM plan_line WHERE after->>'name' = :name", name=NAME) != []
    assert not {one for one in traces(world, NAME) if one.split(".")[0] not in ("person", "plan_line", "change")}
    # and the work of the others goes on
    world.clear_faults()
    world.afas.remove(340, PERSON)
    run = world.sync()
    assert traces(world, *[word for word in words(account) if word not in (EMAIL, REF, account)]) == set()
    assert run.rows == sum(run.outcomes.values())


@pytest.mark.parametrize("fault", ["none", "status", "lost_answer"])
def test_a_delivery_that_is_out_writes_nothing_down_afterwards(world: World, fault: str) -> None:
    world.person(PERSON, name=OLD_NAME, email_primary=OLD_EMAIL)
    world.sync()
    account = str(world.user(OLD_EMAIL)["id"])
    world.afas.rename(PERSON, NAME)
    world.begin()
    world.fault("pluvo", kind="delay", seconds=2.0, match={"operation": "updateUser"})
    if fault != "none":
        world.fault("pluvo", kind=fault, status=500, match={"operation": "updateUser"})
    envelope = world.hand_out()
    assert envelope is not None
    delivery = threading.Thread(target=run_delivery, args=[envelope])
    delivery.start()
    while not world.rows("SELECT id FROM message WHERE touched"):
        pass

    links.remove("acme", str(PERSON), erase=True, who="tester")
    delivery.join(60)

    assert traces(world, NAME, *words(account)) == set()


def test_a_run_that_read_the_person_before_begins_again(world: World) -> None:
    world.person(PERSON, name=OLD_NAME, email_primary=OLD_EMAIL)
    world.sync()
    world.rows(
        """INSERT INTO run (id, batch, tenant_id, direction, trigger, status, fence, lease_owner, lease_until)
           VALUES ('R', 'R', :tenant, 'enrollments', 'test', 'running', 1, 'w', now() + '1 minute'::interval)
           RETURNING id""",
        tenant=world.tenant_id,
    )
    lease = RunLease("R", world.tenant_id, "enrollments", {}, 1)
    lease.check()

    links.remove("acme", str(PERSON), erase=True, who="tester")

    with pytest.raises(RunLost), lease.writing():
        pass
    assert world.rows("SELECT status FROM run WHERE id = 'R'") == [{"status": "queued"}]


def test_a_removed_tenant_is_in_no_column_of_any_table(world: World, account: str) -> None:
    world.set_tenant(name="Acme Opleidingen BV")
    for number in (OTHER, NAMESAKE):
        assert link(world, number)

    tenants.remove("acme", who="tester")

    assert traces(world, *words(account), NAME, "Acme Opleidingen", "acme", "afas:12345", "p81@example.nl") == set()


def test_whoever_shares_an_account_keeps_it(world: World) -> None:
    world.person(PERSON, name=NAME, email_primary=EMAIL)
    world.sync()
    world.person(OTHER, name=NAME, email_primary=EMAIL)
    world.sync()
    account = link(world, OTHER)["pluvo_id"]
    assert account == link(world, PERSON)["pluvo_id"]

    links.remove("acme", str(PERSON), erase=True, who="tester")

    assert link(world, OTHER)["pluvo_id"] == account
    assert world.rows("SELECT name, email FROM person") == [{"name": NAME, "email": EMAIL}]
    assert traces(world, str(PERSON)) == set()
    world.afas.remove(340, PERSON)
    world.person(OTHER, 341, name=NAME, email_primary=EMAIL)
    assert outcomes(world.sync()) == {"updated": 1, "unchanged": 1}


@pytest.mark.parametrize("name", ["Bo", "An", "Open, P.", 'O\'Neill "Q" \\ K'])
def test_short_and_odd_names_take_nothing_else_with_them(world: World, name: str) -> None:
    world.person(PERSON, name=name, email_primary=EMAIL)
    for number in (OTHER, NAMESAKE):
        world.person(number, name="Boon, Anna")
    world.sync()
    before = _others(world)

    links.remove("acme", str(PERSON), erase=True, who="tester")

    assert _others(world) == before


def _others(world: World) -> list[Any]:
    return [
        world.rows("SELECT * FROM plan_line WHERE internal_id <> :id ORDER BY id", id=str(PERSON)),
        world.rows("SELECT * FROM person WHERE internal_id <> :id ORDER BY id", id=str(PERSON)),
        world.rows("SELECT * FROM change WHERE internal_id <> :id ORDER BY id", id=str(PERSON)),
    ]


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test waits between tries."""
    monkeypatch.setattr("producers.completion_sweep.RETRY_WAITS_SECONDS", (0.0, 0.0, 0.0))
