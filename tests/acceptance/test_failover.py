"""PostgreSQL's primary goes in the middle of runs, and its standby had not heard of the last commits."""

from __future__ import annotations

from benchmarks.fleet.failover import fail_over


def test_what_an_asynchronous_failover_forgets_is_found_again_and_doubles_nobody() -> None:
    told = fail_over(synchronous=False, people=60)
    assert told.losses == []
    assert told.recorded > told.known > 0, "the standby knew everything: this proves nothing"
