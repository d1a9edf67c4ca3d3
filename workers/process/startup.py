"""What a process needs before it begins: the right tables, the keys of what is stored, a database and a broker that
let it work. Checked at every start, by any command that starts one; each fault has one sentence that says what to do.
"""

from __future__ import annotations

import sys

import psycopg
from sqlalchemy.exc import DBAPIError

import settings
from migrations.run import WrongSchema
from migrations.usable import Unfit, database, keys
from models.crypto import SecretUnreadable
from models.installation import redis_prefix
from tenancy.redis_trouble import look
from tenancy.server_trouble import Trouble
from workers.process import tracing


def check() -> None:
    """Raise Unfit, WrongSchema, SecretUnreadable or SettingsError; database trouble as it comes."""
    settings.get().need_redis()
    tracing.check()
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


def broker() -> None:
    """The broker lets this process do all that it needs. One that is away for the moment, or full, is waited for."""
    for trouble in (look(settings.get().need_redis(), redis_prefix()), _rabbitmq()):
        if trouble and not trouble.passes:
            raise Unfit(trouble.text)


def _rabbitmq() -> Trouble | None:
    url = settings.get().broker_url
    if not url:
        return None
    from workers.broker import rabbitmq_trouble  # noqa: PLC0415  few have one

    return rabbitmq_trouble.look(url)
