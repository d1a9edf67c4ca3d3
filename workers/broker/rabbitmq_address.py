"""The address of RabbitMQ, as the settings have it.

    amqp://user:password@host[:port][/vhost][?option=…]          amqps:// by TLS, with the options of rediss://

A vhost of another name than ``/`` is written encoded, as everywhere: ``/koppeling``, ``/%2F``.
"""

from __future__ import annotations

from urllib.parse import unquote

import pika

from settings import SettingsError
from tenancy.server_address import TLS, AddressError, node, read_options, refuse, split, tls_context

VARIABLE = "KOPPELING_BROKER_URL"
PORT, TLS_PORT = 5672, 5671
# RabbitMQ gives back what a silent process had fetched after two of these; one that died, at once.
HEARTBEAT_SECONDS = 10
TIMEOUT_SECONDS = 3.0
# With RabbitMQ short of memory or disk: so long a push waits before it counts as failed.
BLOCKED_SECONDS = 3.0


def read(url: str) -> pika.ConnectionParameters:
    """Read an address. SettingsError says what to set, and repeats no secret."""
    try:
        return _read(url)
    except AddressError as error:
        raise SettingsError(f"{VARIABLE} {error}.") from None


def _read(url: str) -> pika.ConnectionParameters:
    said = split(url)
    tls = said.scheme == "amqps"
    if "," in said.place:
        refuse("names several servers: name one, or an address that leads to one that works")
    if "/" in said.path:
        refuse("may name one vhost behind the host; a / in its name is written %2F")
    found = read_options(said.query, TLS)
    if found and not tls:
        refuse(f"has the option {min(found)}, which only TLS has: write amqps:// in front")
    host, port = node(said.place or "localhost", TLS_PORT if tls else PORT)
    login = (
        {"credentials": pika.PlainCredentials(said.user, said.password, erase_on_connect=False)} if said.user else {}
    )
    return pika.ConnectionParameters(
        host=host,
        port=port,
        virtual_host=unquote(said.path) or "/",
        ssl_options=pika.SSLOptions(tls_context(found), host) if tls else None,
        heartbeat=HEARTBEAT_SECONDS,
        blocked_connection_timeout=BLOCKED_SECONDS,
        socket_timeout=TIMEOUT_SECONDS,
        stack_timeout=2 * TIMEOUT_SECONDS,
        connection_attempts=1,
        **login,
    )
