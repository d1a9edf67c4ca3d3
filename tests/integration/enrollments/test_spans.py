"""What a run does, as spans: runs, messages and calls, with no URL, name or address in any of them."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from clients.http import call
from models.session import transaction
from producers.runs.request import request_run
from tenancy import spans
from tests.fixtures.world import World
from workers.runs import runner

KNOWN = {
    *("koppeling.run", "koppeling.tenant", "koppeling.fence", "koppeling.direction", "koppeling.message"),
    *("koppeling.tries", "koppeling.outcome", "koppeling.system", "koppeling.operation"),
    *("http.response.status_code", "error.type"),
}


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> InMemorySpanExporter:
    """What would be sent to a collector."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(spans, "TRACER", provider.get_tracer("koppeling"))
    monkeypatch.setattr(call, "_TRACER", provider.get_tracer("koppeling"))
    return exporter


def whole_run(world: World) -> None:
    with transaction() as connection:
        request_run(connection, world.tenant_id, "enrollments", trigger="operator", options={})
    lease = runner.claim()
    assert lease is not None
    runner.work(lease)
    world.drain()


def of(found: Sequence[ReadableSpan], beginning: str) -> list[ReadableSpan]:
    return [one for one in found if one.name.startswith(beginning)]


def test_calls_are_below_their_message_or_run_and_tell_no_url_name_or_address(
    world: World, kept: InMemorySpanExporter
) -> None:
    # given
    for number in (1, 2):
        world.person(number, 340, name="Anna-Marie Voorbeeld")
    # when
    whole_run(world)
    # then
    found = kept.get_finished_spans()
    (run,), messages = of(found, "run enrollments"), of(found, "message enrollment.upsert")
    above = {one.context.span_id for one in (run, *messages) if one.context}
    calls = of(found, "call ")
    assert len(messages) == 2
    assert {one.name for one in calls} == {"call afas", "call pluvo"}
    assert all(one.parent and one.parent.span_id in above for one in calls)
    assert (run.attributes or {})["koppeling.outcome"] == "planned"
    assert {key for one in found for key in one.attributes or {}} <= KNOWN
    told = " ".join(f"{one.name} {dict(one.attributes or {})} {one.status.description} {one.events}" for one in found)
    for private in ("://", "127.0.0.1", "Voorbeeld", "example", "ProfitRestServices", "graphql", "Bearer"):
        assert private not in told


def test_what_fails_says_by_which_code_and_nothing_else(world: World, kept: InMemorySpanExporter) -> None:
    # given
    world.person(1, 340)
    world.fault("pluvo", "status", status=503)
    # when
    whole_run(world)
    # then
    found = kept.get_finished_spans()
    failed = [one for one in found if one.status.status_code == StatusCode.ERROR]
    assert of(failed, "call pluvo")
    assert all((one.attributes or {})["error.type"] for one in of(failed, "call "))
    assert not any(one.events for one in found)


def test_without_a_collector_nothing_is_recorded(world: World) -> None:
    with spans.span("run enrollments", run="01J"):
        spans.ended("done")
        assert not trace.get_current_span().is_recording()
