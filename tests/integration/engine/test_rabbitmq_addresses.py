"""A RabbitMQ that is named wrongly: one line at the start and from ``doctor``, which says what to set."""

from __future__ import annotations

import socket
import sys
from urllib.parse import quote

import pytest

import settings
from migrations.usable import Unfit
from ops import doctor
from settings import SettingsError
from tests.fixtures.rabbitmq import RabbitMQ
from tests.integration.engine.conftest import ROOT, Engine
from tests.integration.engine.test_fitness import ends
from workers.process import startup

PASSWORD = "geheim-7/ü"
# What docs/deployment.md gives: configure, write, read.
RIGHTS = (r"^koppeling:.*", r"^(koppeling:.*|amq\.default)$", r"^koppeling:.*")
pytestmark = pytest.mark.xdist_group("rabbitmq")


def use(engine: Engine, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KOPPELING_BROKER_URL", url)
    settings.get.cache_clear()


def told(engine: Engine, url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """What the start of a process says of this address; ``doctor`` says the same."""
    use(engine, url, monkeypatch)
    with pytest.raises((Unfit, SettingsError)) as caught:
        startup.broker()
    line = str(caught.value)
    found = next(one for one in doctor.document()["checks"] if one["check"] == "rabbitmq")
    assert not found["ok"]
    assert found["cause"] == line
    assert "KOPPELING_BROKER_URL" in found["action"]
    assert "\n" not in line
    assert PASSWORD not in line
    assert quote(PASSWORD, safe="") not in line
    return line


@pytest.fixture(scope="module")
def users(rabbitmq: RabbitMQ) -> RabbitMQ:
    """A user with the rights of the documents, and one with none."""
    for user in ("koppeling", "few"):
        rabbitmq.control("add_user", user, "p")
    rabbitmq.control("set_permissions", "koppeling", *RIGHTS)
    rabbitmq.control("set_permissions", "few", "^$", "^$", "^$")
    return rabbitmq


def test_the_documents_give_these_rights() -> None:
    quoted = " ".join(f"'{each}'" for each in RIGHTS)
    document = (ROOT / "docs/deployment.md").read_text(encoding="utf-8")
    assert f"rabbitmqctl set_permissions koppeling {quoted}" in document


def test_a_rabbitmq_that_is_named_rightly_is_fit(
    engine: Engine, users: RabbitMQ, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert users.certificates
    for url in (
        users.url,
        f"amqp://koppeling:p@127.0.0.1:{users.port}/%2F",
        f"amqps://koppeling:p@127.0.0.1:{users.tls_port}?ssl_ca_certs={users.certificates.ca}",
    ):
        use(engine, url, monkeypatch)
        startup.broker()
        found = next(one for one in doctor.document()["checks"] if one["check"] == "rabbitmq")
        assert found["ok"], url


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("amqp://guest:{wrong}@127.0.0.1:{port}/", "RabbitMQ refuses this user"),
        ("amqp://few:p@127.0.0.1:{port}/", "needs rights on what begins with koppeling"),
        ("amqp://guest:guest@127.0.0.1:{port}/elsewhere", "no such vhost"),
        ("amqps://guest:{wrong}@127.0.0.1:{port}/", "speaks no TLS at 127.0.0.1:{port}: write amqp://"),
        ("amqp://guest:{wrong}@127.0.0.1:{tls}/", "speaks TLS at 127.0.0.1:{tls}: write amqps://"),
        ("amqps://guest:{wrong}@127.0.0.1:{tls}/", "certificate is not trusted: add ?ssl_ca_certs="),
        ("amqp://guest:{wrong}@127.0.0.1:{port}/?heartbeat=1", "the option heartbeat that is not known here"),
        ("amqp://guest:{wrong}@127.0.0.1:{port}/?ssl_ca_certs=/x", "only TLS has: write amqps://"),
        ("amqp://guest:{wrong}@a,b/", "names several servers"),
        ("amqp://guest:{wrong}@127.0.0.1:{port}/a/b", "a / in its name is written %2F"),
    ],
)
def test_a_rabbitmq_that_is_named_wrongly_is_told_in_one_line(
    engine: Engine, users: RabbitMQ, monkeypatch: pytest.MonkeyPatch, url: str, said: str
) -> None:
    values = {"port": users.port, "tls": users.tls_port, "wrong": quote(PASSWORD, safe="")}

    assert said.format(**values) in told(engine, url.format(**values), monkeypatch)


def test_one_that_is_away_or_hangs_is_waited_for(
    engine: Engine, rabbitmq: RabbitMQ, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as hangs:  # it takes connections and says nothing
        for port in (9, hangs.getsockname()[1]):
            use(engine, f"amqp://guest:guest@127.0.0.1:{port}/", monkeypatch)
            startup.broker()
            found = next(one for one in doctor.document()["checks"] if one["check"] == "rabbitmq")
            assert (found["code"], found["ok"]) == ("rabbitmq_unreachable", False)


def test_rabbitmq_alone_is_refused_because_the_rates_need_redis(engine: Engine) -> None:
    code, said = ends(
        [sys.executable, "-m", "tests.integration.engine.worker_process", "1", "1"],
        engine,
        KOPPELING_BROKER_URL="amqp://guest:guest@127.0.0.1:9/",
        KOPPELING_REDIS_URL="",
    )
    assert code == 2
    assert "Set KOPPELING_REDIS_URL too" in said
