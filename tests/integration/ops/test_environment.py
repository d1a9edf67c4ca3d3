"""What a command finds, makes and refuses before it begins: an instance, its key, its tables."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from models.crypto import fingerprint
from tests.integration.ops.test_command_line import Command, koppeling, one_line
from tests.unit.ops.tenants.test_file import GOOD

__all__ = ["koppeling"]  # a fixture
READING = [
    ["status"],
    ["tenants", "list"],
    ["tenants", "show", "acme"],
    ["tenants", "export", "acme"],
    ["tenants", "edit", "acme"],
    ["courses", "add", "acme"],
    ["events", "acme"],
    ["fields", "acme"],
    ["runs", "list"],
    ["holds", "list"],
    ["links", "list"],
    ["dead-letters", "list"],
    ["explain", "acme", "80"],
    ["check", "acme"],
    ["sync", "acme", "--dry-run"],
    ["completions", "acme", "--dry-run"],
]


@pytest.fixture
def tenants_file(tmp_path: Path) -> str:
    file = tmp_path / "tenants.toml"
    file.write_text(GOOD)
    return str(file)


@pytest.mark.parametrize("words", READING, ids=" ".join)
def test_reading_where_there_is_nothing_makes_nothing_and_says_how_to_begin(
    koppeling: Command, tmp_path: Path, words: list[str]
) -> None:
    home = tmp_path / "home"
    line = one_line(koppeling(*words, KOPPELING_HOME=str(home)))
    assert f"no koppeling in {home} yet" in line
    assert "`koppeling up` or `koppeling tenants add`" in line
    assert not home.exists()


def test_the_key_of_an_embedded_home_is_made_once_and_never_replaced(
    koppeling: Command, tmp_path: Path, tenants_file: str
) -> None:
    # given an embedded home in which a tenant was imported
    home = tmp_path / "home"
    key_file, there = home / "secret.key", {"KOPPELING_HOME": str(home)}
    assert koppeling("tenants", "import", tenants_file, **there).stdout.startswith("acme: created")
    key = key_file.read_text().strip()
    assert key_file.stat().st_mode & 0o077 == 0

    # when its key is gone
    key_file.rename(tmp_path / "kept")

    # then what needs no secret works and makes none, and what needs one names the file and the key
    assert koppeling("tenants", "list", **there).returncode == 0
    for words in (["tenants", "import", tenants_file], ["check", "acme"], ["sync", "acme", "--dry-run"]):
        line = one_line(koppeling(*words, **there))
        assert f"{key_file} is gone" in line
        assert fingerprint(key).hex() in line
    assert not key_file.exists()
    # a key that others can read is not used either, and neither is somebody else's
    key_file.symlink_to(tmp_path / "kept")
    assert "secret.key" in one_line(koppeling("tenants", "list", **there))
    key_file.unlink()
    key_file.write_text(key)
    key_file.chmod(0o644)
    assert "chmod 600" in one_line(koppeling("tenants", "list", **there))
    # and back in its place it serves again
    key_file.chmod(0o600)
    assert koppeling("tenants", "import", tenants_file, **there).stdout.startswith("acme: unchanged")


def test_importing_without_a_key_is_one_line_that_says_how_to_make_one(
    koppeling: Command, environment: dict[str, str], tenants_file: str
) -> None:
    line = one_line(koppeling("tenants", "import", tenants_file, **environment | {"KOPPELING_SECRET_KEYS": ""}))
    assert "set KOPPELING_SECRET_KEYS" in line


@pytest.mark.parametrize(
    "words", [["worker"], ["scheduler"], ["serve"], ["check", "acme"], ["sync", "acme", "--dry-run"]], ids=" ".join
)
def test_a_key_that_does_not_open_what_is_stored_is_said_before_anything_begins(
    koppeling: Command, environment: dict[str, str], tenants_file: str, words: list[str]
) -> None:
    koppeling("tenants", "import", tenants_file, **environment)
    other = Fernet.generate_key().decode()
    line = one_line(koppeling(*words, **environment | {"KOPPELING_SECRET_KEYS": other}))
    assert fingerprint(environment["KOPPELING_SECRET_KEYS"]).hex() in line
    assert other not in line


def test_a_lost_key_is_replaced_only_when_the_import_is_told_so(
    koppeling: Command, environment: dict[str, str], tenants_file: str
) -> None:
    koppeling("tenants", "import", tenants_file, **environment)
    new = environment | {"KOPPELING_SECRET_KEYS": Fernet.generate_key().decode()}
    assert "fingerprint" in one_line(koppeling("tenants", "import", tenants_file, **new))
    done = koppeling("tenants", "import", tenants_file, "--replace-lost-keys", **new)
    assert (done.returncode, done.stderr) == (0, "")
    assert koppeling("tenants", "import", tenants_file, **new).stdout.startswith("acme: unchanged")


def test_a_planted_home_is_not_used(koppeling: Command, tmp_path: Path) -> None:
    theirs = tmp_path / "theirs" if os.geteuid() == 0 else Path("/usr")
    if os.geteuid() == 0:
        theirs.mkdir()
        (theirs / "secret.key").write_text(Fernet.generate_key().decode())
        os.chown(theirs, 12_345, 12_345)
    before = theirs.stat()
    for words in (["status"], ["migrate"], ["worker"], ["up", "--port", "65001"]):
        done = koppeling(*words, KOPPELING_HOME=str(theirs))
        assert done.returncode == 2
    assert "belongs to" in one_line(koppeling("status", KOPPELING_HOME=str(theirs)))
    assert theirs.stat() == before
