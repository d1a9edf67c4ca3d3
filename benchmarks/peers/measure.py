"""Two measurements of a contestant: undisturbed, and killed in the middle and started again."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any, Protocol

from benchmarks.peers.ours import Pluvo, wait_until

LIMIT_SECONDS, PATIENCE_SECONDS = 1800.0, 45.0


class Running(Protocol):
    """What can be measured: a program beside the product, or the product."""

    pluvo: Pluvo

    def go(self) -> None: ...
    def done(self) -> bool: ...
    def count(self) -> int: ...
    def waiting(self) -> int: ...
    def recorded(self) -> set[str]: ...
    def kill(self) -> None: ...
    def restart(self) -> None: ...
    def used(self) -> dict[str, float]: ...


def timed(running: Running, people: int) -> dict[str, Any]:
    """Seconds, people a second, and processor milliseconds a person of the program, PostgreSQL and Valkey."""
    before, begun = running.used(), time.perf_counter()
    running.go()
    if not wait_until(running.done, LIMIT_SECONDS, pause=0.02):
        raise TimeoutError(f"not done after {LIMIT_SECONDS:.0f} s")
    seconds = time.perf_counter() - begun
    cpu = {name: round((total - before[name]) * 1000 / people, 2) for name, total in running.used().items()}
    return {"seconds": round(seconds, 2), "people_a_second": round(people / seconds, 1), "cpu_ms_a_person": cpu}


def killed(running: Running, refs: set[str], share: float) -> dict[str, Any]:
    """Kill when this share of the people is recorded, start again, wait until nothing more happens, and count."""
    running.go()
    if not wait_until(lambda: running.count() >= share * len(refs), LIMIT_SECONDS, pause=0.02):
        raise TimeoutError("nobody got that far")
    running.kill()
    killed_at = time.perf_counter()
    at_the_kill = running.count()
    running.restart()
    last_progress, so_far = time.perf_counter(), at_the_kill
    while not (finished := running.done()) and time.perf_counter() - last_progress < PATIENCE_SECONDS:
        time.sleep(0.1)
        if (now := running.count()) != so_far:
            last_progress, so_far = time.perf_counter(), now
    end = time.perf_counter() if finished else last_progress
    counted = {"recorded_at_the_kill": at_the_kill, "seconds_after_the_kill": round(end - killed_at, 1)}
    return counted | differences(refs, running) | {"left_in_the_queue": running.waiting()}


def differences(refs: set[str], running: Running) -> dict[str, int]:
    """What is missing or double on either side at the end."""
    enrolled, recorded = running.pluvo.enrolled(), running.recorded()
    calls = Counter(entry["variables"]["ref"] for entry in running.pluvo.creations())
    return {
        "without_account": len(refs - enrolled.keys()),
        "without_enrollment": sum(not enrolled.get(ref) for ref in refs),
        "doubled_create_calls": calls.total() - len(calls),
        "account_without_row": len(refs & enrolled.keys() - recorded),
        "row_without_account": len(recorded - enrolled.keys()),
        "accounts_of_nobody": len(enrolled.keys() - refs),
    }
