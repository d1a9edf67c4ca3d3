"""The file of a backup: written beside and renamed when it is whole, checked before anything is read of it.

koppeling backup 1              what it is, and of which form
{"made_at": …, "keys": […]}     one line: ``Header``
…                               what pg_dump wrote, in its custom form
SHA-256 of all before it        32 bytes
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from typing_extensions import TypedDict

from ops.language import Words
from ops.problems import Problem

FAMILY, MAGIC = b"koppeling backup ", b"koppeling backup 1\n"
HEADER_MOST = 64 * 1024
BLOCK = 1 << 20
DIGEST = hashlib.sha256().digest_size


class Header(TypedDict):
    """What a backup says of itself."""

    made_at: str  # UTC
    version: str  # of koppeling
    revision: str  # of the tables
    postgres: int  # the server's major version
    tenants: int
    # Fingerprints of the keys that the stored secrets are under
    keys: list[str]
    # Those keys themselves, the first one first; absent in a backup without them
    secret_keys: list[str] | None


@contextmanager
def written(path: Path, header: Header) -> Iterator[Callable[[bytes], object]]:
    """Give what writes a block of the dump. The file has its name only when the block below ended well.

    It is its owner's alone. What a killed process left is ``FILE.part``; the next backup to this file takes its place.
    Raises Problem: something else stands there, another process writes it, no room.
    """
    _need_backup_or_nothing(path)
    part = path.with_name(f"{path.name}.part")
    try:
        number = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
        with os.fdopen(number, "wb") as file:
            _mine_alone(number, part)
            try:
                digest = hashlib.sha256()

                def write(block: bytes) -> None:
                    file.write(block)
                    digest.update(block)

                write(MAGIC)
                write(json.dumps(header).encode() + b"\n")
                yield write
                file.write(digest.digest())
                file.flush()
                os.fsync(number)
                part.replace(path)
            except BaseException:
                with suppress(OSError):
                    part.unlink()
                with suppress(OSError):
                    os.ftruncate(number, 0)  # so that closing it has room for what it still holds
                raise
        _keep(path.parent)
    except OSError as error:
        raise Problem("cant_write", path=path, why=error.strerror or type(error).__name__) from None


def _mine_alone(number: int, part: Path) -> None:
    if not stat.S_ISREG(os.fstat(number).st_mode):
        raise Problem("target_not_regular", path=part)
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise Problem("backup_twice", path=part) from None
    os.fchmod(number, 0o600)
    os.ftruncate(number, 0)


def _need_backup_or_nothing(path: Path) -> None:
    """Refuse to write over anything but an older backup."""
    try:
        number = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    except OSError as error:
        why = Words("why.symbolic_link") if path.is_symlink() else error.strerror
        raise Problem("cant_write", path=path, why=why) from None
    try:
        facts = os.fstat(number)
        if not stat.S_ISREG(facts.st_mode) or (facts.st_size and os.read(number, len(FAMILY)) != FAMILY):
            raise Problem("backup_over_other", path=path)
    finally:
        os.close(number)


def _keep(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@dataclass(frozen=True)
class Backup:
    """A backup that is whole."""

    path: Path
    header: Header
    file: BinaryIO
    begins: int
    ends: int

    def blocks(self) -> Iterator[bytes]:
        """The dump."""
        self.file.seek(self.begins)
        left = self.ends - self.begins
        while left > 0 and (block := self.file.read(min(BLOCK, left))):
            left -= len(block)
            yield block


@contextmanager
def opened(path: Path) -> Iterator[Backup]:
    """A backup, read once from end to end to see that it is whole.

    Raises Problem: no backup, one of a newer form, cut off or damaged.
    """
    try:
        number = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        if not stat.S_ISREG(os.fstat(number).st_mode):
            os.close(number)
            raise Problem("file_not_regular", path=path)
        file = os.fdopen(number, "rb")
    except OSError as error:
        raise Problem("file_cant_be_read", path=path, why=error.strerror) from None
    with file:
        yield _checked(path, file)


def _checked(path: Path, file: BinaryIO) -> Backup:
    first = file.readline(len(MAGIC) + 32)
    if not first.startswith(FAMILY):
        raise Problem("backup_none", path=path)
    if first != MAGIC:
        raise Problem("backup_newer_form", path=path)
    line = file.readline(HEADER_MOST)
    begins, ends = file.tell(), os.fstat(file.fileno()).st_size - DIGEST
    digest, left = hashlib.sha256(first + line), ends - begins
    while left > 0 and (block := file.read(min(BLOCK, left))):
        digest.update(block)
        left -= len(block)
    if left != 0 or file.read(DIGEST + 1) != digest.digest():
        raise Problem("backup_damaged", path=path)
    return Backup(path, cast(Header, json.loads(line)), file, begins, ends)
