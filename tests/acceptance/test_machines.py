"""Worker hosts with networks of their own: added, switched off, frozen and cut off in the middle of runs."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from benchmarks.fleet.hosts import NoNamespaces
from benchmarks.fleet.machines import LEASE_SECONDS, Fleet, fleet
from benchmarks.system import wait_until
from models.session import connect_alone, transaction
from tests.fixtures.debian import REQUIRED, program

PEOPLE = 90


@pytest.fixture
def machines() -> Iterator[Fleet]:
    """Servers on a bridge, without machines yet; left out, or failed, where the kernel or our rights allow none."""
    with ExitStack() as stack:
        try:
            made = stack.enter_context(fleet(program("ip", "iproute2"), people=PEOPLE, delay_ms=400))
        except NoNamespaces as error:
            if REQUIRED:
                pytest.fail(f"Network namespaces are required here: {error}")
            # Not every kernel lets its user make them, as in a container; .ci/run requires them.
            pytest.skip(f"left out, for want of network namespaces: {error}")
        yield made


def goes_on(machines: Fleet) -> bool:
    """Whether more accounts are made, or all is done, within a minute: on a busy machine, too."""
    count = machines.stage.made()
    return bool(wait_until(lambda: machines.stage.made() > count or machines.stage.over(), 60))


def noticed_within_half_a_minute() -> bool:
    """Whether PostgreSQL asks a silent machine soon whether it is still there, on each kind of connection."""
    wanted = {"tcp_keepalives_idle": "10", "tcp_keepalives_interval": "5", "tcp_keepalives_count": "3"}
    with connect_alone("test") as alone, transaction() as pooled:
        return all(
            alone.execute(f"SHOW {name}".encode()).fetchone() == (value,)
            and pooled.exec_driver_sql(f"SHOW {name}").scalar_one() == value
            for name, value in wanted.items()
        )


def test_machines_come_go_freeze_and_are_cut_off_in_the_middle_of_runs_and_nothing_is_lost_or_doubled(
    machines: Fleet,
) -> None:
    # given two machines in the middle of runs, and another that is added
    first, second = machines.add(), machines.add()
    machines.stage.begin_runs()
    machines.wait_for_accounts(1)
    third = machines.begin()

    with machines.stage.struck(after=40):
        # when one loses its power and another stands still, both for longer than a lease
        first.lose_power()
        assert not machines.stage.over()
        second.signal(signal.SIGSTOP)
        assert goes_on(machines)
        wait_until(lambda: False, LEASE_SECONDS + 2)
        second.signal(signal.SIGCONT)

        # and the cable of the third is out, and what the second sends vanishes for a while
        machines.stage.scene.stir(3)
        machines.stage.begin_runs()
        third.cut("link")
        assert not machines.stage.over()
        assert goes_on(machines)
        third.join()
        second.cut("silent")
        assert goes_on(machines)
        second.join()
        machines.stage.system.pluvo.clear_faults()
        machines.stage.quiet()

    # then
    assert machines.stage.violations() == []
    # Its sign of life may still wait for an answer from before it was cut off, half a minute at most.
    assert wait_until(lambda: machines.alive() == len(machines.net.hosts) - 1, 60)
    assert noticed_within_half_a_minute()
