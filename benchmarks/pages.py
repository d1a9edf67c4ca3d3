"""How soon the console's pages and the API's listings answer where very much is stored.

    .venv/bin/python -m benchmarks.pages [--enrollments 1000000] [--times 20] [--only /holds]

Asks every route that reads, taken from the application itself, so that a new one is measured too: a real ``koppeling
serve`` with the database of ``benchmarks/seed.py`` behind it, over HTTP, one request after the other.
Ids are of the tenant with most people. Prints the slowest first.
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import requests
from cryptography.fernet import Fernet
from fastapi.routing import APIRoute, iter_route_contexts
from starlette.routing import Mount

import settings
from benchmarks.seed import Sizes, seed
from benchmarks.system import KOPPELING, process, temporary_folder, wait_for_line
from benchmarks.targets import Found
from migrations.run import upgrade
from ops.http.app import make_app
from ops.servers.embedded import start_postgres, start_valkey
from ops.servers.embedded.process import free_port
from ops.terminal import output

# Not pages: what streams as long as there is something to tell, or all of a list into a file; what asks AFAS or Pluvo;
# the ways in; a dialogue that nobody has begun; files.
_LEFT_OUT = re.compile(
    r".*/events$|.*\.csv$|.*/adoption$|.*/fields$|.*/handover$|/login.*|/onboard/.+|/static/.*|.*/courses/add$"
    r"|.*/users/.+|/(api/)?(previews|replays)/.+|.*/mutes/.+|/api/tenants/.*/(check|events)"
)
# A value for each name in braces: of the largest tenant, in the seeded database.
_IDS = {
    "slug": "SELECT slug FROM tenant WHERE id = 1",
    "event": "SELECT event_id FROM course WHERE tenant_id = 1 ORDER BY id LIMIT 1",
    "event_id": "SELECT event_id FROM course WHERE tenant_id = 1 ORDER BY id LIMIT 1",
    "run_id": "SELECT run_id FROM plan_line WHERE tenant_id = 1 GROUP BY 1 ORDER BY count(*) DESC LIMIT 1",
    "run": "SELECT run_id FROM plan_line WHERE tenant_id = 1 GROUP BY 1 ORDER BY count(*) DESC LIMIT 1",
    "hold_id": "SELECT hold_id FROM hold_line WHERE state = 'open' GROUP BY 1 ORDER BY count(*) DESC LIMIT 1",
    "hold": "SELECT hold_id FROM hold_line WHERE state = 'open' GROUP BY 1 ORDER BY count(*) DESC LIMIT 1",
    "batch": "SELECT max(id) FROM batch",
    "letter": "SELECT id FROM dead_letter WHERE state = 'open' AND tenant_id = 1 LIMIT 1",
    "person": "SELECT internal_id FROM person WHERE tenant_id = 1 LIMIT 1",
    "internal_id": "SELECT internal_id FROM person WHERE tenant_id = 1 LIMIT 1",
    "system": "SELECT 'afas'",
}
_NUMBERS = {
    "alerts": "SELECT min(id) FROM alert",
    "completions": "SELECT min(id) FROM completion",
}
# The same pages with what people choose there.
_CHOSEN = (
    ("/holds", {"tenant": "tenant-1"}),
    ("/dead-letters", {"tenant": "tenant-1"}),
    ("/dead-letters/preview", {"error": "timeout"}),
    ("/runs", {"tenant": "tenant-1"}),
    ("/runs", {"status": "failed"}),
    ("/completions", {"tenant": "tenant-1"}),
    ("/tenants", {"q": "tenant-77"}),
    ("/audit", {"tenant": "tenant-1"}),
    ("/links", {"tenant": "tenant-1"}),
)
_SEARCHED = ("person4711", "person4711@example.com", "4711", "Person")


@dataclass(frozen=True)
class Asked:
    """A page: what was asked, how it answered, and how long that took in milliseconds."""

    what: str
    status: int
    size: int
    times: tuple[float, ...]

    @property
    def p95(self) -> float:
        """All but one in twenty answers were quicker."""
        return statistics.quantiles(self.times, n=20, method="inclusive")[18]


def measure(enrollments: int, times: int) -> dict[str, Found]:
    """The slowest of all pages, beside the one that reads nothing."""
    asked = ask_all(enrollments, times)
    slowest, help_ = asked[0], next(one for one in asked if one.what == "/help")
    more = {one.what: {"p50": round(statistics.median(one.times)), "p95": round(one.p95)} for one in asked}
    return {"pages": Found(slowest.p95, f"{help_.p95:.0f} ms, a page of text; slowest: {slowest.what}", more)}


def ask_all(enrollments: int, times: int, only: str = "") -> list[Asked]:
    """Ask every page so many times; the slowest first."""
    with ExitStack() as stack:
        home = Path(stack.enter_context(temporary_folder("koppeling-pages-")))
        postgres = start_postgres(home)
        stack.callback(postgres.stop)
        valkey = start_valkey(home)
        stack.callback(valkey.stop)
        upgrade(postgres.url)
        with psycopg.connect(postgres.url, autocommit=True) as connection:
            seed(connection, Sizes.of(enrollments / 1_000_000))
            found = list(pages(connection))
        variables = {
            "HOME": str(home),
            "DATABASE_URL": postgres.url,
            "REDIS_URL": valkey.url,
            "SECRET_KEYS": Fernet.generate_key().decode(),
        }
        for name, value in variables.items():
            os.environ[settings.PREFIX + name] = value
            stack.callback(os.environ.pop, settings.PREFIX + name)
        settings.forget_found()
        log = home / "serve.log"
        command = [*KOPPELING, "serve", "--no-login", "--port", str(free_port())]
        base = wait_for_line(stack.enter_context(process(command, log)), log, "ready ").split()[0]
        asked = [_ask(base, path, times, chosen) for path, chosen in found if path.startswith(only)]
        if "/people".startswith(only):
            asked += [_search(base, words, times) for words in _SEARCHED]
        return sorted(asked, key=lambda one: -one.p95)


def pages(connection: psycopg.Connection[Any]) -> Iterator[tuple[str, Mapping[str, str]]]:
    """Path and query of everything that can be read, with ids of a seeded database."""
    found = {name: connection.execute(sql.encode()).fetchone() for name, sql in (_IDS | _NUMBERS).items()}
    ids = {name: str(row[0]) for name, row in found.items() if row}
    for path in sorted(set(_walk(make_app(login=False)))):
        if _LEFT_OUT.fullmatch(path):
            continue
        noun = path.removeprefix("/api").split("/")[1]
        yield path.replace("{number}", ids.get(noun, "{number}")).format_map(ids), {}
    yield from _CHOSEN


def _walk(app: Any, prefix: str = "") -> Iterator[str]:
    for found in iter_route_contexts(app.routes):
        route: Any = found.original_route
        if isinstance(route, Mount):
            yield from _walk(route.app, prefix + route.path)
        elif isinstance(route, APIRoute) and "GET" in (route.methods or ()):
            yield prefix + route.path


def _ask(base: str, path: str, times: int, chosen: Mapping[str, str]) -> Asked:
    def ask(session: requests.Session) -> requests.Response:
        return session.get(base + path, params=chosen, timeout=60)

    return _timed(_named(path, chosen), times, ask)


def _search(base: str, words: str, times: int) -> Asked:
    """Words are sent, and the answer's address is followed: both count."""

    def ask(session: requests.Session) -> requests.Response:
        return session.post(f"{base}/people", data={"q": words}, headers={"Origin": base}, timeout=60)

    return _timed(f"/people, searched for {words!r}", times, ask)


def _timed(what: str, times: int, ask: Callable[[requests.Session], requests.Response]) -> Asked:
    """On one connection; the first time opens it and does not count. What is refused is not asked again."""
    with requests.Session() as session:
        session.headers["Accept-Language"] = "nl"
        answer, took = ask(session), []
        for _ in range(times if answer.ok else 0):
            began = time.perf_counter()
            answer = ask(session)
            took.append(1000 * (time.perf_counter() - began))
    return Asked(what, answer.status_code, len(answer.content), tuple(took or (0.0, 0.0)))


def _named(path: str, chosen: Mapping[str, str]) -> str:
    return path + ("?" + "&".join(f"{name}={value}" for name, value in chosen.items()) if chosen else "")


def main() -> int:
    """Print all pages, the slowest first."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--enrollments", type=int, default=1_000_000)
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--only", default="", help="pages whose path begins so")
    given = parser.parse_args()
    asked = ask_all(given.enrollments, given.times, given.only)
    rows = [
        [one.what, str(one.status), f"{statistics.median(one.times):.0f}", f"{one.p95:.0f}", f"{one.size / 1024:.0f}"]
        for one in asked
    ]
    output.show_table(("page", "status", "p50 ms", "p95 ms", "kB"), rows)
    return 0 if all(one.status < 400 for one in asked) else 1


if __name__ == "__main__":
    sys.exit(main())
