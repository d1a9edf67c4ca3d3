"""One HTTP call over a real socket: what a broken one means, and what it never does."""

from __future__ import annotations

import datetime
import gzip
import socket
import ssl
import threading
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from clients.errors import Misconfigured, Rejected, RemoteError, TooLarge, Unavailable, Unknown
from clients.http import Call, Http, Response, parse_retry_after
from clients.http.transport import Attempt
from tests.unit.clients.http.raw_server import RawServer, Step, answer, serving

HALF_BODY = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"
NO_LENGTH = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"


@pytest.fixture
def server() -> Iterator[RawServer]:
    with serving() as running:
        yield running


@pytest.fixture
def calls() -> list[Call]:
    return []


@pytest.fixture
def http(server: RawServer, calls: list[Call]) -> Http:
    return Http(
        server.base_url, system="AFAS", read_timeout=0.3, total_timeout=0.6, max_bytes=1000, on_call=calls.append
    )


def get(http: Http, *, writes: bool = False, **options: Any) -> Response:
    method = "PUT" if writes else "GET"
    return http.request(method, "/things", operation="trying", writes=writes, **options)


def error_of(http: Http, *, writes: bool = False, **options: Any) -> RemoteError:
    with pytest.raises(RemoteError) as raised:
        get(http, writes=writes, **options)
    return raised.value


def test_a_call_comes_back_whole(server: RawServer, http: Http, calls: list[Call]) -> None:
    server.will(answer(200, '{"naam": "Zoë"}', X_Trace="t"))

    response = get(http, params={"a": "1"}, headers={"Accept": "application/json"})

    assert (response.status, response.json(), response.headers["x-trace"]) == (200, {"naam": "Zoë"}, "t")
    assert (server.requests[0].path, server.requests[0].query) == ("/base/things", {"a": "1"})
    assert [(c.system, c.operation, c.status, c.error_code, c.token) for c in calls] == [
        ("AFAS", "trying", 200, None, False)
    ]


def test_json_leaves_as_utf8_and_says_so(server: RawServer, http: Http) -> None:
    server.will(answer(201))

    get(http, writes=True, json={"naam": "Zoë Ğ 李"})

    assert server.requests[0].headers["content-type"] == "application/json;charset=utf-8"
    assert server.requests[0].body == '{"naam":"Zoë Ğ 李"}'.encode()


@pytest.mark.parametrize("status", [200, 400, 401, 404, 429, 500, 502, 503])
def test_a_status_is_handed_back_after_one_call(server: RawServer, http: Http, status: int) -> None:
    server.will(answer(status, "x", Retry_After="0"))

    assert get(http).status == status
    assert len(server.requests) == 1


@pytest.mark.parametrize("writes", [False, True])
def test_no_connection_means_that_nothing_happened(writes: bool, calls: list[Call]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    http = Http(f"http://127.0.0.1:{port}", system="AFAS", read_timeout=1, on_call=calls.append)

    error = error_of(http, writes=writes)

    assert (type(error), error.code) == (Unavailable, "connect_failed")
    assert [(call.status, call.error_code) for call in calls] == [(None, "connect_failed")]


@pytest.mark.parametrize("writes", [False, True])
def test_a_certificate_that_nobody_vouches_for_is_refused(tmp_path: Path, writes: bool) -> None:
    with serving(_self_signed(tmp_path)) as server:
        server.will(answer(200))
        http = Http(server.base_url, system="AFAS", read_timeout=2)

        error = error_of(http, writes=writes)

        assert (type(error), error.code) == (Unavailable, "tls_failed")
        assert server.requests == []


BROKEN = {
    "silence": (Step(then="be silent"), "timeout"),
    "a reset": (Step(then="reset"), "connection_broken"),
    "a closed line": (Step(then="close"), "connection_broken"),
    "no HTTP": (Step(b"hello\r\n\r\n", then="close"), "connection_broken"),
    "half a body, then a close": (Step(HALF_BODY, then="close"), "connection_broken"),
    "half a body, then a reset": (Step(HALF_BODY, then="reset"), "connection_broken"),
    "half a body, then silence": (Step(HALF_BODY, then="be silent"), "timeout"),
    "a body that drips": (Step(HALF_BODY + b"x" * 99, byte_every=0.05), "timeout"),
    "a body without a length that drips": (Step(NO_LENGTH + b"x" * 99, byte_every=0.02), "timeout"),
    "headers that drip": (Step(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 99, byte_every=0.05), "timeout"),
    "a broken gzip": (Step(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\nab"),
                      "connection_broken"),
}  # fmt: skip


@pytest.mark.parametrize("writes", [False, True])
@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_call_is_unavailable_for_a_read_and_unknown_for_a_write(
    server: RawServer, http: Http, calls: list[Call], case: str, writes: bool
) -> None:
    step, code = BROKEN[case]
    server.will(step)
    started = time.monotonic()

    error = error_of(http, writes=writes)

    assert (type(error), error.code) == (Unknown if writes else Unavailable, code)
    assert time.monotonic() - started < 2
    assert (len(server.requests), len(calls), calls[0].error_code) == (1, 1, code)


def test_a_read_on_a_connection_closed_meanwhile_is_repeated_once(
    server: RawServer, http: Http, calls: list[Call]
) -> None:
    server.will(answer(200), Step(then="close"), answer(200, "again"))
    get(http)

    assert get(http).text == "again"
    assert [request.connection for request in server.requests] == [1, 1, 2]
    assert [call.error_code for call in calls] == [None, "connection_broken", None]


def test_a_repeated_read_that_breaks_again_is_unavailable(server: RawServer, http: Http) -> None:
    server.will(answer(200), Step(then="close"), Step(then="close"), answer(200))
    get(http)

    assert isinstance(error_of(http), Unavailable)
    assert len(server.requests) == 3


def test_a_write_on_a_connection_closed_meanwhile_is_never_repeated(server: RawServer, http: Http) -> None:
    server.will(answer(200), Step(then="close"), answer(200))
    get(http)

    assert isinstance(error_of(http, writes=True), Unknown)
    assert len(server.requests) == 2


@pytest.mark.parametrize("status", [300, 301, 302, 303, 304, 307, 308])
def test_a_redirect_is_never_followed(server: RawServer, http: Http, status: int) -> None:
    with serving() as elsewhere:
        server.will(answer(status, Location=elsewhere.base_url))

        error = error_of(http, headers={"Authorization": "Bearer abc"})

        assert (type(error), error.code, error.status) == (Misconfigured, "redirect", status)
        assert elsewhere.requests == []
        assert len(server.requests) == 1


@pytest.mark.parametrize("body", [b"x" * 1001, gzip.compress(b"x" * 100_000)], ids=["plain", "gzip"])
def test_an_answer_above_the_limit_is_dropped(server: RawServer, http: Http, body: bytes) -> None:
    headers = {"Content_Encoding": "gzip"} if body[:1] != b"x" else {}
    server.will(answer(200, body, **headers), answer(200, body, **headers))

    assert isinstance(error_of(http), TooLarge)
    assert isinstance(error_of(http, writes=True), Unknown)


def test_calls_of_a_thread_share_a_connection_and_threads_do_not(server: RawServer, http: Http) -> None:
    server.will(*[answer(200, "x")] * 3)

    get(http)
    get(Http(server.base_url, system="other", read_timeout=1))
    thread = threading.Thread(target=get, args=(http,))
    thread.start()
    thread.join()

    assert [request.connection for request in server.requests] == [1, 1, 2]
    assert all(request.headers.get("connection") != "close" for request in server.requests)


def test_nothing_is_taken_from_the_environment(
    server: RawServer, http: Http, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login other password other")
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    server.will(answer(200))

    get(http, headers={"Authorization": "Bearer ours"})

    assert server.requests[0].headers["authorization"] == "Bearer ours"


def test_cookies_are_not_kept(server: RawServer, http: Http) -> None:
    server.will(answer(200, Set_Cookie="who=acme; Path=/"), answer(200))

    get(http)
    get(http)

    assert "cookie" not in server.requests[1].headers


@pytest.mark.parametrize("value", ["two\nlines", "euro €", "ends in \r"])
def test_a_header_that_cannot_be_sent_is_not_repeated_in_the_error(http: Http, value: str) -> None:
    error = error_of(http, headers={"Authorization": f"Bearer s3cret{value}"})

    assert (type(error), error.code) == (Misconfigured, "not_sendable")
    assert "s3cret" not in "".join(traceback.format_exception(error))


@pytest.mark.parametrize("value", ["\ud800", float("nan")])
def test_a_value_that_json_cannot_hold_is_rejected_before_sending(server: RawServer, http: Http, value: object) -> None:
    error = error_of(http, writes=True, json={"naam": value})

    assert (type(error), error.code) == (Rejected, "not_sendable")
    assert server.requests == []


def test_an_error_carries_no_address_and_no_header(server: RawServer, http: Http) -> None:
    server.will(Step(then="reset"))

    error = error_of(http, params={"q": "jan@example.nl"}, headers={"Authorization": "Bearer s3cret"})

    told = "".join(traceback.format_exception(error)) + repr(error.__dict__)
    assert error.__context__ is None
    assert not any(word in told for word in ("jan@example.nl", "jan%40", "s3cret", "/base"))


def test_what_classifies_turns_an_answer_into_an_error_that_the_count_knows(
    server: RawServer, http: Http, calls: list[Call]
) -> None:
    server.will(answer(500))

    error = error_of(http, classify=lambda response: Rejected("no", "No.", status=response.status), token=True)

    assert error.code == "no"
    assert [(call.status, call.error_code, call.token) for call in calls] == [(500, "no", True)]


def test_an_alarm_that_comes_late_leaves_the_connection_alone() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        attempt = Attempt()
        attempt.sending(ours)
        attempt.finish()

        attempt.expire()

        ours.sendall(b"still open")
        assert theirs.recv(100) == b"still open"
        assert not attempt.out_of_time


@pytest.mark.parametrize("body", [b"", b"<html>", b"{", b"\xff", b"[" * 100_000])
def test_what_is_not_json_is_a_value_error(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        Response(200, {}, body).json()


NOW = datetime.datetime(2026, 11, 22, 12, 0, tzinfo=datetime.UTC)
RETRY_AFTER = [
    ({"Retry-After": "7200"}, None, 7200),
    ({"retry-after": " 1.5 "}, None, 1.5),
    ({"RETRY-AFTER": "-3"}, None, 0),
    ({"Retry-After": "999999"}, None, 86400),
    ({"Retry-After": "Sun, 22 Nov 2026 12:01:00 GMT"}, None, 60),
    ({"Retry-After": "Sun, 22 Nov 2026 12:01:00 -0000"}, None, 60),
    ({"Retry-After": "Sun, 22 Nov 2026 11:00:00 GMT"}, None, 0),
    ({"Retry-After": "soon"}, None, None),
    ({"Retry-After": "nan"}, None, None),
    ({}, b'{"error":{"code":"503"},"retry_after":7200}', 7200),
    ({}, '{"example":{"error":{"message":"x"},"retry_after":"60"}}', 60),
    ({}, "<error><retry_after>30</retry_after></error>", 30),
    ({"Retry-After": "5"}, b'{"retry_after":7200}', 5),
    ({"Retry-After": "soon"}, b'{"retry_after":7}', 7),
    ({}, b"\xff\xfe", None),
    ({}, None, None),
]


@pytest.mark.parametrize(("headers", "body", "seconds"), RETRY_AFTER)
def test_how_long_to_wait_is_read_from_header_or_body(
    headers: dict[str, str], body: str | bytes | None, seconds: float | None
) -> None:
    assert parse_retry_after(headers, body, now=NOW) == seconds


@given(st.text(), st.one_of(st.none(), st.binary(), st.text()))
def test_the_wait_is_always_none_or_between_zero_and_a_day(header: str, body: str | bytes | None) -> None:
    seconds = parse_retry_after({"Retry-After": header}, body, now=NOW)

    assert seconds is None or 0 <= seconds <= 86400


def _self_signed(folder: Path) -> ssl.SSLContext:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    today = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(today - datetime.timedelta(days=1))
        .not_valid_after(today + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ) + certificate.public_bytes(serialization.Encoding.PEM)
    (folder / "both.pem").write_bytes(pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "both.pem")
    return context
