"""No statement reads a whole large table, but those that are about all of it: PostgreSQL tells its plan for each.

On a database with a history (``benchmarks/seed.py``), and with plans for whatever values come (``force_generic_plan``):
what a worker prepared once is planned without them.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import event

import settings
from benchmarks.seed import Sizes, seed
from models.session import engine
from ops import audit, completions, holds, overview, quality, status
from ops.dead_letters import inbox, replay_batch, replays
from ops.dead_letters.inbox import Filters
from ops.people import deciding, explain, links, search
from ops.runs import history, progress
from ops.runs.lines import LineFilters
from ops.tenants import insight, manage
from tests.fixtures.postgres import new_database
from tests.migrations.test_statements import PARTS, constants, numbered

SIZES = Sizes(
    tenants=100, enrollments=50_000, runs=4_000, open_dead_letters=2_000, closed_dead_letters=8_000, held_lines=1_000,
    messages=5_000, webhooks=10_000, applying=10, reading=10,
)  # fmt: skip
LARGE = {
    *("message", "enrollment", "person", "link", "plan_line"),
    *("change", "dead_letter", "completion", "webhook_event"),
}
# Statements that may, and why.
ABOUT_ALL = {
    "workers.maintenance.retention._LINES": "once an hour: what is old, of all tenants",
    "workers.maintenance.retention._PEOPLE": "the same",
    "ops.servers.restore._LOOK_AGAIN": "once after a restore, of all tenants, while nothing runs",
    "ops.metrics._LANES": "counts what waits, of all tenants, at most once in five seconds",
    "ops.metrics._OLDEST": "the same",
    "workers.maintenance.probes._DUE": "reads messages only while a probe of a quarantine is due",
    "ops.dead_letters.inbox._COLUMNS": "begins statements that go on with a condition",
    "ops.people.links._OF_ALL": "the same",
    "ops.people.links._OF_ONE": "the same",
    "ops.completions._ITEM": "the same",
    "ops.dead_letters.replay_batch.LINES": "the same",
}
UNSEEN = "SELECT count(*) FROM pg_class WHERE relname = ANY(%s) AND relkind = 'r' AND relallvisible < relpages"
YEARS = datetime(2020, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def seeded_url(postgres_url: str, template_database: str) -> Iterator[str]:
    with new_database(postgres_url, template_database) as url:
        with psycopg.connect(url, autocommit=True) as connection:
            seed(connection, SIZES)
            vacuumed(connection)
        yield url


def vacuumed(connection: psycopg.Connection) -> None:
    """Vacuum until all rows count as visible to everybody, without which no index is read alone.

    On a busy machine autovacuum may look at a table meanwhile: what is newer than its snapshot does not count.
    """
    last = time.monotonic() + 60
    while connection.execute(UNSEEN, [sorted(LARGE)]).fetchone() != (0,):
        assert time.monotonic() < last, "somebody holds a snapshot"
        time.sleep(0.2)
        connection.execute("VACUUM ANALYZE")


def scanned(plan: dict[str, Any]) -> set[str]:
    """Large tables that a plan reads from end to end."""
    here = {plan["Relation Name"]} if plan["Node Type"] == "Seq Scan" else set()
    return (here & LARGE).union(*map(scanned, plan.get("Plans", [])))


def test_no_constant_statement_reads_a_whole_large_table(seeded_url: str) -> None:
    found = {}
    with psycopg.connect(seeded_url, autocommit=True) as connection:
        connection.execute("SET plan_cache_mode = force_generic_plan")
        for name, statement in constants():
            if name in PARTS or name in ABOUT_ALL:
                continue
            text = numbered(statement)
            count = len(set(re.findall(r"\$\d+", text)))
            values = f"({', '.join(['NULL'] * count)})" if count else ""
            connection.execute(sql.SQL("PREPARE one AS ") + sql.SQL(text))
            row = connection.execute(sql.SQL("EXPLAIN (FORMAT JSON) EXECUTE one") + sql.SQL(values)).fetchone()
            connection.execute("DEALLOCATE one")
            if row and (tables := scanned(row[0][0]["Plan"])):
                found[name] = tables
    assert found == {}


@pytest.fixture
def plans(seeded_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, Any]]]:
    """The plan of each statement that this process makes."""
    with explaining("EXPLAIN (FORMAT JSON)", seeded_url, monkeypatch) as found:
        yield found


@pytest.fixture
def carried_out(seeded_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, Any]]]:
    """The same with what was really read."""
    with explaining("EXPLAIN (ANALYZE, FORMAT JSON)", seeded_url, monkeypatch) as found:
        yield found


@contextmanager
def explaining(how: str, url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, Any]]]:
    monkeypatch.setenv("KOPPELING_DATABASE_URL", url)
    settings.get.cache_clear()
    found: list[dict[str, Any]] = []

    def explained(connection: Any, cursor: Any, statement: str, values: Any, *_: Any) -> None:
        if not re.match(r"\s*(SELECT|WITH|INSERT|UPDATE|DELETE)\b", statement):
            return  # SET, SAVEPOINT: nothing to be planned
        cursor.execute(f"{how} {statement}", values)
        found.append(cursor.fetchone()[0][0]["Plan"])

    event.listen(engine(), "before_cursor_execute", explained)
    try:
        yield found
    finally:
        event.remove(engine(), "before_cursor_execute", explained)
        engine().dispose()
        settings.get.cache_clear()


def from_the_second_on() -> None:
    """The lines of the newest hold, a page at a time."""
    holds.show("last", state="open", cursor=holds.show("last", state="open", limit=1)["next"])


LISTINGS: dict[str, Callable[[], Any]] = {
    "what needs a person": overview.document,
    "the inbox": overview.inbox,
    "the number of every page's header": overview.waiting,
    "what one tenant needs": lambda: overview.of("tenant-7"),
    "a tenant's page": lambda: insight.insight("tenant-7", cursor="101"),
    "a course's page": lambda: insight.course("tenant-7", "101"),
    "holds": holds.listing,
    "holds of a state": lambda: holds.listing(state="open"),
    "holds of a tenant": lambda: holds.listing(tenant="tenant-7"),
    "lines of a hold": from_the_second_on,
    "a hold to be released": lambda: holds.preview("last"),
    "lines of a run": lambda: history.lines("last", LineFilters(outcome="failed", event="340"), cursor="1"),
    "previews": lambda: history.listing(trigger="preview"),
    "runs since": lambda: history.listing(since=YEARS),
    "how far a run is": lambda: progress.look("last"),
    "links": links.listing,
    "links of a rare state": lambda: links.listing(state="ambiguous"),
    "links of a tenant": lambda: links.listing(tenant="tenant-7", state="linked"),
    "links from a cursor on": lambda: links.listing(cursor="20000"),
    "runs of a tenant": lambda: history.listing(tenant="tenant-7", direction="enrollments"),
    "dead letters": lambda: inbox.listing(Filters()),
    "dead letters of a tenant": lambda: inbox.listing(Filters(tenant="tenant-7")),
    "dead letters of an error": lambda: inbox.listing(Filters(error="unheard_of")),
    "dead letters since": lambda: inbox.listing(Filters(since=datetime.now(UTC) - timedelta(hours=1))),
    "dead letters until": lambda: inbox.listing(Filters(until=YEARS)),
    "dead letters of a kind": lambda: inbox.listing(Filters(kind="completion.fetch")),
    "dead letters that are open": lambda: inbox.listing(Filters(state="open")),
    "dead letters of a fingerprint": lambda: inbox.listing(Filters(fingerprint="f00", upto="01Z")),
    "what was decided of an error": lambda: inbox.decided(Filters(error="unheard_of")),
    "open ones of a tenant": lambda: inbox.count(Filters(tenant="tenant-7", state="open")),
    "completions": completions.listing,
    "completions of a tenant": lambda: completions.listing(tenant="tenant-7", state="conflict"),
    "completions of a state": lambda: completions.listing(state="orphan"),
    "counts of completions": completions.counts,
    "who did what": audit.listing,
    "who did what in a tenant": lambda: audit.listing(tenant="tenant-7"),
    "who did what about something": lambda: audit.listing(subject="80"),
    "data quality": lambda: quality.document("tenant-7"),
    "replays": replays.listing,
    "groups of an error": lambda: inbox.groups(Filters(error="unheard_of")),
    "explain a number": lambda: explain.explain("tenant-7", "69"),
    "explain an address": lambda: explain.explain("tenant-7", "person69@example.com"),
    "people by a number": lambda: search.search("69"),
    "people by an address": lambda: search.search("person69@example.com"),
    "people by parts of a rare name": lambda: search.search("person 6969"),
    "people by a part that everybody has": lambda: search.search("69 example"),
    "people of a tenant": lambda: search.search("person 69", tenant="tenant-7"),
    "who waits for a decision": deciding.waiting,
    "who waits for a decision in a tenant": lambda: deciding.waiting(tenant="tenant-7"),
    "explain nobody": lambda: explain.explain("tenant-7", "nobody@example.com"),
}


@pytest.mark.parametrize("name", LISTINGS)
def test_no_listing_reads_a_whole_large_table(name: str, plans: list[dict[str, Any]]) -> None:
    LISTINGS[name]()

    assert plans
    assert [tables for plan in plans if (tables := scanned(plan))] == []


OF_A_LARGE_TENANT: dict[str, Callable[[], Any]] = {
    "its page": lambda: insight.insight("tenant-1"),
    "its settings": lambda: manage.show("tenant-1"),
    "what it needs": lambda: overview.of("tenant-1"),
    "data quality": lambda: quality.document("tenant-1"),
}


def fetched(plan: dict[str, Any], table: str) -> float:
    """How many rows of a table a plan fetched, but for what an index alone told."""
    here = 0.0
    if plan.get("Relation Name") == table and plan["Node Type"] != "Index Only Scan":
        here = (plan["Actual Rows"] + plan.get("Rows Removed by Filter", 0)) * plan["Actual Loops"]
    return here + sum(fetched(one, table) for one in plan.get("Plans", []))


@pytest.mark.parametrize("name", OF_A_LARGE_TENANT)
def test_what_is_told_of_a_large_tenant_fetches_few_of_its_enrollments_and_links(
    name: str, carried_out: list[dict[str, Any]]
) -> None:
    OF_A_LARGE_TENANT[name]()

    assert carried_out
    for table in ("enrollment", "link"):
        assert sum(fetched(plan, table) for plan in carried_out) < SIZES.enrollments / 100


PAGES_OF_A_LARGE_TENANT: dict[str, Callable[[], Any]] = {
    "links": lambda: links.listing(tenant="tenant-1"),
    "links of a state": lambda: links.listing(tenant="tenant-1", state="linked"),
    "completions": lambda: completions.listing(tenant="tenant-1", everything=True),
    "who did what": lambda: audit.listing(tenant="tenant-1"),
}


@pytest.mark.parametrize("name", PAGES_OF_A_LARGE_TENANT)
def test_a_page_of_a_large_tenant_goes_through_no_rows_of_others(name: str, carried_out: list[dict[str, Any]]) -> None:
    PAGES_OF_A_LARGE_TENANT[name]()

    assert carried_out
    for table in ("link", "person", "completion", "operator_action"):
        assert sum(fetched(plan, table) for plan in carried_out) <= 110


def test_a_page_of_the_lines_of_a_long_run_reads_no_others(seeded_url: str, carried_out: list[dict[str, Any]]) -> None:
    longest = "SELECT run_id FROM plan_line WHERE tenant_id = 1 GROUP BY 1 ORDER BY count(*) DESC LIMIT 1"
    with psycopg.connect(seeded_url) as connection:
        (run,) = connection.execute(longest).fetchone() or ("",)
    first = history.lines(run, limit=100)
    carried_out.clear()

    second = history.lines(run, limit=100, cursor=first["next"])

    assert len(second["items"]) == 100
    assert sum(fetched(plan, "plan_line") for plan in carried_out) <= 101


def test_a_preview_of_replays_reads_no_whole_table_of_people(carried_out: list[dict[str, Any]]) -> None:
    found = replays.preview_matching(Filters(), everything=True)

    assert found["letters"] == SIZES.open_dead_letters
    assert {table for plan in carried_out for table in scanned(plan)} <= {"message", "dead_letter"}


def test_status_asks_once_for_all_tenants_and_walks_only_through_what_waits(plans: list[dict[str, Any]]) -> None:
    assert len(status.document()["tenants"]) == SIZES.tenants

    assert len(plans) < 20
    assert set().union(*map(scanned, plans)) <= {"message"}


def test_a_preview_of_thousands_of_replays_asks_as_often_as_one_of_a_single_letter(plans: list[dict[str, Any]]) -> None:
    letters = inbox.choose([], Filters(), everything=True)
    assert len(letters) == SIZES.open_dead_letters
    counts = []
    for chosen in (letters[:1], letters):
        plans.clear()
        assert len(replay_batch.preview(chosen)["lines"]) == len(chosen)
        counts.append(len(plans))

    assert counts[0] == counts[1]
