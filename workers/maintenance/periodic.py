"""The slow chores, done by one process for all: runs that are over, probes, vital signs, forgetting.

Twice at once, for a moment, does no harm: each chore locks what it changes.
"""

from __future__ import annotations

import threading
import time
from contextlib import suppress

from loops import Chores, Loop
from models.session import DATABASE_TROUBLE, transaction
from models.worker import resign, serve
from tenancy import vital_signs
from workers.maintenance import retention
from workers.maintenance.probes import PROBES, probe
from workers.runs import finalizer

__all__ = ["PROBES", "Maintenance"]

SERVICE = "maintenance"
# While runs are being applied, and else.
TICK_SECONDS = 0.25
IDLE_SECONDS = 1.0
STANDBY_SECONDS = 3.0
# A chore that takes longer than the 15 s after which another process takes over is covered by the heartbeat.
RENEW_SECONDS = 5.0


class Maintenance(Loop):
    """The chores of one process; idle while another process does them."""

    def __init__(self) -> None:
        super().__init__("maintenance")
        self.chores = Chores(
            (0.0, self.finalize),
            (1.0, probe),
            (5.0, finalizer.recount),
            (15.0, vital_signs.watch),
            (1.0, retention.Forgetting().forget),
        )
        self.leads_until = 0.0
        self.applying = 0
        self._news = threading.Event()

    def step(self) -> float:
        if time.monotonic() >= self.leads_until:
            with transaction() as connection:
                leads = serve(connection, SERVICE)
            if not leads:
                return STANDBY_SECONDS
            self.leads_until = time.monotonic() + RENEW_SECONDS
        self._news.clear()
        self.chores.do_due()
        self._news.wait(TICK_SECONDS if self.applying else IDLE_SECONDS)
        return 0.0

    def finalize(self) -> None:
        """End the runs that are over."""
        self.applying = finalizer.finalize()

    def heard(self) -> None:
        """Something was said about runs: one may be over."""
        self._news.set()

    def stop(self, timeout: float = 10.0) -> None:
        """End after the step that runs."""
        self.stopping.set()
        self._news.set()
        super().stop(timeout)

    def end(self) -> None:
        with suppress(*DATABASE_TROUBLE), transaction() as connection:
            resign(connection, SERVICE)
