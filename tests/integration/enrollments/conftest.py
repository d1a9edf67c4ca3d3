"""One world per file, emptied before each test: a reset takes a fraction of what new servers and a database do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

import settings
from models.session import engine_for
from simulators.afas import AfasSimulator
from simulators.core.server import running
from simulators.pluvo import PluvoSimulator
from tests.fixtures.environment import SECRET_KEY
from tests.fixtures.postgres import new_database
from tests.fixtures.servers import VARIABLES, Servers
from tests.fixtures.world import World


@pytest.fixture(scope="module")
def made_world(
    servers: Servers, postgres_url: str, template_database: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    """Both simulators and a database, with settings that name them."""
    afas, pluvo = AfasSimulator(), PluvoSimulator()
    with ExitStack() as stack:
        database_url = stack.enter_context(new_database(postgres_url, template_database))
        variables = {
            "KOPPELING_HOME": str(tmp_path_factory.mktemp("home")),
            "KOPPELING_DATABASE_URL": database_url,
            "KOPPELING_REDIS_URL": servers.url(VARIABLES[1]),
            "KOPPELING_SECRET_KEYS": SECRET_KEY,
            "KOPPELING_ALLOW_INSECURE_URLS": "1",
        }
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        for name, value in variables.items():
            patch.setenv(name, value)
        patch.setattr("producers.event_reader.RETRY_WAITS_SECONDS", (0.0, 0.0, 0.0))
        settings.get.cache_clear()
        stack.callback(settings.get.cache_clear)
        stack.callback(engine_for(settings.get().need_database()).dispose)
        yield World(afas, pluvo, stack.enter_context(running(afas.app)), stack.enter_context(running(pluvo.app)))


@pytest.fixture
def world(made_world: World) -> World:
    """The world, empty."""
    made_world.reset()
    return made_world
