"""The disk of PostgreSQL is full in mid-run: it is said, and once there is room everything is done, once."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import psycopg
import pytest
from sqlalchemy.exc import SQLAlchemyError

from benchmarks.fleet.postgres import Server, server
from benchmarks.system import temporary_folder
from migrations.run import upgrade
from ops import doctor, metrics, status
from tests.fixtures.debian import REQUIRED, program
from tests.integration.engine.conftest import Engine
from tests.integration.engine.test_processes import supervised
from tests.integration.engine.test_redis_failover import fill
from tests.integration.engine.test_vital_signs import ready

SECONDS = 60
MEGABYTES = 192
MESSAGES = 3000


@pytest.fixture
def small() -> Iterator[Server]:
    """A PostgreSQL with a small file system of its own; left out, or failed, where nothing may be mounted."""
    with ExitStack() as stack:
        folder = stack.enter_context(temporary_folder("kf-"))
        words = [program("mount", "mount"), "-t", "tmpfs", "-o", f"size={MEGABYTES}m,mode=711", "koppeling", folder]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        if done.returncode and REQUIRED:
            pytest.fail(f"A file system must be mounted here: {done.stderr}")
        if done.returncode:
            # To mount is for root; .ci/run requires it.
            pytest.skip(f"left out, for nothing may be mounted here: {done.stderr}")
        stack.callback(subprocess.run, [program("umount", "mount"), folder], check=False)
        yield stack.enter_context(server(folder=Path(folder), min_wal_size="32MB", max_wal_size="32MB"))


@pytest.fixture
def database_url(small: Server) -> str:
    """In place of that of the other tests."""
    upgrade(small.url())
    return small.url()


def take_all_room(file: Path) -> None:
    """Fill the file system to its last page."""
    with file.open("wb") as taken:
        size, step = 0, 1 << 26
        while step >= 4096:
            try:
                os.posix_fallocate(taken.fileno(), size, step)
            except OSError:
                step //= 2
            else:
                size += step


def use_up_the_log(small: Server) -> None:
    """Write into PostgreSQL's write-ahead log until it finds no room either."""
    with suppress(psycopg.OperationalError):
        for _ in range(MEGABYTES):
            small.ask("SELECT pg_logical_emit_message(false, 'test', repeat('x', 1000000))")


def stands_still(engine: Engine) -> bool:
    """Whether nothing is done for two seconds, or PostgreSQL has stopped."""
    with suppress(SQLAlchemyError):
        before = len(engine.effects())
        time.sleep(2)
        return len(engine.effects()) == before
    return True


def goes_again(engine: Engine, small: Server) -> bool:
    """Whether PostgreSQL answers; it is started where it stopped."""
    if small.process and small.process.poll() is not None:
        small.start()
    return bool(engine.value("SELECT 1") == 1)


@pytest.mark.parametrize("postgresql", ["refuses", "stops"])
def test_a_full_disk_is_said_at_once_and_costs_nothing_but_time(engine: Engine, small: Server, postgresql: str) -> None:
    # given two processes at work
    with supervised(engine, 2, threads=4):
        subjects = fill(engine, MESSAGES, 0.01)
        engine.wait(lambda: len(engine.effects()) >= 40, SECONDS)
        assert ready(engine)[1]["database"] == status.document()["database"] == "ok"
        # when nothing more fits onto the disk
        filler = small.folder / "filler"
        take_all_room(filler)
        # then that is told, before everything stands still
        engine.wait(lambda: ready(engine)[1]["database"] == "disk full", 10)
        assert ready(engine)[0] == 503
        assert status.document()["database"] == "disk full"
        assert not metrics.read()["writable"]
        assert "database_full" in [one["code"] for one in doctor.document()["checks"]]
        engine.wait(lambda: stands_still(engine), SECONDS)
        with suppress(SQLAlchemyError):  # it may have stopped by itself
            assert len(engine.effects()) < len(subjects)
        if postgresql == "stops":
            use_up_the_log(small)
            engine.wait(lambda: small.process and small.process.poll() is not None, SECONDS)
            assert ready(engine)[1]["database"] == "unreachable"
        # and once there is room again, all goes on by itself
        filler.unlink()
        engine.wait(lambda: goes_again(engine, small), SECONDS)
        engine.empty(SECONDS * 2)
        engine.wait(lambda: ready(engine)[0] == 200, SECONDS)
    # then every message had one effect, and none gave up
    assert sorted(engine.effects()) == subjects
    assert engine.letters() == []
