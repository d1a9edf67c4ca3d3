"""A new key for the embedded home: whenever it is cut short, all that is stored can be read."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from cryptography.fernet import Fernet

import settings
from models import crypto
from ops.problems import Problem
from ops.servers import environment, new_key
from ops.servers.embedded import ensure_postgres
from tests.integration.ops.test_command_line import ROOT, Command, koppeling, one_line
from tests.unit.ops.tenants.test_file import GOOD

__all__ = ["koppeling"]  # a fixture
PLACE = crypto.place_of("acme", "afas_client_secret")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An embedded home without anything stored yet, known to this process."""
    made = tmp_path / "home"
    made.mkdir(mode=0o700)
    for name in [name for name in os.environ if name.startswith("KOPPELING_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("KOPPELING_HOME", str(made))
    settings.forget_found()
    yield made
    settings.forget_found()


def keys(home: Path) -> list[str]:
    return (home / "secret.key").read_text().strip().split(",")


def test_a_rotation_killed_in_the_middle_leaves_all_readable_and_the_next_one_ends_it(
    koppeling: Command, tmp_path: Path, home: Path
) -> None:
    # given a tenant in an embedded home that runs, one of whose rows is in use
    there = {"KOPPELING_HOME": str(home)}
    tenants_file = tmp_path / "tenants.toml"
    tenants_file.write_text(GOOD)
    with ensure_postgres(home) as postgres:
        assert koppeling("tenants", "import", str(tenants_file), **there).returncode == 0
        (old,) = keys(home)
        command = [sys.executable, "-m", "ops.cli", "tenants", "rotate-keys", "--new"]
        with psycopg.connect(postgres.url.replace("+psycopg", "", 1)) as other:
            other.execute("SELECT 1 FROM tenant FOR UPDATE")
            rotating = subprocess.Popen(command, cwd=ROOT, env=os.environ | there)
            deadline = time.monotonic() + 120
            while keys(home) == [old]:
                assert rotating.poll() is None
                assert time.monotonic() < deadline, "it makes no key"
                time.sleep(0.02)

            # when it is killed before anything is under the new key
            rotating.kill()
            rotating.wait()

        # then the file has both, a new terminal reads everything, and the next rotation leaves one new key
        (between, last) = keys(home)
        assert last == old
        assert koppeling("tenants", "rotate-keys", **there).stdout.startswith("2 secrets are under the first key")
        done = koppeling("tenants", "rotate-keys", "--new", **there)
        assert done.stdout.startswith("2 secrets are under a new key now"), done.stderr
        (new,) = keys(home)
        assert new not in (old, between)
        assert koppeling("tenants", "rotate-keys", **there).returncode == 0
    assert (home / "secret.key").stat().st_mode & 0o077 == 0
    assert sorted(one.name for one in home.glob("secret.key*")) == ["secret.key", "secret.key.lock"]


def test_what_is_still_being_stored_under_the_old_key_is_waited_for(
    koppeling: Command, tmp_path: Path, home: Path
) -> None:
    # given a secret that somebody stores under the key of before, and has not committed yet
    there = {"KOPPELING_HOME": str(home)}
    tenants_file = tmp_path / "tenants.toml"
    tenants_file.write_text(GOOD)
    with ensure_postgres(home) as postgres:
        assert koppeling("tenants", "import", str(tenants_file), **there).returncode == 0
        (old,) = keys(home)
        command = [sys.executable, "-m", "ops.cli", "tenants", "rotate-keys", "--new"]
        with psycopg.connect(postgres.url.replace("+psycopg", "", 1)) as other:
            late = crypto.encrypt("{}", crypto.place_of("nova", "draft_secrets"), old)
            other.execute("INSERT INTO onboarding (slug, who, draft_secrets) VALUES ('nova', 'x', %s)", (late,))
            # when the key is replaced meanwhile
            rotating = subprocess.Popen(command, cwd=ROOT, env=os.environ | there)
            waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
            with psycopg.connect(postgres.url.replace("+psycopg", "", 1), autocommit=True) as watching:
                while rotating.poll() is None and watching.execute(waiting).fetchone() == (0,):
                    time.sleep(0.02)
            assert rotating.poll() is None
            other.commit()
        assert rotating.wait(120) == 0
        # then the new key alone reads it
        (new,) = keys(home)
        assert new != old
        with psycopg.connect(postgres.url.replace("+psycopg", "", 1)) as other:
            found = other.execute("SELECT draft_secrets FROM onboarding").fetchone()
    assert found is not None
    assert found[0][: crypto.FINGERPRINT_BYTES] == crypto.fingerprint(new)


def test_what_runs_reads_and_writes_with_the_new_key_without_a_restart(home: Path) -> None:
    # given a process that knows the key of this home
    environment.make_home_key(home)
    environment.use_home_key(home)
    assert crypto.decrypt(crypto.encrypt("s1", PLACE), PLACE) == "s1"

    # when another process replaces it, and puts what is stored under the new one
    new = Fernet.generate_key().decode()
    (home / "secret.key").write_text(new)
    under_new = crypto.encrypt("s1", PLACE, new)

    # then
    assert crypto.decrypt(under_new, PLACE) == "s1"
    assert crypto.encrypt("s2", PLACE)[: crypto.FINGERPRINT_BYTES] == crypto.fingerprint(new)


def test_a_rotation_that_fails_keeps_both_keys(home: Path) -> None:
    environment.make_home_key(home)
    (old,) = keys(home)
    with pytest.raises(ZeroDivisionError), new_key.replaced(home):
        raise ZeroDivisionError
    assert keys(home)[1:] == [old]


def test_a_key_that_cannot_be_written_is_a_sentence_and_the_old_one_stays(home: Path) -> None:
    environment.make_home_key(home)
    before = keys(home)
    (home / f"secret.key.{os.getpid()}").mkdir()
    with pytest.raises(Problem, match="all that is stored can be read as before"), new_key.replaced(home):
        pass
    assert keys(home) == before


def test_a_key_of_the_environment_is_replaced_by_whoever_wrote_it_there(
    koppeling: Command, environment: dict[str, str]
) -> None:
    line = one_line(koppeling("tenants", "rotate-keys", "--new", **environment))
    assert "KOPPELING_SECRET_KEYS, which only you can change" in line
