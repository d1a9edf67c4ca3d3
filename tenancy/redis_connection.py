"""The way to Redis or Valkey: its address read in one place, and one client a process for everything that uses it.

    redis://[user:password@]host[:port][/db][?option=…]          rediss:// by TLS, unix:///path?db=N by a socket
    redis+sentinel://[user:password@]host[:port],host[:port]/service[/db][?option=…]          rediss+sentinel:// by TLS

With Sentinels each new connection asks them who the master is. Commands are never repeated by the client: a repeated
fetch or push would double messages.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NoReturn
from urllib.parse import parse_qsl, unquote

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from redis.sentinel import Sentinel

from settings import SettingsError

TIMEOUT_SECONDS = 3.0
# A Sentinel that does not answer costs so much of each new connection, until one that does is asked first.
SENTINEL_TIMEOUT_SECONDS = 1.0
# Never reached: a thread has one for the length of a command.
CONNECTIONS = 1000
PORT, SENTINEL_PORT = 6379, 26379
VARIABLE = "KOPPELING_REDIS_URL"
_ENCODE = "a password must have / ? # @ and % percent-encoded"
_HOST = re.compile(r"[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.%]{2,60}\]", re.ASCII)
_NAME = re.compile(r"[a-z][a-z_]{0,40}", re.ASCII)
_SERVICE = re.compile(r"[A-Za-z0-9._-]{1,100}", re.ASCII)
# What a server says that is no master any more, or is cut off from its replicas: another one may be master by now.
_NO_MASTER = ("READONLY", "read only replica", "NOREPLICAS", "MASTERDOWN")


class Client(redis.Redis):
    """Leaves a server that may no longer be written to, so that the next connection finds the one that may."""

    def execute_command(self, *args: Any, **options: Any) -> Any:
        try:
            return super().execute_command(*args, **options)  # type: ignore[no-untyped-call]  # redis has no types for it
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
        sentinels = Sentinel(list(self.nodes), sentinel_kwargs={**self.sentinel_options, **tls}, **self.options, **tls)  # type: ignore[no-untyped-call]
        found: redis.Redis = sentinels.master_for(self.service, redis_class=Client)  # type: ignore[no-untyped-call]
        return found


@lru_cache(maxsize=4)
def connect(url: str) -> redis.Redis:
    """The client of this process for an address. SettingsError when that can't be read."""
    return read(url).client()


def read(url: str) -> Address:
    """Read an address, as ``settings.need_redis`` gives it. SettingsError says what to set, and repeats no secret."""
    scheme, _, rest = url.partition("://")
    if "#" in rest or not rest.isprintable():
        _refuse(f"has a '#' or an unprintable character: {_ENCODE}")
    rest, _, query = rest.partition("?")
    authority, _, path = rest.partition("/")
    login, _, place = authority.rpartition("@")
    if "@" in query or ("@" in path and scheme != "unix"):
        _refuse(f"has an '@' behind the host: {_ENCODE}")
    tls, sentinel = scheme.startswith("rediss"), scheme.endswith("+sentinel")
    options = _login(login) | _options(query, tls=tls, sentinel=sentinel)
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
    if scheme == "unix":
        if place or not path:
            _refuse("must name a socket by its full path: unix:///run/redis/redis.sock?db=0")
        return Address(path="/" + unquote(path), options=options)
    if not sentinel:
        if "," in place:
            _refuse("names several servers: for Sentinels write redis+sentinel://host,host/service")
        if path.strip("/"):
            options.setdefault("db", _database(path.strip("/")))
        return Address(nodes=(_node(place or "localhost", PORT),), tls=tls, options=options)
    service, _, database = path.strip("/").partition("/")
    if not _SERVICE.fullmatch(unquote(service)):
        _refuse("must name the service that the Sentinels watch: redis+sentinel://host:26379,host:26379/mymaster")
    if database:
        options.setdefault("db", _database(database))
    nodes = tuple(_node(each.strip(), SENTINEL_PORT) for each in place.split(","))
    return Address(nodes, service=unquote(service), tls=tls, options=options, sentinel_options=of_sentinel)


def _refuse(why: str) -> NoReturn:
    raise SettingsError(f"{VARIABLE} {why}.")


def _login(text: str) -> dict[str, Any]:
    user, _, password = text.partition(":")
    found = {"username": unquote(user), "password": unquote(password)}
    return {name: value for name, value in found.items() if value}


def _node(text: str, standard: int) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or text.endswith("]"):
        host, port = text, str(standard)
    if not _HOST.fullmatch(host):
        _refuse(f"has a host that can't be read: {_ENCODE}")
    if not re.fullmatch(r"[0-9]{1,5}", port, re.ASCII) or not 0 < int(port) < 65536:  # may be half a password
        _refuse(f"has a port that is no number from 1 to 65535; {_ENCODE}")
    return host.strip("[]"), int(port)


def _database(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,5}", text, re.ASCII):
        _refuse("must end in the number of a database, such as /0")
    return int(text)


def _flag(text: str) -> bool:
    if text.lower() not in ("1", "0", "true", "false", "yes", "no"):
        raise ValueError("must be true or false")
    return text.lower() in ("1", "true", "yes")


def _seconds(text: str) -> float:
    if not 0 < float(text) <= 60:
        raise ValueError("must be seconds, more than 0 and at most 60")
    return float(text)


def _reqs(text: str) -> str:
    if text not in ("required", "optional", "none"):
        raise ValueError("must be required, optional or none")
    return text


# Those of redis-py that change nothing of what commands mean and answer.
OPTIONS: dict[str, Callable[[str], Any]] = {
    "db": _database,
    "username": str,
    "password": str,
    "client_name": str,
    "health_check_interval": int,
    "socket_connect_timeout": _seconds,
    "socket_keepalive": _flag,
    "socket_timeout": _seconds,
    "ssl_ca_certs": str,
    "ssl_ca_path": str,
    "ssl_cert_reqs": _reqs,
    "ssl_certfile": str,
    "ssl_check_hostname": _flag,
    "ssl_ciphers": str,
    "ssl_keyfile": str,
    "ssl_password": str,
    "sentinel_password": str,
    "sentinel_username": str,
}


def _options(query: str, *, tls: bool, sentinel: bool) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, text in parse_qsl(query, keep_blank_values=True):
        if name not in OPTIONS:
            shown = f"the option {name}" if _NAME.fullmatch(name) else "an option"
            _refuse(f"has {shown} that is not known here; there are {', '.join(sorted(OPTIONS))}")
        if name.startswith("ssl_") and not tls:
            _refuse(f"has the option {name}, which only TLS has: write rediss:// in front")
        if name.startswith("sentinel_") and not sentinel:
            _refuse(f"has the option {name}, which only Sentinels have: write redis+sentinel:// in front")
        try:
            found[name] = OPTIONS[name](text)
        except ValueError as error:
            why = str(error) if str(error).startswith("must") else "is no number"
            _refuse(f"has the option {name}, which {why}")
    _try_files(found)
    return found


def _try_files(found: dict[str, Any]) -> None:
    """Refuse certificates and keys that can't be read, before a connection fails in fewer words."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    name = "ssl_ca_certs"
    try:
        if found.keys() & {"ssl_ca_certs", "ssl_ca_path"}:
            name = "ssl_ca_certs" if "ssl_ca_certs" in found else "ssl_ca_path"
            context.load_verify_locations(found.get("ssl_ca_certs"), found.get("ssl_ca_path"))
        if found.keys() & {"ssl_certfile", "ssl_keyfile"}:
            name = "ssl_certfile"
            if "ssl_certfile" not in found:
                _refuse("has the option ssl_keyfile, which needs ssl_certfile beside it")
            context.load_cert_chain(found["ssl_certfile"], found.get("ssl_keyfile"), found.get("ssl_password", ""))
        name = "ssl_ciphers"
        if "ssl_ciphers" in found:
            context.set_ciphers(found["ssl_ciphers"])
    except OSError as error:
        why = error.strerror if not isinstance(error, ssl.SSLError) else "it is damaged, or its key or password differs"
        _refuse(f"has the option {name}, which can't be used ({why})")
