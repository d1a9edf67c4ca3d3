"""``/metrics``: what a monitoring system reads, parsed as it does."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import psycopg
import pytest
import requests
from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.parser import text_string_to_metric_families

import settings
from clients.http import Call
from models.session import transaction
from ops import metrics
from ops.access import Actor, Role, acting
from ops.http import metrics as exposed
from ops.http.app import make_app
from ops.problems import Forbidden
from ops.tenants.importing import Imported
from tenancy import tallies
from tenancy.alerts import open_alert
from tenancy.call_slots import call_slot
from tests.fixtures.serving import serving
from tests.integration.ops.alerting import hold, setting
from tests.integration.ops.conftest import add_dead_letter, add_enrollment, run_sql, scalar
from tests.unit.ops.tenants.test_file import GOOD

LABELS = {"tenant", "direction", "state", "status", "service", "kind", "version", "system", "operation", "code", "le"}
Found = dict[tuple[str, tuple[tuple[str, str], ...]], float]


class Families:
    """What a registry asks."""

    def __init__(self, *families: Metric) -> None:
        self.families = families

    def collect(self) -> Iterator[Metric]:
        yield from self.families


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is remembered of another test."""
    monkeypatch.setattr(exposed, "FRESH_SECONDS", 0.0)


@pytest.fixture
def url(acme: int, fresh: None) -> Iterator[str]:
    with serving(make_app()) as served:
        yield f"{served.url}/metrics"


def parsed(url: str) -> Found:
    answer = requests.get(url, timeout=60)
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"].startswith("text/plain; version=")
    families = list(text_string_to_metric_families(answer.text))
    assert len({family.name for family in families}) == len(families)
    assert all(family.documentation and family.name.startswith("koppeling_") for family in families)
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


def value(found: Found, name: str, **labels: str) -> float:
    return found[f"koppeling_{name}", tuple(sorted(labels.items()))]


def test_what_waits_and_how_every_direction_is_doing(acme: int, url: str) -> None:
    hold(acme)
    enrollment = add_enrollment(acme, "80")
    add_dead_letter(acme, enrollment)
    run_sql("UPDATE tenant_direction SET state = 'quarantined' WHERE direction = 'completions'")
    run_sql("""UPDATE tenant SET afas = afas || '{"secret_ends": "2027-05-01"}'""")
    run_sql(
        "INSERT INTO run (id, batch, tenant_id, direction, trigger, status, snapshot, finished_at)"
        " VALUES ('01ZZZ', 'b', :t, 'enrollments', 'schedule', 'done', 'complete', now() - interval '1 hour')"
        " RETURNING id",
        t=acme,
    )
    for number, trigger, options in ((1, "preview", "{}"), (2, "operator", '{"person": "80"}')):
        run_sql(
            "INSERT INTO run (id, batch, tenant_id, direction, trigger, status, snapshot, options)"
            " VALUES (:id, 'b', :t, 'enrollments', :trigger, 'done', 'complete', CAST(:options AS jsonb)) RETURNING id",
            id=f"02ZZZ{number}",
            t=acme,
            trigger=trigger,
            options=options,
        )
    run_sql("INSERT INTO worker (id, host, pid, threads, code_version) VALUES ('a', 'a', 1, 8, 'v') RETURNING id")
    run_sql("INSERT INTO service (name, worker) VALUES ('timetable', 'a') RETURNING name")
    with transaction() as connection:
        open_alert(connection, acme, "no_room", None, "…", {})

    found = parsed(url)

    assert value(found, "database_up") == value(found, "database_writable") == 1
    assert value(found, "holds_open", tenant="acme") == 1
    assert value(found, "dead_letters_open", tenant="acme") == 1
    assert value(found, "ambiguous_people", tenant="acme") == 0
    assert value(found, "messages", state="ready") == 0
    assert value(found, "workers") == 1
    assert value(found, "worker_threads") == 8
    assert value(found, "wanted_workers") == 1
    assert value(found, "service_up", service="timetable") == 1
    assert value(found, "service_up", service="relay") == 0
    assert value(found, "alerts_open", kind="no_room") == 1
    assert value(found, "direction_state", tenant="acme", direction="completions", state="quarantined") == 1
    assert value(found, "direction_state", tenant="acme", direction="completions", state="healthy") == 0
    assert value(found, "credentials_end_timestamp_seconds", tenant="acme") == 1809216000  # the end of that day
    assert 3600 <= value(found, "last_complete_snapshot_age_seconds", tenant="acme") < 3600 * 2


def counted(*calls: Call) -> None:
    """By another process than that of the test."""
    for call in calls:
        tallies.called(call)
    tallies.ended("enrollments", 4.0)
    tallies.write()


def test_calls_and_delays_are_those_of_all_workers_and_only_rise(acme: int, url: str) -> None:
    # given what two processes counted, one of which is gone
    page = Call("AFAS", "reading a page", 200, 0.3, None)
    refused = Call("Pluvo", "UpsertUser", 429, 40.0, "rate_limited")
    counted(page, page, refused, Call("AFAS", "fetching an AFAS access token", 200, 0.05, None, token=True))
    counted(page, Call("Pluvo", "UpsertUser", 200, 1.0, None, shared=True))
    # when
    found = parsed(url)
    # then
    assert value(found, "calls_total", system="afas", operation="reading_a_page", code="ok") == 3
    assert value(found, "calls_total", system="afas", operation="token", code="ok") == 1
    assert value(found, "calls_total", system="pluvo", operation="upsertuser", code="rate_limited") == 1
    of_page = {"system": "afas", "operation": "reading_a_page"}
    assert value(found, "call_seconds_bucket", **of_page, le="0.25") == 0
    assert value(found, "call_seconds_bucket", **of_page, le="0.5") == 3
    assert value(found, "call_seconds_count", **of_page) == 3
    assert value(found, "call_seconds_sum", **of_page) == pytest.approx(0.9)
    assert value(found, "end_to_end_seconds_bucket", direction="enrollments", le="5") == 2
    assert value(found, "end_to_end_seconds_bucket", direction="enrollments", le="1") == 0


def test_the_budget_of_afas_is_told(acme: int, url: str) -> None:
    run_sql("""UPDATE tenant SET afas = afas || '{"parallel_calls": 3}'""")
    with call_slot("https://12345.rest.afas.online/ProfitRestServices", 3):
        found = parsed(url)
    assert value(found, "afas_calls_allowed", tenant="acme") == 3
    assert value(found, "afas_calls_in_flight", tenant="acme") == 1


def test_no_word_of_another_system_becomes_a_label(acme: int, url: str) -> None:
    for number in range(3 * tallies.MOST):
        tallies.called(Call("AFAS", f"reading {number}", 200, 0.1, f"p{number}@example.nl | <b>"))
    tallies.write()

    found = {key: labels for key, labels in parsed(url) if key.startswith("koppeling_call")}
    text = requests.get(url, timeout=60).text

    assert len(found) > 0
    assert scalar("SELECT count(*) FROM tally") <= tallies.MOST + 3
    assert "example.nl |" not in text
    assert "@" not in text
    assert "<b>" not in text


def test_what_can_not_be_written_now_counts_the_next_time(acme: int, database_url: str) -> None:
    # given a process that was frozen while it added
    counted(Call("AFAS", "reading a page", 200, 0.3, None))
    with psycopg.connect(database_url) as frozen:
        frozen.execute("UPDATE tally SET value = value")
        # when
        counted(Call("AFAS", "reading a page", 200, 0.3, None))
    # then
    name = "SELECT value FROM tally WHERE name = 'calls'"
    assert scalar(name) == 1
    tallies.write()
    assert scalar(name) == 2


def test_no_label_holds_a_name_or_an_address_and_each_is_known(acme: int, url: str) -> None:
    add_dead_letter(acme, add_enrollment(acme, "80"))
    answer = requests.get(url, timeout=60).text

    assert {label for _, labels in parsed(url) for label, _ in labels} <= LABELS
    for private in ("Jansen", "example.nl", "Acme Opleidingen", "12345"):
        assert private not in answer


def test_numbers_of_tenants_stand_there_as_the_library_writes_them(acme: int, fresh: None) -> None:
    found = metrics.read()
    name = "koppeling_credentials_end_timestamp_seconds"
    family = GaugeMetricFamily(name, exposed.OF_TENANT[name][1], labels=("tenant",))
    for slug, ends in (("acme", 1809216000.5), ("beta", -3.0), ("gamma", 7.0)):
        found["tenants"][slug] = {**found["tenants"]["acme"], "ends": ends}
        family.add_metric((slug,), ends)
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Families(family))

    assert generate_latest(registry).decode() in exposed.written(found).decode()


def test_so_many_tenants_are_labels_and_no_more(
    acme: int, url: str, import_text: Callable[[str], list[Imported]], monkeypatch: pytest.MonkeyPatch
) -> None:
    import_text(GOOD.replace('"acme"', '"beta"').replace("12345", "67890"))
    monkeypatch.setattr(metrics, "MOST_TENANTS", 1)

    tenants = {label for _, labels in parsed(url) for name, label in labels if name == "tenant"}

    assert tenants == {"acme"}


def test_without_a_database_it_says_so_and_nothing_else(acme: int, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    setting(monkeypatch, DATABASE_URL="postgresql://nobody@127.0.0.1:9/x")
    found = parsed(url)
    settings.get.cache_clear()

    assert value(found, "database_up") == 0
    assert {name for name, _ in found} == {"koppeling_database_up", "koppeling_build_info"}


def test_the_database_is_asked_once_in_five_seconds(acme: int, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = parsed(url)
    monkeypatch.setattr(exposed, "FRESH_SECONDS", 3600.0)
    hold(acme)

    assert value(before, "holds_open", tenant="acme") == value(parsed(url), "holds_open", tenant="acme")


def test_who_sees_some_tenants_gets_none_of_it(acme: int, fresh: None) -> None:
    with acting(Actor("anna", Role.ADMIN, frozenset({"acme"}))), pytest.raises(Forbidden):
        exposed.exposition()


def test_a_login_is_asked_for_where_others_can_reach_it(
    acme: int, fresh: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    setting(monkeypatch, LOGIN_TOKEN="token-of-the-test")
    with serving(make_app("0.0.0.0")) as served:
        assert requests.get(f"{served.url}/metrics", timeout=60).status_code in (303, 401)
        shown = {"Authorization": "Bearer token-of-the-test"}
        assert requests.get(f"{served.url}/metrics", headers=shown, timeout=60).status_code == 200


@pytest.mark.parametrize(
    ("lanes", "runs", "used", "wanted"),
    [
        ([], 0, False, 0),
        ([], 0, True, 1),
        ([(10_000, 10)], 0, True, 1),
        ([(10, 5)], 0, True, 1),
        ([(1, 5)] * 100, 0, True, 10),
        ([(100, 2)] * 80, 0, True, 16),
        ([], 9, True, 3),
        ([(10_000, 10)], 9, True, 3),
    ],
)
def test_as_many_workers_are_wanted_as_have_enough_to_do(
    lanes: list[tuple[int, int]], runs: int, used: bool, wanted: int
) -> None:
    assert metrics.wanted(lanes, runs, used=used) == wanted


@pytest.mark.parametrize(
    ("direction", "calls_per_second", "people_per_call", "wanted"),
    [("enrollments", 5, 1, 1), ("enrollments", 0, 1, 1), ("completions", 5, 1, 1), ("enrollments", 100, 10, 1)],
)
def test_thousands_of_messages_of_one_tenant_want_one_worker(
    acme: int, direction: str, calls_per_second: int, people_per_call: int, wanted: int
) -> None:
    run_sql(
        "UPDATE tenant SET pluvo = pluvo || jsonb_build_object('calls_per_second', CAST(:calls AS int),"
        " 'people_per_call', CAST(:people AS int)) RETURNING id",
        calls=calls_per_second,
        people=people_per_call,
    )
    run_sql(
        "INSERT INTO message (tenant_id, kind, direction, subject_id, lock)"
        " SELECT :tenant, 'enrollment.upsert', :direction, n, 'l' || n FROM generate_series(1, 3000) n RETURNING id",
        tenant=acme,
        direction=direction,
    )

    assert metrics.read()["wanted_workers"] == wanted

    run_sql("UPDATE tenant_direction SET state = 'paused' RETURNING id")
    assert metrics.read()["wanted_workers"] == 1


def test_one_message_each_of_a_hundred_tenants_wants_ten_workers(acme: int) -> None:
    run_sql(
        "INSERT INTO tenant (slug, name, timezone, interval_seconds, afas, pluvo)"
        " SELECT 't' || n, 't' || n, timezone, 3600, afas, pluvo FROM tenant, generate_series(1, 100) n"
        " WHERE id = :acme RETURNING id",
        acme=acme,
    )
    run_sql(
        "INSERT INTO message (tenant_id, kind, direction, subject_id, lock)"
        " SELECT id, 'enrollment.upsert', 'enrollments', id, 'l' FROM tenant WHERE id <> :acme RETURNING id",
        acme=acme,
    )

    assert metrics.read()["wanted_workers"] == 10
