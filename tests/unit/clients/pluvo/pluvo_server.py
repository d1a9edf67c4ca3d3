"""A tiny HTTP server that gives prepared answers, keeps what it was asked, and holds every document to the schema."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from graphql import build_schema, parse, validate

from clients.http import Call, TokenCache
from clients.pluvo import PluvoClient

SCHEMA = build_schema((Path(__file__).parents[4] / "simulators" / "pluvo" / "pluvo.graphql").read_text("utf-8"))
USER_ID = "11111111-1111-4111-8111-111111111111"
OFFER_EVENT_ID = "22222222-2222-4222-8222-222222222222"


@dataclass
class Prepared:
    """One answer: a body that is not text is sent as JSON; ``None`` cuts the line without an answer."""

    body: Any
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class PluvoServer:
    """What to answer, in order (or by a function of the request), and what was asked."""

    answers: list[Prepared] = field(default_factory=list)
    answer: Callable[[dict[str, Any]], Prepared] | None = None
    token_answers: list[Prepared] = field(default_factory=list)
    requests: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    token_requests: list[dict[str, list[str]]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    base_url: str = ""

    def client(self, **options: Any) -> PluvoClient:
        settings: dict[str, Any] = {"client_id": "client-one", "client_secret": "s3cret-of-one", "tokens": TokenCache()}
        return PluvoClient(base_url=self.base_url, on_call=self.calls.append, **(settings | options))

    def will(self, *bodies: Any) -> None:
        """Answer with these bodies, in order."""
        self.answers += [body if isinstance(body, Prepared) else Prepared(body) for body in bodies]

    def respond(self, path: str, headers: dict[str, str], raw: bytes) -> Prepared:
        self.paths.append(path)
        if path.endswith("/oauth/token/"):
            self.token_requests.append(parse_qs(raw.decode()))
            number = len(self.token_requests)
            default = Prepared({"access_token": f"tok-{number}", "expires_in": 86400, "token_type": "Bearer"})
            return self.token_answers.pop(0) if self.token_answers else default
        request = json.loads(raw)
        self.requests.append(request)
        self.headers.append(headers)
        return self.answer(request) if self.answer else self.answers.pop(0)

    def wrong_documents(self) -> list[str]:
        return [error.message for asked in self.requests for error in validate(SCHEMA, parse(asked["query"]))]


@contextmanager
def pluvo_server() -> Iterator[PluvoServer]:
    """Run one on a free port of this machine; at the end every document it got must fit the schema."""
    server = PluvoServer()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = 65536  # one packet an answer: the other side need not wait for the rest

        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers["Content-Length"]))
            prepared = server.respond(self.path, dict(self.headers.items()), raw)
            if prepared.body is None:
                self.close_connection = True
                return
            is_text = isinstance(prepared.body, str)
            body = (prepared.body if is_text else json.dumps(prepared.body)).encode()
            self.send_response(prepared.status)
            for name, value in prepared.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    httpd.daemon_threads = True
    server.base_url = f"http://127.0.0.1:{httpd.server_port}/t/acme"
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        httpd.shutdown()
        httpd.server_close()
        thread.join()
    assert server.wrong_documents() == []


def user_json(**changes: Any) -> dict[str, Any]:
    """Give a user as Pluvo would."""
    return {
        "id": USER_ID,
        "ref": "afas:12345:1001",
        "email": "p.jansen@example.nl",
        "name": "Pia Jansen",
        "archived": False,
        "roles": ["PARTICIPANT"],
        "language": "NL",
        "afasPersonId": None,
        "afasContactId": "1001",
        "afasConnectionId": None,
    } | changes


def connection(nodes: list[Any], *, count: int | None = None, cursor: str | None = None) -> dict[str, Any]:
    """Give a page of a connection; with a cursor there is more."""
    return {
        "pageInfo": {"hasNextPage": cursor is not None, "endCursor": cursor},
        "count": len(nodes) if count is None else count,
        "edges": [{"node": node} for node in nodes],
    }
