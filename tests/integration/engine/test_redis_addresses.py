"""A broker that is named wrongly: one line at the start and from ``doctor``, which says what to set."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pytest

from migrations.usable import Unfit
from ops import doctor
from settings import SettingsError
from tests.fixtures.debian import program
from tests.fixtures.redis_servers import Certificates, Server, Watched
from tests.integration.engine.conftest import Engine
from tests.integration.engine.test_fitness import OURS, ends
from tests.integration.engine.test_redis_failover import use
from workers.process import startup

PASSWORD = "geheim-7/ü"


def told(engine: Engine, url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """What the start of a process says of this address; ``doctor`` says the same."""
    use(engine, url, monkeypatch)
    with pytest.raises((Unfit, SettingsError)) as caught:
        startup.broker()
    line = str(caught.value)
    found = next(one for one in doctor.document()["checks"] if one["check"] == "broker")
    assert not found["ok"]
    if found["code"] not in ("broker_login", "broker_refuses"):  # these have a sentence of their own
        assert found["cause"] == line
    assert "KOPPELING_REDIS_URL" in found["action"] + found["cause"]
    for shown in (line, found["cause"], found["action"]):
        assert "\n" not in shown
        assert PASSWORD not in shown
        assert quote(PASSWORD, safe="") not in shown
    return line


@dataclass
class Names:
    """A plain server, one that speaks TLS alone, and a Sentinel of it, each with a password."""

    plain: Server
    tls: Server
    sentinel: Server
    certificates: Certificates


@pytest.fixture
def names(engine: Engine, tmp_path: Path) -> Iterator[Names]:
    binary = program("redis-server", "redis-server")
    certificates = Certificates(tmp_path / "certificates")
    login = {"password": "p"}
    plain = Server(tmp_path, "plain", 'requirepass p\nsave ""\n', binary=binary, login=login)
    tls = Server(tmp_path, "tls", 'requirepass p\nsave ""\n', certificates, binary, login=login)
    watch = f"requirepass s\nsentinel monitor koppeling 127.0.0.1 {plain.port} 1\nsentinel auth-pass koppeling p\n"
    sentinel = Server(tmp_path, "sentinel", watch, None, binary, sentinel=True, login={"password": "s"})
    servers = (plain, tls, sentinel)
    try:
        for server in servers:
            server.start()
        yield Names(plain, tls, sentinel, certificates)
    finally:
        for server in servers:
            server.kill()


def test_a_broker_that_is_named_rightly_is_fit(engine: Engine, names: Names, monkeypatch: pytest.MonkeyPatch) -> None:
    for url in (
        f"redis://:p@127.0.0.1:{names.plain.port}/0",
        f"rediss://:p@127.0.0.1:{names.tls.port}/0?ssl_ca_certs={names.certificates.ca}",
        f"valkeys://default:p@127.0.0.1:{names.tls.port}/0?ssl_ca_certs={names.certificates.ca}",
        f"redis+sentinel://:p@127.0.0.1:{names.sentinel.port}/koppeling?sentinel_password=s",
    ):
        use(engine, url, monkeypatch)
        startup.broker()
        found = next(one for one in doctor.document()["checks"] if one["check"] == "broker")
        assert found["ok"], url


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("redis://:{wrong}@127.0.0.1:{plain}/0", "The broker refuses this user"),
        ("redis://127.0.0.1:{plain}/0", "The broker refuses this user"),
        ("redis://:p@127.0.0.1:{plain}/99", "The broker refuses what KOPPELING_REDIS_URL asks for"),
        ("rediss://:{wrong}@127.0.0.1:{plain}/0", "speaks no TLS at 127.0.0.1:{plain}: write redis://"),
        ("redis://:{wrong}@127.0.0.1:{tls}/0", "speaks TLS at 127.0.0.1:{tls}: write rediss://"),
        ("rediss://:{wrong}@127.0.0.1:{tls}/0", "certificate in certificate chain): add ?ssl_ca_certs="),
        ("rediss://:{wrong}@localhost:{tls}/0?ssl_ca_certs={ca}", "as its certificate does"),
        ("redis+sentinel://127.0.0.1:{sentinel}/mymaster?sentinel_password=s", "no service mymaster, only koppeling"),
        ("redis+sentinel://:p@127.0.0.1:{sentinel}/koppeling", "refuses us: set sentinel_username"),
        ("redis+sentinel://:{wrong}@127.0.0.1:{sentinel}/koppeling?sentinel_password=s", "refuses this user"),
        ("redis+sentinel://:p@127.0.0.1:{plain}/koppeling?sentinel_password=p", "is no Sentinel"),
        ("redis://:s@127.0.0.1:{sentinel}/0", "names a Sentinel: write redis+sentinel://"),
        ("rediss+sentinel://:p@127.0.0.1:{sentinel}/koppeling?sentinel_password=s", "The Sentinel speaks no TLS"),
        ("redis://:{wrong}@127.0.0.1:{plain}/0?socket=1", "the option socket that is not known here"),
    ],
)  # fmt: skip
def test_a_broker_that_is_named_wrongly_is_told_in_one_line(
    engine: Engine, names: Names, monkeypatch: pytest.MonkeyPatch, url: str, said: str
) -> None:
    ports = {name: getattr(names, name).port for name in ("plain", "tls", "sentinel")}
    values = {**ports, "ca": names.certificates.ca, "wrong": quote(PASSWORD, safe="")}

    assert said.format(**values) in told(engine, url.format(**values), monkeypatch)


def test_an_unknown_scheme_is_refused(engine: Engine) -> None:
    code, said = ends(OURS, engine, KOPPELING_REDIS_URL=f"rabbit://:{PASSWORD}@127.0.0.1/0")
    assert code != 0
    assert "KOPPELING_REDIS_URL: must start with redis://" in said
    assert PASSWORD not in said


def test_the_web_server_ends_at_its_start_with_that_line_as_workers_do(engine: Engine, redis_url: str) -> None:
    url = f"{redis_url}{'&' if '?' in redis_url else '?'}retry=1"
    code, said = ends([sys.executable, "-m", "ops.cli", "serve"], engine, KOPPELING_REDIS_URL=url)
    assert code == 2
    assert said.strip().splitlines()[-1].startswith("KOPPELING_REDIS_URL has the option retry that is not known")


def test_a_broker_that_is_away_or_has_no_master_for_the_moment_is_waited_for(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    servers = Watched(tmp_path)
    try:
        servers.start()
        use(engine, servers.url, monkeypatch)
        for node in servers.nodes:
            node.kill()
        startup.broker()
        for sentinel in servers.sentinels:
            sentinel.kill()
        startup.broker()
    finally:
        servers.stop()
