"""What browser tests look at: the web server and a worker as they are run, both simulators, something on every page.

``desk.url`` is the console's address. Verbs can be called in this process too: the settings are in force. The tests of
a file share one: a test that changes something makes a tenant of its own with ``desk.tenant("name")``.

What is there at first is made once for all files: each has a copy of the database and of what the simulators hold.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from copy import deepcopy
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

import requests

from models.direction import Direction
from models.session import transaction
from models.worker import live_workers
from ops.documents import Batch
from ops.runs import start
from ops.servers.embedded.process import free_port
from simulators.afas import AfasSimulator
from simulators.afas.tenant import OAuthClient
from simulators.pluvo import PluvoSimulator
from tests.fixtures.world import EVENTS, World, now_removals

READY_SECONDS = 120
RUN_SECONDS = 120.0
_numbers = count(1)


@dataclass
class Desk:
    """Where the console is, and the simulators behind it."""

    url: str
    first: World

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


@dataclass(frozen=True)
class Seed:
    """What every desk begins with: the database to copy, and what the simulators hold."""

    database: str
    held: Any

    @classmethod
    def nothing(cls) -> Seed:
        """No tenants, no faults."""
        return cls("", [({}, []), ({}, [])])

    @classmethod
    def of(cls, database: str, world: World) -> Seed:
        """What is there now."""
        return cls(database, deepcopy(_held(world)))

    def sow(self, world: World) -> None:
        """Let the simulators hold that, and nothing else."""
        for simulator, (tenants, faults) in zip(_simulators(world), deepcopy(self.held), strict=True):
            with simulator.lock:
                simulator.tenants.clear()
                simulator.tenants.update(tenants)
                simulator.faults.all = faults
                simulator.log.entries.clear()


def _simulators(world: World) -> tuple[AfasSimulator, PluvoSimulator]:
    return world.afas_simulator, world.pluvo_simulator


def _held(world: World) -> list[tuple[Any, Any]]:
    return [(one.tenants, one.faults.all) for one in _simulators(world)]


@contextmanager
def running(home: Path, end: signal.Signals = signal.SIGKILL) -> Iterator[str]:
    """A worker and the web server for the database and the broker that the environment names; the server's address.

    ``end`` is sent to both in the end. Killed they are gone at once and leave what they had: nobody looks at it again.
    """
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with ExitStack() as stack:
        log = stack.enter_context((home / "desk.log").open("wb"))

        def begin(*command: str) -> subprocess.Popen[bytes]:
            child = subprocess.Popen(
                [sys.executable, "-m", "ops.cli", *command, "--child"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
            stack.callback(child.wait, 60)
            return child

        children = [begin("serve", "--port", str(port), "--no-login"), begin("worker", "--threads", "8")]
        for child in children:
            stack.callback(child.send_signal, end)
        deadline = time.monotonic() + READY_SECONDS
        while not _ready(url):
            told = (home / "desk.log").read_text(encoding="utf-8")[-2000:]
            assert not any(child.poll() is not None for child in children), told
            assert time.monotonic() < deadline, told
            time.sleep(0.05)
        yield url


def _ready(url: str) -> bool:
    with transaction() as connection:
        if not live_workers(connection):
            return False
    try:
        return requests.get(f"{url}/readyz", timeout=30).status_code == 200
    except requests.ConnectionError:
        return False
