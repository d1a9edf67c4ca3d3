"""The program in which a suspect message is worked on alone; ``isolation.py`` starts it.

python -m workers.messages.isolated MODULE MESSAGE TENANT DELIVERY PROBE PIPE
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from importlib import import_module

import logs
from models.session import DATABASE_TROUBLE
from workers.messages import unrecorded
from workers.messages.execute import carry_on, resume
from workers.messages.isolation import AWAY, BEGINS

PARENT_SECONDS = 0.2


def _watch(parent: int) -> None:
    """An orphan ends at once: the message is handed out again when its parent's lease is released."""
    while os.getppid() == parent:
        time.sleep(PARENT_SECONDS)
    os._exit(1)


def main(module: str, message_id: int, tenant_id: int, number: int, probe: bool, tells: int) -> int:  # noqa: PLR0917
    """Do the one delivery; the parent decides when to give up."""
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, signal.SIG_IGN)
    threading.Thread(target=_watch, args=(os.getppid(),), daemon=True).start()
    import_module(module)
    logs.configure()
    try:
        delivery = resume(message_id, tenant_id, number)
    except DATABASE_TROUBLE:
        return AWAY
    if delivery is None:
        return 0
    delivery.probe = probe
    os.write(tells, BEGINS)
    carry_on(delivery)
    # What it could not record would be given back by a worker's heartbeat; here the parent does that.
    return AWAY if unrecorded.some() else 0


if __name__ == "__main__":
    _module, *_ids, _probe, _tells = sys.argv[1:]
    _message, _tenant, _number = map(int, _ids)
    sys.exit(main(_module, _message, _tenant, _number, _probe == "1", int(_tells)))
