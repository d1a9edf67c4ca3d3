"""Secrets are encrypted by being stored: a column of type ``Encrypted`` can't be written in the clear.

    stored = fingerprint of the key (8 bytes) + Fernet token

The first key of ``KOPPELING_SECRET_KEYS`` encrypts, all of them decrypt, so a key is replaced by putting a new one in
front and calling ``reencrypt``. The fingerprint says which key is needed, also to a process that does not have it:
that is this process's fault (``SecretUnreadable``). What its own key does not open is broken (``SecretDamaged``).
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import Any

from cryptography.fernet import Fernet, InvalidToken
from sqlalchemy import Connection, LargeBinary, text
from sqlalchemy.types import TypeDecorator

import settings
from models.base import metadata

FINGERPRINT_BYTES = 8


class SecretUnreadable(Exception):
    """The key of a stored secret is not among those of this process."""


class SecretDamaged(Exception):
    """A stored secret does not open with the key that it is said to be under."""


@lru_cache(maxsize=64)
def fingerprint(key: str) -> bytes:
    """What a key is called where it must not be shown."""
    return hashlib.sha256(b"koppeling secret key\0" + key.encode()).digest()[:FINGERPRINT_BYTES]


def encrypt(plain: str) -> bytes:
    """The stored form of a secret."""
    key = settings.get().need_secret_keys()[0]
    return fingerprint(key) + Fernet(key.encode()).encrypt(plain.encode())


def decrypt(stored: bytes) -> str:
    """The secret itself. Raises SecretUnreadable (this process has not its key) or SecretDamaged."""
    mark, token = bytes(stored)[:FINGERPRINT_BYTES], bytes(stored)[FINGERPRINT_BYTES:]
    keys = {fingerprint(key): key for key in settings.get().need_secret_keys()}
    if mark not in keys:
        raise SecretUnreadable(missing_words([mark.hex()]))
    try:
        return Fernet(keys[mark].encode()).decrypt(token).decode()
    except (InvalidToken, UnicodeDecodeError):
        raise SecretDamaged("A stored secret is damaged: import the tenants file again.") from None


def reencrypt(stored: bytes) -> bytes:
    """The same secret under the first key. Raises what ``decrypt`` raises."""
    return encrypt(decrypt(stored))


def missing_words(marks: list[str]) -> str:
    """The sentence about keys that this process lacks, by their fingerprints."""
    mine = ", ".join(fingerprint(key).hex() for key in settings.get().secret_keys) or "none"
    return (
        f"Stored secrets are under a key that this process does not have (fingerprint {', '.join(marks)}; "
        f"it has {mine}): add that key to KOPPELING_SECRET_KEYS."
    )


def encrypted_columns() -> list[tuple[str, str]]:
    """(table, column) of everything that is stored encrypted."""
    return [
        (table.name, column.name)
        for table in metadata.sorted_tables
        for column in table.columns
        if isinstance(column.type, Encrypted)
    ]


def stored_under(connection: Connection) -> list[str]:
    """Fingerprints of the keys that are needed to read what is stored; empty while no secret is."""
    parts = [
        f"SELECT substring({column} FROM 1 FOR {FINGERPRINT_BYTES}) AS mark FROM {table} WHERE {column} IS NOT NULL"  # noqa: S608  names of our own columns
        for table, column in encrypted_columns()
    ]
    rows = connection.execute(text(f"SELECT DISTINCT mark FROM ({' UNION ALL '.join(parts)}) AS marks ORDER BY mark"))  # noqa: S608  as above
    return [bytes(row.mark).hex() for row in rows]


def need_keys_of_what_is_stored(connection: Connection) -> None:
    """Raise SecretUnreadable, which names what is missing, unless this process can read every stored secret.

    Raises SettingsError when it has no key at all.
    """
    mine = {fingerprint(key).hex() for key in settings.get().need_secret_keys()}
    missing = [mark for mark in stored_under(connection) if mark not in mine]
    if missing:
        raise SecretUnreadable(missing_words(missing))


class Encrypted(TypeDecorator[str]):
    """Text in Python, ciphertext in PostgreSQL."""

    impl = LargeBinary
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Any) -> bytes | None:
        return None if value is None else encrypt(value)

    def process_result_value(self, value: Any, dialect: Any) -> str | None:
        return None if value is None else decrypt(value)
