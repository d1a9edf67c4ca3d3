"""AFAS Profit, as far as this project uses it: GetConnectors, KnCourseMember, metainfo and tokens.

One process holds several environments, each below ``/t/{member_id}/ProfitRestServices`` (or in lower case).
What it imitates, and which switches and faults it has, is told in ``docs/simulators.md``.
"""

from __future__ import annotations

import re
import secrets
from typing import Any

from simulators.afas import auth, metainfo, pages, write
from simulators.afas.answers import (
    DEFINITION_BLOCKED,
    ERROR_KINDS,
    GET_NOT_ALLOWED,
    NUMBER_NOT_AUTHORISED,
    NUMBER_UNEXPECTED,
    UPDATE_NOT_ALLOWED,
    maintenance,
    refusal,
)
from simulators.afas.query import MAX_QUERY, Refused, select
from simulators.afas.tenant import AfasTenant, Connector
from simulators.core.faults import Fault
from simulators.core.front import Front
from simulators.core.http_messages import Answer, Request, json_answer
from simulators.core.system import System

BASE = re.compile(r"/t/([^/]+)/(?:ProfitRestServices|profitrestservices)(/.*)?")
ROUTES = (
    ("token", re.compile(r"/oauth/token", re.IGNORECASE), None),
    ("otp_request", re.compile(r"/otprequest", re.IGNORECASE), "POST"),
    ("otp_validation", re.compile(r"/otpvalidation", re.IGNORECASE), "POST"),
    ("metainfo", re.compile(r"/metainfo", re.IGNORECASE), "GET"),
    ("metainfo_get", re.compile(r"/metainfo/get/([^/]+)", re.IGNORECASE), "GET"),
    ("metainfo_update", re.compile(r"/metainfo/update/([^/]+)", re.IGNORECASE), "GET"),
    ("version", re.compile(r"/profitversion", re.IGNORECASE), "GET"),
    ("page", re.compile(r"/connectors/([^/]+)", re.IGNORECASE), "GET"),
    ("put", re.compile(r"/connectors/([^/]+)", re.IGNORECASE), "PUT"),
)
"""Operation, path, method (None: any). A page is one call of a GetConnector."""

WITHOUT_LOGIN = {
    "token": auth.oauth_token,
    "otp_request": auth.otp_request,
    "otp_validation": auth.otp_validation,
}
API = frozenset({"metainfo", "metainfo_get", "metainfo_update", "version", "page", "put"})


class AfasSimulator(System):
    """Several AFAS environments. ``app`` is the ASGI application, ``tenants`` go by member id."""

    own_faults = (
        dict.fromkeys(pages.PAGE_KINDS, frozenset({"page"}))
        | dict.fromkeys(ERROR_KINDS, API)
        | {"page_error": frozenset({"page"}), "other_envid": frozenset({"metainfo"}), "maintenance": API | {"token"}}
    )

    def __init__(self) -> None:
        """Start without tenants."""
        super().__init__()
        self.app = Front(self)

    def add_tenant(self, member_id: str, **state: Any) -> AfasTenant:
        """Add an environment; ``state`` as in ``AfasTenant``."""
        tenant = AfasTenant(member_id, **state)
        self.tenants[member_id] = tenant
        return tenant

    def tenant_from_json(self, key: str, state: dict[str, Any]) -> AfasTenant:
        """Build an environment from its JSON."""
        return AfasTenant.from_json({"member_id": key, **state})

    def recognise(self, request: Request) -> None:
        """Read tenant, operation and connector name from the path."""
        found = BASE.fullmatch(request.path)
        if found is None:
            return
        request.tenant, request.rest = found[1], found[2] or "/"
        for operation, path, method in ROUTES:
            match = path.fullmatch(request.rest)
            if match is not None and method in (None, request.method):
                request.operation = operation
                request.notes["name"] = match[1] if match.groups() else ""
                return

    def answer(self, request: Request, faults: list[Fault]) -> Answer:
        """Answer one request, with AFAS's trace header on it."""
        answer = self._answer(request, faults)
        answer.headers.setdefault("x-trace-identifier", secrets.token_hex(8))
        answer.headers.setdefault("cache-control", "no-store")
        return answer

    def _answer(self, request: Request, faults: list[Fault]) -> Answer:
        tenant = self.tenants.get(request.tenant or "")
        if tenant is None or not request.operation or len(request.query) + 1 > MAX_QUERY:
            return Answer(404, b"Not Found", {"content-type": "text/plain"})
        for fault in faults:
            if fault.kind == "maintenance":
                return maintenance(fault)
            if fault.kind in ERROR_KINDS:
                number, message = ERROR_KINDS[fault.kind]
                return refusal(fault.message or message, number, fault.status or 500)
        if request.operation in WITHOUT_LOGIN:
            return WITHOUT_LOGIN[request.operation](tenant, request)
        refused = auth.refuse(tenant, request)
        return refused if refused is not None else self._api(tenant, request, faults)

    def _api(self, tenant: AfasTenant, request: Request, faults: list[Fault]) -> Answer:
        match request.operation:
            case "metainfo":
                return _overview(tenant, faults)
            case "version":
                return json_answer({"version": "22.22.5"})
            case "put" | "metainfo_update":
                return _update_connector(tenant, request)
            case _:
                return _get_connector(tenant, request, faults)


def _update_connector(tenant: AfasTenant, request: Request) -> Answer:
    name = request.notes["name"]
    if name not in tenant.update_connectors:
        return _denied(tenant, UPDATE_NOT_ALLOWED)
    if request.operation == "put":
        return write.put(tenant, name, request)
    return json_answer(metainfo.update_connector(tenant, name))


def _get_connector(tenant: AfasTenant, request: Request, faults: list[Fault]) -> Answer:
    name = request.notes["name"]
    connector = tenant.connectors.get(name)
    if connector is None or not connector.allowed:
        return _denied(tenant, GET_NOT_ALLOWED)
    if request.operation == "metainfo_get":
        return json_answer(metainfo.get_connector(tenant, name, connector))
    return _page(tenant, connector, request, faults)


def _page(tenant: AfasTenant, connector: Connector, request: Request, faults: list[Fault]) -> Answer:
    if connector.blocked:
        return refusal(DEFINITION_BLOCKED, NUMBER_UNEXPECTED)
    try:
        skip, take, rows = select(tenant, connector, request)
    except Refused as refused:
        return refused.answer
    names = {source: column for column, source in connector.columns.items()}
    answer = json_answer({"skip": skip, "take": take, "rows": pages.spoil(rows, faults)})
    if "event_id" in names and "internal_id" in names:
        pages.delete_after_page(tenant, rows, faults, (names["event_id"], names["internal_id"]))
    return answer


def _overview(tenant: AfasTenant, faults: list[Fault]) -> Answer:
    content = metainfo.overview(tenant)
    for fault in faults:
        if fault.kind == "other_envid":
            content["info"]["envid"] = fault.to or f"T{tenant.member_id}ZZ"
    return json_answer(content)


def _denied(tenant: AfasTenant, message: str) -> Answer:
    return refusal(message, NUMBER_NOT_AUTHORISED, tenant.switches.denied_status)
