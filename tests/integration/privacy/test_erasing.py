"""Who is erased is named nowhere any more, whatever was going on with them; everybody else stays as they are."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest

from models.direction import Direction
from models.run import RunOptions
from models.session import transaction
from ops.documents import Batch
from ops.people import links
from ops.runs import dry_run
from ops.tenants import manage
from producers.completions.webhook_events import store
from producers.runs.lease import RunLease, RunLost
from tests.fixtures.looking import link, outcomes, traces
from tests.fixtures.world import World
from tests.integration.privacy.conftest import EMAIL, NAME, NAMESAKE, OLD_EMAIL, OLD_NAME, OTHER, PERSON, REF, words
from workers.messages.execute import run_delivery


def test_the_scene_is_worth_it(world: World, account: str) -> None:
    found = traces(world, *words(account), NAME)
    assert found >= {
        "person.email", "person.applied_name", "link.pluvo_id", "link.candidates", "enrollment.told_account",
        "hold_line.before", "plan_line.before", "plan_line.after", "plan_line.email", "change.before", "change.after",
        "dead_letter.message", "dead_letter.history", "webhook_event.body", "webhook_event.ref", "message.lock",
        "operator_action.reason", "run.options", "completion.pluvo_id", "replay_batch.reason",
    }  # fmt: skip


def test_an_erased_person_is_in_no_column_of_any_table(world: World, account: str) -> None:
    before = world.rows("SELECT id, rows, outcomes FROM run ORDER BY id")

    links.remove("acme", str(PERSON), erase=True, who="tester")

    # the candidates of the one who uses the address now keep nothing of the account
    assert traces(world, *[word for word in words(account) if word != EMAIL]) == set()
    theirs = {"person.email", "person.email_folded", "plan_line.after", "plan_line.email", "plan_line.email_folded"}
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


def test_capitals_hide_nobody(world: World) -> None:
    name, email = "Öztürk-Éclair, Quirijn", "Quirijn.Öz@example.org"
    world.person(PERSON, name=name, email_primary=email)
    world.sync()
    stranger = {"id": "ffffffff-0000-4000-8000-000000000000", "name": "X"}
    for told in (name, name.upper(), name.lower(), email.upper()):
        manage.pause("acme", reason=f"{told} phoned", direction=None, who="tester")
        for plain in (True, False):
            body = {"event": "TRAINING_FINISHED", "user": stranger, "note": told}
            with transaction() as connection:
                store(connection, world.tenant_id, json.dumps(body, ensure_ascii=plain).encode())
    assert traces(world, name, email) >= {"operator_action.reason", "webhook_event.body", "person.name"}

    links.remove("acme", str(PERSON), erase=True, who="tester")

    assert traces(world, name, email) == set()


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


def test_a_dry_run_that_read_the_person_before_writes_nothing_down(world: World) -> None:
    world.person(PERSON, name=OLD_NAME, email_primary=OLD_EMAIL)
    world.sync()
    world.afas.rename(PERSON, NAME)
    world.fault("pluvo", kind="delay", seconds=3.0, times=1)
    told: list[Batch] = []
    options: RunOptions = {"full": True}
    looking = threading.Thread(
        target=lambda: told.append(dry_run.document(Direction.ENROLLMENTS, ["acme"], everyone=False, options=options))
    )
    looking.start()
    while not world.rows("SELECT id FROM snapshot_row WHERE name = :name", name=NAME):
        assert looking.is_alive()

    links.remove("acme", str(PERSON), erase=True, who="tester")
    looking.join(60)

    assert told[0]["runs"][0]["status"] == "failed"
    assert "run it again" in (told[0]["runs"][0]["reason"] or "")
    assert traces(world, NAME, OLD_NAME, OLD_EMAIL, str(PERSON)) == set()


def test_a_removed_tenant_is_in_no_column_of_any_table(world: World, account: str) -> None:
    world.set_tenant(name="Acme Opleidingen BV")
    for number in (OTHER, NAMESAKE):
        assert link(world, number)

    manage.remove("acme", who="tester")

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


def test_who_shared_the_account_of_an_erased_person_names_them_nowhere(world: World) -> None:
    # given two rows of one human being, of whom the second shares the account of the first
    first, second = sorted((PERSON, OTHER))
    for one in (first, second):
        world.person(one, name=NAME, email_primary=EMAIL)
    world.plan()  # its lines stay as planned
    world.sync()
    assert traces(world, f"same_person_as:{first}") >= {"plan_line.reason"}
    # when
    links.remove("acme", str(first), erase=True, who="tester")
    # then
    assert traces(world, f"same_person_as:{first}") == set()
    assert world.rows("SELECT reason FROM plan_line WHERE internal_id = :id", id=str(second)) != []
