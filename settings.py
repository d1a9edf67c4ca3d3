"""Every knob, typed, read once from the environment (``KOPPELING_…``). Nothing else reads the environment.

What a process finds out by itself (``found``: where its embedded servers are) fills in what is left open.

A secret-bearing setting may also come from a file: ``KOPPELING_DATABASE_URL_FILE=/run/secrets/database_url``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from cryptography.fernet import Fernet

PREFIX = "KOPPELING_"
ROLES = ("viewer", "operator", "admin")
# What follows, and what such an address may say: tenancy/redis_connection.py.
REDIS = (
    *("redis", "rediss", "unix", "redis+sentinel", "rediss+sentinel"),
    *("valkey", "valkeys", "valkey+sentinel", "valkeys+sentinel"),
)
FROM_FILE = (
    *("DATABASE_URL", "DATABASE_DIRECT_URL", "REDIS_URL", "BROKER_URL", "SECRET_KEYS", "LOGIN_TOKEN", "SMTP_URL"),
    *("ALERT_WEBHOOK_SECRET", "OIDC_CLIENT_SECRET"),
)
_DURATION = re.compile(r"^\s*(\d+)\s*([smhd])\s*$")
_PREFIX = re.compile(r"^[A-Za-z0-9._-]([A-Za-z0-9._:-]{0,58}[A-Za-z0-9._-])?$", re.ASCII)
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_ADDRESS = re.compile(rf"[A-Za-z0-9!#$%&'*+/=?^_`{{|}}~.-]{{1,64}}@{_LABEL}(?:\.{_LABEL})+", re.ASCII)
_QUIET = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]-([01][0-9]|2[0-3]):[0-5][0-9]", re.ASCII)
_PUBLIC = re.compile(
    rf"https?://(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9A-Fa-f:.]{{2,45}}\])(?::[0-9]{{1,5}})?(?:/[A-Za-z0-9._~-]+)*/?"
)
_UNIT_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
T = TypeVar("T")
_found: dict[str, str] = {}
_keys_place: Callable[[], str | None] | None = None


class SettingsError(Exception):
    """One or more settings are missing or wrong; the text names them all and says what to do."""


def parse_duration(text: str) -> int:
    """Seconds of ``45s``, ``15m``, ``2h`` or ``7d``; raises ValueError naming the text."""
    match = _DURATION.match(text)
    if not match:
        raise ValueError(f"{text!r} is no duration: write 45s, 15m, 2h or 7d")
    return int(match[1]) * _UNIT_SECONDS[match[2]]


def format_duration(seconds: int) -> str:
    """The shortest spelling that ``parse_duration`` reads back: 7200 → ``2h``."""
    for unit in ("d", "h", "m"):
        if seconds and seconds % _UNIT_SECONDS[unit] == 0:
            return f"{seconds // _UNIT_SECONDS[unit]}{unit}"
    return f"{seconds}s"


def parse_address(text: str) -> str:
    """An e-mail address as it is written to; raises ValueError."""
    address = text.strip()
    if len(address) > 254 or not _ADDRESS.fullmatch(address) or ".." in address or address.startswith("."):
        raise ValueError("is no e-mail address such as support@example.nl")
    return address


def parse_quiet(text: str) -> str:
    """Hours in which nobody is mailed, ``22:00-07:00``; raises ValueError."""
    hours = text.replace(" ", "").replace("–", "-")
    begin, _, end = hours.partition("-")
    if not _QUIET.fullmatch(hours) or begin == end:
        raise ValueError("must be hours such as 22:00-07:00")
    return hours


def _addresses(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(parse_address(part) for part in text.split(",") if part.strip()))


def _public_url(text: str) -> str:
    if not _PUBLIC.fullmatch(text):
        raise ValueError("must be an address such as https://koppeling.example.nl; no user, query or fragment")
    return text.rstrip("/")


def _smtp(text: str) -> str:
    try:
        found = urlsplit(text)
        right = found.scheme in ("smtps", "smtp", "smtp+plain") and found.hostname and found.port != 0
    except ValueError:
        right = False
    if not right or found.query or found.fragment or found.path not in ("", "/") or not text.isprintable():
        raise ValueError("must be smtps://user:password@host:port, or smtp:// (STARTTLS), or smtp+plain:// (no TLS)")
    if found.scheme == "smtp+plain" and found.password:
        raise ValueError("sends no password without TLS: write smtp:// or smtps://")
    return text


def _zone(text: str) -> str:
    try:
        ZoneInfo(text)
    except (KeyError, ValueError, OSError):
        raise ValueError("is no time zone: write one such as Europe/Amsterdam") from None
    return text


def _issuer(text: str) -> str:
    if not text.startswith(("https://", "http://")) or set(text) & set(" ?#@") or not text.isprintable():
        raise ValueError("must be the issuer's address such as https://login.example.nl/realms/work")
    return text


def _scopes(text: str) -> str:
    if "openid" not in text.split():
        raise ValueError("must have openid among them")
    return " ".join(text.split())


def _roles(text: str) -> tuple[tuple[str, str], ...]:
    pairs = [part.rpartition("=") for part in text.split(",") if part.strip()]
    if not pairs or any(not value.strip() or role.strip() not in ROLES for value, _, role in pairs):
        raise ValueError("write what the claim has and the role: Support=operator,Beheer=admin")
    return tuple((value.strip(), role.strip()) for value, _, role in pairs)


def _durations(text: str) -> tuple[int, ...]:
    return tuple(parse_duration(part) for part in text.split(",") if part.strip())


def _secret_keys(text: str) -> tuple[str, ...]:
    keys = tuple(part.strip() for part in text.split(",") if part.strip())
    for number, key in enumerate(keys, 1):
        try:
            Fernet(key.encode())
        except ValueError:
            raise ValueError(f"key {number} is no Fernet key (32 bytes, url-safe base64)") from None
    return keys


@dataclass(frozen=True)
class Settings:
    """All settings; durations in seconds."""

    home: Path
    database_url: str | None = field(repr=False, default=None)
    database_direct_url: str | None = field(repr=False, default=None)
    redis_url: str | None = field(repr=False, default=None)
    broker_url: str | None = field(repr=False, default=None)
    secret_keys: tuple[str, ...] = field(repr=False, default=())
    allow_insecure_urls: bool = False
    integration_id: str | None = None
    retry_schedule: tuple[int, ...] = (30, 120, 600, 1800, 7200, 21600)
    quarantine_probes: tuple[int, ...] = (60, 300, 900, 3600)
    lease: int = 180
    log_format: str | None = None
    postgres_bin: Path | None = None
    valkey_bin: Path | None = None
    redis_prefix: str | None = None
    embedded_database: bool = False
    login_token: str | None = field(repr=False, default=None)
    payload_retention: int = 90 * 86400
    ledger_retention: int = 400 * 86400
    dead_letter_retention: int = 180 * 86400
    max_event_rows: int = 250_000
    public_url: str | None = None
    smtp_url: str | None = field(repr=False, default=None)
    smtp_from: str | None = None
    alert_mail: tuple[str, ...] = ()
    alert_webhook: str | None = None
    alert_webhook_secret: str | None = field(repr=False, default=None)
    alert_language: str = "nl"
    alert_timezone: str = "Europe/Amsterdam"
    alert_quiet: str | None = None
    oidc_issuer: str | None = None
    oidc_client_id: str | None = None
    oidc_client_secret: str | None = field(repr=False, default=None)
    oidc_scopes: str = "openid profile email"
    oidc_name_claim: str = "preferred_username"
    oidc_role_claim: str = "roles"
    # (a value of that claim, the role it gives)
    oidc_roles: tuple[tuple[str, str], ...] = (("viewer", "viewer"), ("operator", "operator"), ("admin", "admin"))
    oidc_tenants_claim: str | None = None

    def need_database(self) -> str:
        """The database's URL for SQLAlchemy with psycopg, or a SettingsError that says what to do."""
        if not self.database_url:
            raise SettingsError(
                "No database: set KOPPELING_DATABASE_URL (postgresql://…) or start one here with `koppeling up`."
            )
        return "postgresql+psycopg://" + self.database_url.split("://", 1)[1]

    def need_direct_database(self) -> str:
        """Its URL for psycopg, for what needs a session of its own: past a connection pooler, if one is named."""
        return "postgresql://" + (self.database_direct_url or self.need_database()).split("://", 1)[1]

    def need_redis(self) -> str:
        """The URL of Redis, or a SettingsError that says what to do."""
        if not self.redis_url and self.broker_url:
            raise SettingsError("Set KOPPELING_REDIS_URL too: RabbitMQ carries messages, Redis keeps shared rates.")
        if not self.redis_url:
            raise SettingsError("No broker: set KOPPELING_REDIS_URL (redis://…) or start one here with `koppeling up`.")
        # redis-py knows Valkey's servers, not their URLs.
        return self.redis_url.replace("valkey", "redis", 1) if self.redis_url.startswith("valkey") else self.redis_url

    def need_secret_keys(self) -> tuple[str, ...]:
        """The Fernet keys, newest first, or a SettingsError that says what to do."""
        if not self.secret_keys:
            raise SettingsError(
                "No key to read secrets with: set KOPPELING_SECRET_KEYS (make one with "
                '`python -c "from cryptography.fernet import Fernet; print(Fernet.generate_key().decode())"`).'
            )
        return self.secret_keys


def _read(name: str, problems: list[str]) -> str | None:
    value = os.environ.get(PREFIX + name)
    path = os.environ.get(f"{PREFIX}{name}_FILE")
    if value is None and path and name in FROM_FILE:
        try:
            if Path(path).exists() and not Path(path).is_file():  # a pipe would be waited for, a device read for ever
                problems.append(f"{PREFIX}{name}_FILE: {path} is no regular file")
                return None
            value = Path(path).read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or "not UTF-8 text"
            problems.append(f"{PREFIX}{name}_FILE: can't read {path} ({why})")
    return (value or "").strip() or None


def load() -> Settings:
    """Read the environment. Raises SettingsError that names every wrong setting at once."""
    problems: list[str] = []

    def knob(name: str, read: Callable[[str], T], default: T) -> T:
        text = _read(name, problems) or _found.get(name)
        if text is None:
            return default
        try:
            return read(text)
        except ValueError as error:
            shown = "" if name in FROM_FILE else f" {text!r}:"
            problems.append(f"{PREFIX}{name}:{shown} {error}")
            return default

    def url(*schemes: str) -> Callable[[str], str | None]:
        def check(text: str) -> str | None:
            if text.split("://", 1)[0] not in schemes or "://" not in text:
                raise ValueError(f"must start with {schemes[0]}:// (or {'://, '.join(schemes[1:])}://)")
            return text

        return check

    def choice(*allowed: str) -> Callable[[str], str]:
        def check(text: str) -> str:
            if text not in allowed:
                raise ValueError(f"must be one of {', '.join(allowed)}")
            return text

        return check

    def absolute(path: Path) -> Path:
        try:
            return path.absolute()
        except OSError:
            problems.append("the current folder is gone: go to another one, or set KOPPELING_HOME to a full path")
            return path

    def place(text: str) -> Path | None:
        return absolute(Path(text))

    def prefix(text: str) -> str | None:
        if not _PREFIX.match(text):
            raise ValueError("may have letters, digits, '.', '_', '-' and, inside, ':'; at most 60 of them")
        return text

    def seconds(minimum: int) -> Callable[[str], int]:
        def check(text: str) -> int:
            value = parse_duration(text)
            if value < minimum:
                raise ValueError(f"must be at least {format_duration(minimum)}")
            return value

        return check

    def count(minimum: int) -> Callable[[str], int]:
        def check(text: str) -> int:
            if not re.fullmatch(r"[0-9]{1,9}", text) or int(text) < minimum:
                raise ValueError(f"must be a whole number, at least {minimum}")
            return int(text)

        return check

    def flag(text: str) -> bool:
        if text not in ("0", "1"):
            raise ValueError("must be 0 or 1")
        return text == "1"

    postgres = url("postgresql", "postgres", "postgresql+psycopg", "postgresql+psycopg2", "postgresql+asyncpg")
    standard = Settings(home=Path(".koppeling"))
    settings = Settings(
        home=absolute(knob("HOME", Path, standard.home)),
        database_url=knob("DATABASE_URL", postgres, None),
        database_direct_url=knob("DATABASE_DIRECT_URL", postgres, None),
        redis_url=knob("REDIS_URL", url(*REDIS), None),
        broker_url=knob("BROKER_URL", url("amqp", "amqps"), None),
        secret_keys=knob("SECRET_KEYS", _secret_keys, ()),
        allow_insecure_urls=knob("ALLOW_INSECURE_URLS", flag, False),
        integration_id=knob("INTEGRATION_ID", str, ""),
        retry_schedule=knob("RETRY_SCHEDULE", _durations, standard.retry_schedule),
        quarantine_probes=knob("QUARANTINE_PROBES", _durations, standard.quarantine_probes),
        lease=knob("LEASE", seconds(2), standard.lease),
        postgres_bin=knob("POSTGRES_BIN", place, None),
        valkey_bin=knob("VALKEY_BIN", place, None),
        redis_prefix=knob("REDIS_PREFIX", prefix, None),
        embedded_database=_read("DATABASE_URL", []) is None,
        log_format=knob("LOG_FORMAT", choice("console", "json"), None),
        login_token=knob("LOGIN_TOKEN", str, ""),
        payload_retention=knob("PAYLOAD_RETENTION", seconds(86400), standard.payload_retention),
        ledger_retention=knob("LEDGER_RETENTION", seconds(86400), standard.ledger_retention),
        max_event_rows=knob("MAX_EVENT_ROWS", count(1000), standard.max_event_rows),
        public_url=knob("PUBLIC_URL", _public_url, None),
        smtp_url=knob("SMTP_URL", _smtp, None),
        smtp_from=knob("SMTP_FROM", parse_address, None),
        alert_mail=knob("ALERT_MAIL", _addresses, ()),
        alert_webhook=knob("ALERT_WEBHOOK", _public_url, None),
        alert_webhook_secret=knob("ALERT_WEBHOOK_SECRET", str, ""),
        alert_language=knob("ALERT_LANGUAGE", choice("nl", "en"), standard.alert_language),
        alert_timezone=knob("ALERT_TIMEZONE", _zone, standard.alert_timezone),
        alert_quiet=knob("ALERT_QUIET", parse_quiet, ""),
        oidc_issuer=knob("OIDC_ISSUER", _issuer, None),
        oidc_client_id=knob("OIDC_CLIENT_ID", str, ""),
        oidc_client_secret=knob("OIDC_CLIENT_SECRET", str, ""),
        oidc_scopes=knob("OIDC_SCOPES", _scopes, standard.oidc_scopes),
        oidc_name_claim=knob("OIDC_NAME_CLAIM", str, standard.oidc_name_claim),
        oidc_role_claim=knob("OIDC_ROLE_CLAIM", str, standard.oidc_role_claim),
        oidc_roles=knob("OIDC_ROLES", _roles, standard.oidc_roles),
        oidc_tenants_claim=knob("OIDC_TENANTS_CLAIM", str, ""),
        dead_letter_retention=knob("DEAD_LETTER_RETENTION", seconds(86400), standard.dead_letter_retention),
    )
    problems += _together(settings)
    if problems:
        raise SettingsError("; ".join(problems))
    return settings


def _together(settings: Settings) -> list[str]:
    """What does not fit together."""
    problems: list[str] = []
    if not settings.quarantine_probes:
        problems.append("KOPPELING_QUARANTINE_PROBES: needs at least one duration")
    if settings.smtp_url and not settings.smtp_from:
        problems.append("KOPPELING_SMTP_FROM: is needed with KOPPELING_SMTP_URL")
    if settings.alert_webhook and not settings.alert_webhook_secret:
        problems.append("KOPPELING_ALERT_WEBHOOK_SECRET: is needed with KOPPELING_ALERT_WEBHOOK")
    if (settings.alert_webhook or "https://").startswith("http://") and not settings.allow_insecure_urls:
        problems.append("KOPPELING_ALERT_WEBHOOK: must be https")
    if settings.database_direct_url and not settings.database_url:
        problems.append("KOPPELING_DATABASE_URL: is needed with KOPPELING_DATABASE_DIRECT_URL")
    return problems + _oidc_problems(settings)


def _oidc_problems(settings: Settings) -> list[str]:
    """What lacks of a login through an issuer that is only half given."""
    given = {
        "OIDC_ISSUER": settings.oidc_issuer,
        "OIDC_CLIENT_ID": settings.oidc_client_id,
        "OIDC_CLIENT_SECRET": settings.oidc_client_secret,
    }
    if not any(given.values()):
        return []
    given["PUBLIC_URL"] = settings.public_url
    lacking = [PREFIX + name for name, value in given.items() if not value]
    problems = [f"a login through an issuer also needs {', '.join(lacking)}"] if lacking else []
    if (settings.oidc_issuer or "").startswith("http://") and not settings.allow_insecure_urls:
        problems.append("KOPPELING_OIDC_ISSUER: must be https")
    return problems


def found(**values: str) -> None:
    """Fill in what the environment does not say, in this process only."""
    _found.update({name.upper(): value for name, value in values.items()})
    get.cache_clear()


def given(name: str) -> bool:
    """Whether the environment itself says it, or names a file that does."""
    return _read(name, []) is not None


def look_for_keys(look: Callable[[], str | None]) -> None:
    """Where this process found its keys, which somebody may replace while it runs."""
    global _keys_place  # noqa: PLW0603  like what was found, one a process
    _keys_place = look


def keys_as_they_are() -> tuple[str, ...]:
    """The keys of secrets as they are now, where they were found in a place that is looked at again."""
    now = _keys_place() if _keys_place and "SECRET_KEYS" in _found else None
    if now and now != _found["SECRET_KEYS"]:
        found(secret_keys=now)
    return get().need_secret_keys()


def forget_found() -> None:
    """Know only the environment again (for tests that play several commands in one process)."""
    global _keys_place  # noqa: PLW0603  as above
    _keys_place = None
    _found.clear()
    get.cache_clear()


@lru_cache(maxsize=1)
def get() -> Settings:
    """The settings of this process, read once. Tests that change the environment call ``get.cache_clear()``."""
    return load()
