"""The way to Redis or Valkey: its address read in one place, and one client a process for everything that uses it.

    redis://[user:password@]host[:port][/db][?option=…]          rediss:// by TLS, unix:///path?db=N by a socket
    redis+sentinel://[user:password@]host[:port],host[:port]/service[/db][?option=…]          rediss+sentinel:// by TLS

With Sentinels each new connection asks them who the master is. Commands are never repeated by the client: a repeated
fetch or push would double messages.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any
from urllib.parse import unquote

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from redis.sentinel import Sentinel

from settings import SettingsError
from tenancy.server_address import (
    TLS,
    AddressError,
    Parts,
    flag,
    node,
    read_options,
    refuse,
    seconds,
    split,
    tls_context,
)

TIMEOUT_SECONDS = 3.0
# A Sentinel that does not answer costs so much of each new connection, until one that does is asked first.
SENTINEL_TIMEOUT_SECONDS = 1.0
# Never reached: a thread has one for the length of a command.
CONNECTIONS = 1000
PORT, SENTINEL_PORT = 6379, 26379
VARIABLE = "KOPPELING_REDIS_URL"
_SERVICE = re.compile(r"[A-Za-z0-9._-]{1,100}", re.ASCII)
# What a server says that is no master any more, or is cut off from its replicas: another one may be master by now.
_NO_MASTER = ("READONLY", "read only replica", "NOREPLICAS", "MASTERDOWN")


class Client(redis.Redis):
    """Leaves a server that may no longer be written to, so that the next connection finds the one that may."""

    def execute_command(self, *args: Any, **options: Any) -> Any:
        client: Any = super()  # redis has no types for it
        try:
            return client.execute_command(*args, **options)
        except redis.ResponseError as error:
            if isinstance(error, redis.ReadOnlyError) or any(word in str(error) for word in _NO_MASTER):
                self.connection_pool.disconnect(inuse_connections=False)
            raise


@dataclass(frozen=True)
class Address:
    """What an address says. ``nodes`` are Sentinels where there is a ``service``, else the one server."""

    nodes: tuple[tuple[str, int], ...] = ()
    path: str | None = None
    service: str | None = None
    tls: bool = False
    # For connections to Redis, and to Sentinels.
    options: dict[str, Any] = field(default_factory=dict, repr=False)
    sentinel_options: dict[str, Any] = field(default_factory=dict, repr=False)

    def sentinel_client(self, node: tuple[str, int]) -> redis.Redis:
        """A client of one of the Sentinels."""
        return redis.Redis(*node, ssl=self.tls, **self.sentinel_options)

    def client(self) -> redis.Redis:
        """A client that connects when it is first used."""
        if self.path is not None:
            return Client(unix_socket_path=self.path, **self.options)
        if self.service is None:
            ((host, port),) = self.nodes
            return Client(host=host, port=port, ssl=self.tls, **self.options)
        # redis-py gives Sentinels no option of the other connections, once they have some of their own.
        tls = {"ssl": True} if self.tls else {}
        made: Any = Sentinel  # redis-py gives it no types
        sentinels = made(list(self.nodes), sentinel_kwargs={**self.sentinel_options, **tls}, **self.options, **tls)
        found: redis.Redis = sentinels.master_for(self.service, redis_class=Client)
        return found


@lru_cache(maxsize=4)
def connect(url: str) -> redis.Redis:
    """The client of this process for an address. SettingsError when that can't be read."""
    return read(url).client()


def read(url: str) -> Address:
    """Read an address, as ``settings.need_redis`` gives it. SettingsError says what to set, and repeats no secret."""
    try:
        return _read(split(url, at_in_path=url.startswith("unix:")))
    except AddressError as error:
        raise SettingsError(f"{VARIABLE} {error}.") from None


def _read(said: Parts) -> Address:
    tls, sentinel = said.scheme.startswith("rediss"), said.scheme.endswith("+sentinel")
    login = {name: text for name, text in (("username", said.user), ("password", said.password)) if text}
    options = login | _options(said.query, tls=tls, sentinel=sentinel)
    of_sentinel = {
        "username": options.pop("sentinel_username", None),
        "password": options.pop("sentinel_password", None),
        **{name: value for name, value in options.items() if name.startswith(("ssl_", "socket_"))},
        "socket_timeout": SENTINEL_TIMEOUT_SECONDS,
        "socket_connect_timeout": SENTINEL_TIMEOUT_SECONDS,
        "retry": Retry(NoBackoff(), 0),
    }
    options = {
        "socket_timeout": TIMEOUT_SECONDS,
        "socket_connect_timeout": TIMEOUT_SECONDS,
        "retry": Retry(NoBackoff(), 0),
        "max_connections": CONNECTIONS,
    } | options
    if said.scheme == "unix":
        if said.place or not said.path:
            refuse("must name a socket by its full path: unix:///run/redis/redis.sock?db=0")
        return Address(path="/" + unquote(said.path), options=options)
    path = said.path.strip("/")
    if not sentinel:
        if "," in said.place:
            refuse("names several servers: for Sentinels write redis+sentinel://host,host/service")
        if path:
            options.setdefault("db", _database(path))
        return Address(nodes=(node(said.place or "localhost", PORT),), tls=tls, options=options)
    service, _, database = path.partition("/")
    if not _SERVICE.fullmatch(unquote(service)):
        refuse("must name the service that the Sentinels watch: redis+sentinel://host:26379,host:26379/mymaster")
    if database:
        options.setdefault("db", _database(database))
    nodes = tuple(node(each.strip(), SENTINEL_PORT) for each in said.place.split(","))
    return Address(nodes, service=unquote(service), tls=tls, options=options, sentinel_options=of_sentinel)


def _database(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,5}", text, re.ASCII):
        refuse("must end in the number of a database, such as /0")
    return int(text)


# Those of redis-py that change nothing of what commands mean and answer.
OPTIONS: dict[str, Callable[[str], Any]] = {
    "db": _database,
    "username": str,
    "password": str,
    "client_name": str,
    "health_check_interval": int,
    "socket_connect_timeout": seconds,
    "socket_keepalive": flag,
    "socket_timeout": seconds,
    "sentinel_password": str,
    "sentinel_username": str,
    **TLS,
}


def _options(query: str, *, tls: bool, sentinel: bool) -> dict[str, Any]:
    found = read_options(query, OPTIONS)
    for name in found:
        if name in TLS and not tls:
            refuse(f"has the option {name}, which only TLS has: write rediss:// in front")
        if name.startswith("sentinel_") and not sentinel:
            refuse(f"has the option {name}, which only Sentinels have: write redis+sentinel:// in front")
    if tls:
        tls_context(found)  # a file that can't be read is told before a connection fails in fewer words
    return found
