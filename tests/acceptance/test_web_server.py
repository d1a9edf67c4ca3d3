"""What strangers may take of the web server: bounded memory, bounded time, bounded connections, bounded log."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse
from sqlalchemy import text

from models.session import transaction
from ops.http import server
from ops.http.app import make_app
from ops.http.console import live
from ops.http.server import Limits
from tests.fixtures.serving import serving

SHORT = Limits(head_seconds=1, body_seconds=1, connections=8)
HEAD = b"POST /webhooks/pluvo/acme HTTP/1.1\r\nHost: a\r\n"
GET = b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.fixture
def port(configured: Any) -> Iterator[int]:
    """A server with short limits."""
    with serving(make_app(), SHORT, send_buffer=4096) as served:
        yield served.port


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=30)


def answer(connection: socket.socket) -> bytes:
    """All that comes until the server hangs up."""
    taken = b""
    with suppress(ConnectionError):
        while part := connection.recv(65536):
            taken += part
    return taken


def healthy(port: int) -> bool:
    with requests.get(f"http://127.0.0.1:{port}/healthz", timeout=30) as got:
        return got.status_code == 200


@pytest.mark.parametrize(
    "begun",
    [
        b"",
        b"GET",
        HEAD,
        HEAD + b"Content-Length: 10\r\n\r\nabc",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
    ],
    ids=["nothing", "a word", "half a head", "half a body", "half of the chunks"],
)
def test_who_does_not_finish_a_request_is_sent_away(port: int, begun: bytes) -> None:
    with connect(port) as connection:
        connection.sendall(begun)
        assert answer(connection) == b""
    assert healthy(port)


@pytest.mark.parametrize("more", [b"", b"G"], ids=["silence", "the next request begun"])
def test_a_body_that_goes_on_after_its_answer_ends_too(port: int, more: bytes) -> None:
    with connect(port) as connection:
        connection.sendall(GET.replace(b"\r\n\r\n", b"\r\nContent-Length: 5\r\n\r\n"))
        first = connection.recv(65536)
        connection.sendall(b"12345" + more)
        assert first.startswith(b"HTTP/1.1 200")
        assert answer(connection) == b""


@pytest.mark.parametrize("head", [HEAD, HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n"], ids=["headers", "trailers"])
def test_headers_without_end_are_refused(port: int, head: bytes) -> None:
    sent = 0
    with connect(port) as connection, suppress(ConnectionError):
        connection.sendall(head)
        for number in range(200_000):
            line = b"X-%d: %s\r\n" % (number, b"x" * 500)
            connection.sendall(line)
            sent += len(line)
    assert sent < 20_000_000
    assert healthy(port)


RUN = "01J" + "0" * 23


def _waiting_run() -> None:
    with transaction() as connection:
        connection.execute(
            text(
                """WITH acme AS (
                       INSERT INTO tenant (slug, name, timezone, interval_seconds, afas, pluvo)
                       VALUES ('acme', 'Acme', 'Europe/Amsterdam', 3600, '{"member_id": "12345"}',
                               '{"organisation": "acme", "client_id": "koppeling"}') RETURNING id)
                   INSERT INTO run (id, batch, tenant_id, direction, trigger, status)
                   SELECT :id, :id, id, 'enrollments', 'operator', 'queued' FROM acme"""
            ),
            {"id": RUN},
        )


def test_pages_that_are_watched_do_not_keep_the_server_from_ending(configured: Any) -> None:
    # given a run that nobody works on, and people who watch it
    _waiting_run()
    with serving(make_app()) as served, ExitStack() as stack:
        watching = [stack.enter_context(connect(served.port)) for _ in range(3)]
        for one in watching:
            one.sendall(b"GET /runs/01J%s/events HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n" % (b"0" * 23, served.port))
        for one in watching:
            seen = b""
            while b"data:" not in seen:
                seen += one.recv(65536)
            assert seen.startswith(b"HTTP/1.1 200")
        # when it is told to end, as by SIGTERM
        served.server.should_exit = True
        # then it does
        served.thread.join(60)
        assert not served.thread.is_alive()
        for one in watching:
            answer(one)


def test_half_open_connections_do_not_keep_others_out(port: int) -> None:
    with ExitStack() as stack:
        for _ in range(10 * SHORT.connections):
            stack.enter_context(connect(port)).sendall(HEAD)
            assert healthy(port)


@pytest.mark.parametrize("asked", [GET, GET * 2000], ids=["one request", "requests without end"])
def test_who_had_an_answer_makes_room_for_others(port: int, asked: bytes) -> None:
    with ExitStack() as stack:
        for _ in range(SHORT.connections):
            connection = stack.enter_context(connect(port))
            connection.sendall(asked)
            assert connection.recv(15).startswith(b"HTTP/1.1 200")
        assert healthy(port)


def test_who_does_not_take_the_answers_is_sent_away(port: int) -> None:
    with connect(port) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.sendall(GET * 3000)
        time.sleep(4 * SHORT.body_seconds)  # of the caller's silence
        assert answer(connection).count(b"HTTP/1.1 200") < 3000
    assert healthy(port)


def test_requests_one_after_the_other_and_in_one_go_are_all_answered(port: int) -> None:
    with connect(port) as connection:
        connection.sendall(GET * 3)
        taken = b""
        while taken.count(b"HTTP/1.1 200") < 3:
            taken += connection.recv(65536)
        connection.sendall(GET)
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")


def test_after_a_body_that_is_too_large_nothing_more_is_read(configured: Any) -> None:
    with serving(make_app(), Limits(), send_buffer=4096) as served, connect(served.port) as connection:
        connection.sendall(HEAD + b"Content-Length: 1000000\r\n\r\n" + b"x" * 1_000_000)
        told = answer(connection).lower()
    assert told.startswith(b"http/1.1 200")
    assert b"connection: close" in told


def test_nobody_is_sent_to_the_host_a_caller_named(port: int) -> None:
    for path in ("/healthz/", "/webhooks/pluvo/acme/", "//evil.example/healthz"):
        with connect(port) as connection:
            connection.sendall(b"POST %s HTTP/1.1\r\nHost: evil.example\r\nContent-Length: 0\r\n\r\n" % path.encode())
            answer = connection.recv(65536)
            assert answer.startswith((b"HTTP/1.1 403", b"HTTP/1.1 404", b"HTTP/1.1 405"))
            assert b"location" not in answer.lower()
            assert b"evil" not in answer


def test_the_server_keeps_its_memory_and_its_log_small_whoever_calls(
    environment: dict[str, str], tmp_path: Path
) -> None:
    """A process of its own, as it is deployed: 60 MB of headers, then hundreds of requests that are none."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = tmp_path / "log"
    command = [sys.executable, "-m", "ops.cli", "serve", "--port", str(port)]
    with log.open("wb") as errors, subprocess.Popen(command, env=os.environ | environment, stderr=errors) as process:
        try:
            _wait_until_it_answers(port, process)
            before = psutil.Process(process.pid).memory_info().rss
            for _ in range(12):
                with connect(port) as connection, suppress(ConnectionError):
                    connection.sendall(HEAD)
                    for number in range(10_000):
                        connection.sendall(b"X-%d: %s\r\n" % (number, b"x" * 500))
            grown = psutil.Process(process.pid).memory_info().rss - before
            for _ in range(300):
                with connect(port) as connection:
                    connection.sendall(b"\x1b]0;owned\x07 none\r\n\r\n")
                    answer(connection)
                requests.post(f"http://127.0.0.1:{port}/webhooks/pluvo/%1b%5b31mred", data=b"x", timeout=30).close()
        finally:
            process.terminate()
            process.wait(30)
    assert grown < 25_000_000
    written = log.read_bytes()
    assert written.count(b"\n") < 20
    assert b"\x1b" not in written


def _wait_until_it_answers(port: int, process: subprocess.Popen[bytes]) -> None:
    for _ in range(600):
        assert process.poll() is None
        with suppress(requests.ConnectionError):
            if healthy(port):
                return
        time.sleep(0.1)  # between two looks
    raise AssertionError("it did not start")


def test_who_listens_for_changes_does_not_keep_a_server_that_is_told_to_stop(configured: Any) -> None:
    """A page that refreshes by itself has an answer open that never ends."""
    listening = FastAPI()

    @listening.get("/events")
    def events(request: Request) -> StreamingResponse:
        return live.stream(request, time.monotonic, seconds=0.1)

    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        number = bound.getsockname()[1]
        made = uvicorn.Server(server.config(listening, "127.0.0.1", number))
        thread = threading.Thread(target=made.run, kwargs={"sockets": [bound]}, daemon=True)
        thread.start()
        while not made.started:
            assert thread.is_alive()
            time.sleep(0.01)
        with requests.get(f"http://127.0.0.1:{number}/events", stream=True, timeout=30) as answer:
            lines = answer.iter_lines()
            assert next(line for line in lines if line) == b"data: -"
            made.should_exit = True
            thread.join(60)
        assert not thread.is_alive()


def test_serve_ends_in_time_after_sigterm_with_pages_that_are_watched(
    configured: Any, environment: dict[str, str], tmp_path: Path
) -> None:
    # given the command itself, and a run that nobody works on, which people watch
    _waiting_run()
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        number = bound.getsockname()[1]
    command = [sys.executable, "-m", "ops.cli", "serve", "--no-login", "--port", str(number)]
    with (tmp_path / "out").open("wb") as out, ExitStack() as stack:
        process = subprocess.Popen(command, env=os.environ | environment, stdout=out, stderr=out)
        stack.callback(process.kill)
        _until_healthy(process, number)
        watching = [stack.enter_context(connect(number)) for _ in range(5)]
        for one in watching:
            one.sendall(b"GET /runs/%s/events HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n" % (RUN.encode(), number))
        for one in watching:
            seen = b""
            while b"data:" not in seen:
                seen += one.recv(65536)
        # when
        process.send_signal(signal.SIGTERM)
        # then
        assert process.wait(60) == 0, (tmp_path / "out").read_text()
        for one in watching:
            answer(one)


def _until_healthy(process: subprocess.Popen[bytes], number: int) -> None:
    end = time.monotonic() + 120
    while True:
        assert process.poll() is None
        assert time.monotonic() < end, "it did not start"
        with suppress(requests.ConnectionError):
            if healthy(number):
                return
        time.sleep(0.1)  # between two looks
