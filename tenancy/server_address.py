"""Reading the address of a server. Nothing of it is repeated: half of a password may stand anywhere in it.

What is wrong raises AddressError with words that follow the name of the setting.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn
from urllib.parse import parse_qsl, unquote

ENCODE = "a password must have / ? # @ and % percent-encoded"
_HOST = re.compile(r"[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.%]{2,60}\]", re.ASCII)
_NAME = re.compile(r"[a-z][a-z_]{0,40}", re.ASCII)


class AddressError(ValueError):
    """Why an address can't be used."""


@dataclass(frozen=True)
class Parts:
    """An address, taken apart; ``path`` and ``query`` are still encoded."""

    scheme: str
    user: str
    password: str
    place: str
    path: str
    query: str


def refuse(why: str) -> NoReturn:
    """This is what is wrong."""
    raise AddressError(why)


def split(url: str, *, at_in_path: bool = False) -> Parts:
    """``scheme://user:password@place/path?query``"""
    scheme, _, rest = url.partition("://")
    if "#" in rest or not rest.isprintable():
        refuse(f"has a '#' or an unprintable character: {ENCODE}")
    rest, _, query = rest.partition("?")
    authority, _, path = rest.partition("/")
    login, _, place = authority.rpartition("@")
    if "@" in query or ("@" in path and not at_in_path):
        refuse(f"has an '@' behind the host: {ENCODE}")
    user, _, password = login.partition(":")
    return Parts(scheme, unquote(user), unquote(password), place, path, query)


def node(text: str, standard: int) -> tuple[str, int]:
    """``host``, ``host:port`` or ``[IPv6]:port``"""
    host, colon, port = text.rpartition(":")
    if not colon or text.endswith("]"):
        host, port = text, str(standard)
    if not _HOST.fullmatch(host):
        refuse(f"has a host that can't be read: {ENCODE}")
    if not re.fullmatch(r"[0-9]{1,5}", port, re.ASCII) or not 0 < int(port) < 65536:
        refuse(f"has a port that is no number from 1 to 65535; {ENCODE}")
    return host.strip("[]"), int(port)


def read_options(query: str, known: Mapping[str, Callable[[str], Any]]) -> dict[str, Any]:
    """``name=value&…``, each read by its function."""
    found: dict[str, Any] = {}
    for name, text in parse_qsl(query, keep_blank_values=True):
        if name not in known:
            shown = f"the option {name}" if _NAME.fullmatch(name) else "an option"
            refuse(f"has {shown} that is not known here; there are {', '.join(sorted(known))}")
        try:
            found[name] = known[name](text)
        except AddressError:
            raise
        except ValueError as error:
            why = str(error) if str(error).startswith("must") else "is no number"
            refuse(f"has the option {name}, which {why}")
    return found


def flag(text: str) -> bool:
    """true or false"""
    if text.lower() not in ("1", "0", "true", "false", "yes", "no"):
        raise ValueError("must be true or false")
    return text.lower() in ("1", "true", "yes")


def seconds(text: str) -> float:
    """Seconds that somebody may wait."""
    if not 0 < float(text) <= 60:
        raise ValueError("must be seconds, more than 0 and at most 60")
    return float(text)


def requirements(text: str) -> str:
    """What is asked of a certificate."""
    if text not in ("required", "optional", "none"):
        raise ValueError("must be required, optional or none")
    return text


# The options of TLS, named as redis-py names them.
TLS: dict[str, Callable[[str], Any]] = {
    "ssl_ca_certs": str,
    "ssl_ca_path": str,
    "ssl_cert_reqs": requirements,
    "ssl_certfile": str,
    "ssl_check_hostname": flag,
    "ssl_ciphers": str,
    "ssl_keyfile": str,
    "ssl_password": str,
}


def tls_context(found: Mapping[str, Any]) -> ssl.SSLContext:
    """TLS as these options have it. AddressError for certificates and keys that can't be read."""
    context = ssl.create_default_context()
    name = "ssl_ca_certs" if "ssl_ca_certs" in found else "ssl_ca_path"
    try:
        if found.keys() & {"ssl_ca_certs", "ssl_ca_path"}:
            context.load_verify_locations(found.get("ssl_ca_certs"), found.get("ssl_ca_path"))
        name = "ssl_certfile"
        if "ssl_certfile" in found:
            context.load_cert_chain(found["ssl_certfile"], found.get("ssl_keyfile"), found.get("ssl_password", ""))
        elif "ssl_keyfile" in found:
            refuse("has the option ssl_keyfile, which needs ssl_certfile beside it")
        name = "ssl_ciphers"
        if name in found:
            context.set_ciphers(found[name])
    except OSError as error:
        why = error.strerror if not isinstance(error, ssl.SSLError) else "it is damaged, or its key or password differs"
        refuse(f"has the option {name}, which can't be used ({why})")
    required = found.get("ssl_cert_reqs", "required")
    context.check_hostname = found.get("ssl_check_hostname", True) and required != "none"
    context.verify_mode = ssl.VerifyMode[f"CERT_{required.upper()}"]
    return context
