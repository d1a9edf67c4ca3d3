"""At most N AFAS calls in flight per environment, over all machines.

A slot is a PostgreSQL advisory lock. One connection of the process, outside its pool, holds all slots that the process
has at a moment: no transaction is open meanwhile, a call costs no connection, and a process that dies gives its slots
back with that connection. A thread of its own keeps it, so that a time limit, which may interrupt a worker's thread
anywhere, never leaves a slot behind: the thread sees that the ticket is gone.
"""

from __future__ import annotations

import _thread
import queue
import random
import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import psycopg
from sqlalchemy.exc import OperationalError

import settings
from clients.http import waiting
from loops import Loop
from models.advisory_locks import AdvisoryLock
from models.session import connect_alone

IDLE_SECONDS = 10.0
# Slots that other processes give back are looked for so often.
LOOK_SECONDS = (0.005, 0.015)
# Who got a slot sooner did not wait for others.
WAITED_SECONDS = 0.05
# Who says nothing for so long stands still, and PostgreSQL gives its slots to others; a living process speaks up.
SILENT_SECONDS = 30
SPEAK_SECONDS = 5.0
_TRY = """
    SELECT number FROM unnest(%(numbers)s::int[]) AS number WHERE pg_try_advisory_lock(%(class)s, number) LIMIT 1
"""


def _locked() -> threading.Lock:
    lock = threading.Lock()
    lock.acquire()
    return lock


@dataclass
class _Wish:
    """A slot that is wanted or held. ``number`` is None before it is granted."""

    numbers: list[int]
    number: int | None = None
    over: bool = False
    # Its lock went with a connection that was lost, while its call went on.
    lost: bool = False
    error: psycopg.Error | None = None
    # Locked until it is answered. No Event: an interruption inside one leaves it locked for ever, and with it who sets
    # it. A plain lock is released by one and waited for by the other, whatever happens to that one.
    unanswered: threading.Lock = field(default_factory=_locked)

    def answer(self) -> None:
        self.unanswered.release()


class _Ticket:
    """What the caller holds. When it is gone, however that came, the slot is free."""

    def __init__(self, keeper: _Keeper, numbers: list[int]) -> None:
        self.keeper = keeper
        self.wish = _Wish(numbers)

    def wait(self, patience_seconds: float) -> bool:
        """Ask for it, and wait until it is granted or the patience ends."""
        self.keeper.ask(self.wish)
        give_up = time.monotonic() + patience_seconds
        # Short waits: a time limit can't interrupt a long one.
        while not self.wish.unanswered.acquire(timeout=min(0.2, max(0.0, give_up - time.monotonic()))):
            if time.monotonic() >= give_up:
                return False
        if self.wish.error is not None:
            raise OperationalError("a slot for a call", None, self.wish.error) from self.wish.error
        return True

    def give_back(self) -> None:
        """The call is over, or the slot is not wanted any more. Calling it again is harmless."""
        if not self.wish.over:
            self.wish.over = True
            self.keeper.wishes.put(None)

    __del__ = give_back


class _Keeper:
    """Holds the slots of this process on one connection, in one thread that ends when nothing is wanted for a while."""

    def __init__(self) -> None:
        self.wishes: queue.SimpleQueue[_Wish | None] = queue.SimpleQueue()
        self._waiting: list[_Wish] = []
        self._held: list[_Wish] = []
        self._connection: psycopg.Connection | None = None
        # Held by the thread that keeps the slots.
        self._kept = threading.Lock()
        self._used_at = 0.0
        self._spoke_at = 0.0

    def ask(self, wish: _Wish) -> None:
        """Hand a wish over to the thread."""
        self.wishes.put(wish)
        self._start()

    def _start(self) -> None:
        # Not ``Thread.start``, which waits for an Event. One too many ends at once.
        if not self._kept.locked():
            _thread.start_new_thread(self._keep, ())

    def _keep(self) -> None:
        if not self._kept.acquire(blocking=False):
            return
        try:
            Loop("call slots", self._step).run()
        finally:
            self._kept.release()
        if not self.wishes.empty():
            self._start()

    def _step(self) -> float | None:
        self._hear()
        try:
            self._free()
            self._grant()
            self._speak()
        except psycopg.Error as error:
            self._lose(error)
            raise
        if self._waiting or self._held:
            self._used_at = time.monotonic()
        elif time.monotonic() - self._used_at > IDLE_SECONDS:
            self._rest()
            return None
        return 0.0

    def _hear(self) -> None:
        """Take what was said, and wait for it a little: those who wait for a slot are tried again soon."""
        seconds = random.uniform(*LOOK_SECONDS) if self._waiting else IDLE_SECONDS / 4  # noqa: S311  spreads the waiters, guards nothing
        try:
            said = self.wishes.get(timeout=seconds)
            while True:
                if said is not None:
                    self._waiting.append(said)
                said = self.wishes.get_nowait()
        except queue.Empty:
            pass

    def _free(self) -> None:
        self._waiting = [wish for wish in self._waiting if not wish.over]
        for wish in [wish for wish in self._held if wish.over]:
            if self._connection is not None and not wish.lost and not self._hand_on(wish):
                self._connection.execute("SELECT pg_advisory_unlock(%s, %s)", [AdvisoryLock.CALL_SLOT, wish.number])
            self._held.remove(wish)

    def _hand_on(self, over: _Wish) -> bool:
        """Let the first one here that waits for this slot have it, if it is still ours: psycopg.Error otherwise."""
        successor = next((wish for wish in self._waiting if over.number in wish.numbers), None)
        if successor is None or self._connection is None:
            return False
        self._connection.execute("SELECT 1")
        successor.number = over.number
        self._waiting.remove(successor)
        self._held.append(successor)
        successor.answer()
        return True

    def _grant(self) -> None:
        """In the order in which they came. A lock that this session has already would be granted to it again."""
        full: set[int] = set()
        for wish in list(self._waiting):
            mine = {held.number for held in self._held}
            numbers = [number for number in wish.numbers if number not in mine]
            if not numbers or wish.numbers[0] in full:
                continue
            if self._connection is None or self._connection.closed:
                self._connection = connect_alone("calls", f"-c idle_session_timeout={SILENT_SECONDS}s")
            random.shuffle(numbers)
            row = self._connection.execute(_TRY, {"numbers": numbers, "class": AdvisoryLock.CALL_SLOT}).fetchone()
            if row is None:
                full.add(wish.numbers[0])
                continue
            wish.number = row[0]
            self._waiting.remove(wish)
            self._held.append(wish)
            wish.answer()

    def _speak(self) -> None:
        if self._held and self._connection is not None and time.monotonic() - self._spoke_at > SPEAK_SECONDS:
            self._connection.execute("SELECT 1")
            self._spoke_at = time.monotonic()

    def _lose(self, error: psycopg.Error) -> None:
        """PostgreSQL is away: its locks are gone, and who waits is told. Calls that run go on, and count in here."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        for wish in self._waiting:
            wish.error = error
            wish.answer()
        self._waiting = []
        for wish in self._held:
            wish.lost = True

    def _rest(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


_keepers: dict[str, _Keeper] = {}


def slots(environment: str, limit: int) -> list[int]:
    """The numbers of an environment's slots: the second keys of their advisory locks."""
    base = (zlib.crc32(environment.encode()) & 0x0FFFFFFF) * 8
    return [(base + number) % 2**31 for number in range(limit)]


@contextmanager
def call_slot(environment: str, limit: int, patience_seconds: float = 120.0) -> Iterator[bool]:
    """Hold one of ``limit`` slots of an environment; gives whether it had to wait for others.

    TimeoutError when none comes free in time, OperationalError without PostgreSQL.
    """
    keeper = _keepers.setdefault(settings.get().need_database(), _Keeper())
    ticket = _Ticket(keeper, slots(environment, limit))
    begun = time.monotonic()
    try:
        with waiting:
            granted = ticket.wait(patience_seconds)
        if not granted:
            raise TimeoutError(f"no free call to {environment} within {patience_seconds:.0f} s")
        yield time.monotonic() - begun > WAITED_SECONDS
    finally:
        ticket.give_back()
