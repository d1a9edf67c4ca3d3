"""Every page and every listing of a database that is full of everything, also of rows that lack what may be missing."""

from __future__ import annotations

import psycopg
import requests

import settings
from benchmarks.pages import pages
from benchmarks.seed import Sizes, seed
from ops.http.app import make_app
from simulators.core.server import running


def test_every_page_shows_a_full_database(configured: settings.Settings) -> None:
    with psycopg.connect(configured.need_database().replace("+psycopg", ""), autocommit=True) as connection:
        seed(connection, Sizes.of(0.002))
        found = list(pages(connection))
    with running(make_app(login=False)) as base:
        refused = {
            path: answer.status_code
            for path, chosen in found
            if not (answer := requests.get(base + path, params=chosen, timeout=60)).ok
        }
    assert len(found) > 60
    assert refused == {}
