"""Loops that must not end: whatever one step, one chore or one item raises."""

from __future__ import annotations

import threading
from typing import NoReturn

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.exc import InternalError, OperationalError

import loops
from loops import Chores, Loop, each
from models.session import is_away

TROUBLE = (ValueError("jan@example.org"), OSError("no route"), psycopg.OperationalError("gone"), MemoryError())


def test_a_loop_goes_on_whatever_its_steps_raise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loops, "PAUSE_SECONDS", 0.001)
    steps: list[int] = []

    def step() -> float | None:
        steps.append(len(steps))
        if len(steps) <= len(TROUBLE):
            raise TROUBLE[len(steps) - 1]
        return None

    loop = Loop("test", step)
    loop.start()
    loop.join(10)

    assert not loop.is_alive()
    assert len(steps) == len(TROUBLE) + 1
    assert loop.failures == 0  # forgotten with the first step that works


def test_a_loop_whose_own_care_breaks_goes_on_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loops, "PAUSE_SECONDS", 0.001)

    class Careless(Loop):
        rounds = 0

        def step(self) -> float | None:
            self.rounds += 1
            if self.rounds < 3:
                raise KeyError("x")
            return None

        def trouble(self, error: Exception) -> None:
            raise RuntimeError("worse")

    loop = Careless("careless")
    loop.run()

    assert loop.rounds == 3


def test_a_loop_ends_when_told() -> None:
    stopping = threading.Event()
    loop = Loop("test", lambda: 60.0, stopping)
    loop.start()
    loop.stop()

    assert not loop.is_alive()


@given(bad=st.sets(st.integers(0, 9)))
def test_one_item_that_breaks_keeps_no_other_from_its_turn(bad: set[int]) -> None:
    done: list[int] = []

    def act(item: int) -> None:
        if item in bad:
            raise KeyError(item)
        done.append(item)

    assert each("thing", range(10), act) == 10 - len(bad)
    assert done == [item for item in range(10) if item not in bad]


def test_a_database_that_is_away_is_nobody_s_item() -> None:
    def act(item: int) -> NoReturn:
        raise OperationalError("x", None, psycopg.OperationalError("gone"))

    with pytest.raises(OperationalError):
        each("thing", [1, 2, 3], act)


def test_an_item_whose_locks_others_hold_keeps_no_other_from_its_turn() -> None:
    done: list[int] = []
    held = (psycopg.errors.LockNotAvailable(), psycopg.errors.DeadlockDetected(), psycopg.errors.SerializationFailure())

    def act(item: int) -> None:
        if item < len(held):
            raise OperationalError("x", None, held[item])
        done.append(item)

    assert each("thing", range(5), act) == 2
    assert done == [3, 4]


def test_a_database_that_takes_no_writes_counts_as_away() -> None:
    error = psycopg.errors.ReadOnlySqlTransaction("cannot execute UPDATE in a read-only transaction")
    assert is_away(InternalError("x", None, error))
    assert not is_away(InternalError("x", None, psycopg.InternalError("other")))


def test_a_value_that_is_too_large_is_no_trouble_of_the_database() -> None:
    error = psycopg.errors.ProgramLimitExceeded("index row size 6024 exceeds btree version 4 maximum 2704")
    assert not is_away(OperationalError("x", None, error))


def test_one_chore_in_trouble_leaves_the_others_alone() -> None:
    done: list[str] = []

    def broken() -> None:
        done.append("broken")
        raise ZeroDivisionError

    def fine() -> None:
        done.append("fine")

    chores = Chores((0.0, broken), (0.0, fine))
    chores.do_due()
    chores.do_due()

    assert done == ["broken", "fine", "broken", "fine"]


def test_a_loop_tells_how_long_its_step_takes() -> None:
    seen: list[float] = []

    def step() -> float | None:
        seen.append(loop.busy_seconds())
        raise KeyError

    loop = Loop("test", step)
    assert loop.busy_seconds() == 0
    loop.once()
    assert seen[0] >= 0
    assert loop.busy_seconds() == 0
