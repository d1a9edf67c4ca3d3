"""The least that could do the same calls: a ``requests.Session`` that sends recorded ones again, one after the other,
or as many such sessions as there are threads.

It keeps no state, checks nothing and recovers from nothing; it is what a first script would be. A measurement of the
product is given as a multiple of it, because seconds alone say more about the machine.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import requests

from simulators.sample_data.tenant import SampleTenant

Entry = dict[str, Any]
"""A line of a simulator's request log."""


def replay_pluvo(url: str, tenant: SampleTenant, entries: Sequence[Entry], threads: int = 1) -> float:
    """Send the GraphQL documents of a log again; gives the seconds it took, the token included."""
    base = f"{url}/t/{tenant.slug}"

    def send(session: requests.Session, entry: Entry) -> None:
        body = {"query": entry["body"], "variables": entry["variables"], "operationName": entry["operation"]}
        answer = session.post(f"{base}/graphql/", json=body, timeout=30)
        answer.raise_for_status()
        if answer.json().get("errors"):
            raise ValueError(f"the same document was refused: {answer.text[:300]}")

    form = {"client_id": tenant.slug, "client_secret": tenant.secret("pluvo")}
    return _send_all(f"{base}/oauth/token/", form, send, [entry for entry in entries if entry["fields"]], threads)


def replay_afas(url: str, tenant: SampleTenant, entries: Sequence[Entry], threads: int = 1) -> float:
    """Send the pages, PUTs and metainfo calls of a log again; gives the seconds it took, the token included."""
    base = f"{url}/t/{tenant.member_id}/ProfitRestServices"

    def send(session: requests.Session, entry: Entry) -> None:
        target = f"{url}{entry['path']}?{entry['query']}" if entry["query"] else f"{url}{entry['path']}"
        answer = session.request(entry["method"], target, json=entry["body"], timeout=120)
        answer.raise_for_status()
        if answer.content:
            answer.json()

    form = {"client_id": tenant.slug, "client_secret": tenant.secret("afas")}
    return _send_all(
        f"{base}/oauth/token", form, send, [entry for entry in entries if entry["operation"] != "token"], threads
    )


def _send_all(
    token_url: str,
    form: dict[str, str],
    send: Callable[[requests.Session, Entry], None],
    entries: Sequence[Entry],
    threads: int,
) -> float:
    own = threading.local()
    begun = time.perf_counter()
    with requests.Session() as first:
        first.trust_env = False
        held = f"Bearer {token(first, token_url, form)}"

    def one(entry: Entry) -> None:
        if not hasattr(own, "session"):
            own.session = requests.Session()
            own.session.trust_env = False
            own.session.headers["Authorization"] = held
        send(own.session, entry)

    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(one, entries):
            pass
    return time.perf_counter() - begun


def token(session: requests.Session, url: str, form: dict[str, str]) -> str:
    """Ask for an access token."""
    answer = session.post(url, data={"grant_type": "client_credentials", **form}, timeout=30)
    answer.raise_for_status()
    return str(answer.json()["access_token"])
