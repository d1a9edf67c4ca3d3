"""Tenants as this process read them last: an unchanged one costs a message neither reading nor decryption."""

from __future__ import annotations

import threading

from sqlalchemy import Connection
from sqlmodel import Session

import settings
from models.tenant import Tenant

MAX_KEPT = 1000
# To be selected beside other things, with the tenant's row as ``t``: it changes with every change of that row.
MARK = "CAST(t.xmin AS text) AS tenant_mark"

_kept: dict[tuple[str, int], tuple[str, Tenant]] = {}
_lock = threading.Lock()


def remembered(database: Session | Connection, tenant_id: int, mark: str) -> Tenant | None:
    """The tenant whose row has this ``MARK``; for reading only. None when it is gone meanwhile."""
    key = (settings.get().need_database(), tenant_id)
    kept = _kept.get(key)
    if kept and kept[0] == mark:
        return kept[1]
    if isinstance(database, Connection):
        with Session(database, expire_on_commit=False, join_transaction_mode="create_savepoint") as opened:
            return remembered(opened, tenant_id, mark)
    tenant = database.get(Tenant, tenant_id)
    if tenant is None:
        return None
    # The mark was read before the row: at worst a newer row is kept under an older mark, and read once more.
    database.expunge(tenant)
    with _lock:
        if len(_kept) >= MAX_KEPT:
            _kept.clear()
        _kept[key] = (mark, tenant)
    return tenant
