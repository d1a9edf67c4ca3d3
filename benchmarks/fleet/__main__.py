"""``python -m benchmarks.fleet [failover] [machines]``: a line of JSON for each blow. Machines need root and Linux."""

from __future__ import annotations

import json
import sys
from typing import Any

from benchmarks.fleet.failover import fail_over
from benchmarks.fleet.machines import BLOWS, fleet, held_by_the_silent, strike

# Longer than anything takes to notice: the lead, a socket's patience, a lease of the ledger.
OUT_SECONDS = 45.0
PEOPLE = 600


def _say(**found: Any) -> None:
    sys.stdout.write(json.dumps(found) + "\n")
    sys.stdout.flush()


def failover() -> None:
    """With each kind of replication; last where the standby knows nothing of the runs."""
    _say(**fail_over(synchronous=True, people=150).result())
    _say(**fail_over(synchronous=False, people=150).result())
    _say(**fail_over(synchronous=False, people=150, heard=0, made_by=0.7).result())


def machines() -> None:
    """Each blow to one of two machines, while 600 people come: to the one whose relay leads."""
    for what in BLOWS:
        with fleet(people=PEOPLE, delay_ms=500) as made:
            hosts = [made.add(), made.add()]
            made.stage.begin_runs()
            made.wait_for_accounts(30)
            leading = next((host for host in hosts if made.leads(host)), hosts[0])
            told = strike(made, what, leading, seconds=OUT_SECONDS)
            told.losses = made.stage.violations()
            _say(**told.result())
    with fleet() as made:
        _say(what="a lock of a silent machine", seconds=round(held_by_the_silent(made), 1))


if __name__ == "__main__":
    for name in sys.argv[1:] or ["failover", "machines"]:
        {"failover": failover, "machines": machines}[name]()
