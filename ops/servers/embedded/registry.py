"""Who uses which server of a home folder: ``embedded.json``, changed only under the lock ``embedded.lock``.

    {"postgres": {"owner": [712, 8812], "holders": [[715, 8990]]},
     "valkey":   {"owner": [712, 8812], "holders": [], "server": [714, 8840], "url": "redis://…"}}

A process is its number and start (see ``Process``). A record of a process that is gone counts for nothing and is
dropped on reading, so nothing has to be tidied after a kill -9. The file holds a password: only its user can read it.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypedDict

from ops.servers.embedded.process import Process


@dataclass
class Entry:
    """One server: its owner for life, the commands that use it for the moment, and where it is."""

    owner: Process | None = None
    holders: list[Process] = field(default_factory=list)
    server: Process | None = None
    url: str | None = None

    @property
    def in_use(self) -> bool:
        return bool(self.owner or self.holders)


class Stored(TypedDict, total=False):
    """An entry as the file has it: a process is its number and start."""

    owner: list[float] | None
    holders: list[list[float]]
    server: list[float] | None
    url: str | None


@contextmanager
def locked(home: Path, name: str) -> Iterator[Entry]:
    """Read the entry of a server, let the caller change it alone, and write it back, also after an error."""
    descriptor = os.open(home / "embedded.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        document = _read(home)
        entry = _entry(document.get(name, {}))
        try:
            yield entry
        finally:
            document[name] = _plain(entry)
            _write(home, document)
    finally:
        os.close(descriptor)


def peek(home: Path, name: str) -> Entry:
    """The entry of a server as it is now, without waiting for a command that is starting it."""
    return _entry(_read(home).get(name, {}))


def _read(home: Path) -> dict[str, Any]:
    try:
        document = json.loads((home / "embedded.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}  # a broken file says as much as none: who is alive is asked of the system anyway
    return document if isinstance(document, dict) else {}


def _write(home: Path, document: Mapping[str, object]) -> None:
    new = home / "embedded.json.new"
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        json.dump(document, file)
    new.replace(home / "embedded.json")


def _entry(plain: Stored) -> Entry:
    holders = [process for process in map(_alive, plain.get("holders", [])) if process]
    return Entry(_alive(plain.get("owner")), holders, _alive(plain.get("server")), plain.get("url"))


def _alive(plain: list[float] | None) -> Process | None:
    process = Process(int(plain[0]), plain[1]) if plain else None
    return process if process and process.alive() else None


def _plain(entry: Entry) -> Stored:
    def pair(process: Process) -> list[float]:
        return [process.pid, process.started]

    return {
        "owner": pair(entry.owner) if entry.owner else None,
        "holders": [pair(process) for process in entry.holders],
        "server": pair(entry.server) if entry.server else None,
        "url": entry.url,
    }
