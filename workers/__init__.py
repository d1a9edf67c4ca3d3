"""Do one message; safe to do twice. ``dramatiq workers`` boots everything a worker process needs.

The broker comes first, then the modules whose handlers declare the actors. Importing needs no server.
"""

from importlib import import_module
from importlib.util import find_spec

from workers.broker import broker

for _name in ("upserts", "fetches", "write_backs"):
    if find_spec(f"workers.{_name}"):
        import_module(f"workers.{_name}")

__all__ = ["broker"]
