"""The address of Redis: what it may say, and what is said of one that is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st
from redis.sentinel import SentinelConnectionPool

from settings import SettingsError
from tenancy.redis_connection import Client, read

SECRET = "geheim"


def retries(client: redis.Redis) -> int:
    """How often a client would repeat a command."""
    found = client.get_retry()
    assert found
    return found.get_retries()


@pytest.mark.parametrize(
    ("url", "nodes", "options"),
    [
        ("redis://", [("localhost", 6379)], {}),
        ("redis://10.0.0.1/0", [("10.0.0.1", 6379)], {"db": 0}),
        ("redis://u:p%2Fw@redis.example.nl:6380/3", [("redis.example.nl", 6380)], {"username": "u", "password": "p/w"}),
        ("redis://:a:b@c@h", [("h", 6379)], {"password": "a:b@c"}),
        ("rediss://[2001:db8::1]:6380/1?ssl_check_hostname=false", [("2001:db8::1", 6380)], {"db": 1}),
        ("redis://h?db=4&socket_timeout=2.5&password=p", [("h", 6379)], {"db": 4, "socket_timeout": 2.5}),
    ],
)
def test_an_address_names_a_server(url: str, nodes: list[tuple[str, int]], options: dict[str, object]) -> None:
    found = read(url)
    assert (list(found.nodes), found.service, found.tls) == (nodes, None, url.startswith("rediss"))
    assert options.items() <= found.options.items()


def test_an_address_names_a_socket() -> None:
    found = read("unix://:p@/run/a%20b/redis.sock?db=2")
    assert (found.path, found.options["password"], found.options["db"]) == ("/run/a b/redis.sock", "p", 2)


def test_an_address_names_sentinels_and_what_they_watch() -> None:
    found = read("rediss+sentinel://u:p@a.example.nl,b.example.nl:26380,[::1]:5/mymaster/2?sentinel_password=q")

    assert found.nodes == (("a.example.nl", 26379), ("b.example.nl", 26380), ("::1", 5))
    assert (found.service, found.tls, found.options["db"]) == ("mymaster", True, 2)
    assert (found.options["username"], found.options["password"]) == ("u", "p")
    assert (found.sentinel_options["username"], found.sentinel_options["password"]) == (None, "q")


@pytest.mark.parametrize(
    "url", ["redis://h", "rediss://h", "unix:///s", "redis+sentinel://h/m", "rediss+sentinel://h/m"]
)
def test_no_client_repeats_a_command_or_waits_for_long(url: str) -> None:
    client = read(url).client()
    assert isinstance(client, Client)
    assert retries(client) == 0
    assert client.get_connection_kwargs()["socket_timeout"] == 3
    pool = client.connection_pool
    for sentinel in pool.sentinel_manager.sentinels if isinstance(pool, SentinelConnectionPool) else []:
        assert retries(sentinel) == 0
        assert sentinel.get_connection_kwargs()["socket_timeout"] == 1


@pytest.mark.parametrize(
    ("url", "said"),
    [
        (f"redis://:{SECRET}/x@h:6379/0", "an '@' behind the host"),
        (f"redis://:{SECRET}?x@h:6379/0", "an '@' behind the host"),
        (f"redis://:x#{SECRET}@h:6379/0", "percent-encoded"),
        (f"redis://h:6379{SECRET}/0", "a port that is no number"),
        (f"redis://{SECRET} @h/0\n", "percent-encoded"),
        ("redis://h:0/0", "a port that is no number from 1 to 65535"),
        ("redis://h:6379/koppeling", "must end in the number of a database"),
        ("redis://a:1,b:2/0", "for Sentinels write redis+sentinel://"),
        ("redis+sentinel://a,b", "must name the service"),
        ("redis+sentinel://a,,b/mymaster", "a host that can't be read"),
        ("redis+sentinel://a/mymaster/x", "must end in the number of a database"),
        ("unix://", "must name a socket by its full path"),
        ("redis://h?retry_on_timeout=1", "the option retry_on_timeout that is not known"),
        ("redis://h?decode_responses=true", "the option decode_responses that is not known"),
        (f"redis://h?{SECRET}%20=1", "an option that is not known"),
        ("redis://h?socket_timeout=soon", "the option socket_timeout, which is no number"),
        ("redis://h?socket_timeout=0", "the option socket_timeout, which must be seconds"),
        ("rediss://h?ssl_cert_reqs=maybe", "must be required, optional or none"),
        ("redis://h?ssl_ca_certs=/ca.pem", "only TLS has: write rediss://"),
        ("redis://h?sentinel_password=x", "only Sentinels have"),
        ("rediss://h?ssl_ca_certs=/nowhere/ca.pem", "ssl_ca_certs, which can't be used (No such file"),
        ("rediss://h?ssl_keyfile=/nowhere/key.pem", "needs ssl_certfile"),
    ],
)
def test_what_an_address_may_not_say_is_refused_in_one_line_without_a_secret(url: str, said: str) -> None:
    with pytest.raises(SettingsError) as caught:
        read(url)
    line = str(caught.value)
    assert line.startswith("KOPPELING_REDIS_URL ")
    assert said in line
    assert SECRET not in line
    assert "\n" not in line


def test_a_file_that_is_no_certificate_is_refused(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("hello", encoding="utf-8")
    with pytest.raises(SettingsError, match="ssl_ca_certs, which can't be used"):
        read(f"rediss://h?ssl_ca_certs={tmp_path}/ca.pem")


@given(st.text(min_size=1))
def test_anything_is_read_or_refused_and_never_repeated(password: str) -> None:
    """The password is told by nobody, however the address is misread because of it."""
    marked = f"zz{password}zz"
    said = None
    try:
        found = read(f"redis://:{marked}@h/0")
    except SettingsError as error:
        said = str(error)
    else:
        assert isinstance(found.client(), redis.Redis)
    assert marked not in (said or repr(found))
