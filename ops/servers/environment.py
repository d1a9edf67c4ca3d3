"""Find the servers a command needs: those of the environment, else what ``koppeling up`` started in the home folder.

A verb that only needs the database gets an embedded PostgreSQL for the moment where nothing runs; verbs that only read
never make one. What is found is told to this process's settings and to nobody else: processes that it starts find it
in the home folder themselves, so that no secret stands in an environment that was not there already.
"""

from __future__ import annotations

import os
import re
import shlex
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from cryptography.fernet import Fernet
from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict

import settings
from migrations import usable
from migrations.run import busy, downgrade, head, refuse_strange, revisions, upgrade
from models.session import transaction
from ops.problems import Problem
from ops.servers.embedded import ensure_postgres, running
from ops.servers.embedded.postgres import is_made
from ops.servers.embedded.process import owner_name

KEY_FILE = "secret.key"
_UNKNOWN_OPTION = re.compile(r'invalid URI query parameter: "([a-z_]{1,40})"', re.ASCII)


def use(**values: str) -> None:
    """Tell this process's settings what the environment does not say."""
    settings.found(**values)


def home_key(home: Path) -> str | None:
    """The key of this home, None when there is none. Refuses one that others could have made or read."""
    path = home / KEY_FILE
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), encoding="ascii") as file:
            facts = os.fstat(file.fileno())
            if facts.st_uid != os.geteuid():
                raise Problem("key_of_others", path=path, owner=owner_name(facts.st_uid))
            if stat.S_IMODE(facts.st_mode) & 0o077:
                raise Problem("key_readable", path=path, quoted=shlex.quote(str(path)))
            return file.read().strip()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Problem("key_unusable", path=path, why=error.strerror) from None


def make_home_key(home: Path) -> str:
    """Make a key for this home, readable by its owner alone; gives the one that another command made first."""
    path, new = home / KEY_FILE, home / f"{KEY_FILE}.{os.getpid()}"
    try:
        new.unlink(missing_ok=True)
        # Written aside and linked into place: two commands at once agree on one key, and none reads half of it.
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
            file.write(Fernet.generate_key().decode() + "\n")
        try:
            os.link(new, path)
        except FileExistsError:
            pass
        finally:
            new.unlink()
    except OSError as error:
        raise Problem("home_unusable", path=path, why=error.strerror) from None
    return home_key(home) or ""


def need_keys(*, make: bool = False, lost: bool = False) -> None:
    """Have the keys of what is stored.

    Args:
        make: the embedded home may make its key, if its database holds no secret yet.
        lost: the keys of what is stored are lost, and it is to be replaced: any key will do.

    Raises Problem, SettingsError or SecretUnreadable, which name what is missing.
    """
    found = settings.get()
    if not found.secret_keys and found.embedded_database:
        key = home_key(found.home)
        if key is None:
            from models.crypto import missing_words  # noqa: PLC0415  commands that read need no keys
            from models.stored_secrets import stored_under  # noqa: PLC0415  commands that read need no keys

            with transaction() as connection:
                marks = stored_under(connection)
            if marks and not lost:
                raise Problem("key_gone", path=found.home / KEY_FILE, missing=missing_words(marks))
            if not make:
                return  # nothing is stored that could be read
            make_home_key(found.home)
        use_home_key(found.home)
    if lost:
        settings.get().need_secret_keys()
    else:
        usable.keys()


def check_url() -> None:
    """Refuse an address of the database that can't be read."""
    for name in ("DATABASE_URL", "DATABASE_DIRECT_URL"):
        url = getattr(settings.get(), name.lower())
        try:
            found = conninfo_to_dict(f"postgresql://{url.split('://', 1)[1]}" if url else "")
            for port in str(found.get("port") or 5432).split(","):  # one for each host
                int(port or 5432)
        except (ProgrammingError, ValueError) as error:
            # Nothing else of what is said here: the address may stand in it, with its password.
            if option := _UNKNOWN_OPTION.search(str(error)):
                raise Problem("database_option", name=f"KOPPELING_{name}", option=option[1]) from None
            raise Problem("database_url", name=f"KOPPELING_{name}") from None


@contextmanager
def database(*, create: bool = False, keys: bool = False, lost_keys: bool = False) -> Iterator[None]:
    """Have a migrated database for the length of the block; an embedded one where no other is named or runs.

    Args:
        create: make the embedded one where there is none yet; else that is a Problem.
        keys: the keys of what is stored are needed too.
        lost_keys: they are lost, and a key is needed to replace what is stored.
    """
    with ExitStack() as stack:
        found = settings.get()
        if found.database_url:
            check_url()
            usable.database()
        else:
            url = running(found.home).database_url
            if not url:
                if not create and not is_made(found.home):
                    raise Problem("nothing_here", home=found.home)
                url = stack.enter_context(ensure_postgres(found.home)).url
            _use_embedded(found.home, url)
            if refuse_strange(url) != head():
                upgrade(url)
        if keys or lost_keys:
            need_keys(make=create, lost=lost_keys)
        yield


def migrate(back_to: str | None = None) -> str | None:
    """Bring the named database, or this home's, to the newest schema; returns its revision.

    ``back_to``: to an older one instead, for an older version; what newer tables hold is lost.
    """
    found = settings.get()
    if back_to is not None and back_to not in revisions():
        raise Problem("no_revision", revision=back_to, known=", ".join(sorted(revisions(), key=_number)))
    if found.database_url:
        check_url()
        usable.addresses()
        _migrate(found.need_direct_database(), back_to)
    elif url := running(found.home).database_url:
        _migrate(url, back_to)
    else:
        with ensure_postgres(found.home) as postgres:
            _migrate(postgres.url, back_to)
    return back_to or head()


def _migrate(url: str, back_to: str | None) -> None:
    if back_to is None:
        upgrade(url)
        return
    refuse_strange(url)
    alive = busy(url)
    if alive:
        raise Problem("stop_workers", count=alive)
    downgrade(url, back_to)


def _number(revision: str) -> tuple[int, ...]:
    return tuple(int(part) for part in revision.split("_"))


def connect_running() -> None:
    """Have database and broker of what runs; a Problem that says how to start it when nothing does."""
    found = settings.get()
    if found.database_url and found.redis_url:
        return
    endpoints = running(found.home)
    if not found.database_url:
        if not endpoints.database_url:
            raise Problem("not_running")
        _use_embedded(found.home, endpoints.database_url)
    if not found.redis_url:
        if not endpoints.redis_url:
            raise Problem("not_running")
        use(redis_url=endpoints.redis_url)


def need_all() -> None:
    """Have all that a process needs which works for long: servers, tables, keys, a broker that lets it work."""
    from workers.process import startup  # noqa: PLC0415  it brings the whole engine, and most commands need none of it

    connect_running()
    check_url()
    usable.database()
    need_keys()
    startup.broker()


def need_something_running() -> None:
    """Refuse at once what needs workers where nothing runs, instead of starting a database to find that out."""
    found = settings.get()
    if not found.database_url and not running(found.home).database_url:
        raise Problem("no_worker")


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
        use_home_key(home)


def use_home_key(home: Path) -> None:
    """Read secrets with the key of this home, if it has one, and look again when it was replaced meanwhile."""
    key = home_key(home)
    if key:
        use(secret_keys=key)
        settings.look_for_keys(lambda: _key_now(home))


def _key_now(home: Path) -> str | None:
    """The key while all runs: one that can't be used is as good as none."""
    try:
        return home_key(home)
    except Problem:
        return None
