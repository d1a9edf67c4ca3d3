"""Which threads count as waiting: those that work on a message, and wait for their turn or for a slow answer."""

from __future__ import annotations

import threading

import pytest

from clients.http.idle_threads import Waiting

LONG = "clients.http.idle_threads.LONG_SECONDS"


def test_who_waits_for_its_turn_counts_at_once_and_whoever_fetches_hears_of_it() -> None:
    waiting, heard = Waiting(), list[int]()
    waiting.begun = lambda: heard.append(len(waiting))
    with waiting.working():
        with waiting:
            assert len(waiting) == 1
        assert len(waiting) == 0
    assert heard == [1]


def test_a_call_counts_once_it_takes_long(monkeypatch: pytest.MonkeyPatch) -> None:
    waiting = Waiting()
    with waiting.working():
        with waiting.if_long():
            assert len(waiting) == 0
        monkeypatch.setattr(LONG, 0.0)
        with waiting.if_long():
            assert len(waiting) == 1
        assert len(waiting) == 0


def test_a_thread_that_works_on_no_message_makes_no_room_for_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread that calls for several others, or a run's reading: that makes room for another run."""
    waiting = Waiting()
    monkeypatch.setattr(LONG, 0.0)
    me = threading.get_ident()
    with waiting, waiting.if_long():
        assert len(waiting) == 0
        assert waiting.among({me}) == 1
        assert waiting.among(set()) == 0
    assert waiting.among({me}) == 0


def test_what_was_interrupted_while_it_waited_is_forgotten_with_its_message() -> None:
    waiting = Waiting()
    with waiting.working():
        waiting.__enter__()  # and no way out
        assert len(waiting) == 1
    with waiting.working():
        assert len(waiting) == 0
