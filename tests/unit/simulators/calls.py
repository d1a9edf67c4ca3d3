"""Ways to call a running simulator with one small tenant."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

import requests

from simulators.afas import AfasSimulator
from simulators.afas.auth import token_xml
from simulators.afas.tenant import AfasTenant
from simulators.core.control_client import ControlClient
from simulators.pluvo import PluvoSimulator
from simulators.pluvo.tenant import PluvoTenant

TOKEN = "0123456789ABCDEF" * 4
PAGE = "/connectors/Deelnemer_per_cursusevenement"
ORDER = {"orderbyfieldids": "CrId,Intern_ID"}


def afas_headers(token: str = TOKEN) -> dict[str, str]:
    """Make the headers of a call with a classic token."""
    shown = base64.b64encode(token_xml(token).encode()).decode()
    return {"Authorization": f"AfasToken {shown}", "Content-Type": "application/json;charset=utf-8"}


@dataclass
class Afas:
    """A running AFAS with one tenant, and a way to call it."""

    url: str
    simulator: AfasSimulator
    tenant: AfasTenant
    control: ControlClient

    def call(self, method: str, path: str, **kwargs: Any) -> requests.Response:
        """Call below the tenant's base URL, with a good token unless headers are given."""
        kwargs.setdefault("headers", afas_headers())
        url = f"{self.url}/t/12345/ProfitRestServices{path}"
        return requests.request(method, url, timeout=10, allow_redirects=False, **kwargs)

    def rows(self, **params: Any) -> list[dict[str, Any]]:
        """Read one page."""
        answer = self.call("GET", PAGE, params={"take": 1000, **ORDER, **params})
        assert answer.status_code == 200, answer.text
        result: list[dict[str, Any]] = answer.json()["rows"]
        return result

    def put(self, event_id: Any, internal_id: Any, fields: dict[str, Any], **kwargs: Any) -> requests.Response:
        """Write fields of one enrollment."""
        element = {"@CrId": event_id, "@CdId": internal_id, "Fields": fields}
        return self.call("PUT", "/connectors/KnCourseMember", json={"KnCourseMember": {"Element": element}}, **kwargs)


@dataclass
class Pluvo:
    """A running Pluvo with one organisation, and a way to call it."""

    url: str
    simulator: PluvoSimulator
    tenant: PluvoTenant
    control: ControlClient
    token: str = ""

    def sign_in(self, **form: str) -> requests.Response:
        """Ask for a token."""
        wanted = {"grant_type": "client_credentials", "client_id": "us", "client_secret": "s3cret", **form}
        return requests.post(f"{self.url}/t/acme/oauth/token/", data=wanted, timeout=10)

    def post(self, query: str, **variables: Any) -> requests.Response:
        """Post one GraphQL document."""
        self.token = self.token or self.sign_in().json()["access_token"]
        content = {"query": query, "variables": variables}
        headers = {"Authorization": f"Bearer {self.token}"}
        url = f"{self.url}/t/acme/graphql/"
        return requests.post(url, json=content, headers=headers, timeout=10, allow_redirects=False)

    def data(self, query: str, **variables: Any) -> Any:
        """Post one document that must go well."""
        content = self.post(query, **variables).json()
        assert "errors" not in content, content
        return content["data"]

    def errors(self, query: str, **variables: Any) -> list[dict[str, Any]]:
        """Post one document that must go wrong."""
        result: list[dict[str, Any]] = self.post(query, **variables).json()["errors"]
        return result
