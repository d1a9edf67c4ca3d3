"""Embedded servers: started, shared, stopped, and put right after a kill -9. Real servers, real processes."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import psycopg
import pytest
import redis

from ops.embedded import EmbeddedError, Endpoints, ensure_postgres, running, start_postgres, start_valkey
from ops.embedded.process import Process, as_server

ROOT = Path(__file__).parents[3]
OWNER = "pg = embedded.start_postgres(home); v = embedded.start_valkey(home); print('up', flush=True); time.sleep(600)"
MOMENT = """
with embedded.ensure_postgres(home) as pg:
    print('in', flush=True)
    sys.stdin.readline()
    with psycopg.connect(pg.url) as c:
        c.execute('SELECT 1')
print('out', flush=True)
"""


@contextmanager
def python(code: str, home: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that runs this code with ``home``; killed at the end if it is still there."""
    head = "import sys, time, psycopg\nfrom pathlib import Path\nfrom ops import embedded\nhome = Path(sys.argv[1])\n"
    child = subprocess.Popen(
        [sys.executable, "-c", head + code, str(home)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT,
    )  # fmt: skip
    with child:
        try:
            yield child
        finally:
            if child.poll() is None:
                child.kill()


def says(child: subprocess.Popen[str], word: str) -> None:
    assert child.stdout is not None
    assert child.stdout.readline().strip() == word


def wait_for(condition: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def servers_of(home: Path) -> list[psutil.Process]:
    """Postmasters and Valkeys that run for this home, asked of the system."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.status() == psutil.STATUS_ZOMBIE:
                continue
            words, folder = process.cmdline(), process.cwd()
        except psutil.Error:
            continue
        if str(home / "postgres/data") in words or folder == str(home / "valkey"):
            found.append(process)
    return found


def answers(url: str) -> bool:
    with psycopg.connect(url) as connection:
        return connection.execute("SELECT 1").fetchone() == (1,)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "home"
    yield path
    for process in servers_of(path):  # what a failed test left
        process.kill()


def test_both_servers_run_and_are_found_and_leave_nothing_behind(home: Path) -> None:
    postgres, valkey = start_postgres(home), start_valkey(home)

    assert answers(postgres.url)
    with redis.Redis.from_url(valkey.url) as client:
        assert client.ping()
    assert running(home) == Endpoints(postgres.url, valkey.url)

    for server in (valkey, postgres, valkey, postgres):
        server.stop()
    assert running(home) == Endpoints(None, None)
    assert servers_of(home) == []


def test_what_was_stored_is_there_after_the_next_start(home: Path) -> None:
    with ensure_postgres(home) as postgres, psycopg.connect(postgres.url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")

    with ensure_postgres(home) as postgres, psycopg.connect(postgres.url) as connection:
        assert connection.execute("SELECT answer FROM kept").fetchone() == (42,)


def test_settings_keep_data_safe_and_personal_data_out_of_the_logs(home: Path) -> None:
    with ensure_postgres(home) as postgres, psycopg.connect(postgres.url, autocommit=True) as connection:
        shown = {
            name: connection.execute("SELECT current_setting(%s)", [name]).fetchone()
            for name in ("fsync", "max_connections", "listen_addresses", "log_statement")
        }
        connection.execute("CREATE TABLE people (email text PRIMARY KEY)")
        for _ in range(2):
            with suppress(psycopg.errors.UniqueViolation):
                connection.execute("INSERT INTO people VALUES (%s)", ["anna@example.com"])
        with pytest.raises(psycopg.errors.InvalidTextRepresentation):
            connection.execute("SELECT 'anna@example.com'::integer")

    assert shown == {
        "fsync": ("on",), "max_connections": ("200",), "listen_addresses": ("127.0.0.1",), "log_statement": ("none",),
    }  # fmt: skip
    log = (home / "postgres/postgres.log").read_text()
    assert "ready to accept connections" in log
    assert "anna" not in log


def test_valkey_evicts_and_stores_nothing_and_wants_its_password(home: Path) -> None:
    valkey = start_valkey(home)
    try:
        with redis.Redis.from_url(valkey.url) as client:
            shown = client.config_get("maxmemory-policy", "appendonly", "save", "bind")
        assert shown == {"maxmemory-policy": "noeviction", "appendonly": "no", "save": "", "bind": "127.0.0.1"}
        stranger = redis.Redis(port=int(valkey.url.rpartition(":")[2].partition("/")[0]))
        with stranger, pytest.raises(redis.AuthenticationError):
            stranger.ping()
    finally:
        valkey.stop()


def test_postgres_refuses_connections_without_its_password(home: Path) -> None:
    with ensure_postgres(home) as postgres:
        scheme, _, rest = postgres.url.partition("://")
        stranger = f"{scheme}://koppeling:guess@{rest.rpartition('@')[2]}"
        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(stranger)


def test_passwords_are_readable_for_their_user_only_and_shown_by_no_repr(home: Path) -> None:
    postgres, valkey = start_postgres(home), start_valkey(home)
    try:
        closed = [home / "postgres", home / "valkey", home / "postgres/password", home / "embedded.json"]
        assert [oct(stat.S_IMODE(path.stat().st_mode) & 0o077) for path in closed] == ["0o0"] * 4
        arguments = " ".join(word for process in servers_of(home) for word in process.cmdline())
        for url in (postgres.url, valkey.url):
            password = url.partition("@")[0].rpartition(":")[2]
            assert password not in repr((postgres, valkey, running(home))) + arguments
    finally:
        valkey.stop()
        postgres.stop()


def test_a_second_owner_is_told_who_has_it(home: Path) -> None:
    with python(OWNER, home) as owner:
        says(owner, "up")
        for start in (start_postgres, start_valkey):
            with pytest.raises(EmbeddedError, match=rf"process {owner.pid}: stop that"):
                start(home)


def test_a_command_for_the_moment_uses_what_runs_and_leaves_it_running(home: Path) -> None:
    postgres = start_postgres(home)
    try:
        with ensure_postgres(home) as borrowed:
            assert borrowed.url == postgres.url
        assert answers(postgres.url)
    finally:
        postgres.stop()


def test_commands_at_the_same_time_share_one_server_and_the_last_one_stops_it(home: Path) -> None:
    with python(MOMENT, home) as first, python(MOMENT, home) as second, ensure_postgres(home):
        says(first, "in")
        says(second, "in")
        assert len(servers_of(home)) == 1
        first.communicate("\n")
        assert first.returncode == 0
        assert running(home).database_url
        second.communicate("\n")
    assert second.returncode == 0
    assert servers_of(home) == []


def test_an_owner_waits_for_a_command_of_the_moment(home: Path) -> None:
    with python(MOMENT, home) as command:
        says(command, "in")
        with python(OWNER, home) as owner:
            before = servers_of(home)[0].pid
            command.communicate("\n")
            says(owner, "up")
            postmasters = [p.pid for p in servers_of(home) if p.cwd() != str(home / "valkey")]
            assert before not in postmasters
            assert len(postmasters) == 1
    assert command.returncode == 0


def test_servers_end_when_their_owner_is_killed(home: Path) -> None:
    with python(OWNER, home) as owner:
        says(owner, "up")
        assert len(servers_of(home)) == 2
        owner.kill()

    wait_for(lambda: servers_of(home) == [])
    assert running(home) == Endpoints(None, None)


def test_an_owner_starts_at_once_after_one_was_killed(home: Path) -> None:
    for _ in range(3):
        with python(OWNER, home) as owner:
            says(owner, "up")
            owner.kill()
            owner.wait()
            postgres, valkey = start_postgres(home), start_valkey(home)
            assert answers(postgres.url)
            valkey.stop()
            postgres.stop()
    assert servers_of(home) == []


def test_a_server_that_outlived_a_killed_command_is_used_and_then_stopped(home: Path) -> None:
    with python(MOMENT, home) as command:
        says(command, "in")
        command.kill()
    survivor = servers_of(home)[0].pid

    with ensure_postgres(home) as postgres:
        assert answers(postgres.url)
        assert servers_of(home)[0].pid == survivor
    assert servers_of(home) == []


def test_an_owner_replaces_a_server_that_outlived_a_killed_command(home: Path) -> None:
    with python(MOMENT, home) as command:
        says(command, "in")
        command.kill()
    survivor = servers_of(home)[0].pid

    postgres = start_postgres(home)
    try:
        assert answers(postgres.url)
        assert [p.pid for p in servers_of(home)] != [survivor]
    finally:
        postgres.stop()


def test_a_killed_server_starts_again_with_what_was_committed(home: Path) -> None:
    with ensure_postgres(home) as postgres:
        with psycopg.connect(postgres.url) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
        servers_of(home)[0].kill()
        wait_for(lambda: running(home).database_url is None)

        with ensure_postgres(home) as again, psycopg.connect(again.url) as connection:
            assert connection.execute("SELECT answer FROM kept").fetchone() == (42,)


def test_an_owner_can_start_a_killed_server_again(home: Path) -> None:
    first, broker = start_postgres(home), start_valkey(home)
    for process in servers_of(home):
        process.kill()
    wait_for(lambda: running(home) == Endpoints(None, None))

    second, broker_again = start_postgres(home), start_valkey(home)

    assert answers(second.url)
    assert running(home) == Endpoints(second.url, broker_again.url)
    broker.stop()
    first.stop()
    assert servers_of(home) == []


def test_a_noted_number_that_is_another_programs_by_now_does_not_stop_the_start(home: Path) -> None:
    with ensure_postgres(home):
        pass
    lines = [str(os.getpid()), str(home / "postgres/data"), "1700000000", "5432", "", "127.0.0.1", "", "ready"]
    (home / "postgres/data/postmaster.pid").write_text("\n".join(lines) + "\n")

    assert running(home).database_url is None
    with ensure_postgres(home) as postgres:
        assert answers(postgres.url)


def test_half_made_files_of_an_interrupted_first_start_are_made_again(home: Path) -> None:
    (home / "postgres/data.new/base").mkdir(parents=True)
    (home / "postgres/data.new/PG_VERSION").write_text("18\n")
    (home / "embedded.json").write_text('{"postgres": {"owner": [1')

    with ensure_postgres(home) as postgres:
        assert answers(postgres.url)


def test_a_long_path_with_spaces_and_quotes_works(tmp_path: Path) -> None:
    home = tmp_path / ("deep folder" * 12) / 'it\'s "here"'

    postgres, valkey = start_postgres(home), start_valkey(home)
    try:
        assert answers(postgres.url)
    finally:
        valkey.stop()
        postgres.stop()


def test_a_folder_closed_to_others_works_and_stays_closed(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)

    with ensure_postgres(closed / "home") as postgres:
        assert answers(postgres.url)
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700


def test_an_interrupt_of_the_terminal_reaches_us_and_not_the_servers(home: Path) -> None:
    postgres = start_postgres(home)
    try:
        assert os.getpgid(servers_of(home)[0].pid) != os.getpgrp()
    finally:
        postgres.stop()


def test_data_that_can_not_be_served_give_one_line_that_names_the_log(home: Path) -> None:
    with ensure_postgres(home):
        pass
    (home / "postgres/data/PG_VERSION").write_text("9.6\n")

    with (
        pytest.raises(EmbeddedError, match=r"PostgreSQL does not start: .*\(see .*postgres\.log\)") as raised,
        ensure_postgres(home),
    ):
        pass
    assert "\n" not in str(raised.value)


def test_a_home_that_can_not_be_made_is_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(EmbeddedError, match="set KOPPELING_HOME to a folder of yours"):
        start_valkey(tmp_path / "file/home")


def test_root_without_setpriv_is_told_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(shutil, "which", lambda name: None)

    with pytest.raises(EmbeddedError, match="needs setpriv"):
        as_server(["/usr/bin/true"])


def test_a_process_is_not_taken_for_a_later_one_with_its_number() -> None:
    me = Process.me()

    assert me.alive()
    assert not Process(me.pid, me.started + 1).alive()


def test_a_process_that_stays_is_named() -> None:
    with subprocess.Popen(["sleep", "600"]) as child:
        found = Process.of(child.pid)
        assert found is not None
        with pytest.raises(EmbeddedError, match=f"kill -9 {child.pid}"):
            found.stop((signal.SIGCONT, 0.05))
        child.kill()
