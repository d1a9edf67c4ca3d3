"""All that this benchmark takes from the product, its simulators and the other benchmarks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import psycopg
import redis

from benchmarks.cost import cpu_seconds
from benchmarks.flows import COURSE, tenant_of
from benchmarks.peers.job import TABLE
from benchmarks.system import System, process, simulator, system, temporary_folder, wait_for_line, wait_until
from clients.pluvo.operations import Step, compose
from models.direction import Direction
from ops.runs import start
from ops.servers.embedded import start_postgres, start_valkey
from ops.terminal import output
from simulators.core.control_client import ControlClient
from simulators.sample_data.tenants import World, roster, world

__all__ = [
    "Koppeling",
    "Stage",
    "cpu",
    "koppeling",
    "output",
    "process",
    "servers",
    "servers_used",
    "stage",
    "temporary_folder",
    "wait_for_line",
    "wait_until",
]

RECORDED = (
    "SELECT l.ref FROM link l JOIN enrollment e ON e.person_id = l.person_id"
    " WHERE l.state = 'linked' AND e.state = 'enrolled'"
)


def newcomers(people: int) -> World:
    """One tenant with one course; none of its people has an account in Pluvo."""
    made = world((tenant_of(people),))
    pluvo = made.pluvo.tenants[made.tenants[0].slug]
    for user in list(pluvo.users):
        pluvo.purge_user(user)
    return made


def calls(made: World) -> tuple[str, list[dict[str, Any]]]:
    """The document the product sends for a newcomer, and its variables for each of them."""
    text, people = "", []
    for each in roster(made.tenants[0]):
        ref = f"afas:{made.tenants[0].member_id}:{each.internal_id}"
        values = {"send_invite": False, "email": each.email, "name": each.name, "ref": ref}
        ids = {"person_id": each.external_id, "contact_id": str(each.internal_id)}
        enroll = Step("enroll", "enroll", {"offer_event_ref": COURSE.ref, "user_ref": ref})
        document = compose("createUser", [Step("create", "create_user", values | ids), enroll])
        text = document.text
        people.append(dict(document.variables))
    return text, people


@dataclass
class Pluvo:
    """The simulator both sides call, as it was before anybody called, and what became of it."""

    control: ControlClient
    slug: str
    before: dict[str, Any]

    def reset(self, delay_ms: int) -> None:
        """Make everyone a newcomer again, and let each answer take so long."""
        self.control.clear_faults()
        self.control.replace(self.before)
        self.control.clear_log()
        if delay_ms:
            self.control.fault("delay", seconds=delay_ms / 1000)

    def creations(self) -> list[dict[str, Any]]:
        """The calls that make an account, as the simulator logged them."""
        return self.control.log(operation="createUser")

    def enrolled(self) -> dict[str, bool]:
        """Refs of all accounts: whether they are enrolled."""
        state = self.control.state(self.slug)
        enrolled = {each["userId"] for each in state["enrollments"]}
        return {user["ref"]: user["id"] in enrolled for user in state["users"]}


@dataclass
class Stage:
    """Servers for the programs beside the product."""

    folder: Path
    pluvo: Pluvo
    url: str
    client_id: str
    client_secret: str
    document: str
    people: list[dict[str, Any]]
    database_url: str
    redis_url: str

    def reset(self, delay_ms: int) -> None:
        """As if nobody had run before."""
        self.pluvo.reset(delay_ms)
        with redis.Redis.from_url(self.redis_url) as broker:
            broker.flushdb()
        with psycopg.connect(self.database_url) as connection:
            connection.execute("DROP TABLE IF EXISTS peer")
            connection.execute(TABLE)

    def count(self) -> int:
        """How many have a row."""
        with psycopg.connect(self.database_url) as connection:
            return len(connection.execute("SELECT FROM peer").fetchall())

    def waiting(self) -> int:
        """How many are still in the queue of Celery or dramatiq, those in somebody's hands included."""
        with redis.Redis.from_url(self.redis_url) as broker:
            hands: int = broker.hlen("unacked") + broker.hlen("dramatiq:default.msgs")
            return hands + int(broker.llen("celery"))

    def recorded(self) -> set[str]:
        """Their refs."""
        with psycopg.connect(self.database_url) as connection:
            return {ref for (ref,) in connection.execute("SELECT ref FROM peer")}


@contextmanager
def servers(folder: Path) -> Iterator[tuple[str, str]]:
    """PostgreSQL and Valkey as the product runs them itself; children of this process. Gives their URLs."""
    postgres, valkey = start_postgres(folder / "home"), start_valkey(folder / "home")
    try:
        yield postgres.url, valkey.url
    finally:
        valkey.stop()
        postgres.stop()


@contextmanager
def stage(people: int, folder: Path, database_url: str, redis_url: str) -> Iterator[Stage]:
    """A Pluvo in a process of its own, with so many newcomers expected."""
    made = newcomers(people)
    tenant, (document, variables) = made.tenants[0], calls(made)
    with simulator("pluvo", folder) as url:
        pluvo = Pluvo(ControlClient(url), tenant.slug, made.pluvo.state()["tenants"])
        login = tenant.slug, tenant.secret("pluvo")
        yield Stage(folder, pluvo, f"{url}/t/{tenant.slug}", *login, document, variables, database_url, redis_url)


class Koppeling:
    """The product, as ``koppeling up`` starts it, with a first sync to do."""

    def __init__(self, made: System, pluvo: Pluvo, slug: str) -> None:
        self.pluvo, self._system, self._slug = pluvo, made, slug
        self._started: start.Started | None = None

    def go(self) -> None:
        """Ask for the sync."""
        self._started = start.start(Direction.ENROLLMENTS, [self._slug], everyone=False, options={}, need_worker=True)

    def done(self) -> bool:
        """Whether the run is over."""
        return self._started is not None and start.wait(self._started, 0)

    def count(self) -> int:
        """How many are linked and enrolled by the database."""
        return len(self.recorded())

    def waiting(self) -> int:
        """How many messages are in the ledger."""
        return int(self._system.rows("SELECT count(*) AS waiting FROM message")[0]["waiting"])

    def recorded(self) -> set[str]:
        """Their refs."""
        return {row["ref"] for row in self._system.rows(RECORDED)}

    def kill(self) -> None:
        """kill -9 of every worker; ``koppeling up`` starts new ones."""
        for worker in self._system.workers():
            worker.kill()

    def restart(self) -> None:
        """Nothing to do: see ``kill``."""

    def used(self) -> dict[str, float]:
        """Processor seconds so far."""
        used = cpu_seconds(self._system)
        return {"own": used["koppeling"], "postgres": used["postgres"], "valkey": used["valkey"]}


@contextmanager
def koppeling(people: int, delay_ms: int, *, workers: int, threads: int) -> Iterator[Koppeling]:
    """The product, with nothing done yet."""
    made, slug = newcomers(people), tenant_of(people).slug
    with system(workers=workers, threads=threads) as running:
        running.fill(made)
        pluvo = Pluvo(running.pluvo, slug, made.pluvo.state()["tenants"])
        pluvo.reset(delay_ms)
        yield Koppeling(running, pluvo, slug)


def servers_used() -> dict[str, float]:
    """Processor seconds so far of the PostgreSQL and Valkey that this process runs."""
    children = psutil.Process().children()
    return {name: cpu([each for each in children if name in each.name()]) for name in ("postgres", "valkey")}


def cpu(processes: list[psutil.Process]) -> float:
    """Processor seconds so far of processes and all below them, the ended ones included."""
    used = 0.0
    for root in processes:
        with suppress(psutil.Error):
            for each in (root, *root.children(recursive=True)):
                with suppress(psutil.Error):
                    times = each.cpu_times()
                    used += times.user + times.system + times.children_user + times.children_system
    return used
