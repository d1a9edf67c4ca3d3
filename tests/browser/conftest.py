"""Fixtures of the browser tests. One Chromium, one server and one set of tenants for each file.

``desk``  simulators, workers and ``serve``, with tenants that have something on every page (``seed.py``)
``look``  a Chromium page: ``look.open("/runs", language="nl", theme="dark", width=390, javascript=False)``
``axe``   ``axe(look)``: no serious or critical finding on the page that is open, which fits on the screen
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from playwright.sync_api import Browser, sync_playwright

import settings
from models.session import engine_for
from tests.browser.desk import Desk, started
from tests.browser.look import Look, chromium, violations
from tests.browser.seed import seed
from tests.fixtures.environment import SECRET_KEY
from tests.fixtures.postgres import new_database
from tests.fixtures.servers import Servers
from tests.fixtures.valkey import emptied, number_of

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


# One for each file: what the tests of another one made would be on the pages.
@pytest.fixture(scope="module")
def desk(
    *,
    browser: Browser,
    servers: Servers,
    worker_id: str,
    postgres_url: str,
    template_database: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Desk]:
    """The console with everything behind it; its settings are in force in this process as well."""
    home = tmp_path_factory.mktemp("desk")
    with ExitStack() as stack:
        variables = {
            "KOPPELING_HOME": str(home),
            "KOPPELING_DATABASE_URL": stack.enter_context(new_database(postgres_url, template_database)),
            "KOPPELING_REDIS_URL": emptied(servers, FIRST_DESK + number_of(worker_id)),
            "KOPPELING_REDIS_PREFIX": "desk",
            "KOPPELING_SECRET_KEYS": SECRET_KEY,
            "KOPPELING_ALLOW_INSECURE_URLS": "1",
        }
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        for name, value in variables.items():
            patch.setenv(name, value)
        settings.get.cache_clear()
        stack.callback(settings.get.cache_clear)
        stack.callback(engine_for(settings.get().need_database()).dispose)
        made = stack.enter_context(started(home))
        seed(made)
        yield made


@pytest.fixture
def look(browser: Browser, desk: Desk) -> Iterator[Look]:
    """A visitor of the desk; what went wrong in the browser fails the test at its end."""
    visitor = Look(browser, desk.url)
    yield visitor
    visitor.close()


@pytest.fixture
def axe() -> Callable[[Look], None]:
    """Fails with what axe finds serious or critical on the page that is open, and where it is wider than the screen."""

    def check(look: Look) -> None:
        assert violations(look.page) == [], look.page.url
        assert look.too_wide() <= 0, f"wider than the screen: {look.page.url}"

    return check
