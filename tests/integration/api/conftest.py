"""The API over HTTP as it is served, with a tenant that has something of everything behind it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import requests
from sqlalchemy import text

import settings
from models import session
from models.session import transaction
from ops.dead_letters import replay_batch
from ops.http.app import make_app
from simulators.afas.tenant import COMPLETION_FIELD
from tests.fixtures.serving import serving
from tests.fixtures.world import World, now_removals
from tests.integration.ops.conftest import add_dead_letter


@dataclass
class Api:
    """A caller. ``kept`` are ids of what is there: run, hold, letter."""

    url: str
    kept: dict[str, str]

    def __call__(self, method: str, path: str, **given: Any) -> requests.Response:
        """One request below ``/api``."""
        given.setdefault("timeout", 60)
        # As a page of the console says, where there is no token to show.
        given["headers"] = {"Origin": self.url} | dict(given.get("headers") or {})
        return requests.request(method, f"{self.url}/api{path}", **given)

    def get(self, path: str, **query: Any) -> Any:
        """A document that is there."""
        answer = self("GET", path, params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def post(self, path: str, status: int = 200, **body: Any) -> Any:
        """What is answered to a document."""
        answer = self("POST", path, json=body)
        assert answer.status_code == status, answer.text
        return answer.json()


@pytest.fixture(scope="module")
def api(shared_world: World) -> Iterator[Api]:
    """A served API: tenant acme with runs, people, a hold, an ambiguous person and a dead letter."""
    world = shared_world
    session.use_pool(20)
    kept = fill(world)
    with pytest.MonkeyPatch.context() as patch, serving(make_app()) as served:
        patch.setenv("KOPPELING_REDIS_PREFIX", "koppeling")  # a reset forgets the installation's own
        settings.get.cache_clear()
        yield Api(served.url, kept)
    settings.get.cache_clear()


# Pluvo says one day, and somebody wrote another into AFAS.
_CONFLICT = text(
    """
    INSERT INTO completion (id, tenant_id, course_id, subject, internal_id, enrollment_id, pluvo_id, field, level,
                            title, completed_raw, completed_on, state, found_value)
    SELECT 1, e.tenant_id, e.course_id, 'person:80', '80', e.id, l.pluvo_id, :field, 'training', 'Training 340',
           '2026-07-01', '2026-07-01', 'conflict', '2026-06-30'
      FROM enrollment e JOIN person p ON p.id = e.person_id AND p.internal_id = '80'
      JOIN link l ON l.person_id = e.person_id
    """
)


def fill(world: World) -> dict[str, str]:
    """Something of everything in the world's tenant."""
    world.reset(now_removals(event_count=1, event_percent=0, run_count=1, run_percent=0))
    for number in range(80, 90):
        world.person(number)
    for number in (70, 71):
        world.person(number, name=f"Anna {number}", email_primary="twee@example.nl")
    world.sync()
    for number in range(82, 90):
        world.afas.remove(340, number)
    run = world.sync()
    with transaction() as connection:
        holds = connection.exec_driver_sql("SELECT id FROM hold WHERE state = 'open'").scalars().all()
        enrollment = connection.exec_driver_sql("SELECT min(id) FROM enrollment").scalar_one()
        connection.execute(_CONFLICT, {"field": COMPLETION_FIELD})
    letter = add_dead_letter(world.tenant_id, enrollment)
    batch = replay_batch.create([letter], who="tester")
    return {"run": run.id, "hold": holds[0], "letter": letter, "batch": batch, "number": "1"}
