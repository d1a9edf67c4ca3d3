"""Do one message; safe to do twice. ``dramatiq workers`` boots everything a worker process needs.

The broker comes first, then the modules whose handlers declare the actors. Importing needs no server.
"""

from workers.broker.ledger_broker import broker

from workers.actors import completion_fetch  # isort: skip  they declare actors on that broker
from workers.actors.completion_write_back import actor as write_back  # isort: skip
from workers.actors.enrollment_upsert import actor as upsert  # isort: skip

__all__ = ["broker", "completion_fetch", "upsert", "write_back"]
