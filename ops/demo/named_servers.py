"""Servers that the environment names: used only when they are free, and left without a trace of the demo."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import redis
from sqlalchemy import text

import settings
from migrations.run import current
from models.session import engine_for, transaction
from ops.problems import Problem
from ops.tenants import manage
from simulators.sample_data.tenants import TENANTS
from tenancy.redis_connection import connect


@contextmanager
def named_servers() -> Iterator[None]:
    """Check the servers that are named, if any, and clean up afterwards. Raises Problem when they are in use."""
    found = settings.get()
    if found.database_url:
        _free_database(found.need_database())
    try:
        yield
    finally:
        if found.database_url:
            _remove_tenants(found.need_database())
        if found.redis_url:
            _forget(connect(found.need_redis()))


def _forget(client: redis.Redis) -> None:
    for key in client.scan_iter(f"{settings.get().redis_prefix}:*", count=1000):
        client.delete(key)


def _free_database(url: str) -> None:
    """No tenants, or only what a demo left that was killed: its slugs, on this machine's own address."""
    _remove_tenants(url)
    if current(url) is None:
        return
    with transaction() as connection:
        if connection.execute(text("SELECT 1 FROM tenant LIMIT 1")).first():
            raise Problem("demo_database")


def _remove_tenants(url: str) -> None:
    if current(url) is None:
        return
    slugs = [each.slug for each in TENANTS]
    with transaction() as connection:
        found = connection.execute(
            text("SELECT slug FROM tenant WHERE slug = ANY(:slugs) AND afas ->> 'base_url' LIKE 'http://127.0.0.1:%'"),
            {"slugs": slugs},
        ).scalars()
        left = list(found)
    for slug in left:
        manage.remove(slug, who="demo")
    engine_for(url).dispose()
