"""What browser tests look at: ``koppeling up``, real workers, both simulators, tenants with something on every page.

``desk.url`` is the console's address. Verbs can be called in this process too: the settings are in force. The tests of
a file share one: a test that changes something makes a tenant of its own with ``desk.tenant("name")``.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any

from models.direction import Direction
from ops.documents import Batch
from ops.runs import start
from ops.servers.embedded.process import free_port
from simulators.afas import AfasSimulator
from simulators.afas.tenant import OAuthClient
from simulators.core.server import running
from simulators.pluvo import PluvoSimulator
from tests.fixtures.world import EVENTS, World, now_removals

READY_SECONDS = 120
RUN_SECONDS = 120.0
_numbers = count(1)


@dataclass
class Desk:
    """Where the console is, and the tenants that were made: ``desk.tenants["acme"]`` is a ``World``."""

    url: str
    first: World
    home: Path
    up: subprocess.Popen[bytes]
    tenants: dict[str, World] = field(default_factory=dict)

    def tenant(self, slug: str, *, events: tuple[str, ...] = EVENTS, **settings: Any) -> World:
        """A tenant with an AFAS environment and a Pluvo organisation of its own, and nobody in its events yet."""
        member = f"{20000 + next(_numbers)}"
        made = replace(self.first)
        made.afas = self.first.afas_simulator.add_tenant(member, oauth_clients={"koppeling": OAuthClient(["geheim"])})
        made.pluvo = self.first.pluvo_simulator.add_tenant(slug, client_id="koppeling", client_secret="geheim")
        for event in events:
            training = made.pluvo.add_training(f"Training {event}", f"training-{event}")
            made.pluvo.add_offer_event(f"Event {event}", f"afas-{event}", trainings=[training["id"]])
        made.tenant_id = made._insert_tenant(now_removals(), events, slug, member)
        pluvo = {"organisation": slug, "client_id": "koppeling", "calls_per_second": 0}
        made.set_tenant(pluvo=pluvo | {"base_url": f"{made.pluvo_url}/t/{slug}"}, **settings)
        self.tenants[slug] = made
        return made

    def sync(self, *slugs: str, **options: Any) -> Batch:
        """An enrollment run of each, done by the real workers."""
        return self._run(Direction.ENROLLMENTS, slugs, options)

    def completions(self, *slugs: str, **options: Any) -> Batch:
        """A completion run of each, done by the real workers."""
        return self._run(Direction.COMPLETIONS, slugs, options)

    def _run(self, direction: Direction, slugs: tuple[str, ...], options: Any) -> Batch:
        started = start.start(direction, list(slugs), everyone=False, options=options, need_worker=True)
        assert start.wait(started, RUN_SECONDS), f"runs of {slugs} did not end"
        return start.document(started)


@contextmanager
def started(home: Path) -> Iterator[Desk]:
    """Simulators and ``koppeling up``, for the database and the broker that the environment names."""
    with ExitStack() as stack:
        port = free_port()
        up = stack.enter_context(_up(home, port))
        afas, pluvo = AfasSimulator(), PluvoSimulator()
        afas_url = stack.enter_context(running(afas.app))
        pluvo_url = stack.enter_context(running(pluvo.app))
        _wait_until_ready(up, home)
        yield Desk(f"http://127.0.0.1:{port}", World(afas, pluvo, afas_url, pluvo_url), home, up)


@contextmanager
def _up(home: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "ops.cli", "up", "--no-scheduler", "--workers", "1", "--threads", "8"]
    with (home / "up.out").open("wb") as out, (home / "up.log").open("wb") as log:
        child = subprocess.Popen(
            [*command, "--port", str(port)], stdin=subprocess.DEVNULL, stdout=out, stderr=log, start_new_session=True
        )
    try:
        yield child
    finally:
        child.send_signal(signal.SIGTERM)
        try:
            child.wait(30)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def _wait_until_ready(up: subprocess.Popen[bytes], home: Path) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while "ready http" not in (home / "up.out").read_text(encoding="utf-8"):
        assert up.poll() is None, (home / "up.log").read_text(encoding="utf-8")[-2000:]
        assert time.monotonic() < deadline, "it was not ready in time"
        time.sleep(0.1)
