"""Gives a suspect, a message whose worker died twice, a process of its own.

A killed worker takes all it worked on with it, and most of that is innocent: messages that only ran beside a killer, or
while an operator killed workers. Alone in a process there is no doubt: if that dies while its parent lives, the message
did it, and becomes a dead letter.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time

import structlog

from workers.messages import unrecorded
from workers.messages.delivery import Delivery
from workers.messages.interruptions import KilledAlone, Snooze

SUSPECT_KILLS = 2
POLL_SECONDS = 0.05
# The child could not reach PostgreSQL: nothing was done, or nothing of it was recorded. (EX_TEMPFAIL of sysexits)
AWAY = 75
# What the child writes before it begins with the message: until then whatever ends it is not the message's fault.
BEGINS = b"!"
# Where the program can't even start (no memory, half an upgrade), later is better.
NOT_STARTED_SECONDS = 60.0
log = structlog.get_logger("workers.messages.isolation")


def run(delivery: Delivery, module: str) -> None:
    """Let a process of its own do a claimed delivery and record it. Raises KilledAlone when it dies of it."""
    argv = [sys.executable, "-m", "workers.messages.isolated", module]
    argv += [str(delivery.message_id), str(delivery.tenant_id), str(delivery.number), str(int(delivery.probe))]
    log.warning("suspect_alone", message=delivery.message_id, tenant=delivery.tenant_id, kills=delivery.kills)
    hears, tells = os.pipe()
    try:
        child = subprocess.Popen([*argv, str(tells)], stdin=subprocess.DEVNULL, pass_fds=(tells,))  # noqa: S603  our own program
    except OSError as error:
        os.close(hears)
        raise Snooze(NOT_STARTED_SECONDS, "not_started") from error
    finally:
        os.close(tells)
    try:
        while child.poll() is None:
            time.sleep(POLL_SECONDS)  # not wait(): the time limit can't interrupt that
    finally:
        if child.poll() is None:
            child.kill()
            child.wait()
        begun = os.read(hears, 1) == BEGINS
        os.close(hears)
    if child.returncode == AWAY:
        unrecorded.remember(delivery.message_id, delivery.tenant_id, delivery.number)
    elif child.returncode and not begun:
        log.error("suspect_not_started", message=delivery.message_id, code=child.returncode)
        raise Snooze(NOT_STARTED_SECONDS, "not_started")
    elif child.returncode:
        raise KilledAlone(f"its process ended with {child.returncode}")
