"""What a process needs before it begins: the right tables, the keys of what is stored, a database and a broker that
let it work. Checked at every start, by any command that starts one; each fault has one sentence that says what to do.
"""

from __future__ import annotations

import sys

import psycopg
import redis
from sqlalchemy.exc import DBAPIError

import settings
from migrations.run import WrongSchema, need_newest
from models.crypto import SecretUnreadable, need_keys_of_what_is_stored
from models.installation import redis_prefix
from models.session import transaction
from workers.broker import broker as ledger_broker
from workers.broker.rights import fault

POOLED = (
    "A connection pooler in transaction mode stands before PostgreSQL, and koppeling keeps locks and listens on "
    "sessions of its own: give KOPPELING_DATABASE_URL the address of PostgreSQL itself, or pool_mode = session."
)
RIGHTS = "The user of KOPPELING_REDIS_URL may not do all that is needed: docs/deployment.md has the ACL line."


class Unfit(Exception):
    """This process can't work as things are. The text says why, and what to do."""


def check() -> None:
    """Raise Unfit, WrongSchema, SecretUnreadable or SettingsError; database trouble as it comes."""
    settings.get().need_redis()
    database()
    keys()
    broker()


def check_or_exit() -> None:
    """The same where no caller catches exceptions: one line on standard error, exit code 2."""
    try:
        check()
    except (Unfit, WrongSchema, SecretUnreadable, settings.SettingsError) as error:
        line = str(error)
    except DBAPIError as error:
        line = f"Can't reach the database ({type(error.orig).__name__}): check KOPPELING_DATABASE_URL."
    except psycopg.Error as error:
        line = f"Can't reach the database ({type(error).__name__}): check KOPPELING_DATABASE_URL."
    else:
        return
    sys.stderr.write(line + "\n")
    raise SystemExit(2)


def database() -> None:
    """The database: reached without a pooler that mixes sessions, with this version's tables."""
    url = settings.get().need_database()
    refuse_pooler(url)
    need_newest(url)


def keys() -> None:
    """Every stored secret can be read by this process."""
    settings.get().need_secret_keys()
    with transaction() as connection:
        need_keys_of_what_is_stored(connection)


def refuse_pooler(url: str) -> None:
    """Raise Unfit when sessions are not ours alone: two connections must each keep one server process, not the same."""
    plain = url.replace("+psycopg", "", 1)
    with psycopg.connect(plain, autocommit=True, connect_timeout=5, prepare_threshold=None) as first:
        if _process(first) == first.info.backend_pid:
            return  # PostgreSQL itself answered the connection
        with psycopg.connect(plain, autocommit=True, connect_timeout=5, prepare_threshold=None) as second:
            seen: dict[psycopg.Connection, set[int]] = {first: set(), second: set()}
            for one in (first, second, second, first, first, second, first, second) * 2:
                seen[one].add(_process(one))
    if len(seen[first]) > 1 or len(seen[second]) > 1 or seen[first] == seen[second]:
        raise Unfit(POOLED)


def _process(connection: psycopg.Connection) -> int:
    row = connection.execute("SELECT pg_backend_pid()").fetchone()
    return int(row[0]) if row else 0


def broker() -> None:
    """The broker lets this process do all that it needs. One that is away for the moment, or full, is waited for."""
    try:
        refused = fault(ledger_broker.connect(), redis_prefix())
    except redis.AuthenticationError as error:
        raise Unfit(f"The broker refuses this user ({error}): check KOPPELING_REDIS_URL.") from None
    except redis.RedisError:
        return
    if refused and "NOPERM" in refused.upper().replace("NO PERMISSIONS", "NOPERM"):
        raise Unfit(f"{RIGHTS} Redis says: {refused}")
