"""Simulators, a broker and tenants on servers that are named, for workers on any number of machines."""

from __future__ import annotations

import random
import secrets
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import redis
from sqlalchemy.exc import SQLAlchemyError

import settings
from benchmarks.chaos.laws import violations
from benchmarks.chaos.scene import Scene, tenants_of
from benchmarks.system import System, own_environment, simulator, temporary_folder, wait_until
from migrations.run import upgrade
from models.direction import Direction
from models.session import engine_for
from ops.runs import start
from ops.servers.embedded import programs
from ops.servers.embedded.process import as_server, free_port, server_account, spawn
from simulators.core.control_client import ControlClient

# Short, as in the chaos: what is tried is who takes over, not how patient one is.
PATIENCE = {
    "KOPPELING_LEASE": "8s",
    "KOPPELING_RETRY_SCHEDULE": "1s,2s,3s,5s,8s,8s,8s",
    "KOPPELING_QUARANTINE_PROBES": "1s,2s,3s",
}


@dataclass
class Stage:
    """The scene of the chaos, with workers that others start. ``unclear``: between which times answers may be lost."""

    system: System
    scene: Scene
    complaints: list[str] = field(default_factory=list)
    unclear: list[tuple[datetime, datetime]] = field(default_factory=list)

    def begin_runs(self) -> None:
        """Ask for both directions of all tenants, as soon as the database takes it."""

        def asked() -> bool:
            try:
                for direction in Direction:
                    start.start(direction, [], everyone=True, options={}, need_worker=False)
            except SQLAlchemyError:
                return False
            return True

        if not wait_until(asked, 120, pause=0.3):
            raise AssertionError("no run could be asked for")

    def made(self) -> int:
        """How many accounts there are in Pluvo by now, of all tenants."""
        return sum(len(self.scene.pluvo(tenant).users) for tenant in self.scene.tenants)

    def quiet(self, seconds: float = 180.0) -> None:
        """Wait until no run and no message is left."""
        if not wait_until(self.over, seconds, pause=0.2):
            rows = self.system.rows(
                "SELECT id, kind, state, deliveries, kills, worker, lease_until FROM message LIMIT 5"
            )
            runs = self.system.rows("SELECT id, status, reason FROM run WHERE finished_at IS NULL LIMIT 5")
            raise AssertionError(f"not over after {seconds:.0f} s: {rows} {runs}")

    def over(self) -> bool:
        """Whether no run and no message is left; False where the database does not answer."""
        try:
            row = self.system.rows(
                "SELECT (SELECT count(*) FROM message)"
                " + (SELECT count(*) FROM run WHERE status IN ('queued', 'running', 'applying')) AS busy"
            )
        except SQLAlchemyError:
            return False
        return not row[0]["busy"]

    @contextmanager
    def struck(self, after: float = 5.0) -> Iterator[None]:
        """Answers that come within the block, or so long after it, may get lost."""
        begun = datetime.now(UTC)
        yield
        self.unclear.append((begun - timedelta(seconds=3), datetime.now(UTC) + timedelta(seconds=after)))

    def violations(self) -> list[str]:
        """What is lost or doubled, once all is over. Two more runs come first, as a timetable would bring them."""
        for _ in range(2):
            self.begin_runs()
            self.quiet()
        return violations(self.scene, self, 0)


@contextmanager
def broker(address: str = "127.0.0.1") -> Iterator[str]:
    """The URL of a Valkey that others reach by TCP."""
    port, password = free_port(), secrets.token_hex(16)
    words: list[str | Path] = [programs.valkey(), "--bind", address, "--port", str(port), "--requirepass", password]
    words += ["--save", "", "--appendonly", "no", "--maxmemory-policy", "noeviction"]
    with temporary_folder("kf-") as name:
        running = spawn(as_server(words, server_account(), bound=True), Path(name) / "valkey.log", cwd=Path("/"))
        url = f"redis://:{password}@{address}:{port}/0"
        try:
            if not wait_until(lambda: _pings(url), 20):
                raise AssertionError("Valkey does not start")
            yield url
        finally:
            running.terminate()
            running.wait()


def _pings(url: str) -> bool:
    try:
        with redis.Redis.from_url(url, socket_timeout=2) as client:
            return bool(client.ping())
    except redis.RedisError:
        return False


@contextmanager
def stage(
    servers: Mapping[str, str], *, people: int = 75, address: str = "127.0.0.1", seed: int = 1, delay_ms: int = 0
) -> Iterator[Stage]:
    """Migrate, fill the simulators, which listen on ``address``, and import three tenants with so many people."""
    with ExitStack() as stack:
        home = Path(stack.enter_context(temporary_folder("koppeling-fleet-")))
        stack.enter_context(own_environment(home, {**PATIENCE, **servers}))
        upgrade(settings.get().need_direct_database())
        stack.callback(lambda: engine_for(settings.get().need_database()).dispose())
        afas, pluvo = (stack.enter_context(simulator(name, home, "--host", address)) for name in ("afas", "pluvo"))
        system = System(home, ControlClient(afas), ControlClient(pluvo), afas, pluvo)
        scene = Scene(system, random.Random(seed), tenants_of(people))  # noqa: S311  no secret
        scene.begin()
        if delay_ms:
            system.pluvo.fault("delay", seconds=delay_ms / 1000)
        yield Stage(system, scene)
