"""Do one message; safe to do twice. ``dramatiq workers`` boots everything a worker process needs.

The broker comes first, then the modules whose handlers declare the actors. Importing needs no server.
"""

from workers.broker import broker

from workers import fetches, upserts, write_backs  # isort: skip  they declare actors on that broker

__all__ = ["broker", "fetches", "upserts", "write_backs"]
