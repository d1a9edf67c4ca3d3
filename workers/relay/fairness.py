"""How the places in flight are shared: lanes (one direction of one tenant) with the least in flight get the next ones,
and the groups of a lane (messages of one kind and priority) take turns. Pure."""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterable
from dataclasses import dataclass

ENROLLMENTS_IN_FLIGHT = 16
# More where several people share a call to Pluvo: those of the call under way and of the next, and for each further
# process of one call more, as they don't come evenly. Not of any number: all processes together keep to the rate.
CALLS_AT_HAND = 2
CALLS_MORE_PER_PROCESS = 3
CALLS_AT_HAND_MOST = 8
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
    """A lane with something ready; at most ``cap`` of it may be out at once. ``served``: when it last got a place.

    ``sharing``: how many of its messages share a call, and so a place.
    """

    tenant_id: int
    direction: str
    in_flight: int
    cap: int
    served: int = 0
    sharing: int = 1

    @property
    def key(self) -> tuple[int, str]:
        return (self.tenant_id, self.direction)

    @property
    def places(self) -> int:
        """How many places its messages take that are out."""
        return places_of(self.in_flight, self.sharing)


def in_flight_limit(threads: int) -> int:
    """How many places there are: enough to keep all threads busy, few enough to stay fair."""
    return max(IN_FLIGHT_MIN, IN_FLIGHT_PER_THREAD * threads)


def allocate(lanes: Iterable[Lane], room: int) -> dict[tuple[int, str], int]:
    """Share ``room`` places out, {lane key: messages}; never above a cap, none left over while a lane could use it.

    Water-filling: the lowest lane rises first, the least recently served one among equals.
    """
    by_key = {lane.key: lane for lane in lanes if lane.in_flight < lane.cap}
    heap = [(lane.in_flight // lane.sharing, lane.served, key) for key, lane in by_key.items()]
    heapq.heapify(heap)
    given: dict[tuple[int, str], int] = {}
    while heap:
        _, served, key = heapq.heappop(heap)
        lane, out = by_key[key], by_key[key].in_flight + given.get(key, 0)
        needed = places_of(out + 1, lane.sharing) - places_of(out, lane.sharing)
        if needed > room:
            continue  # another one may have somebody to go along with
        room -= needed
        given[key] = given.get(key, 0) + 1
        if out + 1 < lane.cap:
            heapq.heappush(heap, ((out + 1) // lane.sharing, served, key))
    return given


def places_of(messages: int, sharing: int) -> int:
    """How many places messages take of which so many share a call."""
    return -(-messages // sharing)


def sharing(direction: str, people_per_call: int) -> int:
    """How many messages of a lane share a call: one person each, on the way to Pluvo."""
    return people_per_call if direction == "enrollments" else 1


def of_use(direction: str, parallel_calls: int, people_per_call: int, processes: int = 1) -> int:
    """How many messages of a lane its systems have use for at once."""
    if direction == "enrollments":
        calls = min(CALLS_AT_HAND + CALLS_MORE_PER_PROCESS * max(0, processes - 1), CALLS_AT_HAND_MOST)
        return max(ENROLLMENTS_IN_FLIGHT, calls * people_per_call if people_per_call > 1 else 0)
    return parallel_calls + COMPLETIONS_STANDING_BY


def cap_of(  # noqa: PLR0917  all of them numbers of one lane
    wanted: int,
    threads: int,
    ended: int,
    timeouts: int = 0,
    slow: bool = False,
    slow_lanes: int = 0,
    standing_by: int = 0,
) -> int:
    """How many messages of a lane may be out: at most half of the live threads, even if its systems take more.

    ``standing_by``: the threads besides, for a lane whose messages wait for each other's calls.
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
    return min(wanted, half + standing_by, begins + ended)


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
