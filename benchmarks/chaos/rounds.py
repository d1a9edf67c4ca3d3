"""One round after the other: people change, runs run, things break; then all is mended and the laws are checked."""

from __future__ import annotations

import json
import os
import random
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from benchmarks.chaos.faults import Faults
from benchmarks.chaos.laws import violations
from benchmarks.chaos.scene import Scene, tenants_of
from benchmarks.chaos.servers import Postgres, Valkey
from benchmarks.system import KOPPELING, System, process, stop, system, temporary_folder, wait_for_line, wait_until
from models.direction import Direction
from ops.dead_letters import replay_batch
from ops.runs import start
from ops.servers.embedded.process import free_port

SETTLE_SECONDS = 300.0
VARIABLES = {
    "KOPPELING_LEASE": "8s",
    "KOPPELING_RETRY_SCHEDULE": "1s,2s,3s,5s,8s,8s,8s",
    "KOPPELING_QUARANTINE_PROBES": "1s,2s,3s",
}


@dataclass
class Verdict:
    """What a chaos run came to. ``losses`` must be empty."""

    seed: int
    rounds: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    dead_letters: Counter[str] = field(default_factory=Counter)
    runs: Counter[str] = field(default_factory=Counter)
    puts: int = 0
    repeated_puts: int = 0
    losses: list[str] = field(default_factory=list)

    def text(self) -> str:
        """A few lines for people."""
        told = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in self.faults.most_common())
        letters = ", ".join(f"{count} {name}" for name, count in self.dead_letters.most_common()) or "none"
        runs = ", ".join(f"{count} {name}" for name, count in self.runs.most_common())
        lines = [
            f"seed {self.seed}: {self.rounds} rounds, {self.faults.total()} faults survived: {told}",
            f"runs: {runs}",
            f"dead letters seen and replayed: {letters}",
            f"completion dates written: {self.puts}, the same one again after a lost answer: {self.repeated_puts}",
            f"losses and doublings: {len(self.losses)}",
        ]
        return "\n".join([*lines, *(f"   {loss}" for loss in self.losses)])


def chaos(
    *,
    seed: int,
    seconds: float,
    people: int,
    say: Callable[[str], None],
    faults_a_round: int = 8,
    at_the_end: Callable[[Scene, Faults], None] = lambda scene, faults: None,
) -> Verdict:
    """Run rounds until the time is up (at least one); stops at the first loss, with the system's log in the verdict.

    The first round, in which everything is created, has twice the faults. ``at_the_end`` sees the system still running.
    """
    verdict, dice = Verdict(seed), random.Random(seed)  # noqa: S311  no secret
    end = time.monotonic() + seconds
    with _everything(dice) as (made, faults):
        scene = Scene(made, dice, tenants_of(people))
        scene.begin()
        faults.done = verdict.faults
        while not verdict.losses and (verdict.rounds == 0 or time.monotonic() < end):
            verdict.rounds += 1
            _break(scene, faults, verdict, faults_a_round if verdict.rounds > 1 else faults_a_round * 2, say)
            _mend(scene, faults, verdict, say)
            say(f"round {verdict.rounds}: {len(verdict.losses)} losses, {verdict.faults.total()} faults so far")
        if verdict.losses:
            verdict.losses.append(f"the system's log ends so: {_tail(made.home)}")
        at_the_end(scene, faults)
        verdict.runs.update(row["status"] for row in made.rows("SELECT status FROM run"))
    return verdict


def _break(scene: Scene, faults: Faults, verdict: Verdict, count: int, say: Callable[[str], None]) -> None:
    """Let people change and runs begin, and strike at random moments while they go on."""
    scene.stir(3 if verdict.rounds > 1 else 0)
    scene.finish(6)
    _start_runs(scene)
    struck = []
    for number in range(count):
        time.sleep(scene.dice.uniform(0.1, 1.5))
        struck.append(faults.strike())
        if number % 3 == 2:
            scene.stir(1)
            scene.finish(2)
            _start_runs(scene)
    say(f"   struck: {', '.join(struck)}")


def _start_runs(scene: Scene) -> bool:
    """Ask for both directions of all tenants; False when PostgreSQL did not take it."""
    try:
        for direction in Direction:
            start.start(direction, [], everyone=True, options={}, need_worker=False)
    except SQLAlchemyError:
        return False
    return True


def _mend(scene: Scene, faults: Faults, verdict: Verdict, say: Callable[[str], None]) -> None:
    """Take the simulators' faults away, let everything settle, replay what died, do one clean pass, check the laws."""
    made = scene.system
    made.afas.clear_faults()
    made.pluvo.clear_faults()
    if not _settled(made, verdict, "after the faults"):
        return
    _replay(made, verdict, say)
    for what in ("the first clean pass", "the second clean pass"):
        wait_until(lambda: _start_runs(scene), 60)
        if not _settled(made, verdict, f"in {what}"):
            return
    verdict.losses += violations(scene, faults, 0)
    deadlocks = made.rows("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")[0]["deadlocks"]
    if deadlocks:
        verdict.losses.append(f"{deadlocks} transactions deadlocked")
    puts = Counter((e["tenant"], json.dumps(e["body"], sort_keys=True)) for e in made.afas.log(operation="put"))
    verdict.puts, verdict.repeated_puts = len(puts), puts.total() - len(puts)


def _settled(made: System, verdict: Verdict, when: str) -> bool:
    """Wait until no run and no message is left; what does not end is a loss."""
    if wait_until(lambda: _quiet(made), SETTLE_SECONDS, pause=0.3):
        return True
    left = made.rows(
        "SELECT id, kind, state, deliveries, attempts, kills, started_at, lease_until FROM message LIMIT 5"
    )
    runs = made.rows("SELECT id, status, reason, lease_until FROM run WHERE finished_at IS NULL LIMIT 5")
    verdict.losses.append(f"{when} it did not become quiet in {SETTLE_SECONDS:.0f} s: {left} {runs}")
    return False


def _quiet(made: System) -> bool:
    try:
        row = made.rows(
            "SELECT (SELECT count(*) FROM message)"
            " + (SELECT count(*) FROM run WHERE status IN ('queued', 'running', 'applying')) AS busy"
        )
        return not row[0]["busy"]
    except SQLAlchemyError:
        return False


def _replay(made: System, verdict: Verdict, say: Callable[[str], None]) -> None:
    letters = made.rows("SELECT id, error FROM dead_letter WHERE state = 'open' AND tenant_id IS NOT NULL ORDER BY id")
    strays = made.rows("SELECT id, error FROM dead_letter WHERE state = 'open' AND tenant_id IS NULL")
    verdict.dead_letters.update(letter["error"] for letter in [*letters, *strays])
    if strays:
        verdict.losses.append(f"messages of no tenant were parked: {strays[:3]}")
    if letters:
        say(f"   dead letters: {Counter(letter['error'] for letter in letters)}")
        batch = replay_batch.create([letter["id"] for letter in letters], rate=1000, max_failures=1000, who="chaos")
        replay_batch.drive(batch, until_settled=True, timeout_seconds=120, watch=lambda told: None)


def _tail(home: Path) -> str:
    newest = max(home.glob("up*.log"), key=lambda log: log.stat().st_mtime)
    lines = newest.read_text(encoding="utf-8", errors="replace").splitlines()
    return "\n".join([line for line in lines if '"info"' not in line][-25:])


@contextmanager
def _everything(dice: random.Random) -> Iterator[tuple[System, Faults]]:
    """Servers that can be killed, ``koppeling up`` on them, and one more worker whose clock is wrong."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(temporary_folder("koppeling-chaos-")))
        threads = dice.choice((6, 24, 32))
        postgres, valkey = Postgres(folder), Valkey(folder)
        stack.callback(postgres.stop)
        stack.callback(valkey.stop)
        servers = {"KOPPELING_DATABASE_URL": postgres.url, "KOPPELING_REDIS_URL": valkey.url}
        made = stack.enter_context(system(workers=2, threads=threads, variables=VARIABLES | servers, scheduler=True))
        clock = folder / "clock"
        clock.write_text("0", encoding="ascii")

        def restart() -> subprocess.Popen[bytes]:
            log = made.home / f"up-{time.monotonic():.0f}.log"
            up = (*KOPPELING, "up", "--workers", "2", "--threads", str(threads), "--port", str(free_port()))
            child = stack.enter_context(process(list(up), log))
            wait_for_line(child, log, "ready ")
            return child

        shifted = {"PYTHONPATH": str(Path(__file__).parent / "clock"), "CHAOS_CLOCK": str(clock)}
        worker = [*KOPPELING, "worker", "--threads", "4"]
        stray = subprocess.Popen(  # noqa: S603  our own command
            [*worker], env={**os.environ, **shifted}, start_new_session=True, stderr=(folder / "stray.log").open("wb")
        )
        stack.callback(lambda: stop(stray))
        yield made, Faults(made, postgres, valkey, restart, dice, clock)
