"""How the window is shared: lanes (one direction of one tenant) with the least in flight get the next places. Pure."""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from dataclasses import dataclass

ENROLLMENTS_IN_FLIGHT = 16
# Beside the calls that an AFAS environment takes at once: the next ones stand ready at a worker, where the slots of
# ``producers.slots`` keep the limit. More of them would only hold threads that others could use.
COMPLETIONS_STANDING_BY = 2
WINDOW_MIN = 32
WINDOW_PER_THREAD = 3


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


def window(threads: int) -> int:
    """How many messages may be out at once: enough to keep all threads busy, few enough to stay fair."""
    return max(WINDOW_MIN, WINDOW_PER_THREAD * threads)


def allocate(lanes: Iterable[Lane], room: int) -> dict[tuple[int, str], int]:
    """Hand out ``room`` places, {lane key: places}; never above a cap, none left over while somebody could use it.

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
