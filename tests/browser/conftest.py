"""Fixtures of the browser tests. One Chromium, one server and one set of tenants for each file.

``desk``  simulators, workers and ``serve``, with tenants that have something on every page (``seed.py``)
``look``  a Chromium page: ``look.open("/runs", language="nl", theme="dark", width=390, javascript=False)``
``axe``   ``axe(look)``: no serious or critical finding on the page that is open, which fits on the screen
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, sync_playwright

import settings
from models.session import engine_for
from tests.browser.desk import Desk, Seed, running
from tests.browser.look import Look, Visits, chromium, violations
from tests.browser.seed import seed
from tests.fixtures.environment import SECRET_KEY
from tests.fixtures.postgres import leave, new_database
from tests.fixtures.servers import Servers
from tests.fixtures.valkey import emptied, number_of
from tests.fixtures.world import World

# Of the broker's 16 databases those for desks, one for each test process; other tests use low ones.
FIRST_DESK = 8


# Not for the session: while Playwright lives, its event loop is in this thread's way, and other tests run their own.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium, started once for a file."""
    place = chromium()
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(
            executable_path=place, args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        )
        yield opened
        opened.close()


@pytest.fixture(scope="session")
def seeded(
    *,
    simulators: World,
    servers: Servers,
    worker_id: str,
    postgres_url: str,
    template_database: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Seed]:
    """What is on every desk, made once."""
    home = tmp_path_factory.mktemp("seed")
    with new_database(postgres_url, template_database) as url:
        broker = emptied(servers, FIRST_DESK + number_of(worker_id))
        with _in_force(home, url, broker), running(home, signal.SIGTERM) as address:
            Seed.nothing().sow(simulators)
            seed(Desk(address, simulators))
        name = urlsplit(url).path.removeprefix("/")
        leave(postgres_url, name)
        yield Seed.of(name, simulators)


# One for each file: what the tests of another one made would be on the pages.
@pytest.fixture(scope="module")
def desk(
    *,
    browser: Browser,
    seeded: Seed,
    simulators: World,
    servers: Servers,
    worker_id: str,
    postgres_url: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Desk]:
    """The console with everything behind it; its settings are in force in this process as well."""
    home = tmp_path_factory.mktemp("desk")
    seeded.sow(simulators)
    with (
        new_database(postgres_url, seeded.database) as url,
        _in_force(home, url, emptied(servers, FIRST_DESK + number_of(worker_id))),
        running(home) as address,
    ):
        yield Desk(address, simulators)


@contextmanager
def _in_force(home: Path, database_url: str, redis_url: str) -> Iterator[None]:
    """Settings of a desk, for its processes and for this one, which is connected to nothing of it afterwards."""
    variables = {
        "KOPPELING_HOME": str(home),
        "KOPPELING_DATABASE_URL": database_url,
        "KOPPELING_REDIS_URL": redis_url,
        "KOPPELING_REDIS_PREFIX": "desk",
        "KOPPELING_SECRET_KEYS": SECRET_KEY,
        "KOPPELING_ALLOW_INSECURE_URLS": "1",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        settings.get.cache_clear()
        try:
            yield
        finally:
            engine_for(settings.get().need_database()).dispose()
            settings.get.cache_clear()


@pytest.fixture(scope="module")
def visits(browser: Browser) -> Visits:
    """Pages to look through."""
    return Visits(browser)


@pytest.fixture
def look(visits: Visits, desk: Desk) -> Iterator[Look]:
    """A visitor of the desk; what went wrong in the browser fails the test at its end."""
    visitor = Look(visits, desk.url)
    yield visitor
    visitor.close()


@pytest.fixture
def axe() -> Callable[[Look], None]:
    """Fails with what axe finds serious or critical on the page that is open, and where it is wider than the screen."""

    def check(look: Look) -> None:
        assert violations(look.page) == [], look.page.url
        assert look.too_wide() <= 0, f"wider than the screen: {look.page.url}"

    return check
