"""Which secrets are stored, and under which keys."""

from __future__ import annotations

from sqlalchemy import Connection, text

import settings
from models.crypto import FINGERPRINT_BYTES, Encrypted, SecretUnreadable, fingerprint, missing_words
from models.tables import metadata


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
