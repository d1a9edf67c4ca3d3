"""Bring a database to a revision, from code: commands and tests use the same door."""

from __future__ import annotations

import re
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Engine, create_engine, inspect, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from models.session import CONNECT_SECONDS, read_by_driver, sqlstate

# Each command compares revisions; only those that migrate import alembic, which is slow.
if TYPE_CHECKING:
    from alembic.config import Config

HERE = Path(__file__).parent
# So often it begins again where it and who is working waited for each other, and PostgreSQL ended the migration.
TRIES = 5
_DEADLOCK = "40P01"
_ALIVE = text("SELECT count(*) FROM worker WHERE heartbeat_at > now() - interval '30 seconds'")
_NAMES = re.compile(r"""^(revision|down_revision)\b[^=\n]*= ["'](\w+)["']""", re.MULTILINE)


class WrongSchema(Exception):
    """The tables of a database are not those that this code knows. The text says what they are and what to do."""


def config(url: str) -> Config:
    """Alembic's configuration for one database URL (``postgresql+psycopg://…``)."""
    from alembic.config import Config  # noqa: PLC0415

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
    from alembic import command  # noqa: PLC0415

    refuse_strange(url)
    for left in reversed(range(TRIES)):
        try:
            command.upgrade(config(driver_url(url)), revision)
            break
        except DBAPIError as error:  # what came before this migration stays done
            if not left or sqlstate(error) != _DEADLOCK:
                raise
    if revision == "head":
        with _connected(url) as connection:
            mine = version("koppeling")
            connection.execute(
                text("UPDATE installation SET version = :mine, migrated_at = now() WHERE version <> :mine"),
                {"mine": mine},
            )
            connection.commit()


def busy(url: str) -> int:
    """How many worker processes gave a sign of life within half a minute."""
    with _connected(url) as connection:
        if not inspect(connection).has_table("worker"):
            return 0
        return int(connection.execute(_ALIVE).scalar_one())


def downgrade(url: str, revision: str) -> None:
    """Down to a revision; ``base`` empties the database."""
    from alembic import command  # noqa: PLC0415

    command.downgrade(config(driver_url(url)), revision)


def head() -> str | None:
    """The newest revision this code knows."""
    made, followed = _revisions()
    return next(iter(made - followed), None)


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
            f"{version('koppeling')}, revision {head()}: upgrade koppeling on this machine."
        )
    raise WrongSchema(
        f"This database was made by something else (revision {revision}): give koppeling a database of its own."
    )


def revisions() -> set[str]:
    """All revisions that this code knows."""
    return set(_revisions()[0])


@lru_cache(maxsize=1)
def _revisions() -> tuple[frozenset[str], frozenset[str]]:
    """All revisions, and those that another one follows, as the files of ``versions`` name them."""
    named = [one for path in (HERE / "versions").glob("*.py") for one in _NAMES.findall(path.read_text("utf-8"))]
    return (
        frozenset(name for what, name in named if what == "revision"),
        frozenset(name for what, name in named if what == "down_revision"),
    )


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    revision: str | None = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return revision


def _connected(url: str) -> Connection:
    """A connection that belongs to no pool. Without ``options``, which poolers refuse before anyone can name them."""
    return engine(url).connect()


def engine(url: str) -> Engine:
    """What connects to a URL, without a pool."""
    made = create_engine("postgresql+psycopg://", poolclass=NullPool, connect_args={"connect_timeout": CONNECT_SECONDS})
    read_by_driver(made, driver_url(url))
    return made
