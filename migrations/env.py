"""How alembic connects: no pool, one migration at a time, no waiting for locks that would stop a running system."""

from __future__ import annotations

from typing import Any, Literal

from alembic import context
from sqlalchemy import text
from sqlmodel.sql.sqltypes import AutoString

import settings
from migrations.run import engine
from models.advisory_locks import AdvisoryLock
from models.crypto import Encrypted
from models.tables import metadata


def plain_types(kind: str, item: Any, autogen_context: Any) -> str | Literal[False]:
    """Versions name plain ``sa.`` types only, so that they never depend on today's models."""
    if kind == "type" and isinstance(item, AutoString):
        return f"sa.String(length={item.length})" if item.length else "sa.String()"
    if kind == "type" and isinstance(item, Encrypted):
        return "sa.LargeBinary()"
    return False


def run() -> None:
    url = context.config.attributes.get("url") or settings.get().need_direct_database()
    with engine(url).connect() as connection:
        # Two machines that start at once migrate one after the other.
        connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": AdvisoryLock.MIGRATION})
        connection.execute(text("SET lock_timeout = '10s'"))
        connection.execute(text("SET statement_timeout = '15min'"))
        connection.commit()
        context.configure(
            connection=connection,
            target_metadata=metadata,
            render_item=plain_types,
            compare_server_default=True,
            # Who is working has one table after the other. So does a migration, and gives them free at its end.
            transaction_per_migration=True,
        )
        with context.begin_transaction():
            context.run_migrations()
        connection.commit()


run()
