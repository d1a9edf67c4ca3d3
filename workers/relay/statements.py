"""The relay's statements, each after the rows it gives. Quotas come from Python: letting each lane take up to the whole
in-flight limit locks far too many rows, and joining the claimed ids instead of ``= ANY(ARRAY(…))`` makes the planner
walk the whole primary key."""

from __future__ import annotations

from dataclasses import dataclass
from typing import LiteralString, NamedTuple

from models import ledger
from models.may_go import MAY_GO
from workers.relay.fairness import Group, places_of, sharing

# (tenant id, direction)
LaneKey = tuple[int, str]


class Quota(NamedTuple):
    """One group of one lane: what places are given to."""

    tenant_id: int
    direction: str
    priority: int
    kind: str

    @classmethod
    def of(cls, row: Ready | Claimed) -> Quota:
        return cls(row.tenant_id, row.direction, row.priority, row.kind)

    @property
    def lane(self) -> LaneKey:
        return self.tenant_id, self.direction

    @property
    def group(self) -> Group:
        return self.priority, self.kind


@dataclass(frozen=True)
class Ready:
    """A group with ready messages, and the state of its lane. ``waiting``: Retry-After; ``timeouts``: in a row."""

    tenant_id: int
    direction: str
    priority: int
    kind: str
    state: str
    waiting: bool
    probe_due: bool
    failed_kind: str | None
    timeouts: int
    parallel_calls: int
    people_per_call: int


@dataclass(frozen=True)
class InFlight:
    """How many messages of a lane are out. ``slow``: one of them takes longer than 5 s."""

    tenant_id: int
    direction: str
    count: int
    slow: bool
    people_per_call: int

    @property
    def places(self) -> int:
        """How many places they take."""
        return places_of(self.count, sharing(self.direction, self.people_per_call))


@dataclass(frozen=True)
class Claimed:
    """A message just handed out."""

    id: int
    tenant_id: int
    kind: str
    direction: str
    deliveries: int
    priority: int


# Lanes with something ready and the groups in them, by hopping over the index from one to the next; and what direction
# and tenant allow. No message probes after a run's reading failed: a write can't prove that reading works again.
READY_LANES = """
WITH RECURSIVE lane AS (
    (SELECT tenant_id, direction, priority, kind FROM message WHERE state = 'ready'
      ORDER BY tenant_id, direction, priority, kind LIMIT 1)
    UNION ALL
    SELECT next.tenant_id, next.direction, next.priority, next.kind FROM lane CROSS JOIN LATERAL (
        SELECT m.tenant_id, m.direction, m.priority, m.kind FROM message m
         WHERE m.state = 'ready'
           AND (m.tenant_id, m.direction, m.priority, m.kind)
               > (lane.tenant_id, lane.direction, lane.priority, lane.kind)
         ORDER BY m.tenant_id, m.direction, m.priority, m.kind LIMIT 1) AS next
)
SELECT lane.tenant_id, lane.direction, lane.priority, lane.kind, coalesce(d.state, 'healthy') AS state,
       coalesce(d.wait_until > now(), false) AS waiting,
       coalesce(d.probe_at <= now() AND NOT d.first_call ? 'run', false) AS probe_due,
       d.first_call ->> 'kind' AS failed_kind, coalesce(d.timeouts, 0) AS timeouts,
       coalesce((t.afas ->> 'parallel_calls')::int, 2) AS parallel_calls,
       coalesce((t.pluvo ->> 'people_per_call')::int, 1) AS people_per_call
  FROM lane
  JOIN tenant t ON t.id = lane.tenant_id
  LEFT JOIN tenant_direction d ON d.tenant_id = lane.tenant_id AND d.direction = lane.direction
"""

IN_FLIGHT = """
SELECT sent.*, coalesce((t.pluvo ->> 'people_per_call')::int, 1) AS people_per_call
  FROM (SELECT tenant_id, direction, count(*) AS count,
               coalesce(bool_or(started_at < clock_timestamp() - interval '5 seconds'), false) AS slow
          FROM message WHERE state = 'sent' GROUP BY tenant_id, direction) AS sent
  JOIN tenant t ON t.id = sent.tenant_id
"""

_QUOTA = """
    SELECT * FROM unnest(%(tenants)s::bigint[], %(directions)s::text[], %(priorities)s::smallint[], %(kinds)s::text[],
                         %(rooms)s::int[]) AS q(tenant_id, direction, priority, kind, room)
"""
CLAIM: LiteralString = f"""
WITH quota AS ({_QUOTA}), pick AS (
    SELECT c.id, q.tenant_id, c.lock FROM quota q CROSS JOIN LATERAL (
        SELECT m.id, m.lock FROM message m
         WHERE m.tenant_id = q.tenant_id AND m.direction = q.direction AND m.priority = q.priority AND m.kind = q.kind
           AND {MAY_GO}
         ORDER BY m.run_at, m.id LIMIT q.room FOR UPDATE OF m SKIP LOCKED) AS c
)
{ledger.HAND_OUT}
"""  # noqa: S608  constants

TAKE_PROBE = """
UPDATE tenant_direction
   SET probes = probes + 1,
       probe_at = clock_timestamp() + make_interval(secs => (%(waits)s::int[])[least(probes + 2, %(count)s)])
 WHERE tenant_id = %(tenant)s AND direction = %(direction)s AND state = 'quarantined' AND probe_at <= clock_timestamp()
"""

# Handed out and not begun for longer than a push takes: these may have been lost on the way.
NOT_BEGUN = """
SELECT id, deliveries, direction FROM message
 WHERE state = 'sent' AND started_at IS NULL AND sent_at < clock_timestamp() - make_interval(secs => %(age)s)
"""

# Of live processes; one that only listens works on nothing.
THREADS = """
SELECT coalesce(sum(threads), 0)::int, count(*) FILTER (WHERE threads > 0)::int
  FROM worker WHERE heartbeat_at > now() - interval '15 seconds'
"""

# For ``status`` and ``/readyz``: which process leads, and when something was last handed out.
SEEN = """
INSERT INTO service AS s (name, worker, seen_at, worked_at)
VALUES ('relay', %(worker)s, now(), CASE WHEN %(pushed)s THEN now() END)
ON CONFLICT (name) DO UPDATE SET worker = excluded.worker, seen_at = excluded.seen_at,
       worked_at = coalesce(excluded.worked_at, s.worked_at)
"""
