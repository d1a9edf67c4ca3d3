"""Sends the spans of this process to a collector, where one is named.

The variables are OpenTelemetry's own: ``OTEL_EXPORTER_OTLP_ENDPOINT``, ``OTEL_SERVICE_NAME``, ``OTEL_TRACES_SAMPLER``.
What sends is an extra, so that who has no collector installs and imports none of it.
"""

from __future__ import annotations

import os
import threading
from importlib.util import find_spec

from opentelemetry import trace

from migrations.usable import Unfit
from models.worker import code_version, worker_id

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
EXPORTER = "opentelemetry.exporter.otlp.proto.http"
# For what is left when the process ends.
FLUSH_SECONDS = 2.0


def wanted() -> str | None:
    """The variable that names a collector; None where none does."""
    off = os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true" or os.environ.get("OTEL_TRACES_EXPORTER") == "none"
    return None if off else next((name for name in ENDPOINTS if os.environ.get(name)), None)


def check() -> None:
    """Raise Unfit where a collector is named and nothing is there that could send to it."""
    name = wanted()
    if name is None:
        return
    try:
        found = find_spec(EXPORTER)
    except ModuleNotFoundError:
        found = None
    if found is None:
        raise Unfit(f"{name} is set, and what sends spans is not installed: `pip install 'koppeling[traces]'`.")
    if os.environ.get("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf") != "http/protobuf":
        raise Unfit("OTEL_EXPORTER_OTLP_PROTOCOL must be http/protobuf: it is the one that is sent here.")


def begin() -> None:
    """Send spans from here on, if a collector is named."""
    if wanted() is None:
        return
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415  an extra
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415  as above
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415  as above
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415  as above

    told = {"service.version": code_version(), "service.instance.id": worker_id()}
    if not os.environ.get("OTEL_SERVICE_NAME"):
        told["service.name"] = "koppeling"
    provider = TracerProvider(resource=Resource.create(told), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)


def end() -> None:
    """Send what is left; a collector that does not answer keeps no process from ending."""
    flush = getattr(trace.get_tracer_provider(), "force_flush", None)
    if flush is not None:
        rest = threading.Thread(target=flush, daemon=True)
        rest.start()
        rest.join(FLUSH_SECONDS)
