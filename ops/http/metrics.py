"""``/metrics`` in the form that Prometheus reads: the state as the database knows it, read at most every five seconds.

Who may not see every tenant gets 403. Where a login is asked for, Prometheus shows the token as a bearer.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import accumulate

from fastapi import APIRouter, Response
from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.utils import floatToGoString

from models.session import DATABASE_TROUBLE
from models.worker import code_version
from ops import access, metrics
from ops.metrics import Metrics
from ops.problems import Forbidden
from tenancy import tallies

_as_go: Callable[[float], str] = floatToGoString
router = APIRouter(include_in_schema=False)
FRESH_SECONDS = 5.0
OF_TENANT = {
    "koppeling_holds_open": ("holds", "What guards hold back until somebody decides."),
    "koppeling_ambiguous_people": ("ambiguous", "People of whom nobody knows which account is theirs."),
    "koppeling_dead_letters_open": ("dead", "Messages that gave up and are open."),
    "koppeling_completions_conflicting": ("conflicts", "Dates that differ from what stands in AFAS."),
    "koppeling_completions_unverified": ("unverified", "Dates that were written and not seen in AFAS yet."),
    "koppeling_last_complete_snapshot_age_seconds": ("snapshot_age", "Since AFAS was last read as a whole."),
    "koppeling_credentials_end_timestamp_seconds": ("ends", "When the credentials of AFAS end, where that is known."),
}


@dataclass
class State:
    """What was told last. One request at a time reads; the others wait for it, so that scrapes never pile up."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    told: bytes = b""
    read_at: float = float("-inf")

    def get(self) -> bytes:
        """As text: it takes longer to write than all of it to read."""
        with self.lock:
            if time.monotonic() - self.read_at >= FRESH_SECONDS:
                self.told = written(_read())
                self.read_at = time.monotonic()
            return self.told


def _read() -> Metrics | None:
    try:
        return metrics.read()
    except DATABASE_TROUBLE:
        return None


def written(found: Metrics | None) -> bytes:
    """All families; only that there is no database where nothing was found."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Collector(found))
    lines = [*_of_tenants(found), *_budgets(found)] if found else []
    return generate_latest(registry) + "".join(lines).encode()


class Collector:
    """Makes families of what is there once: not of what is there for each tenant."""

    def __init__(self, found: Metrics | None) -> None:
        self.found = found

    def collect(self) -> Iterator[Metric]:
        """Only ``koppeling_database_up`` and the version while the database is away."""
        found = self.found
        yield _one("koppeling_database_up", "Whether the database answered.", float(found is not None))
        yield _by("koppeling_build_info", "The version of this process.", "version", {code_version(): 1})
        if found is None:
            return
        yield _one(
            "koppeling_database_writable",
            "Whether the database takes writes, and its disk more of them.",
            float(found["writable"]),
        )
        yield _by("koppeling_messages", "Messages still to be done, by state.", "state", found["messages"])
        yield _one("koppeling_oldest_message_age_seconds", "Age of the oldest message.", found["oldest_seconds"])
        yield _by("koppeling_runs", "Runs that are not over, by status.", "status", found["runs"])
        yield _one("koppeling_workers", "Worker processes that are alive.", found["workers"])
        yield _one("koppeling_worker_threads", "Messages that they work on at once.", found["threads"])
        yield _one(
            "koppeling_wanted_workers", "Worker processes that would have enough to do.", found["wanted_workers"]
        )
        yield _by("koppeling_service_up", "What one process does for all, done or not.", "service", found["services"])
        yield _by("koppeling_alerts_open", "Open alerts, by kind.", "kind", found["alerts"])
        yield _one("koppeling_dead_letters_of_no_tenant", "Open dead letters of no tenant.", found["dead_elsewhere"])
        yield from _counted(found)


def _counted(found: Metrics) -> Iterator[Metric]:
    calls = CounterMetricFamily(
        "koppeling_calls", "Calls that workers made, by what came of them.", labels=("system", "operation", "code")
    )
    for name, labels, value in found["tallies"]:
        if name == tallies.CALLS:
            calls.add_metric(labels, value)
    yield calls
    yield _histogram(
        "koppeling_call_seconds", "How long calls took.", tallies.CALL_SECONDS, ("system", "operation"), found
    )
    yield _histogram(
        "koppeling_end_to_end_seconds",
        "From the moment a change was planned until it was done in the other system.",
        tallies.DELAY,
        ("direction",),
        found,
    )


def _histogram(name: str, words: str, counted: str, names: tuple[str, ...], found: Metrics) -> Metric:
    family = HistogramMetricFamily(name, words, labels=names)
    parts: dict[tuple[str, ...], dict[str, float]] = {}
    for one, labels, value in found["tallies"]:
        if one == counted:
            parts.setdefault(labels[:-1], {})[labels[-1]] = value
    bounds = [*(f"{one:g}" for one in tallies.BUCKETS[counted]), tallies.INFINITE]
    for labels, numbers in parts.items():
        sums = accumulate(numbers.get(bound, 0.0) for bound in bounds)
        family.add_metric(labels, list(zip(bounds, sums, strict=True)), numbers.get(tallies.SUM, 0.0))
    return family


def _of_tenants(found: Metrics) -> Iterator[str]:
    for name, (key, words) in OF_TENANT.items():
        values = {slug: dict(one)[key] for slug, one in found["tenants"].items()}
        numbers = ((_of(slug), value) for slug, value in values.items() if isinstance(value, int | float))
        yield _many(name, words, numbers)
    states = (
        (f'{_of(slug)},direction="{direction}",state="{each.value}"', state == each)
        for slug, one in found["tenants"].items()
        for direction, state in one["directions"].items()
        for each in metrics.STATES
    )
    yield _many("koppeling_direction_state", "1 for the state that a direction is in.", states)


def _budgets(found: Metrics) -> Iterator[str]:
    allowed = ((_of(slug), one["allowed"]) for slug, one in found["budgets"].items())
    yield _many("koppeling_afas_calls_allowed", "Calls that an AFAS environment takes at once.", allowed)
    in_flight = ((_of(slug), one["in_flight"]) for slug, one in found["budgets"].items())
    yield _many("koppeling_afas_calls_in_flight", "Those that are under way at this moment.", in_flight)


def _of(slug: str) -> str:
    """A slug as a label. It is a word of letters, numbers and dashes, of which nothing is to be escaped."""
    return f'tenant="{slug}"'


def _many(name: str, words: str, numbers: Iterable[tuple[str, float]]) -> str:
    """A gauge of thousands of numbers, each with its labels. The library needs several times as long for it."""
    lines = "".join(f"{name}{{{labels}}} {_as_go(number)}\n" for labels, number in numbers)
    return f"# HELP {name} {words}\n# TYPE {name} gauge\n{lines}"


def _one(name: str, words: str, value: float) -> Metric:
    return GaugeMetricFamily(name, words, value=value)


def _by(name: str, words: str, label: str, values: dict[str, int] | dict[str, bool] | dict[str, float]) -> Metric:
    family = GaugeMetricFamily(name, words, labels=(label,))
    for word, value in values.items():
        family.add_metric((word,), float(value))
    return family


_state = State()


@router.get("/metrics")
def exposition() -> Response:
    """Everything, as text."""
    access.check("system.read", None)
    if access.visible() is not None:
        raise Forbidden("all_tenants")
    return Response(_state.get(), media_type=CONTENT_TYPE_LATEST)
