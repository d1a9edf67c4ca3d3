"""Which addresses may stand in for a system's own. The whole text is matched: nothing in it can be read in two ways.

Libraries disagree about backslashes, ``%``, white space and the like in front of a path; whoever puts those into an
address decides which host each of them sees.
"""

from __future__ import annotations

import re

from urllib3.exceptions import LocationParseError
from urllib3.util import parse_url

_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_ADDRESS = re.compile(
    rf"(?P<scheme>https?)://(?P<host>{_LABEL}(?:\.{_LABEL})*|\[[0-9A-Fa-f:.]{{2,45}}\])(?::(?P<port>[1-9][0-9]{{0,4}}))?"
    r"(?P<path>(?:/(?!\.{1,2}(?:/|\Z))[A-Za-z0-9._~-]+)*)/?"
)
FORM = "https://host/path: a plain host name, then letters, digits and . _ ~ - between slashes"


def checked_base_url(value: str, hosts: str, *, insecure: bool) -> str:
    """An address to call in place of the system's own, without a slash at its end.

    ``hosts`` is what its own hosts end with, e.g. ``.afas.online``; ``insecure`` permits others, http and ports too.
    Raises ValueError that says what is wrong.
    """
    found = _ADDRESS.fullmatch(value)
    if found is None or int(found["port"] or 1) > 65535 or not _read_alike(value, found):
        raise ValueError(f"must be an address such as {FORM}; no user, query or fragment")
    own = found["scheme"] == "https" and found["host"].lower().endswith(hosts) and found["port"] in (None, "443")
    if not own and not insecure:
        raise ValueError(
            f"must be https on a host under {hosts.lstrip('.')}, without a port;"
            " KOPPELING_ALLOW_INSECURE_URLS=1 permits others (simulators, proxies)"
        )
    return value.rstrip("/")


def _read_alike(value: str, found: re.Match[str]) -> bool:
    """Whether the library that will connect sees the same host and port."""
    try:
        url = parse_url(value)
    except LocationParseError:
        return False
    port = int(found["port"]) if found["port"] else None
    return (url.scheme, url.host, url.port, url.auth) == (found["scheme"], found["host"].lower(), port, None)
