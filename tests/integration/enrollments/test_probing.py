"""A quarantined tenant comes back by itself, also when no message is left to probe with."""

from __future__ import annotations

from collections.abc import Callable
from json import dumps

import pytest
from sqlalchemy import text

from clients.errors import RemoteError, Unauthorized
from models.direction import Direction
from models.session import transaction
from producers.probes import probe_completions, probe_enrollments
from tenancy import health
from tests.fixtures.world import World
from workers.maintenance.probes import probe


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
        health.quarantine(connection, world.tenant_id, Direction.ENROLLMENTS, refused.code, refused.message, {})
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


def _spoil_one_event(world: World, fields: dict[str, str], **connector: object) -> None:
    """Event 341 gets a connector of its own that does not work."""
    columns = dict(world.afas.connectors["Deelnemer_per_cursusevenement"].columns)
    world.afas.change_connector("Ander", columns=columns | {"x": "name"}, **connector)
    world.rows(
        """UPDATE course SET getconnector = 'Ander', fields = fields || CAST(:fields AS jsonb)
            WHERE event_id = '341' RETURNING id""",
        fields=dumps(fields),
    )


def test_a_wrong_column_of_one_event_keeps_no_direction_in_quarantine(world: World) -> None:
    world.person(80)
    _spoil_one_event(world, {"internal_id": "Weg"})
    probe_enrollments(world.tenant_id)


@pytest.mark.parametrize("status", [500, 503])
def test_one_connector_that_does_not_answer_keeps_no_direction_in_quarantine(world: World, status: int) -> None:
    world.person(80)
    _spoil_one_event(world, {})
    world.fault("afas", "status", status=status, match={"path_contains": "connectors/Ander"})
    probe_enrollments(world.tenant_id)


def test_a_connector_that_is_not_allowed_does(world: World) -> None:
    world.person(80)
    _spoil_one_event(world, {}, allowed=False)
    with pytest.raises(Unauthorized):
        probe_enrollments(world.tenant_id)


def test_no_connector_that_answers_is_no_success(world: World) -> None:
    world.person(80)
    world.fault("afas", "status", status=503, match={"operation": "page"})
    with pytest.raises(RemoteError):
        probe_enrollments(world.tenant_id)
