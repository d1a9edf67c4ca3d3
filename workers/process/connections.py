"""How many connections to PostgreSQL a worker process may open.

Behind a connection pooler the pool opens none of PostgreSQL's: the pooler has as many as it was told to, and our
threads wait for them there. Only those that go past it are counted then.

Threads wait for each other's connections for milliseconds, so half as many as threads are plenty; no thread ever holds
two. A process that starts counts what the server has left and takes a smaller pool if need be: that makes it slower
and blocks nothing. Some are always left for commands and for people.
"""

from __future__ import annotations

import structlog
from sqlalchemy import Connection, text

import settings
from models import session
from models.advisory_locks import AdvisoryLock
from models.session import DATABASE_TROUBLE, RESERVED, transaction
from models.worker import ALIVE_SECONDS, worker_id
from workers.process.heartbeat import beat

# Threads of a process that each do a run.
RUNNERS = 4
# Heartbeat, maintenance, leases, probes.
SERVICES = 4
# Outside the pool: the relay's, and the one that holds all call slots.
ALONE = 2
SMALLEST_POOL = 3
# The web server and a scheduler, which run somewhere beside the workers.
SERVE_POOL = 10
BESIDE = SERVE_POOL + session.COMMAND_POOL
log = structlog.get_logger("workers.process.connections")


def pool_size(threads: int, runners: int) -> int:
    """The connections that a pool should have for so many threads and runners. Pure."""
    return -(-threads // 2) + runners + SERVICES


def missing(threads: int, connections: int) -> int:
    """How many a worker has less than it would take where PostgreSQL has enough. Pure."""
    return max(0, pool_size(threads, RUNNERS) + ALONE - connections)


def join(threads: int, runners: int) -> int:
    """Enter this process into the list of workers and size its pool by what is left; how many it may open in all."""
    wanted = size = pool_size(threads, runners)
    pooler = settings.get().database_direct_url is not None
    try:
        with transaction() as connection:
            # One after the other: two that start together must not both take what is left.
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": AdvisoryLock.CONNECTIONS})
            left = _left(connection, pooler=pooler)
            need = ALONE if pooler else wanted + ALONE
            size = wanted if pooler else max(SMALLEST_POOL, min(wanted, left - ALONE))
            beat(connection, threads, min(need, size + ALONE))
        if left < need:
            log.warning("few_connections", pool=size, wanted=wanted, missing_in_max_connections=need - left)
    except DATABASE_TROUBLE as error:
        log.warning("connections_not_counted", error=type(error).__name__)
    session.engine().dispose()
    session.use_pool(size)
    return ALONE if pooler else size + ALONE


def _left(connection: Connection, *, pooler: bool) -> int:
    """What is free: room of the server without reserves, other workers, and other programs as they are now.

    With a pooler, what comes through it is another program's: it keeps as many open as it was told to.
    """
    row = connection.execute(
        text(
            """SELECT (SELECT coalesce(sum(connections), 0) FROM worker
                        WHERE id <> :me AND heartbeat_at > now() - make_interval(secs => :alive)) AS workers,
                      (SELECT count(*) FROM pg_stat_activity
                        WHERE backend_type = 'client backend' AND application_name NOT LIKE :ours) AS others"""
        ),
        {"me": worker_id(), "alive": ALIVE_SECONDS, "ours": "koppeling %" if pooler else "koppeling%"},
    ).one()
    spared = RESERVED if pooler else RESERVED + BESIDE
    return session.room(connection) - spared - int(row.workers) - int(row.others)
