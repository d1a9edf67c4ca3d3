"""The threads that notice, plan and send: in ``scheduler`` and in ``serve``, so that also nobody's working is told.

One process at a time notices and plans; each sends what it gets hold of. They are threads of their own: a mail server
that hangs keeps nothing else waiting.
"""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from functools import partial

from loops import Chores, Loop
from models.alert import Channel
from models.session import DATABASE_TROUBLE, transaction
from models.worker import resign, serve
from ops.alerts import plan, sender, watch

SERVICE = "alerts"
STANDBY_SECONDS = 5.0
RENEW_SECONDS = 5.0
TICK_SECONDS = 2.0


class Alerts(Loop):
    """Notices and plans, while this process has that to do."""

    def __init__(self, stopping: threading.Event) -> None:
        super().__init__("alerts", stopping=stopping)
        self.leads_until = 0.0
        self.chores = Chores(
            (10.0, watch.look),
            (10.0, watch.Workers().look),
            (0.0, plan.news),
            (30.0, plan.digests),
            (60.0, plan.weekly),
        )

    def step(self) -> float:
        if time.monotonic() >= self.leads_until:
            with transaction() as connection:
                leads = serve(connection, SERVICE)
            if not leads:
                return STANDBY_SECONDS
            self.leads_until = time.monotonic() + RENEW_SECONDS
        self.chores.do_due()
        return TICK_SECONDS

    def end(self) -> None:
        with suppress(*DATABASE_TROUBLE), transaction() as connection:
            resign(connection, SERVICE)


def start(stopping: threading.Event) -> list[Loop]:
    """Begin; they end when ``stopping`` is set, or with the process."""
    threads: list[Loop] = [Alerts(stopping)]
    threads += [Loop(f"alerts by {channel}", partial(_send, channel), stopping) for channel in Channel]
    for thread in threads:
        thread.start()
    return threads


def _send(channel: Channel) -> float:
    return 0.0 if sender.send_due(channel) == sender.AT_ONCE else TICK_SECONDS
