"""Call one AFAS Profit environment: pages of a GetConnector, metainfo, one PUT. docs/afas.md says what we rely on."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from clients.afas.auth import Authorizer, OAuth, Token
from clients.afas.errors import classify
from clients.afas.metainfo import Field, MetaInfo, read_fields, read_metainfo
from clients.afas.query import Condition, page_query
from clients.errors import AFAS, Misconfigured, Unauthorized
from clients.http import Call, Http, Response, TokenCache, TooManyObjects

# AFAS sends up to 75 MB. What is larger than this is asked for in smaller pages: it has to fit into memory, decoded.
MAX_BYTES = 16 * 1024 * 1024
CallSlot = Callable[[], contextlib.AbstractContextManager[object]]


def _nothing() -> None:
    """What there is to do before a call when nobody says."""


class AfasClient:
    """Read and write one environment with one app connector's rights. Light, and safe to share between threads.

    ``call_slot()`` is entered around every API call, fetching a token for it included, so that the caller can limit
    calls in flight over all machines. ``on_call`` hears of each HTTP call. ``tokens`` replaces the process's token
    cache. Every method raises the classes of ``clients.errors`` as the table in ``clients/afas/errors.py`` says.
    """

    def __init__(
        self,
        *,
        base_url: str,
        auth: OAuth | Token,
        integration_id: str | None = None,
        call_slot: CallSlot = contextlib.nullcontext,
        on_call: Callable[[Call], None] | None = None,
        read_timeout: float = 120,
        tokens: TokenCache | None = None,
    ) -> None:
        self._http = Http(base_url, system=AFAS, read_timeout=read_timeout, max_bytes=MAX_BYTES, on_call=on_call)
        self._auth = Authorizer(auth, self._http, tokens)
        self._call_slot = call_slot
        # One fixed language keeps AFAS's texts, which decide what an error means, the same for everybody.
        self._headers = {"Accept": "application/json", "Accept-Language": "nl-nl"}
        if integration_id:
            self._headers["IntegrationId"] = integration_id

    def rows(
        self,
        connector: str,
        *,
        take: int,
        skip: int = 0,
        order_by: Sequence[str],
        where: Sequence[Sequence[Condition]] = (),
        about_to: Callable[[], None] = _nothing,
    ) -> list[dict[str, Any]]:
        """Read one page; shorter than ``take`` means the last. ``where``: outer OR, inner AND.

        ``about_to()`` is called when nothing but the call is left to do: what is read is as new as that.

        A row is as AFAS gives it: ``{"CrId": 340, "CdId": 80, "BcCo": "1000073", "Email_werk": None, …}`` with the
        column names of the customer's choice. Datetimes end in Z but are Amsterdam time:
        docs/afas.md#values-and-dates.
        Raises ``TooLarge`` (ask for half) and ``Misconfigured`` ``not_json``/``no_rows``/``page_too_long`` for a 200
        that is no such page.
        """
        query = page_query(skip=skip, take=take, order_by=order_by, where=where)
        # A row is one object of plain values; the page itself is one more.
        most = 2 * take + 10
        body = self._read(f"connectors/{_segment(connector)}", "reading a page", query, about_to, most_objects=most)
        rows = body.get("rows")
        if not isinstance(rows, list) or not {*map(type, rows)} <= {dict}:
            raise Misconfigured("no_rows", "reading a page: the answer has no list of rows.", system=AFAS, status=200)
        if len(rows) > take:
            raise _page_too_long()
        return rows

    def metainfo(self) -> MetaInfo:
        """Read environment and connectors of this token; also the cheapest test of the credentials."""
        return read_metainfo(self._read("metainfo", "reading metainfo"))

    def get_connector_fields(self, connector: str) -> list[Field]:
        """Read the columns of a GetConnector."""
        return read_fields(self._read(f"metainfo/get/{_segment(connector)}", "reading a GetConnector's fields"))

    def update_connector_fields(self, connector: str) -> list[Field]:
        """Read the fields of an UpdateConnector, free fields included."""
        return read_fields(self._read(f"metainfo/update/{_segment(connector)}", "reading an UpdateConnector's fields"))

    def put_course_member(
        self,
        connector: str,
        *,
        event_id: str,
        internal_id: str,
        external_id: str | None = None,
        fields: Mapping[str, str],
        about_to: Callable[[], None] = _nothing,
    ) -> None:
        """Set fields of one enrollment, e.g. ``{"U…": "2026-11-20"}``; all others stay as they are.

        ``about_to()`` is called when a slot is there and nothing but the call is left to do; what it raises prevents
        the call. Any 2xx is success, with or without a body. Safe to repeat: it sets the same value.
        Raises ``Unknown`` when the answer got lost, ``Rejected("external_id_refused")`` when AFAS stumbles over
        ``external_id``.
        """
        given = {"BcCo": external_id} if external_id else {}
        element = {"@CrId": event_id, "@CdId": internal_id, "Fields": given | dict(fields)}
        body = {connector: {"Element": element}}
        self._call(
            "PUT",
            f"connectors/{_segment(connector)}",
            "writing a completion",
            writes=True,
            json=body,
            about_to=about_to,
        )

    def _read(
        self,
        path: str,
        operation: str,
        query: str | None = None,
        about_to: Callable[[], None] = _nothing,
        *,
        most_objects: int | None = None,
    ) -> Mapping[str, Any]:
        answer = self._call("GET", path, operation, writes=False, params=query, about_to=about_to)
        try:
            body = answer.json(most_objects)
        except TooManyObjects:
            raise _page_too_long() from None
        except ValueError:
            body = None
        if isinstance(body, dict):
            return body
        text = f"{operation}: the answer is not a JSON object."
        raise Misconfigured("not_json", text, system=AFAS, status=answer.status)

    def _call(
        self,
        method: str,
        path: str,
        operation: str,
        *,
        writes: bool,
        params: str | None = None,
        json: object = None,
        about_to: Callable[[], None] = _nothing,
    ) -> Response:
        """Call with credentials; once more with fresh ones when AFAS says 401, for then it did nothing."""
        for last in (False, True):
            authorization = ""
            try:
                with self._call_slot():
                    authorization = self._auth.value()  # fetching one is a call too
                    about_to()
                    return self._http.request(
                        method,
                        path,
                        params=params,
                        json=json,
                        headers=self._headers | {"Authorization": authorization},
                        operation=operation,
                        writes=writes,
                        classify=lambda given: classify(
                            given, at="api", writes=writes, operation=operation, secrets=self._auth.secrets
                        ),
                    )
            except Unauthorized as refused:
                fetching = not authorization  # it is the credentials that were refused, not a token
                if last or fetching or refused.status != 401 or not self._auth.renew(authorization):
                    raise
        raise AssertionError("the second round returns or raises")


def _page_too_long() -> Misconfigured:
    text = "reading a page: AFAS gave more rows than were asked for."
    return Misconfigured("page_too_long", text, system=AFAS, status=200)


def _segment(name: str) -> str:
    """Write a connector's name as one part of a path."""
    if not name.strip() or name.strip(".") == "":
        raise ValueError("A connector needs a name.")
    return quote(name, safe="")
