"""Is this installation as it must be? One finding a question: a code, the sentence, what to do.

It asks the database and the broker; the mail server only where it is told to. It changes nothing.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
import redis
from sqlalchemy import Connection, text
from sqlalchemy.exc import DataError, SQLAlchemyError
from typing_extensions import TypedDict

import settings
from migrations.run import WrongSchema
from migrations.usable import Unfit, keys
from models.base import utc_now
from models.crypto import SecretUnreadable
from models.installation import redis_prefix
from models.session import DATABASE_TROUBLE, has_room, room, transaction, why_refused
from ops import access, workers
from ops.language import SENTENCES, Language, say
from ops.problems import Problem
from ops.servers import environment
from settings import SettingsError
from tenancy import vital_signs
from tenancy.redis_connection import connect
from tenancy.redis_trouble import look

OLDEST_POSTGRES = 15
CLOCK_SECONDS = 5
FULL_PERCENT = 85
FREE_BYTES = 1_000_000_000
# What retention takes out an hour later at the latest; a day more is no accident.
LATE_SECONDS = 86_400
_SERVER = text(
    """
    SELECT current_setting('server_version') AS version, CAST(current_setting('server_version_num') AS int) AS number,
           CAST(current_setting('transaction_read_only') AS bool) AS read_only, clock_timestamp() AS at,
           current_setting('server_encoding') AS encoding,
           has_schema_privilege(current_schema(), 'CREATE') AS may_create,
           (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend') AS connections,
           EXISTS (SELECT 1 FROM pg_indexes WHERE schemaname = current_schema() AND indexname = 'ix_person_search'
                      AND indexdef LIKE '%USING gin%') AS trigrams
    """
)
_NOT_OURS = text(
    """
    SELECT c.relname FROM pg_class c
     WHERE c.relnamespace = CAST(current_schema() AS regnamespace) AND c.relkind = 'r'
       AND NOT (has_table_privilege(c.oid, 'SELECT') AND has_table_privilege(c.oid, 'INSERT')
                AND has_table_privilege(c.oid, 'UPDATE') AND has_table_privilege(c.oid, 'DELETE'))
     ORDER BY 1 LIMIT 5
    """
)
_ZONES = text("SELECT DISTINCT timezone FROM tenant ORDER BY timezone")
# Not looked up in pg_timezone_names, for which PostgreSQL reads a file of each zone there is.
_TIME_IN = text("SELECT now() AT TIME ZONE CAST(:zone AS text)")
_OLDEST_RUN = text("SELECT extract(epoch FROM now() - created_at) FROM run ORDER BY id LIMIT 1")
_UNDELIVERED = text(
    """
    SELECT count(*) FILTER (WHERE state IN ('refused', 'gave_up')) AS lost,
           count(*) FILTER (WHERE state = 'waiting' AND next_at < now() - interval '10 minutes') AS late
      FROM alert_delivery WHERE created_at > now() - interval '1 day'
    """
)
_MAILED = text(
    """
    SELECT EXISTS (SELECT 1 FROM tenant WHERE coalesce(alerts->'mail', '[]') <> '[]'
                                           OR coalesce(alerts->'quality_mail', '[]') <> '[]')
    """
)
_USED = text("SELECT EXISTS (SELECT 1 FROM tenant)")


# What is the matter with the broker: its code here, and the parameter that tells more.
_BROKER = {
    "settings": ("broker_unfit", "told"),
    "login": ("broker_login", ""),
    "rights": ("broker_refuses", ""),
    "unreachable": ("broker_unreachable", "error"),
    "full": ("broker_full", "told"),
    "read_only": ("broker_read_only", ""),
}


class Found(TypedDict):
    """``severity``: ok, warning, fault. ``code`` is ``ok`` or one word for what is the matter."""

    check: str
    ok: bool
    severity: str
    code: str
    cause: str
    action: str
    parameters: dict[str, Any]


class Doctor(TypedDict):
    """``ok``: nothing is wrong; warnings may be."""

    ok: bool
    checks: list[Found]


@dataclass(frozen=True)
class Finding:
    """``what`` was asked. A warning is ok with a code."""

    what: str
    code: str = "ok"
    ok: bool = True
    parameters: dict[str, Any] = field(default_factory=dict)

    def document(self, language: Language) -> Found:
        """With its sentences."""
        told, do = f"doctor.{self.code}", f"doctor_do.{self.code}"
        if told not in SENTENCES:  # of a mail that could not be sent
            told, do = f"cause.{self.code}", f"action.{self.code}"
        what = f"doctor_ok.{self.what}"
        fine = say(what, language, **self.parameters) if what in SENTENCES and self.code == "ok" else ""
        return {
            "check": self.what,
            "ok": self.ok,
            "severity": "fault" if not self.ok else "ok" if self.code == "ok" else "warning",
            "code": self.code,
            "cause": fine or (say(told, language, **self.parameters) if told in SENTENCES else ""),
            "action": say(do, language, **self.parameters) if do in SENTENCES else "",
            "parameters": self.parameters,
        }


def document(
    language: Language = "en", *, ask_mail_server: bool = False, engine: workers.Workers | None = None
) -> Doctor:
    """Everything that can be asked; what needs the database is left out where there is none.

    ``engine``: what the caller has just read of the workers; else it is read here.
    """
    access.check("system.read", None)
    found = [one.document(language) for one in _all(ask_mail_server, engine)]
    return {"ok": all(one["ok"] for one in found), "checks": found}


def _all(ask_mail_server: bool, engine: workers.Workers | None) -> Iterator[Finding]:
    with ExitStack() as stack:
        reached = _reach(stack)
        if reached is None:
            for ask in (_database, _zones, _retention):
                yield from _asked(partial(_with_connection, ask))
            yield from _asked(partial(_engine, engine))
            yield from _keys()
        else:
            yield reached
        yield from _broker()
        yield from _rabbitmq()
        yield from _disk()
        yield _public_url()
        yield from _mail(ask_mail_server, there=reached is None)


def _reach(stack: ExitStack) -> Finding | None:
    """Find the database, as every command does; what is in the way."""
    try:
        stack.enter_context(environment.database())
        environment.use_broker_if_running()
    except WrongSchema as error:
        return _wrong("schema", "schema", told=str(error))
    except Unfit as error:
        return _wrong("database", "unfit", told=str(error))
    except Problem as error:
        return _wrong("database", "no_database", told=str(error))
    except (SQLAlchemyError, psycopg.Error) as error:
        if why := why_refused(error):
            return _wrong("database", f"database_{why}")
        return _wrong("database", "database_unreachable", error=type(error).__name__)
    return None


def _with_connection(ask: Callable[[Connection], Iterator[Finding]]) -> list[Finding]:
    with transaction() as connection:
        return list(ask(connection))


def _asked(ask: Callable[[], Iterable[Finding]]) -> Iterator[Finding]:
    try:
        found = list(ask())
    except DATABASE_TROUBLE as error:
        found = [_wrong("database", "database_unreachable", error=type(error).__name__)]
    yield from found


def _wrong(what: str, code: str, **parameters: Any) -> Finding:
    return Finding(what, code, ok=False, parameters=parameters)


def _note(what: str, code: str, **parameters: Any) -> Finding:
    return Finding(what, code, parameters=parameters)


# ----------------------------------------------------------------------------------------------------------- database


def _database(connection: Connection) -> Iterator[Finding]:
    row = connection.execute(_SERVER).one()
    version = {"version": row.version.split()[0]}
    if row.number < OLDEST_POSTGRES * 10_000:
        yield _wrong("database", "postgres_old", least=OLDEST_POSTGRES, **version)
    elif row.read_only:
        yield _wrong("database", "read_only", **version)
    elif row.encoding != "UTF8":
        yield _wrong("database", "encoding", encoding=row.encoding)
    else:
        yield Finding("database", parameters=version)
    if not has_room(connection):
        yield _wrong("database", "database_full")
    yield Finding("schema")
    refused = list(connection.execute(_NOT_OURS).scalars())
    if refused:
        yield _wrong("rights", "rights", tables=", ".join(refused))
    else:
        yield Finding("rights") if row.may_create else _note("rights", "may_not_migrate")
    yield Finding("extensions") if row.trigrams else _note("extensions", "no_trigrams")
    off = round(abs((row.at - utc_now()).total_seconds()))
    yield _wrong("clock", "clock", count=off) if off > CLOCK_SECONDS else Finding("clock")
    most = room(connection)
    used = {"used": row.connections, "most": most, "percent": round(100 * row.connections / most) if most else 100}
    full = used["percent"] >= FULL_PERCENT
    yield Finding("connections", "connections" if full else "ok", ok=not full, parameters=used)


def _engine(known: workers.Workers | None) -> Iterator[Finding]:
    found = known or workers.document()
    with transaction() as connection:
        used = connection.execute(_USED).scalar()
        services = vital_signs.read(connection)
    others = sorted({one["version"] for one in found["workers"] if one["alive"] and not one["same_version"]})
    if found["alive"] == 0:
        yield _wrong("workers", "no_worker") if used else _note("workers", "no_worker")
    elif others:
        yield _note("workers", "versions", mine=found["version"], others=", ".join(others))
    else:
        yield Finding("workers", parameters={"count": found["alive"], "threads": found["threads"]})
    # Behind a pooler they have none of their own but two, and that is enough.
    few = [] if settings.get().database_direct_url else [lacks for one in found["workers"] if (lacks := _lacks(one))]
    if few:
        yield _note("connections of workers", "few_connections", count=len(few), missing=sum(few))
    for service in found["services"]:
        name, state = service["name"], service["state"]
        state = services.get(name, state) if state == "ok" else state
        if state == "ok":
            yield Finding(name)
        elif used:
            yield _wrong(name, f"{name}_{state}")


def _lacks(worker: workers.Worker) -> int:
    """How many connections a living worker did not get when it started; those of an older version did not say."""
    from workers.process import connections  # noqa: PLC0415  the whole engine comes with it

    known = worker["alive"] and worker["connections"] > 0
    return connections.missing(worker["threads"], worker["connections"]) if known else 0


def _zones(connection: Connection) -> Iterator[Finding]:
    zones = list(connection.execute(_ZONES).scalars())
    unknown = [zone for zone in zones if not (_has_zone(zone) and _database_has_zone(connection, zone))]
    yield _wrong("zones", "zones", zones=", ".join(unknown[:5])) if unknown else Finding("zones")


def _database_has_zone(connection: Connection, name: str) -> bool:
    try:
        with connection.begin_nested():
            connection.execute(_TIME_IN, {"zone": name})
    except DataError:
        return False
    return True


def _has_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return False
    return True


def _retention(connection: Connection) -> Iterator[Finding]:
    keeps = settings.get().ledger_retention
    oldest = connection.execute(_OLDEST_RUN).scalar()
    days = {"count": keeps // 86_400}
    late = oldest is not None and oldest > keeps + LATE_SECONDS
    yield _wrong("retention", "retention_late", **days) if late else Finding("retention", parameters=days)


def _keys() -> Iterator[Finding]:
    try:
        keys()
    except SecretUnreadable as error:
        yield _wrong("keys", "keys_missing", told=str(error))
    except SettingsError:
        try:
            environment.need_keys()
        except (SecretUnreadable, SettingsError, Problem) as error:
            yield _wrong("keys", "keys_missing", told=str(error))
        else:
            yield Finding("keys")
    else:
        yield Finding("keys")


# -------------------------------------------------------------------------------------------------------- all besides


def _broker() -> Iterator[Finding]:
    if not settings.get().redis_url:
        yield _wrong("broker", "no_broker")
        return
    url = settings.get().need_redis()
    try:
        prefix = redis_prefix()
    except (SettingsError, *DATABASE_TROUBLE):  # told above; the prefix stands in the database
        prefix = "koppeling:doctor"
    trouble = look(url, prefix)
    if trouble:
        code, parameter = _BROKER[trouble.code]
        yield _wrong("broker", code, **({parameter: trouble.text} if parameter else {}))
        return
    client = connect(url)
    try:
        told: dict[str, Any] = client.info()
    except redis.RedisError:
        yield Finding("broker", parameters={"kind": "Redis", "version": "?"})
        yield _note("broker memory", "broker_policy_unknown")
        return
    kind = "Valkey" if "valkey_version" in told else "Redis"
    version = told.get("valkey_version") or told.get("redis_version", "?")
    yield Finding("broker", parameters={"kind": kind, "version": version})
    policy = told.get("maxmemory_policy", "noeviction")
    evicts = policy != "noeviction"
    yield _wrong("broker memory", "broker_evicts", policy=policy) if evicts else Finding("broker memory")


def _rabbitmq() -> Iterator[Finding]:
    url = settings.get().broker_url
    if not url:
        return
    from workers.broker import rabbitmq_trouble  # noqa: PLC0415  few have one

    try:
        trouble = rabbitmq_trouble.look(url)
    except DATABASE_TROUBLE:  # told above; the names of its queues stand in the database
        return
    if trouble is None:
        yield Finding("rabbitmq")
    elif trouble.code == "unreachable":
        yield _wrong("rabbitmq", "rabbitmq_unreachable", error=trouble.text)
    elif trouble.code == "full":
        yield _wrong("rabbitmq", "rabbitmq_full")
    else:
        yield _wrong("rabbitmq", "rabbitmq_unfit", told=trouble.text)


def _disk() -> Iterator[Finding]:
    """Of the embedded servers alone: others' disks are not seen from here."""
    home = settings.get().home
    if not settings.get().embedded_database or not home.exists():
        return
    free = shutil.disk_usage(home).free
    told = {"free": f"{free / 1e9:.1f} GB", "home": str(home)}
    yield Finding("disk", "disk_full" if free < FREE_BYTES else "ok", ok=free >= FREE_BYTES, parameters=told)


def _public_url() -> Finding:
    url = settings.get().public_url
    return Finding("public url", parameters={"url": url}) if url else _note("public url", "no_public_url")


def _mail(ask: bool, *, there: bool) -> Iterator[Finding]:
    found = settings.get()
    wanted, lost, late = bool(found.alert_mail), 0, 0
    if there:
        try:
            with transaction() as connection:
                wanted = wanted or bool(connection.execute(_MAILED).scalar())
                row = connection.execute(_UNDELIVERED).one()
                lost, late = row.lost, row.late
        except DATABASE_TROUBLE:
            pass  # told above
    if not found.smtp_url:
        yield _wrong("mail", "mail_missing") if wanted else _note("mail", "nobody_told")
    else:
        yield _mail_server(found.smtp_url) if ask else Finding("mail")
    if lost or late:
        yield _note("deliveries", "undelivered", count=lost + late)


def _mail_server(url: str) -> Finding:
    from ops.alerts import mail  # noqa: PLC0415  only where it is asked

    try:
        mail.look(mail.Server.of(url))
    except mail.Undelivered as error:
        return _wrong("mail", error.code)
    return Finding("mail")
