"""Secrets are encrypted by being stored: a column of type ``Encrypted`` can't be written in the clear.

The first key of ``KOPPELING_SECRET_KEYS`` encrypts, all of them decrypt, so a key is replaced by putting a new one in
front and calling ``reencrypt``.
"""

from __future__ import annotations

from typing import Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from sqlalchemy import LargeBinary
from sqlalchemy.types import TypeDecorator

import settings


class SecretUnreadable(Exception):
    """None of the configured keys decrypts a stored secret."""


def box() -> MultiFernet:
    """The cipher over all configured keys."""
    return MultiFernet([Fernet(key.encode()) for key in settings.get().need_secret_keys()])


def encrypt(text: str) -> bytes:
    """The stored form of a secret."""
    return box().encrypt(text.encode())


def decrypt(stored: bytes) -> str:
    """The secret itself; SecretUnreadable when no key fits."""
    try:
        return box().decrypt(bytes(stored)).decode()
    except InvalidToken:
        raise SecretUnreadable(
            "A stored secret can't be read with the keys in KOPPELING_SECRET_KEYS: add the key it was stored with."
        ) from None


def reencrypt(stored: bytes) -> bytes:
    """The same secret under the first key; SecretUnreadable when no key fits."""
    return encrypt(decrypt(stored))


class Encrypted(TypeDecorator[str]):
    """Text in Python, ciphertext in PostgreSQL."""

    impl = LargeBinary
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Any) -> bytes | None:
        return None if value is None else encrypt(value)

    def process_result_value(self, value: Any, dialect: Any) -> str | None:
        return None if value is None else decrypt(value)
