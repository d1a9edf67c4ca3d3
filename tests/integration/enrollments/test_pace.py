"""Where Pluvo takes fewer calls than there are people in hand, each of them still comes to an end."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

import settings
from models.installation import redis_prefix
from models.ledger import PROMOTE
from models.session import transaction
from producers.runs import request
from tenancy.rate_limit import RateLimit
from tenancy.redis_connection import connect
from tests.fixtures.looking import retry_now
from tests.fixtures.world import World
from workers.actors.enrollment_upsert import state
from workers.messages.execute import run_delivery

SECONDS_APART = 2.0


@pytest.fixture
def busy(world: World) -> Iterator[Any]:
    """Let somebody else take Pluvo's only place; the next one is free after two seconds."""
    world.rows("INSERT INTO installation (id, version) VALUES ('test', '0') ON CONFLICT DO NOTHING RETURNING id")
    _forget_pace(world)  # of tests before

    def take() -> None:
        _pace(world, 1 / SECONDS_APART)
        RateLimit(f"{world.pluvo_url}/t/acme", 1 / SECONDS_APART, 60.0)()

    yield take
    _forget_pace(world)


def _pace(world: World, calls_per_second: float) -> None:
    with transaction() as connection:
        connection.exec_driver_sql(
            "UPDATE tenant SET pluvo = pluvo || jsonb_build_object('calls_per_second', %(rate)s::numeric),"
            " settings_version = settings_version + 1",
            {"rate": calls_per_second},
        )


def _forget_pace(world: World) -> None:
    key = f"{redis_prefix()}:rate_limit:{world.pluvo_url}/t/acme"
    connect(settings.get().need_redis()).delete(key, f"{key}:left")


def _one(world: World) -> None:
    envelope = world.hand_out()
    assert envelope is not None
    run_delivery(envelope)


def _asked(world: World) -> Counter[str]:
    return Counter(call.operation for call in world.calls() if call.operation not in ("token", "userPages"))


def _doubts(world: World) -> dict[str, Any]:
    (doubts,) = world.rows(
        "SELECT p.intent_at IS NOT NULL AS intent, e.unsure, e.told_target IS NOT NULL AS place"
        "  FROM person p JOIN enrollment e ON e.person_id = p.id"
    )
    return doubts


def test_who_finds_no_place_for_a_new_account_leaves_nothing_that_would_have_to_be_asked_for(
    world: World, busy: Any
) -> None:
    # given
    world.person(80)
    world.begin()
    busy()
    # when
    _one(world)
    # then
    assert world.rows("SELECT state FROM message") == [{"state": "scheduled"}]
    assert _doubts(world) == {"intent": False, "unsure": False, "place": False}
    _pace(world, 0)
    retry_now(world)
    world.drain()
    assert _asked(world) == {"createUser": 1}


def test_who_finds_no_place_for_a_change_leaves_nothing_that_would_have_to_be_asked_for(
    world: World, busy: Any
) -> None:
    # given
    world.person(80)
    world.sync()
    world.afas.rename(80, "Andere Naam")
    world.begin()
    busy()
    world.clear_log()
    # when
    _one(world)
    # then
    assert _doubts(world) == {"intent": False, "unsure": False, "place": True}
    _pace(world, 0)
    retry_now(world)
    world.drain()
    assert _asked(world) == {"updateUser": 1}


def test_what_an_earlier_try_left_in_doubt_stays_so_where_no_place_is_found(world: World, busy: Any) -> None:
    # given an account that was made, of which the answer was lost
    world.person(80)
    world.fault("pluvo", "lost_answer", match={"operation": "createUser"}, times=1)
    world.begin()
    _one(world)
    retry_now(world)
    before = _doubts(world)
    busy()
    # when
    _one(world)
    # then
    assert _doubts(world) == before == {"intent": True, "unsure": True, "place": True}
    _pace(world, 0)
    retry_now(world)
    world.drain()
    assert _asked(world)["createUser"] == 1


def test_who_waits_long_for_a_place_writes_nothing_once_the_run_is_stopped(world: World, busy: Any) -> None:
    # given somebody who was looked up, as an earlier try went before, and now waits to be made
    world.person(80)
    run = world.begin()
    world.rows("UPDATE person SET intent_at = now() RETURNING id")
    _pace(world, 1 / SECONDS_APART)
    worker = threading.Thread(target=_one, args=(world,))
    worker.start()
    while not _asked(world)["findUsers"]:
        assert worker.is_alive()
        time.sleep(0.01)
    # when
    with transaction() as connection:
        request.request_stop(connection, run.id)
    worker.join(60)
    # then
    assert _asked(world) == {"findUsers": 1}


@pytest.mark.parametrize("doubtful", [False, True], ids=["newcomers", "after lost answers"])
@pytest.mark.parametrize("together", [1, 5], ids=["alone", "together"])
def test_all_of_two_tenants_of_one_organisation_come_to_an_end_and_no_call_is_made_in_vain(
    world: World, busy: Any, monkeypatch: pytest.MonkeyPatch, *, doubtful: bool, together: int
) -> None:
    # given more people in hand than find a place in time
    rate, people, threads = 20.0, 10, 12
    monkeypatch.setattr(state, "PATIENCE_SECONDS", 4 / rate)
    other = world.neighbour()
    for number in range(people):
        world.person(80 + number)
        other.person(180 + number, 341)
    for each in (world, other):
        pluvo = {"organisation": "acme", "client_id": "koppeling", "people_per_call": together}
        each.set_tenant(pluvo=pluvo | {"base_url": f"{world.pluvo_url}/t/acme"})
        each.begin()
    _pace(world, rate)
    if doubtful:
        world.rows("UPDATE person SET intent_at = now() RETURNING id")
    given_up, relay = time.monotonic() + 60, threading.Lock()

    def work() -> None:
        while time.monotonic() < given_up and world.rows("SELECT 1 FROM message LIMIT 1"):
            with relay:
                with transaction() as connection:
                    connection.exec_driver_sql(PROMOTE)
                envelope = world.hand_out()
            if envelope:
                run_delivery(envelope)
            else:
                time.sleep(0.02)

    # when
    workers = [threading.Thread(target=work) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
    # then
    assert world.rows("SELECT id FROM message") == []
    asked = _asked(world)
    if together == 1:
        assert asked == {"createUser": 2 * people} | ({"findUsers": 2 * people} if doubtful else {})
    assert len(world.pluvo.users) == 2 * people
