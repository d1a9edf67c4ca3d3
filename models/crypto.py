"""Secrets are encrypted by being stored: a column of type ``Encrypted`` can't be written in the clear.

    stored = fingerprint of the key (8 bytes) + Fernet token under a key derived from it for tenant and column

Moved to another tenant or column, a ciphertext does not open: who can write to the database still can't have one
customer's secret sent to another's system.

The first key of ``KOPPELING_SECRET_KEYS`` encrypts, all of them decrypt, so a key is replaced by putting a new one in
front and calling ``reencrypt``. The fingerprint says which key is needed, also to a process that does not have it:
that is this process's fault (``SecretUnreadable``). What its own key does not open is broken (``SecretDamaged``).
"""

from __future__ import annotations

import base64
import hashlib
from functools import lru_cache
from typing import Any

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from sqlalchemy import LargeBinary, event
from sqlalchemy.orm.attributes import set_committed_value
from sqlalchemy.types import TypeDecorator

import settings

FINGERPRINT_BYTES = 8


class SecretUnreadable(Exception):
    """The key of a stored secret is not among those of this process."""


class SecretDamaged(Exception):
    """A stored secret does not open with the key that it is said to be under."""


@lru_cache(maxsize=64)
def fingerprint(key: str) -> bytes:
    """What a key is called where it must not be shown."""
    return hashlib.sha256(b"koppeling secret key\0" + key.encode()).digest()[:FINGERPRINT_BYTES]


@lru_cache(maxsize=4096)
def _cipher(key: str, place: str) -> Fernet:
    derived = HKDF(hashes.SHA256(), length=32, salt=None, info=f"koppeling {place}".encode())
    return Fernet(base64.urlsafe_b64encode(derived.derive(base64.urlsafe_b64decode(key))))


def place_of(slug: str, column: str) -> str:
    """Where a secret belongs: ``acme/afas_token``."""
    return f"{slug}/{column}"


def encrypt(plain: str, place: str, key: str | None = None) -> bytes:
    """The stored form of a secret, under the first key unless another is given."""
    key = key or settings.keys_as_they_are()[0]
    return fingerprint(key) + _cipher(key, place).encrypt(plain.encode())


def decrypt(stored: bytes, place: str) -> str:
    """The secret itself. Raises SecretUnreadable (this process has not its key) or SecretDamaged."""
    mark, token = bytes(stored)[:FINGERPRINT_BYTES], bytes(stored)[FINGERPRINT_BYTES:]
    keys = {fingerprint(key): key for key in settings.get().need_secret_keys()}
    if mark not in keys:
        keys = {fingerprint(key): key for key in settings.keys_as_they_are()}
    if mark not in keys:
        raise SecretUnreadable(missing_words([mark.hex()]))
    try:
        return _cipher(keys[mark], place).decrypt(token).decode()
    except (InvalidToken, UnicodeDecodeError):
        raise SecretDamaged("A secret is damaged or not where it belongs: import the tenants file again.") from None


def reencrypt(stored: bytes, place: str) -> bytes:
    """The same secret under the first key. Raises what ``decrypt`` raises."""
    return encrypt(decrypt(stored, place), place)


def missing_words(marks: list[str]) -> str:
    """The sentence about keys that this process lacks, by their fingerprints."""
    mine = ", ".join(fingerprint(key).hex() for key in settings.get().secret_keys) or "none"
    return (
        f"Stored secrets are under a key that this process does not have (fingerprint {', '.join(marks)}; "
        f"it has {mine}): add that key to KOPPELING_SECRET_KEYS."
    )


class Encrypted(TypeDecorator[str]):
    """Text in an object, ciphertext in PostgreSQL. ``bind_secrets`` tells the class's columns where they belong."""

    impl = LargeBinary
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Any) -> bytes | None:
        if value is None or isinstance(value, bytes):
            return value
        if not isinstance(value, _Placed):
            raise TypeError("a secret is stored by way of its object, which knows where it belongs")
        return encrypt(value, value.place)


class _Placed(str):
    """A secret on its way into its place."""

    __slots__ = ("place",)
    place: str


def bind_secrets(table: type[Any], owner: str) -> None:
    """Open the encrypted columns of a mapped class when a row is loaded, close them when it is written.

    ``owner``: the attribute that names whose they are, for ever.
    """
    columns = [column.name for column in table.__table__.columns if isinstance(column.type, Encrypted)]

    def opened(target: Any, *_: Any) -> None:
        for column in columns:
            stored = target.__dict__.get(column)
            if isinstance(stored, bytes | memoryview):
                plain = decrypt(bytes(stored), place_of(getattr(target, owner), column))
                set_committed_value(target, column, plain)

    def closed(mapper: Any, connection: Any, target: Any) -> None:
        for column in columns:
            plain = target.__dict__.get(column)
            if isinstance(plain, str):
                placed = _Placed(plain)
                placed.place = place_of(getattr(target, owner), column)
                target.__dict__[column] = placed  # equal to what it was: no change of its own

    for moment in ("load", "refresh"):
        event.listen(table, moment, opened)
    for moment in ("before_insert", "before_update"):
        event.listen(table, moment, closed)
