"""``python -m benchmarks.batch``: batches of 100 tenants to their end while four of them are in trouble.

One tenant's systems hang up, one answers slowly, one has a token that AFAS refuses, and one is huge. Twice at once, all
enrollments are brought to Pluvo as one batch, and then all dates to AFAS. Each time the healthy tenants must be done
before the slow and the huge one, the batch must name whom it waits for and who needs somebody, and why; and once the
troubles are over, everything must be as if there had been none: compared are AFAS and Pluvo themselves.

    .venv/bin/python -m benchmarks.batch [--small]

Exit code 1 when anything of it is not so.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from benchmarks.chaos.laws import of_tenant, violations
from benchmarks.chaos.scene import Scene
from benchmarks.cost import cpu_seconds
from benchmarks.system import System, system, wait_until
from models.direction import Direction
from models.run import UNFINISHED, RunStatus
from ops.runs import batches
from simulators.sample_data.tenant import SampleTenant
from simulators.sample_data.tenants import many_tenants

HUGE, SLOW, DOWN, REFUSED = "huge", "slow", "down", "refused"
TROUBLED = (HUGE, SLOW, DOWN, REFUSED)
COMMANDS = {Direction.ENROLLMENTS: "sync", Direction.COMPLETIONS: "completions"}
# Of who is in trouble, how the run may end; who is slow or huge is done, later than the others.
ENDS = {
    HUGE: {RunStatus.DONE},
    SLOW: {RunStatus.DONE},
    DOWN: {RunStatus.FAILED},
    REFUSED: {RunStatus.QUARANTINED},
}
# What a quarantine and retries wait for is not what is tried.
PATIENCE = {"KOPPELING_QUARANTINE_PROBES": "2s", "KOPPELING_RETRY_SCHEDULE": "1s,2s,3s,5s"}
MINUTES = 30


@dataclass(frozen=True)
class Size:
    """How many tenants, how many people each has, and how slow the slow one is."""

    tenants: int = 100
    people: int = 50
    huge: int = 3_000
    few: int = 25
    slow_seconds: float = 5.0
    # Whether the healthy ones are so few that the slow and the huge one may be done before them.
    small: bool = False

    def made(self) -> tuple[SampleTenant, ...]:
        """The huge one is the first, which shares calls to Pluvo."""
        healthy = many_tenants(self.tenants, self.people)
        sizes = {HUGE: self.huge, SLOW: self.few, DOWN: self.few, REFUSED: self.few}
        named = [
            replace(healthy[place], slug=slug, name=slug, people=people)
            for place, (slug, people) in enumerate(sizes.items())
        ]
        return (*named, *healthy[len(named) :])


SMALL = Size(tenants=12, people=6, huge=100, few=5, slow_seconds=0.7, small=True)


@dataclass
class Told:
    """What a batch was like: when it was over for whom, and how it was told."""

    direction: str
    seconds: dict[str, float] = field(default_factory=dict)
    states: dict[str, int] = field(default_factory=dict)
    outcomes: dict[str, int] = field(default_factory=dict)
    needs: list[str] = field(default_factory=list)
    waited_for: dict[str, str] = field(default_factory=dict)
    cpu_seconds: dict[str, float] = field(default_factory=dict)
    # What PostgreSQL wrote into its log
    wal_mb: float = 0.0
    memory_mb: dict[str, list[float]] = field(default_factory=dict)

    def shown(self) -> dict[str, Any]:
        """Without what is empty."""
        return {name: value for name, value in vars(self).items() if value}


@dataclass
class Play:
    """The scene, what is wrong with the four, and what was not as it must be."""

    scene: Scene
    size: Size
    complaints: list[str] = field(default_factory=list)
    # No answer gets lost after its effect, so nothing may be sent twice for that reason.
    unclear: list[tuple[datetime, datetime]] = field(default_factory=list)
    _clients: dict[str, Any] = field(default_factory=dict)

    @property
    def system(self) -> System:
        return self.scene.system

    @property
    def healthy(self) -> list[SampleTenant]:
        return [tenant for tenant in self.scene.tenants if tenant.slug not in TROUBLED]

    def tenant(self, slug: str) -> SampleTenant:
        """The tenant of that name."""
        return next(tenant for tenant in self.scene.tenants if tenant.slug == slug)

    @contextmanager
    def troubles(self) -> Iterator[None]:
        """Within the block one is down, one is slow and one has a bad token; afterwards they are as they were."""
        self._faults(DOWN, "reset")
        self._faults(SLOW, "delay", seconds=self.size.slow_seconds)
        known = self._clients_of(REFUSED, {})
        yield
        for control in (self.system.afas, self.system.pluvo):
            control.clear_faults()
        self._clients_of(REFUSED, known)

    def _faults(self, slug: str, kind: str, **values: Any) -> None:
        tenant = self.tenant(slug)
        self.system.afas.fault(kind, tenant=tenant.member_id, **values)
        self.system.pluvo.fault(kind, tenant=tenant.slug, **values)

    def _clients_of(self, slug: str, clients: dict[str, Any]) -> dict[str, Any]:
        """Whom AFAS gives tokens of that tenant; gives whom it gave them before. No older token counts any more."""
        member = self.tenant(slug).member_id
        state = self.system.afas.state(member)
        before: dict[str, Any] = state["oauth_clients"]
        self.system.afas.add({member: state | {"oauth_clients": clients}})
        self.system.afas.do(member, "expire_tokens")
        return before

    def batch(self, direction: Direction) -> Told:
        """All tenants twice at once, while four are in trouble; then what must be so is looked at."""
        told = Told(direction)
        before = self._newest()
        with self._counted(told) as begun, self.troubles():
            commands = [Command(self.system, COMMANDS[direction]) for _ in range(2)]
            shown = self._watch(told, direction, before, commands, begun)
            told.seconds["both batches over"] = round(time.monotonic() - begun, 1)
        for one in shown:
            self._ended(one)
        told.states, told.outcomes = dict(shown[0]["states"]), {k: n for k, n in shown[0]["outcomes"].items() if n}
        told.needs = [f"{need['tenant']}: {need['code']}" for need in shown[0]["needs"]]
        self.complaints += [f"the command ended with {one.code}, not 1" for one in commands if one.code != 1]
        for tenant in self.healthy:
            laws = of_tenant(self.scene, tenant)
            self.complaints += [f"{direction}, {tenant.slug}: {line}" for line in laws]
        self._only_the_troubled(direction)
        return told

    @contextmanager
    def _counted(self, told: Told) -> Iterator[float]:
        """Processor time and what PostgreSQL wrote within the block; gives when it began."""
        cpu, wal = cpu_seconds(self.system), self._wal()
        yield time.monotonic()
        told.cpu_seconds = {name: round(used - cpu[name], 1) for name, used in cpu_seconds(self.system).items()}
        told.wal_mb = round((self._wal() - wal) / 2**20, 1)

    def _wal(self) -> int:
        return int(self.system.rows("SELECT pg_current_wal_lsn() - '0/0' AS bytes")[0]["bytes"])

    def _newest(self) -> str:
        found = batches.listing(1).items
        return str(found[0]["id"]) if found else ""

    def _watch(
        self, told: Told, direction: Direction, before: str, commands: list[Command], begun: float
    ) -> list[batches.BatchShown]:
        """Look at both batches until they are over; note whom they wait for when the healthy ones are done."""

        def ours() -> list[str]:
            return [one["id"] for one in batches.listing(2).items if one["id"] > before]

        if not wait_until(lambda: len(ours()) == len(commands), 120):
            raise AssertionError("the batches were not asked for in two minutes")
        ids = sorted(ours())
        while True:
            found = batches.show(ids[0])
            late = {one["tenant"]: one["status"] for one in found["items"] if one["status"] != RunStatus.DONE}
            if not told.waited_for and not set(late) - set(TROUBLED):
                told.seconds["healthy tenants done"] = round(time.monotonic() - begun, 1)
                told.waited_for = late
                self._named(direction, late)
            if found["over"] and "first batch over" not in told.seconds:
                told.seconds["first batch over"] = round(time.monotonic() - begun, 1)
            if all(one.over() for one in commands):
                return [batches.show(one) for one in ids]
            if time.monotonic() - begun > 60 * MINUTES:
                raise AssertionError(f"not over after {MINUTES} minutes: {late}")
            time.sleep(0.2)

    def _named(self, direction: Direction, late: dict[str, str]) -> None:
        """When all others are done, exactly the four are not: two have ended, and two go on."""
        missing = {DOWN, REFUSED} if self.size.small else set(TROUBLED)
        if missing - set(late):
            self.complaints.append(f"{direction}: {sorted(missing - set(late))} were done before the healthy ones")
        allowed = {slug: {*ends, *UNFINISHED} for slug, ends in ENDS.items()}
        wrong = {slug: status for slug, status in late.items() if status not in allowed[slug]}
        if wrong:
            self.complaints.append(f"{direction}: when the healthy ones were done, {wrong}")

    def _ended(self, shown: batches.BatchShown) -> None:
        """Everybody is done but the two that need somebody, and the batch names these and says what to do."""
        about = f"{shown['direction']}, batch {shown['id']}"
        if not shown["over"] or shown["tenants"] != self.size.tenants:
            self.complaints.append(f"{about}: {shown['done']} of {shown['tenants']} are over")
        for one in shown["items"]:
            if one["status"] not in ENDS.get(one["tenant"], {RunStatus.DONE}):
                self.complaints.append(f"{about}: {one['tenant']} is {one['status']} ({one['reason']})")
        named = sorted((need["tenant"], need["code"]) for need in shown["needs"])
        if named != [(DOWN, "check"), (REFUSED, "check")]:
            self.complaints.append(f"{about}: it names {named}")

    def _only_the_troubled(self, direction: Direction) -> None:
        """Nothing waits, failed or was told to an operator of anybody else."""
        for what, sql in {
            "alert": "SELECT t.slug, x.kind AS what FROM alert x JOIN tenant t ON t.id = x.tenant_id"
            " WHERE x.closed_at IS NULL",
            "direction": "SELECT t.slug, x.state AS what FROM tenant_direction x JOIN tenant t ON t.id = x.tenant_id"
            " WHERE x.state <> 'healthy'",
            "dead letter": "SELECT t.slug, x.error AS what FROM dead_letter x JOIN tenant t ON t.id = x.tenant_id",
            "hold": "SELECT t.slug, x.guard AS what FROM hold x JOIN tenant t ON t.id = x.tenant_id",
        }.items():
            for row in self.system.rows(sql):
                if row["slug"] not in (DOWN, REFUSED):
                    self.complaints.append(f"{direction}: {what} of {row['slug']}: {row['what']}")

    def afterwards(self, direction: Direction) -> None:
        """The troubles are over: one more batch, and the four are as the others. Nothing is lost or doubled."""
        quarantined = "SELECT count(*) AS n FROM tenant_direction WHERE state <> 'healthy'"
        if not wait_until(lambda: not self.system.rows(quarantined)[0]["n"], 120, pause=0.2):
            self.complaints.append(f"{direction}: a direction stays closed although all is well")
        code, document = self.system.run(COMMANDS[direction], "--all", "--wait")
        states = Counter(run["status"] for run in (document or {"runs": []})["runs"])
        if code != 0 or states != {RunStatus.DONE: self.size.tenants}:
            self.complaints.append(f"{direction}, afterwards: exit code {code}, {dict(states)}")
        self.complaints += [f"{direction}, afterwards: {line}" for line in violations(self.scene, self, 0)]
        self.complaints += [f"{direction}, afterwards: {line}" for line in self._written_twice()]

    def nothing_to_do(self, direction: Direction) -> Told:
        """Once more: what a batch costs that finds all as it must be. No call writes anything."""
        told = Told(f"{direction}, nothing to do")
        with self._counted(told) as begun:
            code, document = self.system.run(COMMANDS[direction], "--all", "--wait")
            told.seconds["over"] = round(time.monotonic() - begun, 1)
        runs = (document or {"runs": []})["runs"]
        told.states = dict(Counter(run["status"] for run in runs))
        told.outcomes = {name: count for name, count in _sums(run["outcomes"] for run in runs).items() if count}
        if code != 0 or set(told.outcomes) - {"unchanged", "verified", "no_date"}:
            self.complaints.append(f"{told.direction}: exit code {code}, {told.outcomes}")
        for verb in ("worker", "scheduler", "serve"):
            used = [child.memory_info().rss for child in self.system.children(verb)]
            told.memory_mb[verb] = [round(each / 2**20) for each in used]
        return told

    def _written_twice(self) -> Iterator[str]:
        """No date went to AFAS twice, the slow tenant's neither."""
        sent: Counter[tuple[str, str, str]] = Counter()
        for entry in self.system.afas.log(operation="put"):
            if 200 <= (entry["status"] or 0) < 300:
                element = next(iter(entry["body"].values()))["Element"]
                sent[entry["tenant"], element["@CrId"], element["@CdId"]] += 1
        yield from (f"{key}: written {count} times" for key, count in sent.items() if count > 1)


def _sums(counts: Iterable[dict[str, int]]) -> Counter[str]:
    summed: Counter[str] = Counter()
    for one in counts:
        summed.update(one)
    return summed


class Command:
    """``koppeling sync --all --wait`` or the like, in a thread."""

    def __init__(self, made: System, verb: str) -> None:
        self.code: int | None = None
        self._made, self._verb = made, verb
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        words = (self._verb, "--all", "--wait", "--timeout", f"{MINUTES}m")
        self.code, _ = self._made.run(*words, timeout=60 * MINUTES + 60)

    def over(self) -> bool:
        return not self._thread.is_alive()


def play(size: Size) -> tuple[list[Told], list[str]]:
    """Both directions; gives how it was, and what was not as it must be."""
    with system(variables=PATIENCE) as made:
        scene = Scene(made, random.Random(1), size.made())  # noqa: S311  no secret
        scene.begin()
        acts = Play(scene, size)
        told = [acts.batch(Direction.ENROLLMENTS)]
        acts.afterwards(Direction.ENROLLMENTS)
        told.append(acts.nothing_to_do(Direction.ENROLLMENTS))
        scene.finish(size.huge // 3)  # all people of everybody else
        told.append(acts.batch(Direction.COMPLETIONS))
        acts.afterwards(Direction.COMPLETIONS)
        told.append(acts.nothing_to_do(Direction.COMPLETIONS))
        return told, acts.complaints


def main() -> int:
    """Play it and say how it was."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="12 tenants")
    given = parser.parse_args()
    told, complaints = play(SMALL if given.small else Size())
    for one in told:
        sys.stdout.write(json.dumps(one.shown()) + "\n")
    for line in complaints:
        sys.stdout.write(f"WRONG: {line}\n")
    sys.stdout.write("as it must be\n" if not complaints else f"{len(complaints)} wrong\n")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
