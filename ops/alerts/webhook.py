"""One signed call to a receiver of alerts: ``Koppeling-Signature: t=<seconds>,v1=<HMAC-SHA256 of "t.body">``.

The name is looked up once, and the address that was judged is the one that is connected to. No redirect is followed.
"""

from __future__ import annotations

import hashlib
import hmac
import http.client
import ipaddress
import socket
import ssl
import time
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from urllib.parse import urlsplit

import settings
from clients.http.deadlines import Deadlines
from ops.alerts.mail import Undelivered

STEP_SECONDS = 10.0
WHOLE_SECONDS = 20.0
# It may be tried again; all others of 400 to 499 will be refused again.
_LATER = (408, 425, 429)
# All that is given out of IPv6, and what translators to IPv4 stand behind.
_UNICAST, _NAT64 = ipaddress.IPv6Network("2000::/3"), ipaddress.IPv6Network("64:ff9b::/96")
_deadlines = Deadlines()


def signature(secret: str, body: bytes, at: int) -> str:
    """What proves who sent it, and when."""
    return f"t={at},v1={hmac.new(secret.encode(), f'{at}.'.encode() + body, hashlib.sha256).hexdigest()}"


def send(url: str, body: bytes, secret: str | None, headers: Mapping[str, str]) -> None:
    """Post it. Raises Undelivered."""
    if not secret:
        raise Undelivered("no_secret")
    signed = {
        "Content-Type": "application/json",
        "User-Agent": "koppeling",
        "Koppeling-Signature": signature(secret, body, int(time.time())),
        **headers,
    }
    try:
        status = _post(url, body, signed)
    except ssl.SSLCertVerificationError:
        raise Undelivered("webhook_untrusted") from None
    except (http.client.HTTPException, OSError, UnicodeError):
        raise Undelivered("webhook_unreachable") from None
    if 200 <= status < 300:
        return
    final = 400 <= status < 500 and status not in _LATER
    raise Undelivered("webhook_refused" if final or status < 400 else "webhook_later", final=final)


def _post(url: str, body: bytes, headers: Mapping[str, str]) -> int:
    found = urlsplit(url)
    secure = found.scheme == "https"
    host, port = found.hostname or "", found.port or (443 if secure else 80)
    if not secure and not settings.get().allow_insecure_urls:
        raise Undelivered("webhook_private", final=True)
    opened = socket.create_connection((_address(host, port), port), timeout=STEP_SECONDS)
    called = http.client.HTTPConnection(host, port, timeout=STEP_SECONDS)
    called.sock = opened
    expire = partial(_cut, called)
    _deadlines.add(expire, WHOLE_SECONDS)
    try:
        if secure:
            called.sock = ssl.create_default_context().wrap_socket(opened, server_hostname=host)
            called.default_port = 443  # so that Host has no port
        called.request("POST", found.path or "/", body=body, headers=dict(headers))
        return called.getresponse().status
    finally:
        _deadlines.remove(expire)
        called.close()
        opened.close()


def _address(host: str, port: int) -> str:
    """The first address of a host, if all of them may be called."""
    found = [str(one[4][0]) for one in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    if not settings.get().allow_insecure_urls and not all(map(_is_public, found)):
        raise Undelivered("webhook_private", final=True)
    return found[0]


def _is_public(address: str) -> bool:
    found = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address):
        carried = _carried(found)
        if carried is None:
            return found.is_global and found in _UNICAST
        found = carried
    return found.is_global and not found.is_multicast


def _carried(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address that a call to this one ends at, on machines that translate."""
    by_nat64 = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF) if address in _NAT64 else None
    return address.ipv4_mapped or address.sixtofour or by_nat64


def _cut(called: http.client.HTTPConnection) -> None:
    with suppress(OSError):
        if called.sock is not None:
            socket.socket.shutdown(called.sock, socket.SHUT_RDWR)
