"""Turn what a customer pastes as "our AFAS" into the one host we may call. Source: docs/afas.md#addresses."""

from __future__ import annotations

import re

AFAS_HOSTS = ".afas.online"  # what every host of AFAS ends with
HOSTS = {"production": "rest", "test": "resttest", "accept": "restaccept"}

_NUMBER = r"(?P<id>[1-9][0-9]{4})"
_FORMS = (
    re.compile(_NUMBER),  # 12345
    re.compile(rf"[A-Z]{_NUMBER}[A-Z]{{2}}", re.IGNORECASE),  # O12345AA, an environment
    re.compile(rf"{_NUMBER}\.[^\s/]+"),  # 12345.jansen, a user; 12345.rest.afas.online, a host
    re.compile(rf"https?://{_NUMBER}\.[^\s/?#]+([/?#]\S*)?", re.IGNORECASE),  # a pasted URL
)


def parse_member_id(text: str) -> str:
    """Find the five digits in ``12345``, ``O12345AA``, ``12345.jansen`` or a pasted AFAS URL.

    Raises ``ValueError`` that says what to type.
    """
    for form in _FORMS:
        found = form.fullmatch(text.strip())
        if found:
            return found["id"]
    raise ValueError(
        "Type the AFAS member id: five digits such as 12345, or an environment such as O12345AA, "
        "a user such as 12345.jansen, or the address of your AFAS (https://12345.rest.afas.online/)."
    )


def afas_base_url(member_id: str, environment: str) -> str:
    """Build the REST address of one environment. Only digits go into the host, so it can't point elsewhere."""
    if not re.fullmatch(r"[1-9][0-9]{4}", member_id):
        raise ValueError("An AFAS member id is five digits, such as 12345.")
    if environment not in HOSTS:
        raise ValueError(f"The AFAS environment is one of {', '.join(HOSTS)}.")
    return f"https://{member_id}.{HOSTS[environment]}{AFAS_HOSTS}/ProfitRestServices"
