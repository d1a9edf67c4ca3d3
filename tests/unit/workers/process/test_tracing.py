"""Where spans are sent, and what is said where they can't be."""

from __future__ import annotations

import pytest

from migrations.usable import Unfit
from workers.process import tracing


@pytest.fixture(autouse=True)
def no_collector(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*tracing.ENDPOINTS, "OTEL_SDK_DISABLED", "OTEL_TRACES_EXPORTER", "OTEL_EXPORTER_OTLP_PROTOCOL"):
        monkeypatch.delenv(name, raising=False)


def test_without_a_collector_nothing_is_asked_for() -> None:
    tracing.check()
    assert tracing.wanted() is None


@pytest.mark.parametrize("name", tracing.ENDPOINTS)
def test_a_collector_without_what_sends_is_one_line_that_says_what_to_install(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "http://collector.example.org:4318")
    tracing.check()
    monkeypatch.setattr(tracing, "EXPORTER", "opentelemetry.exporter.of_nobody.http")
    with pytest.raises(Unfit, match=rf"^{name} is set.*pip install 'koppeling\[traces\]'`\.$"):
        tracing.check()


def test_another_protocol_is_one_line_that_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(tracing.ENDPOINTS[1], "http://collector.example.org:4317")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    with pytest.raises(Unfit, match="must be http/protobuf"):
        tracing.check()


@pytest.mark.parametrize(("name", "value"), [("OTEL_SDK_DISABLED", "true"), ("OTEL_TRACES_EXPORTER", "none")])
def test_it_can_be_switched_off_as_everywhere(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(tracing.ENDPOINTS[1], "http://collector.example.org:4318")
    monkeypatch.setenv(name, value)
    assert tracing.wanted() is None
