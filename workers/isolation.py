"""Gives a suspect, a message whose worker died twice, a process of its own.

Whoever is killed takes what it worked on with it, and most of that is innocent: messages that only ran beside a killer,
or while somebody killed workers. Alone in a process there is no doubt: if that dies while its parent lives, the message
did it, and becomes a dead letter.

    python -m workers.isolation MODULE MESSAGE TENANT DELIVERY PROBE
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from importlib import import_module
from typing import TYPE_CHECKING

import structlog

from workers.control import KilledAlone
from workers.presence import DATABASE_TROUBLE, give_back_later

if TYPE_CHECKING:
    from workers.turns import Turn

SUSPECT_KILLS = 2
POLL_SECONDS = 0.05
PARENT_SECONDS = 0.2
# The child could not reach PostgreSQL: nothing was done. (EX_TEMPFAIL of sysexits)
AWAY = 75
log = structlog.get_logger("workers.isolation")


def run(turn: Turn, module: str) -> None:
    """Let a process of its own do a claimed turn and record it. Raises KilledAlone when it dies of it."""
    argv = [sys.executable, "-m", "workers.isolation", module]
    argv += [str(turn.message_id), str(turn.tenant_id), str(turn.delivery), str(int(turn.probe))]
    log.warning("suspect_alone", message=turn.message_id, tenant=turn.tenant_id, kills=turn.kills)
    child = subprocess.Popen(argv, stdin=subprocess.DEVNULL)  # noqa: S603  our own program
    try:
        while child.poll() is None:
            time.sleep(POLL_SECONDS)  # not wait(): the time limit can't interrupt that
    finally:
        if child.poll() is None:
            child.kill()
            child.wait()
    if child.returncode == AWAY:
        give_back_later(turn.message_id, turn.delivery)
    elif child.returncode:
        raise KilledAlone(f"its process ended with {child.returncode}")


def _watch(parent: int) -> None:
    """An orphan ends at once: the message is handed out again when its parent's lease is released."""
    while os.getppid() == parent:
        time.sleep(PARENT_SECONDS)
    os._exit(1)


def main(module: str, message_id: int, tenant_id: int, delivery: int, probe: bool) -> int:
    """Do the one turn; the parent decides when to give up."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_watch, args=(os.getppid(),), daemon=True).start()
    from workers import logs, turns  # noqa: PLC0415  it starts this module as a program, and imports it

    import_module(module)
    logs.configure()
    try:
        turn = turns.resume(message_id, tenant_id, delivery)
    except DATABASE_TROUBLE:
        return AWAY
    if turn is not None:
        turn.probe = probe
        turns.carry_on(turn)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), sys.argv[5] == "1"))
