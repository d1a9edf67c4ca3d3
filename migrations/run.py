"""Bring a database to a revision, from code: commands and tests use the same door."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

HERE = Path(__file__).parent


def config(url: str) -> Config:
    """Alembic's configuration for one database URL (``postgresql+psycopg://…``)."""
    made = Config()
    made.set_main_option("script_location", str(HERE))
    made.set_main_option("path_separator", "os")
    made.attributes["url"] = url
    return made


def driver_url(url: str) -> str:
    """The URL with the driver this project uses."""
    return "postgresql+psycopg://" + url.split("://", 1)[1]


def upgrade(url: str, revision: str = "head") -> None:
    """Up to a revision. Safe to call from several machines at once: the others wait."""
    command.upgrade(config(driver_url(url)), revision)


def downgrade(url: str, revision: str) -> None:
    """Down to a revision; ``base`` empties the database."""
    command.downgrade(config(driver_url(url)), revision)


def head() -> str | None:
    """The newest revision this code knows."""
    return ScriptDirectory.from_config(config("postgresql://")).get_current_head()


def current(url: str) -> str | None:
    """The revision a database is at; None when it was never migrated."""
    engine = create_engine(driver_url(url), poolclass=NullPool, connect_args={"connect_timeout": 5})
    with engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision()
