"""Replace the key of the embedded home: at every moment its file has the keys of all that is stored.

    secret.key   old   →   new,old   →   new
    stored       old       old or new    new

A process that ends in between leaves the file with both: everything is read with them, and the next one goes on.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cryptography.fernet import Fernet

from ops.problems import Problem
from ops.servers.environment import KEY_FILE, home_key, use_home_key

LOCK_FILE = f"{KEY_FILE}.lock"


@contextmanager
def replaced(home: Path) -> Iterator[None]:
    """A new key in front of those of this home for the block; alone after it, unless the block raises."""
    with alone(home):
        new, old = Fernet.generate_key().decode(), home_key(home)
        write(home, f"{new},{old}" if old else new)
        yield
        write(home, new)


@contextmanager
def alone(home: Path) -> Iterator[None]:
    """One process at a time: of two at once, the second would write over the first one's key."""
    descriptor = os.open(home / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def write(home: Path, keys: str) -> None:
    """Put a file in place of the old one at once, and on the disk before anything is stored under it; use its keys."""
    path, new = home / KEY_FILE, home / f"{KEY_FILE}.{os.getpid()}"
    try:
        new.unlink(missing_ok=True)
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
            file.write(keys + "\n")
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
        folder = os.open(home, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise Problem("key_not_written", path=path, why=error.strerror) from None
    use_home_key(home)
