"""Find the servers a command needs: those of the environment, else what ``koppeling up`` started in the home folder.

A verb that only needs the database gets an embedded PostgreSQL for the moment where nothing runs. What is found is
put into this process's environment, so that ``settings.get()`` stays the one place that is asked.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from cryptography.fernet import Fernet
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

import settings
from migrations.run import current, head, upgrade
from ops.embedded import ensure_postgres, running
from ops.problems import Problem

KEY_FILE = "secret.key"
NO_WORKER = "No worker is running, so nothing would be done: start one with `koppeling up` or `koppeling worker`."
NOT_RUNNING = "Nothing runs here: start it with `koppeling up`, or set KOPPELING_DATABASE_URL and KOPPELING_REDIS_URL."


def use(**values: str) -> None:
    """Set ``KOPPELING_…`` variables of this process and read the settings again."""
    os.environ.update({settings.PREFIX + name.upper(): value for name, value in values.items()})
    settings.get.cache_clear()


def home_key(home: Path) -> str:
    """The key of this home, made at its first use and readable by nobody else."""
    path = home / KEY_FILE
    home.mkdir(parents=True, exist_ok=True)
    try:
        # Written aside and linked into place: two commands at once agree on one key, and none reads half of it.
        new = home / f"{KEY_FILE}.{os.getpid()}"
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="ascii") as file:
            file.write(Fernet.generate_key().decode() + "\n")
        try:
            os.link(new, path)
        except FileExistsError:
            return path.read_text(encoding="ascii").strip()
        finally:
            new.unlink()
        return path.read_text(encoding="ascii").strip()
    except OSError as error:
        raise Problem(f"Can't use {path} ({error.strerror}): set KOPPELING_HOME to a folder of yours.") from None


def need_current_schema() -> None:
    """Refuse a database that was not migrated to what this code knows."""
    url = settings.get().need_database()
    try:
        make_url(url)
    except (ArgumentError, ValueError):
        raise Problem(
            "KOPPELING_DATABASE_URL can't be read: write postgresql://user:password@host:port/database."
        ) from None
    if current(url) != head():
        raise Problem("The database's tables are not those of this version: run `koppeling migrate`.")


@contextmanager
def database() -> Iterator[None]:
    """Have a migrated database for the length of the block; an embedded one where no other is named or runs."""
    with ExitStack() as stack:
        if settings.get().database_url:
            need_current_schema()
        else:
            home = settings.get().home
            url = running(home).database_url or stack.enter_context(ensure_postgres(home)).url
            _use_embedded(home, url)
            if current(url) != head():
                upgrade(url)
        yield


def connect_running() -> None:
    """Have database and broker of what runs; a Problem that says how to start it when nothing does."""
    found = settings.get()
    if found.database_url and found.redis_url:
        return
    endpoints = running(found.home)
    if not found.database_url:
        if not endpoints.database_url:
            raise Problem(NOT_RUNNING)
        _use_embedded(found.home, endpoints.database_url)
    if not found.redis_url:
        if not endpoints.redis_url:
            raise Problem(NOT_RUNNING)
        use(redis_url=endpoints.redis_url)


def need_something_running() -> None:
    """Refuse at once what needs workers where nothing runs, instead of starting a database to find that out."""
    found = settings.get()
    if not found.database_url and not running(found.home).database_url:
        raise Problem(NO_WORKER)


def use_broker_if_running() -> None:
    """Know the broker of what runs here, where one does: for reports on it and for shared limits."""
    found = settings.get()
    if not found.redis_url:
        url = running(found.home).redis_url
        if url:
            use(redis_url=url)


def _use_embedded(home: Path, url: str) -> None:
    use(database_url=url)
    if not settings.get().secret_keys:
        use(secret_keys=home_key(home))
