"""Spans of real worker processes arrive at a collector."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from models.session import transaction
from producers.runs.request import request_run
from tests.integration.engine.conftest import Engine
from tests.integration.engine.test_processes import supervised


class Collector(ThreadingHTTPServer):
    """Keeps what is sent to it."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.spans: list[Span] = []
        self.services: set[str] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        for one in ExportTraceServiceRequest.FromString(body).resource_spans:
            self.server.services |= {
                pair.value.string_value for pair in one.resource.attributes if pair.key == "service.name"
            }
            self.server.spans += [span for scope in one.scope_spans for span in scope.spans]
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *arguments: object) -> None:
        """Not on standard error."""


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def test_runs_and_messages_of_real_workers_arrive_at_a_collector(
    engine: Engine, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "200")
    tenant = engine.tenant()
    with supervised(engine, 1):
        # when
        with transaction() as connection:
            run = request_run(connection, tenant, "enrollments", trigger="operator", options={})
        engine.enqueue(tenant, 1, 2, 3)
        # then
        engine.wait(lambda: len([one for one in collector.spans if one.name.startswith("message ")]) == 3)
        engine.wait(lambda: [one for one in collector.spans if one.name == "run enrollments"])
    (begun,) = [one for one in collector.spans if one.name == "run enrollments"]
    assert {pair.key: pair.value.string_value for pair in begun.attributes}["koppeling.run"] == run
    assert collector.services == {"koppeling"}
