"""What is the matter with the broker: does it pass, or must somebody change the settings? One sentence says what.

Asked at the start of every process that needs the broker, and by ``koppeling doctor``. It asks a server a second time
only to tell a wrong address from one that is away.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

import redis
from redis.exceptions import NoPermissionError
from redis.sentinel import MasterNotFoundError

from settings import SettingsError
from tenancy.redis_connection import VARIABLE, Address, connect, read
from tenancy.redis_rights import CLUSTER, fault
from tenancy.server_trouble import Trouble, speaks_plainly, speaks_tls

RIGHTS = f"The user of {VARIABLE} may not do all that is needed: docs/deployment.md has the ACL line."


def look(url: str, prefix: str) -> Trouble | None:
    """What is in the way of working with this broker; None when nothing is."""
    try:
        address = read(url)
    except SettingsError as error:
        return Trouble("settings", str(error))
    try:
        refused = fault(connect(url), prefix)
    except redis.AuthenticationError as error:
        return Trouble("login", f"The broker refuses this user ({error}): check {VARIABLE}.")
    except redis.ResponseError as error:  # of what comes first: the Sentinels' answer, the number of a database
        about = _sentinels(address, error) if address.service else None
        return about or _refused(str(error), f"The broker refuses what {VARIABLE} asks for ({error}).")
    except redis.RedisError as error:
        return _why(address, error) or Trouble("unreachable", type(error).__name__)
    return None if refused is None else _refused(refused)


def _refused(said: str, otherwise: str | None = None) -> Trouble:
    if "NOPERM" in said.upper().replace("NO PERMISSIONS", "NOPERM"):
        return Trouble("rights", f"{RIGHTS} Redis says: {said}")
    if "read only" in said:
        return Trouble("read_only", f"The broker takes no writes: {VARIABLE} names a replica.")
    if "unknown command" in said and "'set'" in said.lower():
        otherwise = f"{VARIABLE} names a Sentinel: write redis+sentinel:// and the service that it watches."
    if said.startswith(CLUSTER):
        otherwise = f"{VARIABLE} names a Redis Cluster: use a single server, or one with Sentinels."
    return Trouble("settings", otherwise) if otherwise else Trouble("full", said)


def _why(address: Address, error: redis.RedisError) -> Trouble | None:
    """The reason in the settings, if there is one, for which no connection came about."""
    said = str(error)
    if "CERTIFICATE_VERIFY_FAILED" in said:
        return Trouble("settings", f"The broker's certificate is not trusted ({_short(said)}): {_trust(said)}.")
    if "alert" in said.lower() and ("certificate required" in said or "handshake failure" in said.lower()):
        return Trouble("settings", f"The broker wants a certificate: add ?ssl_certfile=…&ssl_keyfile=… to {VARIABLE}.")
    if address.service is None:
        return _mismatch(address.nodes, tls=address.tls, what="The broker")
    return _sentinels(address, error)


def _trust(said: str) -> str:
    if "mismatch" in said or "not valid for" in said:
        return f"name the server in {VARIABLE} as its certificate does"
    return f"add ?ssl_ca_certs=/path/ca.pem to {VARIABLE}"


def _short(said: str) -> str:
    return said.rpartition("verify failed: ")[2].partition(" (_ssl")[0].rstrip(".")


def _sentinels(address: Address, error: redis.RedisError) -> Trouble | None:
    """Ask each Sentinel by itself what redis-py puts into one sentence."""
    masters: list[tuple[str, int]] = []
    known: set[str] = set()
    answered = False
    for node in address.nodes:
        try:
            with address.sentinel_client(node) as client:
                found = {_text(name): state for name, state in client.sentinel_masters().items()}
        except redis.RedisError as refusal:
            trouble = _refusal(node, refusal)
            if trouble:
                return trouble
            continue
        answered = True
        known |= set(found)
        if address.service in found:
            masters.append((_text(found[address.service]["ip"]), int(found[address.service]["port"])))
    if answered and not masters:
        names = ", ".join(sorted(known)) or "none"
        return Trouble("settings", f"The Sentinels know no service {address.service}, only {names}: change {VARIABLE}.")
    if isinstance(error, MasterNotFoundError) and answered:
        return None  # they are choosing another one
    what = "The master that the Sentinels name" if answered else "The Sentinel"
    return _mismatch(masters or address.nodes, tls=address.tls, what=what)


def _refusal(node: tuple[str, int], error: redis.RedisError) -> Trouble | None:
    """Why a Sentinel does not answer, where waiting does not help."""
    where, said = f"{node[0]}:{node[1]}", str(error)
    text = None
    if isinstance(error, redis.AuthenticationError):
        login = "set sentinel_username and sentinel_password"
        text = f"The Sentinel {where} refuses us: {login} as options of {VARIABLE}."
    elif isinstance(error, NoPermissionError):
        text = f"The user of {VARIABLE} may not ask the Sentinel {where}: it needs +sentinel|masters."
    elif isinstance(error, redis.ResponseError):
        text = f"{where} is no Sentinel: {VARIABLE} names Sentinels, by their port (26379)."
    elif "CERTIFICATE_VERIFY_FAILED" in said:
        text = f"The certificate of the Sentinel {where} is not trusted ({_short(said)}): {_trust(said)}."
    return Trouble("settings", text) if text else None


def _text(value: bytes | str) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else value


def _mismatch(nodes: Iterable[tuple[str, int]], *, tls: bool, what: str) -> Trouble | None:
    """TLS to a port that speaks plainly, or the other way round."""
    sentinel = "+sentinel" if "Sentinel" in what else ""
    for host, port in nodes:
        where = f"{host}:{port}"
        with suppress(OSError):
            if tls and speaks_plainly(host, port, b"PING\r\n", b"+-"):
                other = f"redis{sentinel}:// or the port for TLS"
                return Trouble("settings", f"{what} speaks no TLS at {where}: write {other} in {VARIABLE}.")
            if not tls and speaks_tls(host, port):
                return Trouble("settings", f"{what} speaks TLS at {where}: write rediss{sentinel}:// in {VARIABLE}.")
    return None
