"""The least that could do the same calls: one ``requests.Session`` that sends recorded ones again, one after the other.

It keeps no state, checks nothing and recovers from nothing; it is what a first script would be. A measurement of the
product is given as a multiple of it, because seconds alone say more about the machine.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import requests

from simulators.sample_data.tenant import SampleTenant

Entry = dict[str, Any]
"""A line of a simulator's request log."""


def replay_pluvo(url: str, tenant: SampleTenant, entries: Sequence[Entry]) -> float:
    """Send the GraphQL documents of a log again; gives the seconds it took, the token included."""
    base = f"{url}/t/{tenant.slug}"
    begun = time.perf_counter()
    with requests.Session() as session:
        session.trust_env = False
        form = {"client_id": tenant.slug, "client_secret": tenant.secret("pluvo")}
        session.headers["Authorization"] = f"Bearer {token(session, f'{base}/oauth/token/', form)}"
        for entry in entries:
            if entry["fields"]:
                body = {"query": entry["body"], "variables": entry["variables"], "operationName": entry["operation"]}
                answer = session.post(f"{base}/graphql/", json=body, timeout=30)
                answer.raise_for_status()
                if answer.json().get("errors"):
                    raise ValueError(f"the same document was refused: {answer.text[:300]}")
    return time.perf_counter() - begun


def replay_afas(url: str, tenant: SampleTenant, entries: Sequence[Entry]) -> float:
    """Send the pages, PUTs and metainfo calls of a log again; gives the seconds it took, the token included."""
    base = f"{url}/t/{tenant.member_id}/ProfitRestServices"
    begun = time.perf_counter()
    with requests.Session() as session:
        session.trust_env = False
        form = {"client_id": tenant.slug, "client_secret": tenant.secret("afas")}
        session.headers["Authorization"] = f"Bearer {token(session, f'{base}/oauth/token', form)}"
        for entry in entries:
            if entry["operation"] != "token":
                target = f"{url}{entry['path']}?{entry['query']}" if entry["query"] else f"{url}{entry['path']}"
                answer = session.request(entry["method"], target, json=entry["body"], timeout=120)
                answer.raise_for_status()
                if answer.content:
                    answer.json()
    return time.perf_counter() - begun


def token(session: requests.Session, url: str, form: dict[str, str]) -> str:
    """Ask for an access token."""
    answer = session.post(url, data={"grant_type": "client_credentials", **form}, timeout=30)
    answer.raise_for_status()
    return str(answer.json()["access_token"])
