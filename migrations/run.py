"""Bring a database to a revision, from code: commands and tests use the same door."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, inspect, text
from sqlalchemy.pool import NullPool

HERE = Path(__file__).parent


class WrongSchema(Exception):
    """The tables of a database are not those that this code knows. The text says what they are and what to do."""


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
    """Up to a revision. Safe to call from several machines at once: the others wait.

    Raises WrongSchema for a database that a newer version made, or somebody else.
    """
    refuse_strange(url)
    command.upgrade(config(driver_url(url)), revision)
    if revision == "head":
        with _connected(url) as connection:
            mine = version("koppeling")
            connection.execute(
                text("UPDATE installation SET version = :mine, migrated_at = now() WHERE version <> :mine"),
                {"mine": mine},
            )
            connection.commit()


def downgrade(url: str, revision: str) -> None:
    """Down to a revision; ``base`` empties the database."""
    command.downgrade(config(driver_url(url)), revision)


def head() -> str | None:
    """The newest revision this code knows."""
    return ScriptDirectory.from_config(config("postgresql://")).get_current_head()


def current(url: str) -> str | None:
    """The revision a database is at; None when it was never migrated."""
    with _connected(url) as connection:
        return _revision(connection)


def need_newest(url: str) -> None:
    """Raise WrongSchema, which says what to do, unless the tables are those that this code knows."""
    if refuse_strange(url) != head():
        raise WrongSchema("The database's tables are older than this version of koppeling: run `koppeling migrate`.")


def refuse_strange(url: str) -> str | None:
    """The revision, of an empty database None. Raises WrongSchema when migrating would not help: newer, or foreign."""
    with _connected(url) as connection:
        revision, tables = _revision(connection), set(inspect(connection).get_table_names())
        ours = "installation" in tables
        maker = connection.execute(text("SELECT version FROM installation")).scalar() if ours else None
    if revision is None and tables - {"alembic_version"}:
        some = ", ".join(sorted(tables)[:3])
        raise WrongSchema(f"This database holds tables of something else ({some}): give koppeling one of its own.")
    if revision is None or revision in revisions():
        return revision
    if ours:
        raise WrongSchema(
            f"This database was made by a newer koppeling ({maker}, revision {revision}); this is "
            f"{version('koppeling')}: upgrade koppeling on this machine."
        )
    raise WrongSchema(
        f"This database was made by something else (revision {revision}): give koppeling a database of its own."
    )


def revisions() -> set[str]:
    """All revisions that this code knows."""
    return {script.revision for script in ScriptDirectory.from_config(config("postgresql://")).walk_revisions()}


def _revision(connection: Connection) -> str | None:
    heads = MigrationContext.configure(connection).get_current_heads()
    return heads[0] if heads else None


def _connected(url: str) -> Connection:
    """A connection that belongs to no pool. Without ``options``, which poolers refuse before anyone can name them."""
    return create_engine(driver_url(url), poolclass=NullPool, connect_args={"connect_timeout": 5}).connect()
