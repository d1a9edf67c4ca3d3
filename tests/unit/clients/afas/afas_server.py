"""AFAS clients that talk to a raw server, and the small things their tests share."""

from __future__ import annotations

from typing import Any

from clients.afas import AfasClient, OAuth, Token
from clients.http import TokenCache
from tests.unit.clients.http.raw_server import RawServer, Step, answer

DATA = "0123456789ABCDEF" * 4
XML = f"<token><version>1</version><data>{DATA}</data></token>"
SECRET = "hush-hush-hush"
FREE_FIELD = "UC3B61455480EEFAFE78EBC831C6E1B30"


def with_token(server: RawServer, **options: Any) -> AfasClient:
    return AfasClient(base_url=server.base_url, auth=Token(XML), read_timeout=2, **options)


def with_oauth(server: RawServer, **options: Any) -> AfasClient:
    settings: dict[str, Any] = {"tokens": TokenCache()} | options
    return AfasClient(base_url=server.base_url, auth=OAuth("client-1", SECRET), read_timeout=2, **settings)


def page(*rows: dict[str, Any]) -> Step:
    return answer(200, {"skip": 0, "take": 5, "rows": list(rows)})


def access_token(token: str, expires_in: object = 3600) -> Step:
    return answer(200, {"access_token": token, "token_type": "Bearer", "expires_in": expires_in})


def read(client: AfasClient) -> list[dict[str, Any]]:
    return client.rows("Deelnemers", take=5, order_by=["CrId", "CdId"])


def write(client: AfasClient) -> None:
    client.put_course_member(
        "KnCourseMember",
        event_id="340",
        internal_id="80",
        external_id="1000073",
        fields={FREE_FIELD: "2026-11-20"},
    )
