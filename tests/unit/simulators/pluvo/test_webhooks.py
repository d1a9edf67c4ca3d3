"""Webhooks are signed as Pluvo signs them and arrive as sent."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from simulators.pluvo.webhooks import sign
from tests.unit.simulators.calls import Pluvo


@pytest.mark.parametrize(
    ("secret", "salt", "body", "signature"),
    [
        ("whk-secret-1", "s4lt-abc", '{"event":"USER_CREATED","id":"1"}', "lhgySwC6nq9IqVIARhs6NTYlwLk"),
        ("whk-secret-1", "s4lt-abd", '{"event":"USER_CREATED","id":"1"}', "NO9cHygSFRPWq30QvvjWBs8Q_iE"),
        ("topsecret", "1700000000", "{}", "yfU4o20N1ovO1JfLXwew2RZE-Lw"),
        ("kéy", "nönce", '{"name":"Jürgen"}', "LTgR3ZhycFu_UULLj8SrBBxaYAA"),
    ],
)
def test_a_signature_is_what_pluvo_makes_of_it(secret: str, salt: str, body: str, signature: str) -> None:
    assert sign(secret, salt, body.encode()) == signature


class Received(BaseHTTPRequestHandler):
    """Keeps what was posted."""

    kept: list[tuple[dict[str, str], bytes]]

    def do_POST(self) -> None:
        """Take one delivery."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.kept.append((dict(self.headers), body))
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Stay silent."""


@pytest.fixture
def receiver() -> Iterator[tuple[str, list[tuple[dict[str, str], bytes]]]]:
    """Give the URL of a receiver and what it got."""
    kept: list[tuple[dict[str, str], bytes]] = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (Received,), {"kept": kept}))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/webhooks/pluvo/acme", kept
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("good", [True, False])
def test_a_finish_event_is_delivered_signed_and_as_often_as_asked(
    pluvo: Pluvo, receiver: tuple[str, list[tuple[dict[str, str], bytes]]], good: bool
) -> None:
    url, kept = receiver
    user = pluvo.tenant.add_user("a@example.nl", "Zoë", ref="a")

    statuses = pluvo.control.do(
        "acme", "send_webhook", event="TRAINING_FINISHED", user_id=user["id"], url=url, secret="whk",
        title="BHV basis", times=2, good=good,
    )  # fmt: skip

    assert statuses == [204, 204]
    headers, body = kept[0]
    content = json.loads(body)
    assert (sign("whk", headers["X-Signature-Salt"], body) == headers["X-Signature"]) is good
    assert (content["event"], content["user"]["ref"], content["training"]["title"]) == (
        "TRAINING_FINISHED",
        "a",
        "BHV basis",
    )
    assert "completionDate" not in content
    assert kept[1][1] == body
