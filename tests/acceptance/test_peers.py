"""The programs that the product is compared with do the whole work, and what a kill leaves is counted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.peers.contestants import DRAMATIQ_PEER, NAIVE, Contestant, peer
from benchmarks.peers.measure import differences, killed, timed
from benchmarks.peers.ours import Stage, stage

PEOPLE = 20


@pytest.fixture
def pluvo_and_servers(tmp_path: Path, empty_database_url: str, redis_url: str) -> Iterator[Stage]:
    """A Pluvo that knows none of the people, and servers for the programs."""
    with stage(PEOPLE, tmp_path, empty_database_url, redis_url) as made:
        yield made


@pytest.mark.parametrize("what", [NAIVE, DRAMATIQ_PEER], ids=lambda what: what.name)
def test_a_program_beside_the_product_does_everybody_with_one_call_each(
    what: Contestant, pluvo_and_servers: Stage
) -> None:
    # when
    with peer(what, pluvo_and_servers, delay_ms=0) as running:
        found = timed(running, PEOPLE)
        wrong = differences({person["ref"] for person in pluvo_and_servers.people}, running)
        calls = len(running.pluvo.creations())

    # then
    assert not any(wrong.values()), wrong
    assert calls == PEOPLE
    assert found["seconds"] > 0
    assert found["cpu_ms_a_person"]["own"] > 0


def test_a_script_that_is_killed_and_started_again_leaves_at_most_one_call_doubled(pluvo_and_servers: Stage) -> None:
    # when
    with peer(NAIVE, pluvo_and_servers, delay_ms=20) as running:
        found = killed(running, {person["ref"] for person in pluvo_and_servers.people}, share=0.5)

    # then
    assert PEOPLE / 2 <= found.pop("recorded_at_the_kill") < PEOPLE
    assert found.pop("seconds_after_the_kill") > 0
    assert found.pop("doubled_create_calls") <= 1
    assert not any(found.values()), found


def test_what_is_missing_or_too_much_on_either_side_is_counted(pluvo_and_servers: Stage) -> None:
    # given: everybody done, and then one account gone, and one row of somebody else's
    refs = {person["ref"] for person in pluvo_and_servers.people}
    with peer(NAIVE, pluvo_and_servers, delay_ms=0) as running:
        timed(running, PEOPLE)
        pluvo = running.pluvo

        # when
        user = pluvo.control.state(pluvo.slug)["users"][0]
        pluvo.control.do(pluvo.slug, "purge_user", id=user["id"])
        pluvo.control.do(pluvo.slug, "add_user", email="ander@example.org", name="Ander", ref="ander")
        found = differences(refs, running)

    # then
    assert found["without_account"] == found["without_enrollment"] == found["row_without_account"] == 1
    assert found["accounts_of_nobody"] == 1
    assert found["doubled_create_calls"] == found["account_without_row"] == 0
