"""Tenants and courses as this process read them last: unchanged ones cost a message no reading and no decryption."""

from __future__ import annotations

import threading
from typing import TypeVar, cast

from sqlalchemy import Connection
from sqlmodel import Session, SQLModel

import settings
from models.course import Course
from models.tenant import Tenant

MAX_KEPT = 5000
# To be selected beside other things, with the tenant's row as ``t``: it changes with every change of that row.
MARK = "CAST(t.xmin AS text) AS tenant_mark"

Kept = TypeVar("Kept", Tenant, Course)
_kept: dict[tuple[str, type[SQLModel], int], tuple[str, SQLModel]] = {}
_lock = threading.Lock()


def remembered(database: Session | Connection, tenant_id: int, mark: str) -> Tenant | None:
    """The tenant whose row has this ``MARK``; for reading only. None when it is gone meanwhile."""
    return remembered_row(database, Tenant, tenant_id, mark)


def remembered_row(database: Session | Connection, kind: type[Kept], key: int, mark: str) -> Kept | None:
    """The row with this key and this ``xmin``; for reading only. None when it is gone meanwhile."""
    place = (settings.get().need_database(), kind, key)
    kept = _kept.get(place)
    if kept and kept[0] == mark:
        return cast(Kept, kept[1])
    if isinstance(database, Connection):
        with Session(database, expire_on_commit=False, join_transaction_mode="create_savepoint") as opened:
            return remembered_row(opened, kind, key, mark)
    found = database.get(kind, key)
    if found is None:
        return None
    # The mark was read before the row: at worst a newer row is kept under an older mark, and read once more.
    database.expunge(found)
    with _lock:
        if len(_kept) >= MAX_KEPT:
            _kept.clear()
        _kept[place] = (mark, found)
    return found
