"""What a process remembers of a tenant is never older than the tenant."""

from __future__ import annotations

from sqlalchemy import text

from models.session import session, transaction
from models.tenant import Tenant
from tenancy.cache import MARK, remembered
from tests.fixtures.world import World


def look(tenant_id: int) -> Tenant | None:
    """The tenant as a message reads it."""
    with session() as database:
        mark = database.connection().execute(text(f"SELECT {MARK} FROM tenant t WHERE id = {tenant_id}")).scalar()
        return remembered(database, tenant_id, mark or "")


def test_an_unchanged_tenant_is_read_once(world: World) -> None:
    first, second = look(world.tenant_id), look(world.tenant_id)
    assert first is second
    assert first is not None
    assert first.pluvo_client_secret == "geheim"


def test_every_change_is_seen_at_once(world: World) -> None:
    look(world.tenant_id)
    for secret in ("geheim-2", "geheim-3"):
        world.set_tenant(pluvo_client_secret=secret)
        found = look(world.tenant_id)
        assert found is not None
        assert found.pluvo_client_secret == secret


def test_a_tenant_of_another_number_and_one_that_is_gone_are_not_mistaken_for_it(world: World) -> None:
    look(world.tenant_id)
    assert look(world.tenant_id + 1) is None
    with transaction() as connection:
        connection.execute(text("DELETE FROM tenant"))
    assert look(world.tenant_id) is None
