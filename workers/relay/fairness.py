"""How the places in flight are shared: lanes (one direction of one tenant) with the least in flight get the next ones,
and the groups of a lane (messages of one kind and priority) take turns. Pure."""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterable
from dataclasses import dataclass

ENROLLMENTS_IN_FLIGHT = 16
# More where several people share a call to Pluvo: those of the one under way, and of the next.
CALLS_AT_HAND = 2
# Added to the calls that an AFAS environment takes at once: the next messages stand ready at a worker, where
# ``tenancy.call_slots`` keeps the limit. More of them would only hold threads that other tenants could use.
COMPLETIONS_STANDING_BY = 2
IN_FLIGHT_MIN = 32
IN_FLIGHT_PER_THREAD = 3
# After so many time-outs in a row a lane gets one message at a time, until one is answered.
TIMEOUTS_IN_A_ROW = 3
# (priority, kind) of messages
Group = tuple[int, str]


@dataclass(frozen=True)
class Lane:
    """A lane with something ready; at most ``cap`` of it may be out at once. ``served``: when it last got a place."""

    tenant_id: int
    direction: str
    in_flight: int
    cap: int
    served: int = 0

    @property
    def key(self) -> tuple[int, str]:
        return (self.tenant_id, self.direction)


def in_flight_limit(threads: int) -> int:
    """How many messages may be out at once: enough to keep all threads busy, few enough to stay fair."""
    return max(IN_FLIGHT_MIN, IN_FLIGHT_PER_THREAD * threads)


def allocate(lanes: Iterable[Lane], room: int) -> dict[tuple[int, str], int]:
    """Hand out ``room`` places, {lane key: places}; never above a cap, none left over while a lane could use it.

    Water-filling: the lowest lane rises first, the least recently served one among equals.
    """
    heap = [(lane.in_flight, lane.served, lane.tenant_id, lane.direction, lane.cap) for lane in lanes]
    heap = [entry for entry in heap if entry[0] < entry[4]]
    heapq.heapify(heap)
    given: dict[tuple[int, str], int] = {}
    while heap and room > 0:
        level, served, tenant_id, direction, cap = heapq.heappop(heap)
        given[tenant_id, direction] = given.get((tenant_id, direction), 0) + 1
        room -= 1
        if level + 1 < cap:
            heapq.heappush(heap, (level + 1, served, tenant_id, direction, cap))
    return given


def of_use(direction: str, parallel_calls: int, people_per_call: int) -> int:
    """How many messages of a lane its systems have use for at once."""
    if direction == "enrollments":
        return max(ENROLLMENTS_IN_FLIGHT, CALLS_AT_HAND * people_per_call)
    return parallel_calls + COMPLETIONS_STANDING_BY


def cap_of(  # noqa: PLR0917  all of them numbers of one lane
    wanted: int, threads: int, ended: int, timeouts: int = 0, slow: bool = False, slow_lanes: int = 0
) -> int:
    """How many messages of a lane may be out: at most half of the live threads, even if its systems take more.

    A lane begins with an eighth and rises with each message that ended, so that several whose systems hang can't take
    all threads before that shows. Lanes with a message that takes long already share the half between them: any number
    of them leaves the other half to the rest. Each may always have one.
    """
    half = max(1, (threads or IN_FLIGHT_MIN) // 2)
    if timeouts >= TIMEOUTS_IN_A_ROW:
        return 1
    if slow:
        return min(wanted, max(1, half // max(1, slow_lanes)))
    begins = max(1, threads // 8) if threads else half
    return min(wanted, half, begins + ended)


def share(groups: Collection[Group], places: int, passed: dict[Group, float]) -> dict[Group, int]:
    """Hand out a lane's places among its groups, by how urgent they are, and so that none waits for ever for another.

    Each group has a weight; the one that had the least for its weight is next, the more urgent one among equals.
    ``passed`` remembers that from time to time, and is changed. A group that comes anew begins where the others are.
    """
    for gone in set(passed) - set(groups):
        del passed[gone]
    least = min(passed.values(), default=0.0)
    for group in groups:
        passed.setdefault(group, least)
    given: dict[Group, int] = {}
    for _ in range(places if groups else 0):
        group = min(groups, key=lambda one: (passed[one], one))
        passed[group] += 1 / _weight(group)
        given[group] = given.get(group, 0) + 1
    return given


def _weight(group: Group) -> int:
    return 4 if group[0] <= 0 else 2 if group[0] <= 5 else 1
