"""What workers count of calls and messages comes to the database with their sign of life."""

from __future__ import annotations

from tests.fixtures.world import World
from tests.integration.ops.conftest import run_sql, scalar
from workers.process.heartbeat import Heartbeat


def test_a_sign_of_life_carries_what_a_process_counted(world: World) -> None:
    # given
    run_sql("DELETE FROM tally RETURNING name")
    world.clear_log()
    for number in (1, 2, 3):
        world.person(number, 340)
    # when
    world.sync()
    Heartbeat(8, 10).step()
    # then
    counted = "SELECT sum(value) FROM tally WHERE name = 'calls' AND labels LIKE :system"
    assert scalar(counted, system="pluvo|%") == len(world.calls("pluvo")) > 3
    assert scalar(counted, system="afas|%") == len(world.calls("afas")) > 0
    done = "SELECT sum(value) FROM tally WHERE name = 'end_to_end_seconds' AND labels NOT LIKE '%|sum'"
    assert scalar(done) == 3
