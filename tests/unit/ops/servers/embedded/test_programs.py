"""Which server programs are run: named ones, packaged ones, the system's; never one that is too old."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

import settings
from ops.servers.embedded import EmbeddedError, programs


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Settings and versions are asked anew."""
    settings.get.cache_clear()
    yield
    monkeypatch.undo()
    settings.get.cache_clear()


@pytest.fixture
def unpackaged(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine without our packages; what is on its path is put into the folder that this gives."""
    monkeypatch.setattr(programs, "_package", lambda name: None)
    monkeypatch.setattr(programs, "_open_to_all", lambda paths: True)
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def program(path: Path, said: str) -> Path:
    """A program that only says its version."""
    path.write_text(f"#!/bin/sh\necho '{said}'\n")
    path.chmod(0o755)
    return path


def test_a_named_program_comes_first(monkeypatch: pytest.MonkeyPatch, unpackaged: Path) -> None:
    server = program(unpackaged / "my-server", "Redis server v=7.2.4 sha=0")
    program(unpackaged / "initdb", "")
    program(unpackaged / "postgres", "postgres (PostgreSQL) 16.3 (Debian 16.3-1)")
    monkeypatch.setenv("KOPPELING_VALKEY_BIN", str(server))
    monkeypatch.setenv("KOPPELING_POSTGRES_BIN", str(unpackaged))

    assert programs.valkey() == server
    assert programs.postgres() == programs.Programs(unpackaged, (16, 3))


@pytest.mark.parametrize(
    ("variable", "said", "words"),
    [
        ("VALKEY_BIN", "Redis server v=6.0.16 sha=0", "older than Redis 6.2"),
        ("VALKEY_BIN", "something else", "no Valkey or Redis"),
        ("POSTGRES_BIN", "postgres (PostgreSQL) 14.9", r"older than PostgreSQL 1[56]"),
        ("POSTGRES_BIN", "something else", "no postgres and initdb"),
    ],
)
def test_a_named_program_that_will_not_do_is_refused_by_its_setting(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str, said: str, words: str
) -> None:
    made = program(tmp_path / "postgres", said)
    program(tmp_path / "initdb", "")
    monkeypatch.setenv(f"KOPPELING_{variable}", str(made if variable == "VALKEY_BIN" else tmp_path))

    with pytest.raises(EmbeddedError, match=f"KOPPELING_{variable}: .*{words}"):
        programs.valkey() if variable == "VALKEY_BIN" else programs.postgres()


def test_without_our_packages_the_systems_servers_are_taken(unpackaged: Path) -> None:
    redis = program(unpackaged / "redis-server", "Redis server v=6.2.14 sha=0")
    assert programs.valkey() == redis
    valkey = program(unpackaged / "valkey-server", "Valkey server v=8.0.1 sha=0")
    assert programs.valkey() == valkey


def test_an_old_server_of_the_system_is_as_good_as_none(unpackaged: Path) -> None:
    program(unpackaged / "redis-server", "Redis server v=6.0.16 sha=0")
    with pytest.raises(EmbeddedError, match="set KOPPELING_REDIS_URL"):
        programs.valkey()


def test_a_copy_for_roots_servers_is_open_to_all_and_writable_by_none(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # given programs that only their user can read
    source = tmp_path / "closed"
    (source / "share").mkdir(parents=True, mode=0o700)
    server = program(source / "server", "1")
    server.chmod(0o700)
    (source / "share/data").write_text("x")
    (source / "share/data").chmod(0o600)
    monkeypatch.setattr(programs, "CACHE", tmp_path / "cache")

    # when
    copy = programs._copied(source, ("server", "share"), server)

    # then
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (copy, *copy.rglob("*"))}
    assert modes == {copy.name: 0o755, "server": 0o755, "share": 0o755, "data": 0o644}
    assert programs._copied(source, ("server", "share"), server) == copy
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [copy.name]


def test_a_place_for_copies_that_others_can_write_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    server = program(tmp_path / "server", "1")
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache").chmod(0o777)
    monkeypatch.setattr(programs, "CACHE", tmp_path / "cache")

    with pytest.raises(EmbeddedError, match="only root can write"):
        programs._copied(tmp_path, ("server",), server)
