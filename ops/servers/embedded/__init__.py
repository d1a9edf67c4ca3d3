"""Run real PostgreSQL and Valkey servers below a home folder, without anything to install or configure.

Life of a server::

    start_postgres, start_valkey   one owner per home (``koppeling up``), whose end, on Linux even by kill -9, is theirs
    ensure_postgres                uses what runs, else starts PostgreSQL for the moment; the last such command stops it
    running                        where the servers of this home are, for commands that only want to connect

What a killed process leaves behind is found by the next command: records whose process is gone are forgotten, a server
that outlived its owner is stopped and started again. Everything about that is in ``registry.py``.
"""

from ops.servers.embedded.postgres import Postgres, ensure_postgres, start_postgres
from ops.servers.embedded.process import EmbeddedError
from ops.servers.embedded.running import Endpoints, running
from ops.servers.embedded.valkey import Valkey, start_valkey

__all__ = [
    "EmbeddedError",
    "Endpoints",
    "Postgres",
    "Valkey",
    "ensure_postgres",
    "running",
    "start_postgres",
    "start_valkey",
]
