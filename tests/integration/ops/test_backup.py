"""A backup of the embedded database: whole or not there, and put back only as a whole."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from cryptography.fernet import Fernet

from migrations.run import downgrade, head
from ops.problems import Problem
from ops.servers.backup import write as write_backup
from ops.servers.backup_file import MAGIC, Header, opened, written
from ops.servers.embedded import ensure_postgres
from ops.servers.embedded.process import give_to_server
from ops.servers.restore import FILLED, REPLACED
from tests.integration.ops.test_command_line import ROOT, Command, koppeling, one_line
from tests.integration.ops.test_new_key import home, keys
from tests.unit.ops.tenants.test_file import GOOD

__all__ = ["home", "koppeling"]  # fixtures


@dataclass(frozen=True)
class Made:
    """A home with one tenant, and its backups with and without the key. Nothing of it is changed by a test."""

    home: Path
    with_key: Path
    without_key: Path
    said: dict[str, str]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("made")
    home, file = folder / "home", folder / "tenants.toml"
    file.write_text(GOOD)
    clean = {name: value for name, value in os.environ.items() if not name.startswith("KOPPELING_")}

    def run(*words: str) -> str:
        command = [sys.executable, "-m", "ops.cli", *words, "--who", "anna"]
        there = clean | {"KOPPELING_HOME": str(home)}
        return subprocess.run(command, cwd=ROOT, env=there, capture_output=True, text=True, check=True).stdout

    with ensure_postgres(home):  # one start for all of them
        run("tenants", "import", str(file))
        said = {key: run("backup", str(folder / key), f"--{key}") for key in ("with-key", "without-key")}
    return Made(home, folder / "with-key", folder / "without-key", said)


@pytest.fixture
def file(made: Made, tmp_path: Path) -> Path:
    """A backup with the key."""
    return Path(shutil.copy(made.with_key, tmp_path / "b"))


@pytest.fixture
def there(made: Made, home: Path) -> dict[str, str]:
    """The environment of a home with one tenant."""
    shutil.copytree(made.home, home, dirs_exist_ok=True, symlinks=True)
    if os.geteuid() == 0:
        give_to_server(home / "postgres/data")
    return {"KOPPELING_HOME": str(home)}


def header(file: Path) -> Header:
    with opened(file) as found:
        return found.header


def slugs(koppeling: Command, environment: dict[str, str]) -> list[str]:
    return [one["slug"] for one in json.loads(koppeling("tenants", "list", "--json", **environment).stdout)["items"]]


def rewritten(file: Path, **changed: object) -> None:
    """The same backup, whole, with something else in its header."""
    with opened(file) as found:
        dump, made = b"".join(found.blocks()), found.header
    with written(file, made | changed) as write:  # type: ignore[arg-type]  # a header with wrong values, on purpose
        write(dump)


def test_a_backup_with_the_key_is_restored_elsewhere_and_its_secrets_can_be_read(
    koppeling: Command, made: Made, tmp_path: Path
) -> None:
    # given a backup that was made while the servers run
    assert made.said["with-key"].startswith(f"{made.with_key}: 1 tenants, ")
    assert made.with_key.stat().st_mode & 0o777 == 0o600
    assert not any(key in made.said["with-key"] for key in keys(made.home))
    # when it is restored in a home where nothing is
    elsewhere = tmp_path / "elsewhere"
    new = {"KOPPELING_HOME": str(elsewhere)}
    done = koppeling("restore", str(made.with_key), "--who", "bert", **new)
    # then all is there, with the key, and recorded
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("1 tenants are as they were at 20")
    assert keys(elsewhere) == keys(made.home)
    with ensure_postgres(elsewhere):
        assert slugs(koppeling, new) == ["acme"]
        assert koppeling("tenants", "rotate-keys", **new).stdout.startswith("2 secrets")
        (audit, *_) = json.loads(koppeling("audit", "--verb", "system restore", "--json", **new).stdout)["items"]
    assert (audit["who"], audit["detail"]["revision"]) == ("bert", header(made.with_key)["revision"])


def test_a_backup_without_the_key_needs_it_named_and_a_wrong_one_is_told(
    koppeling: Command, made: Made, tmp_path: Path
) -> None:
    file, elsewhere = made.without_key, tmp_path / "elsewhere"
    new = {"KOPPELING_HOME": str(elsewhere)}
    (mark,) = header(file)["keys"]
    assert f"without the one with fingerprint {mark}" in made.said["without-key"]
    assert not any(one.encode() in file.read_bytes() for one in keys(made.home))

    assert f"not here (fingerprint {mark}; here: -)" in one_line(koppeling("restore", str(file), **new))
    wrong = tmp_path / "wrong"
    wrong.write_text(Fernet.generate_key().decode())
    line = one_line(koppeling("restore", str(file), "--key-file", str(wrong), **new))
    assert mark in line
    assert "Nothing was changed" in line
    named, other = str(made.home / "secret.key"), Fernet.generate_key().decode()
    line = one_line(koppeling("restore", str(file), KOPPELING_SECRET_KEYS=other, **new))
    assert f"(fingerprint {mark}; here: " in line
    line = one_line(koppeling("restore", str(file), "--key-file", named, KOPPELING_SECRET_KEYS=other, **new))
    assert f"KOPPELING_SECRET_KEYS does not have (fingerprint {mark})" in line
    assert not elsewhere.exists()

    done = koppeling("restore", str(file), "--key-file", named, **new)
    assert done.returncode == 0, done.stderr
    assert keys(elsewhere) == keys(made.home)


def test_tenants_are_replaced_only_when_asked_for_and_no_key_is_lost(
    koppeling: Command, there: dict[str, str], home: Path, file: Path, tmp_path: Path
) -> None:
    # given a rotated key and another tenant since the backup
    (old,) = keys(home)
    second = tmp_path / "nova.toml"
    second.write_text(GOOD.replace('"acme"', '"nova"').replace("12345", "54321"))
    with ensure_postgres(home):
        assert koppeling("tenants", "rotate-keys", "--new", **there).returncode == 0
        assert koppeling("tenants", "import", str(second), **there).returncode == 0
    (new,) = keys(home)
    # when
    line = one_line(koppeling("restore", str(file), **there))
    # then
    assert line.startswith("There are 2 tenants here, which would be lost")
    assert slugs(koppeling, there) == ["acme", "nova"]
    assert keys(home) == [new]
    # when
    done = koppeling("restore", str(file), "--replace-tenants", **there)
    # then
    assert done.returncode == 0, done.stderr
    assert keys(home) == [new, old]
    with ensure_postgres(home) as postgres, psycopg.connect(postgres.url) as connection:
        assert slugs(koppeling, there) == ["acme"]
        names = [row[0] for row in connection.execute("SELECT datname FROM pg_database")]
    assert not {FILLED, REPLACED} & set(names)


def test_nothing_is_restored_while_something_runs(
    koppeling: Command, there: dict[str, str], home: Path, file: Path
) -> None:
    owner = subprocess.Popen(
        [sys.executable, "-c", _OWNER, str(home)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert owner.stdout
    assert owner.stdin
    try:
        assert owner.stdout.readline() == "runs\n"
        line = one_line(koppeling("restore", str(file), "--replace-tenants", **there))
        assert f"already runs for process {owner.pid}: stop that" in line
    finally:
        owner.communicate("end\n", timeout=60)
    assert slugs(koppeling, there) == ["acme"]


_OWNER = """
import sys
from pathlib import Path
from ops.servers.embedded import start_postgres
server = start_postgres(Path(sys.argv[1]))
print("runs", flush=True)
sys.stdin.readline()
server.stop()
"""


def test_a_backup_of_older_tables_is_migrated_and_one_of_newer_tables_is_refused(
    koppeling: Command, there: dict[str, str], home: Path, file: Path, tmp_path: Path
) -> None:
    # given a backup from before the newest tables
    new = {"KOPPELING_HOME": str(tmp_path / "elsewhere")}
    with ensure_postgres(home) as postgres:
        downgrade(postgres.url, "-1")
        write_backup(file, postgres.url, keys(home))
    assert header(file)["revision"] != head()
    # then
    done = koppeling("restore", str(file), **new)
    assert done.returncode == 0, done.stderr
    assert f"migrated from {header(file)['revision']}" in done.stdout
    assert slugs(koppeling, new) == ["acme"]

    # given one of tables that nobody here knows
    rewritten(file, revision="0badc0ffee00", version="9.9.9")
    line = one_line(koppeling("restore", str(file), "--replace-tenants", **new))
    assert "made by a newer koppeling (9.9.9, tables of 0badc0ffee00)" in line


def test_what_is_no_whole_backup_is_refused_before_anything_is_touched(
    koppeling: Command, file: Path, tmp_path: Path
) -> None:
    whole, elsewhere = file.read_bytes(), tmp_path / "elsewhere"
    middle = len(whole) // 2
    cases = {
        b"": "is no backup of koppeling",
        b"PGDMP something else": "is no backup of koppeling",
        b"koppeling backup 2\nwho knows": "made by a newer koppeling",
        MAGIC: "cut off or damaged",
        whole[:-1]: "cut off or damaged",
        whole[:middle]: "cut off or damaged",
        whole + b"x": "cut off or damaged",
        whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :]: "cut off or damaged",
    }
    for content, said in cases.items():
        file.write_bytes(content)
        assert said in one_line(koppeling("restore", str(file), KOPPELING_HOME=str(elsewhere))), content[:40]
    assert "No such file" in one_line(koppeling("restore", str(tmp_path / "none"), KOPPELING_HOME=str(elsewhere)))
    os.mkfifo(tmp_path / "pipe")
    assert "pipe" in one_line(koppeling("restore", str(tmp_path / "pipe"), KOPPELING_HOME=str(elsewhere)))
    assert not elsewhere.exists()


def test_a_full_disk_keeps_the_backup_that_was_there(file: Path) -> None:
    # given a backup, and no room for the next one: a limit of this process stands for the disk's
    before, limits = file.read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE)
    action = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    # when
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limits[1]))
    try:
        with pytest.raises(Problem, match="File too large"), written(file, header_of_none()) as write:
            write(b"y" * 10_000_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, action)
    # then
    assert file.read_bytes() == before
    assert os.listdir(file.parent) == ["b"]


def test_a_backup_is_written_over_an_older_one_and_over_nothing_else(file: Path, tmp_path: Path) -> None:
    other, link = tmp_path / "notes", tmp_path / "link"
    other.write_text("mine")
    link.symlink_to(other)
    for path, said in ((other, "is no backup"), (link, "symbolic link"), (tmp_path, "is no backup")):
        with pytest.raises(Problem, match=said), written(path, header_of_none()):
            pass
    assert other.read_text() == "mine"
    file.chmod(0o644)
    with written(file, header_of_none()) as write:
        write(b"dump")
    assert file.stat().st_mode & 0o777 == 0o600
    with opened(file) as found:
        assert list(found.blocks()) == [b"dump"]


def test_without_a_terminal_it_must_be_said_whether_the_key_goes_in(koppeling: Command, tmp_path: Path) -> None:
    line = one_line(koppeling("backup", str(tmp_path / "b"), KOPPELING_HOME=str(tmp_path / "home")))
    assert "--with-key or --without-key" in line
    line = one_line(koppeling("backup", str(tmp_path / "b"), "--with-key", KOPPELING_HOME=str(tmp_path / "home")))
    assert "There is no koppeling in" in line
    assert not (tmp_path / "home").exists()


def header_of_none() -> Header:
    return {
        "made_at": "2026-01-01T00:00:00+00:00",
        "version": "0",
        "revision": "0",
        "postgres": 18,
        "tenants": 0,
        "keys": [],
        "secret_keys": None,
    }


def test_a_named_database_is_backed_up_with_its_own_programs(
    koppeling: Command, environment: dict[str, str], tmp_path: Path
) -> None:
    for words in (["backup", str(tmp_path / "b"), "--with-key"], ["restore", str(tmp_path / "b")]):
        assert "pg_dump and pg_restore" in one_line(koppeling(*words, **environment))


def test_a_backup_killed_in_the_middle_leaves_no_file_of_its_name_and_the_next_one_is_whole(
    koppeling: Command, there: dict[str, str], home: Path, tmp_path: Path
) -> None:
    # given a table that somebody else has locked, so that a backup comes no further than its beginning
    file, part = tmp_path / "b", tmp_path / "b.part"
    with ensure_postgres(home) as postgres, psycopg.connect(postgres.url) as other:
        other.execute("LOCK TABLE tenant_check IN ACCESS EXCLUSIVE MODE")
        command = [sys.executable, "-m", "ops.cli", "backup", str(file), "--with-key"]
        backing_up = subprocess.Popen(command, cwd=ROOT, env=os.environ | there)
        deadline = time.monotonic() + 120
        while not part.exists():
            assert backing_up.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        # when a second one comes, and the first is killed
        assert "is writing" in one_line(koppeling("backup", str(file), "--with-key", **there))
        backing_up.kill()
        backing_up.wait()
        # then
        assert not file.exists()
        other.rollback()
        assert koppeling("backup", str(file), "--with-key", **there).returncode == 0
    assert not part.exists()
    assert header(file)["tenants"] == 1


def test_a_restore_killed_in_the_middle_leaves_what_was_there_and_the_next_one_ends_it(
    koppeling: Command, there: dict[str, str], file: Path
) -> None:
    # given a backup, and a restore that is killed right before the new database takes its place
    koppeling("tenants", "pause", "acme", "--reason", "since", **there)
    killed = subprocess.run(
        [sys.executable, "-c", _KILLED, str(file)], cwd=ROOT, env=os.environ | there, timeout=120, check=False
    )
    assert killed.returncode == -9
    # then
    assert "since" in koppeling("tenants", "list", **there).stdout
    # when
    done = koppeling("restore", str(file), "--replace-tenants", **there)
    # then
    assert done.returncode == 0, done.stderr
    assert "since" not in koppeling("tenants", "list", **there).stdout


_KILLED = """
import os, signal, sys
from pathlib import Path
from ops.servers import restore
restore._swap = lambda connection: os.kill(os.getpid(), signal.SIGKILL)
restore.restore(Path(sys.argv[1]), replace=True, key=None, who="tester")
"""


def test_a_dump_that_fails_leaves_what_was_there_and_says_why(
    koppeling: Command, there: dict[str, str], file: Path
) -> None:
    known = header(file)
    with written(file, known) as write:
        write(b"PGDMP but nothing that follows")
    line = one_line(koppeling("restore", str(file), "--replace-tenants", **there))
    assert line.startswith("Restoring failed, and what was there is as it was: pg_restore: error:")
    assert slugs(koppeling, there) == ["acme"]
