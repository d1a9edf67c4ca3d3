"""A small client of ``/_control``: the same handles whether a simulator runs in this process or in another."""

from __future__ import annotations

from typing import Any

import requests


class ControlClient:
    """Look at and change a running simulator; raises requests.HTTPError with the simulator's complaint."""

    def __init__(self, url: str) -> None:
        """Take the simulator's base URL, as printed after ``ready``."""
        self._url = url.rstrip("/") + "/_control/"
        self._session = requests.Session()
        self._session.trust_env = False

    def state(self, tenant: str | None = None) -> dict[str, Any]:
        """Give the tenants by key, or the one asked for."""
        tenants: dict[str, Any] = self._call("GET", "state", params={"tenant": tenant})["tenants"]
        result: dict[str, Any] = tenants if tenant is None else tenants[tenant]
        return result

    def replace(self, tenants: dict[str, Any]) -> None:
        """Put these tenants in place of all there are."""
        self._call("PUT", "state", json={"tenants": tenants})

    def add(self, tenants: dict[str, Any]) -> None:
        """Add tenants, or replace those of the same key."""
        self._call("POST", "state", json={"tenants": tenants})

    def do(self, tenant: str, op: str, **arguments: Any) -> Any:
        """Do one operation, e.g. ``do("12345", "rename", internal_id=80, name="Jan Jansen")``; gives its result."""
        return self._call("POST", "state", json={"tenant": tenant, "op": op, **arguments})["result"]

    def fault(self, kind: str, **settings: Any) -> int:
        """Set a fault switch; gives its id."""
        return int(self._call("POST", "faults", json={"kind": kind, **settings})["ids"][0])

    def faults(self) -> list[dict[str, Any]]:
        """List the switches with how often each was seen and struck."""
        result: list[dict[str, Any]] = self._call("GET", "faults")["faults"]
        return result

    def clear_faults(self, fault_id: int | None = None) -> None:
        """Take away one switch, or all."""
        self._call("DELETE", "faults", params={"id": fault_id})

    def log(self, tenant: str | None = None, *, after: int = 0, operation: str | None = None) -> list[dict[str, Any]]:
        """List the requests so far, oldest first."""
        entries: list[dict[str, Any]] = self._call("GET", "log", params={"tenant": tenant, "after": after})["log"]
        return [e for e in entries if operation is None or operation in (e["operation"], *e["fields"])]

    def clear_log(self) -> None:
        """Forget the requests so far."""
        self._call("DELETE", "log")

    def _call(self, method: str, what: str, **kwargs: Any) -> dict[str, Any]:
        answer = self._session.request(method, self._url + what, timeout=600, **kwargs)
        if answer.status_code >= 400:
            raise requests.HTTPError(answer.text, response=answer)
        result: dict[str, Any] = answer.json()
        return result
