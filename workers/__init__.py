"""Do one message; safe to do twice. ``dramatiq workers`` boots everything a worker process needs. Here it is put
together: the broker first, what runs beside the messages, then the actors, which are declared on that broker.
Importing needs no server.

    actors/       one folder an actor name             relay/        ledger → Redis
    messages/     the life of one message              runs/         runs: claimed and ended
    broker/       dramatiq on Redis                    maintenance/  chores that one process does for all
                                                       process/      a worker process, and what keeps it running
"""

from workers import broker
from workers.process.launcher import launcher

broker.broker.add_middleware(launcher)

from workers.actors import completion_fetch  # noqa: E402  the broker comes first
from workers.actors.completion_write_back import actor as write_back  # noqa: E402
from workers.actors.enrollment_upsert import actor as upsert  # noqa: E402

__all__ = ["completion_fetch", "upsert", "write_back"]
