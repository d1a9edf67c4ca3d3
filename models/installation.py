"""This installation: what tells its keys in Redis from those of another one. One row, made with the tables."""

from __future__ import annotations

from functools import lru_cache

from sqlalchemy import text

import settings
from models.session import transaction


@lru_cache(maxsize=8)
def _id(url: str) -> str:
    with transaction() as connection:
        return str(connection.execute(text("SELECT id FROM installation")).scalar_one())


def redis_prefix() -> str:
    """What all keys of this installation in Redis begin with, e.g. ``koppeling:5f2c…``. Others' are left alone.

    Asked of the database once a process, unless KOPPELING_REDIS_PREFIX says it.
    """
    found = settings.get()
    return found.redis_prefix or f"koppeling:{_id(found.need_database())}"
