"""Calls one tenant's systems from several threads, as a worker process does. Arguments: tenant, calls a thread."""

from __future__ import annotations

import sys
import threading

from models.session import session
from models.tenant import Tenant
from tenancy.systems import systems_of

THREADS = 3


def main(tenant_id: int, calls: int) -> None:
    with session() as opened:
        tenant = opened.get_one(Tenant, tenant_id)
        opened.expunge(tenant)

    def call() -> None:
        for _ in range(calls):
            systems = systems_of(tenant)
            systems.afas.metainfo()
            systems.pluvo.offer_event_id("afas-340")

    threads = [threading.Thread(target=call) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
