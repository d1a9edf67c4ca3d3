"""Redis or Valkey with a replica and Sentinels: whatever becomes of the master, work goes on and nothing is doubled."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

import settings
from models.installation import redis_prefix
from ops import status
from tenancy.rate_limit import RateLimit
from tenancy.redis_connection import connect
from tests.fixtures.debian import program
from tests.fixtures.redis_servers import Certificates, Server, Watched, wait
from tests.integration.engine.conftest import Engine
from tests.integration.engine.test_processes import supervised

SECONDS = 60


def use(engine: Engine, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Name this broker in the settings, here and for other processes. Keys begin with what the ACL line allows."""
    monkeypatch.setenv("KOPPELING_REDIS_URL", url)
    engine.environment["KOPPELING_REDIS_URL"] = url
    settings.get.cache_clear()


@pytest.fixture
def watched(engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Watched]:
    """A master, a replica and three Sentinels, in force in the settings."""
    servers = Watched(tmp_path)
    try:
        servers.start()
        use(engine, servers.url, monkeypatch)
        yield servers
    finally:
        servers.stop()


def fill(engine: Engine, count: int, seconds: float) -> list[int]:
    """Messages of two tenants that each take so long."""
    subjects = list(range(1, count + 1))
    engine.execute("INSERT INTO test_script SELECT n, 'sleep', :x FROM generate_series(1, :n) n", n=count, x=seconds)
    for number in range(2):
        engine.enqueue(engine.tenant(f"t{number}"), *subjects[number::2])
    return subjects


def test_a_master_that_is_killed_or_hangs_in_mid_run_costs_nothing(engine: Engine, watched: Watched) -> None:
    with supervised(engine, 2, threads=4):
        # given two processes at work
        subjects = fill(engine, 400, 0.05)
        # when the master hangs for a while, and the next one is killed
        engine.wait(lambda: len(engine.effects()) >= 40, SECONDS)
        first = watched.master()
        first.send(signal.SIGSTOP)
        watched.wait_for_another(first)
        first.send(signal.SIGCONT)
        engine.wait(lambda: len(engine.effects()) >= 150, SECONDS)
        second = watched.master()
        second.kill()
        watched.wait_for_another(second)
        engine.empty(SECONDS)
        assert status.broker() == "ok"
        # and the rate that all share is kept at the new master
        RateLimit("https://a.example.org", 50.0, 5.0)()
        with watched.master().client() as client:
            assert client.exists(f"{redis_prefix()}:rate_limit:https://a.example.org")
    # then every message had one effect, long before any lease could end
    assert sorted(engine.effects()) == subjects
    assert engine.letters() == []
    assert engine.value("SELECT count(*) FROM test_effect WHERE delivery > 5") == 0


def test_a_new_master_that_lacks_the_last_writes_loses_and_doubles_nothing(engine: Engine, watched: Watched) -> None:
    with supervised(engine, 2, threads=4):
        subjects = fill(engine, 200, 0.05)
        engine.wait(lambda: len(engine.effects()) >= 20, SECONDS)
        # given replicas that have not heard for a while what was pushed, fetched and done
        master = watched.master()
        for replica in watched.replicas():
            with replica.client() as client:
                client.config_set("masterauth", "wrong")
                client.config_set("min-replicas-to-write", 0)
        with master.client() as client:
            client.config_set("min-replicas-to-write", 0)
            client.execute_command("CLIENT", "KILL", "TYPE", "replica")
        behind = len(engine.effects())
        engine.wait(lambda: len(engine.effects()) >= behind + 60, SECONDS)
        # when one of them becomes the master
        master.kill()
        watched.wait_for_another(master)
        # then what it has heard of long ago is not done again, and what it never heard of is handed out once more
        engine.empty(SECONDS)
    assert sorted(engine.effects()) == subjects
    assert engine.letters() == []


def test_a_server_behind_one_name_that_became_a_replica_is_left(tmp_path: Path) -> None:
    """A name or an address that a provider moves to the new master: the connection to the old one must not stay."""
    old = Server(tmp_path, "old", 'save ""\n')
    try:
        old.start()
        client = connect(f"redis://127.0.0.1:{old.port}/0")
        client.set("a", 1)
        with old.client() as other:
            before = other.client_list()
            other.execute_command("REPLICAOF", "127.0.0.1", "1")
            with pytest.raises(redis.ReadOnlyError):
                client.set("a", 2)
            mine = {each["id"] for each in before}
            wait(lambda: len(mine & {each["id"] for each in other.client_list()}) == 1, "the connection stays")
    finally:
        old.kill()


def test_everything_at_once_user_tls_own_ca_and_sentinels_with_a_password(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Debian's own server: that of the packages speaks no TLS."""
    binary = program("redis-server", "redis-server")
    servers = Watched(tmp_path, Certificates(tmp_path / "certificates"), binary, sentinel_password="of-sentinels")
    try:
        servers.start()
        use(engine, servers.url, monkeypatch)
        assert status.broker() == "ok"
        with supervised(engine, 1, threads=4):
            subjects = fill(engine, 100, 0.05)
            engine.wait(lambda: len(engine.effects()) >= 20, SECONDS)
            old = servers.master()
            old.kill()
            servers.wait_for_another(old)
            engine.empty(SECONDS)
        assert sorted(engine.effects()) == subjects
        assert engine.letters() == []
    finally:
        servers.stop()
