"""Lists that may be too long for memory: kept in a file without a name, which ends with the process.

A plan of some 100,000 lines still stays in memory, packed. What is longer goes where TMPDIR says, else to /tmp: names
and addresses are among it, so no other user can open the file, and nobody finds it once it is closed.
"""

from __future__ import annotations

import os
import pickle
import tempfile
import zlib
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, TypeVar, overload

from ops.problems import Problem

T = TypeVar("T")
IN_MEMORY = 4_000_000  # bytes, of all lists of a spool together
BLOCK = 500  # what is written and read at once
QUICK = 1  # of zlib: a ninth of the size, for half a second a million lines
Place = tuple[int, int]  # where a block begins in the file, and how many bytes it has


class Spool:
    """One file for any number of lists: the plans of all tenants, accounts, people. Of one thread."""

    def __init__(self, in_memory: int = IN_MEMORY) -> None:
        self._file = tempfile.SpooledTemporaryFile(max_size=in_memory)  # noqa: SIM115  closed with its last list

    def keep(self, found: Iterable[T]) -> Sequence[T]:
        """All of this, read once; it can be walked as often as one likes. Raises Problem where there is no room."""
        rest, kept = iter(found), _Kept[T](self)
        while block := list(islice(rest, BLOCK)):
            kept.starts.append(kept.size)
            kept.places.append(self._write(zlib.compress(pickle.dumps(block, pickle.HIGHEST_PROTOCOL), QUICK)))
            kept.size += len(block)
        return kept

    def _write(self, packed: bytes) -> Place:
        try:
            begin = self._file.seek(0, os.SEEK_END)
            self._file.write(packed)
            self._file.flush()
        except OSError as error:
            folder = tempfile.tempdir or os.environ.get("TMPDIR") or "/tmp"  # noqa: S108  as tempfile has it
            raise Problem("no_room_for_plan", folder=folder, why=error.strerror) from None
        return begin, len(packed)

    def read(self, place: Place) -> list[Any]:
        """The rows of a block."""
        begin, size = place
        self._file.seek(begin)
        packed = self._file.read(size)
        found: list[Any] = pickle.loads(zlib.decompress(packed))  # noqa: S301  our own file, which nobody else can open
        return found


class _Kept(Sequence[T]):
    """A list in a spool. It knows of each block the number of its first row, and its place."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self.starts: list[int] = []
        self.places: list[Place] = []
        self.size = 0

    def __len__(self) -> int:
        return self.size

    def __iter__(self) -> Iterator[T]:
        for place in self.places:
            yield from self._spool.read(place)

    @overload
    def __getitem__(self, number: int) -> T: ...
    @overload
    def __getitem__(self, number: slice) -> list[T]: ...
    def __getitem__(self, number: int | slice) -> T | list[T]:
        wanted = range(self.size)[number]
        if isinstance(wanted, range):
            return [self[each] for each in wanted]
        block = bisect_right(self.starts, wanted) - 1
        found: T = self._spool.read(self.places[block])[wanted - self.starts[block]]
        return found
