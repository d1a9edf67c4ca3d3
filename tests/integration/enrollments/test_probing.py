"""A quarantined tenant comes back by itself, also when no message is left to probe with."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sqlalchemy import text

from clients.errors import RemoteError, Unauthorized
from models.session import transaction
from models.tenant import Direction
from producers import directions
from producers.probing import probe_completions, probe_enrollments
from tests.fixtures.world import World
from workers.probes import probe


def test_probes_succeed_while_both_sides_work(world: World) -> None:
    world.person(80)

    probe_enrollments(world.tenant_id)
    probe_completions(world.tenant_id)

    assert world.writes() == []
    assert all(call.method == "GET" or "token" in call.path for call in world.calls("afas"))


@pytest.mark.parametrize("tried", [probe_enrollments, probe_completions])
def test_a_probe_fails_while_afas_refuses_the_token(world: World, tried: Callable[[int], object]) -> None:
    world.afas.change_switches(ip_refused=True)

    with pytest.raises(RemoteError):
        tried(world.tenant_id)


def test_a_quarantine_without_messages_ends_with_the_first_probe_that_succeeds(world: World) -> None:
    # given a direction in quarantine whose probe is due, and nothing in the ledger
    world.person(80)
    with transaction() as connection:
        refused = Unauthorized("token_refused", "AFAS refuses the token.")
        directions.quarantine(connection, world.tenant_id, Direction.ENROLLMENTS, refused.code, refused.message, {})
        connection.execute(text("UPDATE tenant_direction SET probe_at = now() - interval '5 seconds'"))

    # when
    outcomes = [begun.result(timeout=20) for begun in probe()]

    # then
    assert outcomes == [True]
    states = world.rows("SELECT state FROM tenant_direction WHERE direction = 'enrollments'")
    assert states == [{"state": "healthy"}]


def test_a_probe_tries_the_report_that_a_completions_run_reads(world: World) -> None:
    # given everything works but the right to read the report
    world.person(80)
    match = {"operation": "portfolioReport"}
    world.fault("pluvo", "graphql_error", match=match, code="FORBIDDEN", message="permission denied")

    # then enrollments work, completions don't
    probe_enrollments(world.tenant_id)
    with pytest.raises(RemoteError):
        probe_completions(world.tenant_id)

    # and the probe reads no more than a page
    world.clear_faults()
    world.clear_log()
    probe_completions(world.tenant_id)
    assert sum("portfolioReport" in call.fields for call in world.calls("pluvo")) == 1
