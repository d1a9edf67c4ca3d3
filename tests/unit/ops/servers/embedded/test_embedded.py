"""Embedded servers: started, shared, stopped, and put right after a kill -9. Real servers, real processes."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import stat
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import psycopg
import pytest
import redis

from ops.servers.embedded import EmbeddedError, Endpoints, ensure_postgres, running, start_postgres, start_valkey
from ops.servers.embedded.postgres import mark
from ops.servers.embedded.process import Process, as_server, home_folder
from ops.servers.embedded.registry import peek

ROOT = Path(__file__).parents[5]
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
    imports = "import sys, time, psycopg\nfrom pathlib import Path\nfrom ops.servers import embedded\n"
    head = f"{imports}home = Path(sys.argv[1])\n"
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


def wait_for(condition: Callable[[], bool], seconds: float = 60) -> None:
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
            words = process.cmdline()
        except psutil.Error:
            continue
        if f"-ccluster_name={mark(home / 'postgres/data')}" in words or process.pid == _valkey_of(home):
            found.append(process)
    return found


def _valkey_of(home: Path) -> int | None:
    server = peek(home, "valkey").server
    return server.pid if server else None


def answers(url: str) -> bool:
    with psycopg.connect(url) as connection:
        return connection.execute("SELECT 1").fetchone() == (1,)


def short_folder() -> tempfile.TemporaryDirectory[str]:
    """pytest's own folders can be too long for a socket, and then the servers listen on ports instead."""
    return tempfile.TemporaryDirectory(dir="/tmp", ignore_cleanup_errors=True)


@pytest.fixture
def home() -> Iterator[Path]:
    with short_folder() as folder:
        path = Path(folder) / "home"
        yield path
        for process in servers_of(path):  # what a failed test left
            process.kill()


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[Path, str]]:
    """A home whose PostgreSQL runs, and its URL."""
    with short_folder() as folder, ensure_postgres(Path(folder) / "home") as postgres:
        yield Path(folder) / "home", postgres.url


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
        "fsync": ("on",), "max_connections": ("200",), "listen_addresses": ("",), "log_statement": ("none",),
    }  # fmt: skip
    log = (home / "postgres/postgres.log").read_text()
    assert "ready to accept connections" in log
    assert "anna" not in log


def test_valkey_evicts_and_stores_nothing_and_wants_its_password(home: Path) -> None:
    valkey = start_valkey(home)
    try:
        with redis.Redis.from_url(valkey.url) as client:
            shown = client.config_get("maxmemory-policy", "appendonly", "save", "port")
        assert shown == {"maxmemory-policy": "noeviction", "appendonly": "no", "save": "", "port": "0"}
        stranger = redis.Redis(unix_socket_path=str(home / "valkey/run/valkey.sock"))
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
        closed = [home, home / "postgres", home / "valkey", home / "embedded.json"]
        assert [oct(stat.S_IMODE(path.stat().st_mode) & 0o077) for path in closed] == ["0o0"] * 4
        arguments = " ".join(word for process in servers_of(home) for word in process.cmdline())
        for url in (postgres.url, valkey.url):
            password = url.partition("@")[0].rpartition(":")[2]
            assert password not in repr((postgres, valkey, running(home))) + arguments
    finally:
        valkey.stop()
        postgres.stop()


def test_no_server_process_holds_a_right_of_roots_or_an_account_that_others_have(home: Path) -> None:
    postgres, valkey = start_postgres(home), start_valkey(home)
    try:
        masters = servers_of(home)
        found = masters + [child for master in masters for child in master.children(recursive=True)]
        assert len(masters) == 2
        for process in found:
            status = Path(f"/proc/{process.pid}/status").read_text()
            sets = {line.split(":")[0]: int(line.split()[1], 16) for line in status.splitlines() if "Cap" in line}
            assert (sets["CapEff"], sets["CapPrm"], sets["CapInh"], sets["CapAmb"]) == (0, 0, 0, 0), process
            uid = process.uids().effective
            assert uid == os.geteuid() or uid not in {entry.pw_uid for entry in pwd.getpwall()}
            assert uid != 0
    finally:
        valkey.stop()
        postgres.stop()


@pytest.mark.parametrize(
    "attempt",
    [
        "COPY (SELECT 1) TO PROGRAM 'cat > /dev/null'",
        "SELECT pg_read_file('postmaster.pid')",
        "CREATE ROLE another SUPERUSER",
        "CREATE DATABASE another",
        "ALTER ROLE koppeling SUPERUSER",
        "ALTER SYSTEM SET log_statement = 'all'",
        "SET ROLE postgres",
    ],
)
def test_the_application_owns_its_database_and_may_do_nothing_else(served: tuple[Path, str], attempt: str) -> None:
    with psycopg.connect(served[1], autocommit=True) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS mine (id int)")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(attempt)


def test_nobody_reaches_the_superuser_once_the_server_is_ready(served: tuple[Path, str]) -> None:
    home, url = served
    for user in ("postgres", "koppeling"):
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(url, user=user, dbname="postgres", password="guess", connect_timeout=30)
    assert "trust" not in (home / "postgres/data/pg_hba.conf").read_text()


def test_every_start_has_new_passwords(home: Path) -> None:
    postgres, valkey = start_postgres(home), start_valkey(home)
    valkey.stop()
    postgres.stop()
    again, broker = start_postgres(home), start_valkey(home)
    try:
        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(postgres.url)
        with redis.Redis.from_url(valkey.url) as client, pytest.raises(redis.AuthenticationError):
            client.ping()
        assert answers(again.url)
    finally:
        broker.stop()
        again.stop()


def test_a_dead_server_comes_back_at_the_same_address_with_what_was_committed(home: Path) -> None:
    postgres, valkey = start_postgres(home), start_valkey(home)
    try:
        assert (postgres.revive(), valkey.revive()) == (False, False)
        with psycopg.connect(postgres.url) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
        for process in servers_of(home):
            process.kill()
        wait_for(lambda: running(home) == Endpoints(None, None))

        assert (postgres.revive(), valkey.revive()) == (True, True)

        assert running(home) == Endpoints(postgres.url, valkey.url)
        with psycopg.connect(postgres.url) as connection, redis.Redis.from_url(valkey.url) as client:
            assert connection.execute("SELECT answer FROM kept").fetchone() == (42,)
            assert client.ping()
    finally:
        valkey.stop()
        postgres.stop()


def test_whoever_takes_the_port_of_a_long_path_is_told_no_password(tmp_path: Path) -> None:
    # given a path that is too long for a socket, and somebody else at the port once the server is gone
    home = tmp_path / ("deep folder" * 12) / "home"
    postgres = start_postgres(home)
    password, port = urlsplit(postgres.url).password, urlsplit(postgres.url).port
    assert password
    assert port
    assert answers(postgres.url)
    postgres.stop()
    heard = bytearray()

    def listen(thief: socket.socket) -> None:
        connection, _ = thief.accept()
        with connection:
            heard.extend(connection.recv(4096))
            connection.sendall(b"R" + struct.pack("!ii", 8, 3))  # "send me your password as it is"
            with suppress(OSError):
                heard.extend(connection.recv(4096))

    with socket.create_server(("127.0.0.1", port)) as thief:
        thread = threading.Thread(target=listen, args=(thief,))
        thread.start()
        # when
        with pytest.raises(psycopg.OperationalError, match="scram"):
            psycopg.connect(postgres.url, sslmode="disable")
        thread.join(20)
    # then
    assert password.encode() not in heard


def somebody_elses(tmp_path: Path) -> Path:
    """A folder that another user made."""
    if os.geteuid():
        return Path("/usr")
    folder = tmp_path / "theirs"
    folder.mkdir()
    os.chown(folder, 12_345, 12_345)
    return folder


@pytest.mark.parametrize(
    "verb", [start_postgres, start_valkey, running, lambda home: ensure_postgres(home).__enter__()]
)
def test_a_home_of_somebody_else_is_refused_and_not_touched(tmp_path: Path, verb: Callable[[Path], object]) -> None:
    theirs = somebody_elses(tmp_path)
    before = theirs.stat()

    with pytest.raises(EmbeddedError, match=r"belongs to .* and you are .*set KOPPELING_HOME"):
        verb(theirs)

    assert (theirs.stat().st_mtime_ns, theirs.stat().st_mode) == (before.st_mtime_ns, before.st_mode)
    assert not (theirs / "embedded.lock").exists()


def test_a_home_that_is_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "home").symlink_to(tmp_path / "elsewhere")

    for verb in (start_postgres, start_valkey, running):
        with pytest.raises(EmbeddedError, match="is a symbolic link"):
            verb(tmp_path / "home")
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_what_anybody_could_put_into_a_home_is_not_used(tmp_path: Path) -> None:
    home, theirs = tmp_path / "home", tmp_path / "theirs"
    home.mkdir()
    home.chmod(0o777)
    (home / "embedded.lock").symlink_to(theirs)

    for verb in (start_postgres, start_valkey, running):
        with pytest.raises(EmbeddedError, match="Everybody may write to"):
            verb(home)
    assert not theirs.exists()
    # an empty one, as a volume of a container is at first, is closed and used
    (home / "embedded.lock").unlink()
    assert home_folder(home).stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("name", ["postgres", "valkey", "valkey/run"])
def test_a_folder_of_a_server_that_is_a_link_is_refused_and_not_followed(home: Path, name: str, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    home.mkdir()
    (home / name).parent.mkdir(exist_ok=True)
    (home / name).symlink_to(tmp_path / "elsewhere")
    before = (tmp_path / "elsewhere").stat()

    with pytest.raises(EmbeddedError, match="move it away"):
        (start_postgres if name == "postgres" else start_valkey)(home)
    assert (tmp_path / "elsewhere").stat() == before


def test_a_server_that_ended_and_was_fetched_by_no_parent_is_dead(home: Path) -> None:
    with ensure_postgres(home):
        pass
    with subprocess.Popen(["true"]) as gone:
        wait_for(lambda: psutil.Process(gone.pid).status() == psutil.STATUS_ZOMBIE)
        lines = [str(gone.pid), "x", "1700000000", "5432", "", "", "", "ready"]
        (home / "postgres/data/postmaster.pid").write_text("\n".join(lines) + "\n")

        assert running(home).database_url is None
        with ensure_postgres(home) as postgres:
            assert answers(postgres.url)


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
            postmasters = [p.pid for p in servers_of(home) if p.pid != _valkey_of(home)]
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
        as_server(["/usr/bin/true"], (60_800, 60_800))


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
