"""Hands messages from the ledger to Redis, a small window at a time, fairly over tenants. One leader at a time does it.

A tick: promote what is due, share the free places of the window, claim, commit, push. What gets lost between the commit
and a worker is found again in four ways, the quickest first: the sentinel key tells that Redis lost its memory; a push
that failed is taken back at the next tick; every 5 s what Redis does not know is taken back; and a lease ends.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, LiteralString

import psycopg
import structlog
from psycopg.rows import namedtuple_row

import settings
from producers.loops import Loop
from workers import relay_sql as sql
from workers.allocation import COMPLETIONS_STANDING_BY, ENROLLMENTS_IN_FLIGHT, Lane, allocate, window
from workers.broker import LedgerBroker, broker
from workers.envelope import Envelope
from workers.leader import Leader
from workers.leases import expire
from workers.presence import worker_id

LOCK = 7_301_001
TICK_SECONDS = 0.03
IDLE_SECONDS = 0.25
WAKE_SECONDS = 0.005
STANDBY_SECONDS = 1.0
# Failed steps in a row after which this process lets go of the lead for a moment.
RESIGN_AFTER = 5
LOST_AFTER_SECONDS = 5.0
log = structlog.get_logger("workers.relay")


class Relay(Loop):
    """The relay of one process; idle while another process leads."""

    def __init__(self, to: LedgerBroker = broker) -> None:
        super().__init__("relay")
        self.broker = to
        self.leader = Leader(LOCK, "relay")
        self.threads = 0
        self.served: dict[tuple[int, str], int] = {}
        self.ticks = 0
        self.due: dict[str, float] = {}
        self.pushed = False

    def step(self) -> float:
        was_leading = self.leader.leading
        connection = self.leader.lead()
        if connection is None:
            return STANDBY_SECONDS
        if not was_leading:
            connection.execute("LISTEN koppeling_ledger")
            self._begin(connection)
            log.info("relay_leads")
        worked = self.tick(connection)
        if not worked:
            for _ in connection.notifies(timeout=IDLE_SECONDS, stop_after=1):
                pass
        return TICK_SECONDS if worked else WAKE_SECONDS

    def trouble(self, error: Exception) -> None:
        """What was claimed and not pushed is looked for as soon as both servers answer.

        Whoever can't reach them for longer lets somebody else try, who may.
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
        """Hand out what fits; True when something went, or waits for a place."""
        if self.broker.lost_memory():
            back = connection.execute(sql.TAKE_ALL_BACK).rowcount
            log.warning("broker_memory_new", handed_out_again=back)
        if self._is_due("lost", LOST_AFTER_SECONDS):
            self._take_back_lost(connection, 0.0 if self.failures else LOST_AFTER_SECONDS)
        if self._is_due("leases", 1.0):
            expire()
            self.threads = int(_rows(connection, sql.THREADS)[0].threads)
            connection.execute(sql.SEEN, {"worker": worker_id(), "pushed": self.pushed})
            self.pushed = False
            self.broker.maintain()
        if self._is_due("promote", 0.2):
            connection.execute(sql.PROMOTE)
        in_flight = {(row[0], row[1]): row[2] for row in connection.execute(sql.IN_FLIGHT)}
        lanes = self._lanes(connection, in_flight)
        room = window(self.threads) - sum(in_flight.values())
        self._fill(connection, lanes, room)
        return bool(lanes)

    def _fill(self, connection: psycopg.Connection, lanes: list[Lane], room: int) -> None:
        """Claim and push until the window is full or nothing more may go."""
        while lanes and room > 0:
            quotas = allocate(lanes, room)
            claimed = _rows(connection, sql.CLAIM, _names(quotas)) if quotas else []
            self._push(claimed)
            room -= len(claimed)
            got: dict[tuple[int, str], int] = {}
            for message in claimed:
                got[message.tenant_id, message.direction] = got.get((message.tenant_id, message.direction), 0) + 1
            # A lane that gave less than it was asked for has nothing more that may go now: its places go to others.
            lanes = [
                replace(lane, in_flight=lane.in_flight + got.get(lane.key, 0))
                for lane in lanes
                if lane.key not in quotas or got.get(lane.key, 0) == quotas[lane.key]
            ]
            if not quotas:
                return

    def _lanes(self, connection: psycopg.Connection, in_flight: dict[tuple[int, str], int]) -> list[Lane]:
        """Lanes that may get places now; a quarantined one gets a single place when its probe is due."""
        lanes = []
        rows: list[Any] = _rows(connection, sql.READY_LANES)
        for row in rows:
            key = (row.tenant_id, row.direction)
            out = in_flight.get(key, 0)
            cap = row.parallel_calls + COMPLETIONS_STANDING_BY
            if row.direction == "enrollments":
                cap = ENROLLMENTS_IN_FLIGHT
            if row.state == "quarantined":
                if row.waiting or not row.probe_due or out or not self._take_probe(connection, key):
                    continue
                cap = 1
            elif row.state == "paused" or row.waiting:
                continue
            lanes.append(Lane(*key, in_flight=out, cap=cap, served=self.served.get(key, 0)))
        return lanes

    def _take_probe(self, connection: psycopg.Connection, key: tuple[int, str]) -> bool:
        waits = list(settings.get().quarantine_probes)
        names = {"tenant": key[0], "direction": key[1], "waits": waits, "count": len(waits)}
        return bool(connection.execute(sql.TAKE_PROBE, names).rowcount)

    def _push(self, claimed: Sequence[Any]) -> None:
        """In order of priority, tenants taking turns."""
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
        """What was handed out, is not begun and is not in Redis: ready again."""
        rows = connection.execute(sql.NOT_BEGUN, {"age": age}).fetchall()
        known = {(direction, f"{id_}-{delivery}"): (id_, delivery) for id_, delivery, direction in rows}
        lost = [known[pair] for pair in self.broker.missing(known)] if known else []
        if lost:
            names = {"ids": [pair[0] for pair in lost], "deliveries": [pair[1] for pair in lost]}
            back = connection.execute(sql.TAKE_BACK, names).rowcount
            log.warning("lost_handed_out_again", count=back)

    def _is_due(self, name: str, every_seconds: float) -> bool:
        now = time.monotonic()
        if now < self.due.get(name, 0.0):
            return False
        self.due[name] = now + every_seconds
        return True


def _names(quotas: dict[tuple[int, str], int]) -> dict[str, Any]:
    return {
        "tenants": [key[0] for key in quotas],
        "directions": [key[1] for key in quotas],
        "rooms": list(quotas.values()),
        "lease": settings.get().lease,
    }


def _rows(connection: psycopg.Connection, statement: LiteralString, names: dict[str, Any] | None = None) -> list[Any]:
    with connection.cursor(row_factory=namedtuple_row) as cursor:
        return list(cursor.execute(statement, names).fetchall())
