"""Turn whatever went wrong into one line that says what to do. A traceback is shown only with ``KOPPELING_DEBUG=1``."""

from __future__ import annotations

import os
import traceback

import psycopg
import redis
from sqlalchemy import exc

from clients.errors import RemoteError
from clients.http import clean
from migrations.run import WrongSchema
from migrations.usable import Unfit
from models.crypto import SecretDamaged, SecretUnreadable
from models.session import CONTENDED, DISK_FULL, READ_ONLY, SHUTTING_DOWN, TOO_MANY, sqlstate, why_refused
from models.tenant_settings import SettingsUnread
from ops.problems import Problem
from ops.servers.embedded import EmbeddedError
from ops.terminal import output
from settings import SettingsError

# Their text is a sentence that says what to do.
SAID = (Problem, SettingsError, EmbeddedError, SecretUnreadable, SecretDamaged, SettingsUnread, WrongSchema, Unfit)
_DATABASE = "Check KOPPELING_DATABASE_URL and that the server runs, or unset it to use the embedded one."
_STATES = {
    READ_ONLY: "The database takes no writes now (a replica after a failover, or default_transaction_read_only): "
    "nothing was changed. Point KOPPELING_DATABASE_URL at the server that does, or wait.",
    TOO_MANY: "The database has no connection left: try again in half a minute, when idle ones have gone back. If it "
    "stays so, raise max_connections or run fewer worker processes (docs/deployment.md counts them).",
    DISK_FULL: "The disk of the database is full: nothing was changed, and nothing is lost. Make room on its machine "
    '(docs/operations.md, "A full disk"), and start PostgreSQL if it stopped.',
    **dict.fromkeys(
        CONTENDED,
        "Something large holds what this would change, such as a run that stores the plan of very many people: nothing "
        "was changed. Try again in a minute; `koppeling runs list` shows what goes on.",
    ),
    **dict.fromkeys(SHUTTING_DOWN, "The database is shutting down or starting: try again in a moment."),
}
_REFUSED = {
    "certificate": "Name the CA's file in KOPPELING_DATABASE_URL (sslrootcert=…), and a host that stands in the "
    "server's certificate.",
    "no_tls": "Set ssl = on in PostgreSQL, and sslmode=verify-full&sslrootcert=… in KOPPELING_DATABASE_URL.",
    "no_writer": "No server that KOPPELING_DATABASE_URL names takes writes now: promote one, or wait.",
}
_BROKER = "Check KOPPELING_REDIS_URL and that the server runs, or unset it to use the embedded one."


def explained(error: Exception) -> int | None:
    """Print the line and give the exit code; None when the traceback is wanted."""
    if os.environ.get("KOPPELING_DEBUG") == "1":
        return None
    line, code = _line(error)
    output.say(line, error=True)
    return code


def _line(error: Exception) -> tuple[str, int]:
    found = f"Internal error: {_place(error)}. KOPPELING_DEBUG=1 shows where it came from.", 1
    if isinstance(error, exc.StatementError) and isinstance(error.orig, SAID):
        error = error.orig  # a key that is missing while a secret is stored
    if isinstance(error, SAID):
        found = str(error), 2
    elif isinstance(error, exc.ArgumentError):
        found = "KOPPELING_DATABASE_URL can't be read: write postgresql://user:password@host:port/database.", 2
    elif isinstance(error, exc.DBAPIError | psycopg.Error) and sqlstate(error) in _STATES:
        found = _STATES[sqlstate(error)], 2
    elif isinstance(error, exc.ProgrammingError) and "does not exist" in str(error.orig):
        found = "The database's tables are not those of this version: run `koppeling migrate`.", 2
    elif isinstance(error, exc.OperationalError | exc.InterfaceError | exc.TimeoutError | psycopg.OperationalError):
        found = f"Can't reach the database ({_said(error)}). {_REFUSED.get(why_refused(error), _DATABASE)}", 2
    elif isinstance(error, redis.RedisError):
        found = f"Can't reach the broker ({clean(str(error), limit=200)}). {_BROKER}", 2
    elif isinstance(error, RemoteError):
        found = f"{error.code}: {clean(error.message)} {clean(error.remote_text)}".rstrip(), 1
    return found


def _said(error: Exception) -> str:
    orig = getattr(error, "orig", None)
    lines = [line.strip() for line in str(orig or error).splitlines() if line.strip()]
    return clean(lines[0] if lines else type(error).__name__, limit=200)


def _place(error: Exception) -> str:
    """Kind and place, never the text: it could hold a name."""
    last = traceback.extract_tb(error.__traceback__)[-1:]
    where = f" at {os.path.basename(last[0].filename)}:{last[0].lineno}" if last else ""
    return f"{type(error).__name__}{where}"
