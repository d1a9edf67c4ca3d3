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


def installation() -> str:
    """Its id, asked of the database once a process."""
    return _id(settings.get().need_database())


def redis_prefix() -> str:
    """What all keys of this installation in Redis begin with, e.g. ``koppeling:5f2c…``. Others' are left alone.

    KOPPELING_REDIS_PREFIX may say it.
    """
    return settings.get().redis_prefix or f"koppeling:{installation()}"
