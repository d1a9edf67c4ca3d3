"""One thread ends what takes too long, for the whole process."""

from __future__ import annotations

import contextlib
import ctypes
import queue
import subprocess
import sys
import threading
import time
from pathlib import Path

from clients.http import transport
from clients.http.deadlines import Deadlines

AGES = 3600.0


def test_what_is_due_first_comes_first_whatever_was_added_first() -> None:
    deadlines, came, both = Deadlines(), [], threading.Event()

    def second() -> None:
        came.append("second")
        both.set()

    deadlines.add(lambda: came.append("never"), AGES)
    deadlines.add(second, 0.2)
    deadlines.add(lambda: came.append("first"), 0.05)

    assert both.wait(30)
    assert came == ["first", "second"]


def test_what_was_removed_in_time_never_comes() -> None:
    deadlines, came, later = Deadlines(), [], threading.Event()

    def removed() -> None:
        came.append("removed")

    deadlines.add(removed, 0.1)
    deadlines.remove(removed)
    deadlines.remove(removed)  # it may have come just before
    deadlines.add(later.set, 0.2)

    assert later.wait(30)
    assert came == []


def test_a_thousand_calls_from_many_threads_take_one_thread_and_leave_nothing_behind() -> None:
    deadlines, before = Deadlines(), threading.enumerate()

    def call() -> None:
        for _ in range(100):
            expire = threading.Event().set
            deadlines.add(expire, AGES)
            deadlines.remove(expire)

    callers = [threading.Thread(target=call) for _ in range(10)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()

    of_them = [thread for thread in threading.enumerate() if thread not in before and thread.name == "deadlines"]
    assert [thread.daemon for thread in of_them] == [True]
    assert deadlines._due == {}


FORKING = """
import os, threading
from clients.http import transport
from clients.http.deadlines import Deadlines
deadlines, parents = Deadlines(), threading.Event()
deadlines.add(parents.set, 0.3)
child = os.fork()
came = threading.Event()
deadlines.add(came.set, 0.05)
mine = came.wait(30)
if child == 0:
    os._exit(0 if mine and deadlines._due == {} else 1)
print(mine, parents.wait(30), os.waitpid(child, 0)[1])
"""


def test_a_fork_has_deadlines_of_its_own() -> None:
    told = subprocess.run(
        [sys.executable, "-c", FORKING],
        cwd=Path(__file__).parents[4],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert told.stdout.split() == ["True", "True", "0"]


def test_a_call_whose_thread_is_interrupted_as_it_ends_leaves_no_deadline_to_the_next_one() -> None:
    begun: queue.SimpleQueue[transport.Attempt] = queue.SimpleQueue()
    go_on = threading.Event()

    def call() -> None:
        with contextlib.suppress(KeyboardInterrupt), transport.attempt(AGES) as current:
            begun.put(current)
            go_on.wait(AGES)

    thread = threading.Thread(target=call)
    thread.start()
    current = begun.get(timeout=AGES)
    with current._lock:  # it waits here when it ends
        go_on.set()
        time.sleep(0.2)
        ctypes.pythonapi.PyThreadState_SetAsyncExc(
            ctypes.c_long(thread.ident or 0), ctypes.py_object(KeyboardInterrupt)
        )
    thread.join(AGES)

    assert current.expire not in transport._deadlines._due
