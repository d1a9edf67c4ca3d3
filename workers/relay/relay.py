"""Hands messages from the ledger to Redis, a few at a time, fairly over tenants. One leader at a time does it.

A tick: promote what is due, share the free places below the in-flight limit, claim, commit, push. What gets lost
between the commit and a worker is found again in four ways, the quickest first: the sentinel key tells that Redis lost
its memory; a push that failed is taken back at the next tick; every 5 s what Redis does not know is taken back; and a
lease ends.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import LiteralString, TypeVar

import psycopg
import structlog
from psycopg.rows import class_row

import settings
from loops import Loop
from models import ledger
from models.advisory_locks import AdvisoryLock
from models.worker import STANDING_BY, worker_id
from workers.broker import LedgerBroker, broker
from workers.messages.envelope import Envelope
from workers.messages.lease_expiry import expire
from workers.relay import statements as sql
from workers.relay.fairness import (
    Group,
    Lane,
    allocate,
    cap_of,
    in_flight_limit,
    of_use,
    share,
    sharing,
)
from workers.relay.leader import STANDBY_SECONDS, Leader
from workers.relay.statements import Claimed, InFlight, LaneKey, Quota, Ready

TICK_SECONDS = 0.006
IDLE_SECONDS = 0.25
WAKE_SECONDS = 0.005
RUNS = "koppeling_runs"
# Failed steps in a row after which this process lets go of the lead for a moment.
RESIGN_AFTER = 5
LOST_AFTER_SECONDS = 5.0
Row = TypeVar("Row")
log = structlog.get_logger("workers.relay.relay")


class Relay(Loop):
    """The relay of one process; idle while another process leads.

    Leading or not, it listens for its process: ``heard`` is called several times a second while it can, with whether
    something was said about runs, or may have been while it could not.
    """

    def __init__(self, to: LedgerBroker = broker, heard: Callable[[bool], None] = lambda runs: None) -> None:
        super().__init__("relay")
        self.broker = to
        self.heard = heard
        self.listening: psycopg.Connection | None = None
        self.leader = Leader(AdvisoryLock.RELAY, "relay", RUNS)
        # How many messages all live processes together work on at once.
        self.threads = self.processes = 0
        self.served: dict[LaneKey, int] = {}
        self.ticks = 0
        self.due: dict[str, float] = {}
        self.pushed = False
        # From the last tick: groups of each lane; quarantined lanes to probe; what each group had over its weight.
        self.groups: dict[LaneKey, list[Group]] = {}
        self.probing: set[LaneKey] = set()
        self.passed: dict[LaneKey, dict[Group, float]] = {}
        # How many messages of a lane went out since it had work.
        self.sent: dict[LaneKey, int] = {}
        self.waits = False
        self.pause = IDLE_SECONDS

    def step(self) -> float:
        was_leading = self.leader.leading
        connection = self.leader.lead()
        if connection is None:
            self._listen(IDLE_SECONDS)
            return 0.0
        if not was_leading:
            connection.execute("LISTEN koppeling_ledger")
            self._begin(connection)
            log.info("relay_leads")
        began = time.monotonic()
        if self.tick(connection):
            # Half of the time at most: with very many lanes PostgreSQL is there for others too. A tick that something
            # held up says nothing of that.
            self.pause = min(IDLE_SECONDS, max(TICK_SECONDS, time.monotonic() - began))
        elif self.waits:
            self.pause = min(IDLE_SECONDS, 1.3 * self.pause)
        else:
            self.pause = IDLE_SECONDS
        # What is told often is gathered for a moment.
        return WAKE_SECONDS if self._listen(self.pause) else 0.0

    def _listen(self, seconds: float) -> bool:
        """Wait so long, or until a NOTIFY says that there is work, and take what else was said meanwhile.

        Whether anything was said.
        """
        connection = self.leader.connection
        if connection is not None:
            said = list(connection.notifies(timeout=seconds, stop_after=1))
            said += connection.notifies(timeout=0)
            # What was said before this connection listened, nobody heard.
            self.heard(connection is not self.listening or any(note.channel == RUNS for note in said))
            self.listening = connection
            return bool(said)
        return False

    def trouble(self, error: Exception) -> None:
        """Look for what was claimed and not pushed as soon as both servers answer.

        A process that can't reach them for longer resigns, so that another one tries.
        """
        self.due.pop("lost", None)
        if self.failures % RESIGN_AFTER == 0:
            self.leader.resign()
            self.stopping.wait(2 * STANDBY_SECONDS)

    def end(self) -> None:
        self.leader.resign()

    def _begin(self, connection: psycopg.Connection) -> None:
        # An earlier leader may have died between its commit and its push.
        self.due.clear()
        self._take_back_lost(connection, age=0.0)
        self.due["lost"] = time.monotonic() + LOST_AFTER_SECONDS

    def tick(self, connection: psycopg.Connection) -> bool:
        """Hand out what fits; True when something went."""
        if self.broker.lost_memory():
            back = connection.execute(ledger.TAKE_ALL_BACK).rowcount
            log.warning("broker_memory_new", handed_out_again=back)
        if self._is_due("lost", LOST_AFTER_SECONDS):
            self._take_back_lost(connection, 0.0 if self.failures else LOST_AFTER_SECONDS)
        if self._is_due("leases", 1.0):
            expire()
            self.threads, self.processes = connection.execute(sql.THREADS).fetchone() or (0, 0)
            connection.execute(sql.SEEN, {"worker": worker_id(), "pushed": self.pushed})
            self.pushed = False
            self.broker.maintain()
        if self._is_due("promote", 0.2):
            connection.execute(ledger.PROMOTE)
        out = {(row.tenant_id, row.direction): row for row in _rows(connection, InFlight, sql.IN_FLIGHT)}
        lanes = self._lanes(connection, out)
        room = in_flight_limit(self.threads) - sum(row.places for row in out.values())
        went = self._fill(connection, lanes, room)
        # No NOTIFY tells that a message ended and freed its place, so we look again soon. A message that may not go for
        # another reason is no reason to look.
        self.waits = bool(lanes and out)
        return bool(went)

    def _fill(self, connection: psycopg.Connection, lanes: list[Lane], room: int) -> int:
        """Claim and push until the in-flight limit is reached or nothing more may go; how many went."""
        went = 0
        while lanes:
            quotas = {
                Quota(*key, *group): places
                for key, total in allocate(lanes, room).items()
                for group, places in share(self.groups[key], total, self.passed.setdefault(key, {})).items()
            }
            if not quotas:
                break
            claimed = self._claim(connection, quotas)
            self._push(claimed)
            went += len(claimed)
            got = Counter(map(Quota.of, claimed))
            by_lane = Counter(quota.lane for quota in got.elements())
            for key, count in by_lane.items():
                self.sent[key] += count
            # A group that gave fewer messages than its places has no more that may go now: its places go to others.
            for quota, places in quotas.items():
                if got[quota] < places:
                    self.groups[quota.lane].remove(quota.group)
            now = [replace(lane, in_flight=lane.in_flight + by_lane[lane.key]) for lane in lanes]
            room -= sum(lane.places for lane in now) - sum(lane.places for lane in lanes)
            lanes = [lane for lane in now if self.groups[lane.key]]
        return went

    def _claim(self, connection: psycopg.Connection, quotas: dict[Quota, int]) -> list[Claimed]:
        """Hand out. The probe of a quarantine is counted in the transaction that hands its message out."""
        with connection.transaction() if self.probing else nullcontext():
            claimed = _rows(connection, Claimed, sql.CLAIM, _names(quotas))
            for key in {Quota.of(message).lane for message in claimed} & self.probing:
                self._take_probe(connection, key)
        return claimed

    def _lanes(self, connection: psycopg.Connection, out: dict[LaneKey, InFlight]) -> list[Lane]:
        """Lanes that may get places now, and their groups; a quarantined one gets a place when its probe is due."""
        lanes: dict[LaneKey, Lane] = {}
        self.groups, self.probing = {}, set()
        slow_lanes = sum(row.slow for row in out.values())
        for row in _rows(connection, Ready, sql.READY_LANES):
            key = (row.tenant_id, row.direction)
            in_flight, slow = (out[key].count, out[key].slow) if key in out else (0, False)
            if row.state == "paused" or row.waiting:
                continue
            together = sharing(row.direction, row.people_per_call)
            standing_by = STANDING_BY * self.threads if together > 1 else 0
            cap = of_use(row.direction, row.parallel_calls, row.people_per_call, self.processes)
            if slow:
                self.sent.pop(key, None)  # it begins anew once it answers again
            ended = self.sent.setdefault(key, in_flight) - in_flight
            cap = cap_of(cap, self.threads, ended, row.timeouts, slow, slow_lanes, standing_by)
            if row.state == "quarantined":
                # Only a message of the kind that failed makes the call that can prove it works again.
                if not row.probe_due or in_flight or row.failed_kind not in (None, row.kind):
                    continue
                cap = 1
                self.probing.add(key)
            self.groups.setdefault(key, []).append((row.priority, row.kind))
            lanes[key] = Lane(*key, in_flight, cap, self.served.get(key, 0), together)
        self.sent = {key: sent for key, sent in self.sent.items() if key in self.groups or key in out}
        self.passed = {key: passed for key, passed in self.passed.items() if key in self.groups}
        return list(lanes.values())

    def _take_probe(self, connection: psycopg.Connection, key: LaneKey) -> None:
        waits = list(settings.get().quarantine_probes)
        names = {"tenant": key[0], "direction": key[1], "waits": waits, "count": len(waits)}
        connection.execute(sql.TAKE_PROBE, names)

    def _push(self, claimed: Sequence[Claimed]) -> None:
        """Put them on their queues by priority, tenants taking turns."""
        self.ticks += 1
        place: dict[int, int] = {}
        ordered = []
        for message in sorted(claimed, key=lambda m: (m.priority, m.id)):
            self.served[message.tenant_id, message.direction] = self.ticks
            place[message.tenant_id] = place.get(message.tenant_id, 0) + 1
            ordered.append((place[message.tenant_id], message))
        ordered.sort(key=lambda pair: pair[0])
        messages = [(m.direction, Envelope(m.kind, m.tenant_id, m.id, m.deliveries)) for _, m in ordered]
        if messages:
            self.broker.push(messages)
            self.pushed = True

    def _take_back_lost(self, connection: psycopg.Connection, age: float) -> None:
        """Put back to ready what was handed out, is not begun and is not in Redis."""
        rows = connection.execute(sql.NOT_BEGUN, {"age": age}).fetchall()
        known = {(direction, f"{id_}-{delivery}"): (id_, delivery) for id_, delivery, direction in rows}
        lost = [known[pair] for pair in self.broker.missing(known)] if known else []
        if lost:
            names = {"ids": [pair[0] for pair in lost], "deliveries": [pair[1] for pair in lost]}
            back = connection.execute(ledger.TAKE_BACK, names).rowcount
            log.warning("lost_handed_out_again", count=back)

    def _is_due(self, name: str, every_seconds: float) -> bool:
        now = time.monotonic()
        if now < self.due.get(name, 0.0):
            return False
        self.due[name] = now + every_seconds
        return True


def _names(quotas: dict[Quota, int]) -> dict[str, object]:
    return {
        "tenants": [quota.tenant_id for quota in quotas],
        "directions": [quota.direction for quota in quotas],
        "priorities": [quota.priority for quota in quotas],
        "kinds": [quota.kind for quota in quotas],
        "rooms": list(quotas.values()),
        "lease": settings.get().lease,
    }


def _rows(
    connection: psycopg.Connection, row: type[Row], statement: LiteralString, names: Mapping[str, object] | None = None
) -> list[Row]:
    with connection.cursor(row_factory=class_row(row)) as cursor:
        return cursor.execute(statement, names).fetchall()
