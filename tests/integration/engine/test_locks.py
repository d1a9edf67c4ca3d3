"""Two messages of one Pluvo account are never out together, whoever made them: a run, a replay, a webhook."""

from __future__ import annotations

import json
from typing import Any

import psycopg

from models.base import new_id
from models.session import transaction
from ops.dead_letters import replay as replays
from ops.people import links
from producers.completions.webhook_events import store
from simulators.pluvo.webhooks import event_body
from tests.fixtures.world import World
from workers.broker import broker
from workers.relay.relay import Relay


def letter(world: World, kind: str, subject: int) -> str:
    made = new_id()
    world.rows(
        """INSERT INTO dead_letter (id, tenant_id, kind, direction, subject_id, error, message, fingerprint,
                                    code_version)
           VALUES (:id, :t, :k, :d, :s, 'timeout', 'x', 'f', 'v') RETURNING id""",
        id=made,
        t=world.tenant_id,
        k=kind,
        d="enrollments" if kind == "enrollment.upsert" else "completions",
        s=subject,
    )
    return made


def replay(letter_id: str) -> str:
    with transaction() as connection:
        return str(replays.send(connection, letter_id, who="me", reason=None, batch="b")["result"])


def webhook(world: World, person: int, title: str = "x") -> int:
    """A finish of a person comes in; the number of its event."""
    user = world.user(f"p{person}@example.nl")
    body = json.dumps(event_body("TRAINING_FINISHED", user, {"title": title})).encode()
    with transaction() as connection:
        store(connection, world.tenant_id, body)
    return int(world.rows("SELECT max(id) AS id FROM webhook_event")[0]["id"])


def out_together(world: World, database_url: str) -> list[dict[str, Any]]:
    """What is handed out at once, of all that waits."""
    with psycopg.connect(database_url, autocommit=True) as leader:
        relay = Relay(broker)
        for _ in range(3):
            relay.due.clear()
            relay.tick(leader)
    return world.rows("SELECT kind, subject_id FROM message WHERE state = 'sent'")


def test_a_runs_a_replayed_and_a_webhooks_message_of_one_account(world: World, database_url: str) -> None:
    # given one person in two events
    world.person(80, 340)
    world.person(80, 341)
    world.sync()
    first, second = (row["id"] for row in world.rows("SELECT id FROM enrollment ORDER BY id"))
    # when a run changes one, the other is replayed, a webhook comes in and an older one is replayed
    world.begin(full=True)
    world.rows("DELETE FROM message WHERE subject_id = :s AND kind = 'enrollment.upsert' RETURNING id", s=first)
    world.rows("UPDATE enrollment SET failed_code = 'timeout' WHERE id = :id RETURNING id", id=first)
    assert replay(letter(world, "enrollment.upsert", first)) == "replayed"
    older = webhook(world, 80, "older")
    world.rows("DELETE FROM message WHERE kind = 'completion.fetch' RETURNING id")
    assert replay(letter(world, "completion.fetch", older)) == "replayed"
    webhook(world, 80, "newer")
    # then all four have one key, and one of them is out
    waiting = world.rows("SELECT kind, subject_id, lock FROM message ORDER BY id")
    assert len(waiting) == 4
    assert len({row["lock"] for row in waiting}) == 1
    assert {row["subject_id"] for row in waiting if row["kind"] == "enrollment.upsert"} == {first, second}
    assert len(out_together(world, database_url)) == 1


def test_messages_of_a_person_follow_the_account_that_comes_or_is_named_meanwhile(
    world: World, database_url: str
) -> None:
    # given messages of a person without an account, and another one's account
    world.person(90, 340)
    world.sync()
    world.person(80, 340)
    world.person(80, 341)
    world.begin()
    found = {row["lock"] for row in world.rows("SELECT lock FROM message")}
    assert len(found) == 1
    assert found.pop().startswith("person:")
    # when an operator says that it is that account, and work for it comes in
    account = world.rows("SELECT pluvo_id FROM link WHERE pluvo_id IS NOT NULL")[0]["pluvo_id"]
    with transaction() as connection:
        links.link_person(connection, world.tenant_id, "80", account, who="me", verb="links set")
    webhook(world, 90)
    # then it waits for none but these, and they for it
    assert {row["lock"] for row in world.rows("SELECT lock FROM message")} == {f"account:{account}"}
    assert len(out_together(world, database_url)) == 1
