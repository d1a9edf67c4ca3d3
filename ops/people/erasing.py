"""Forget a person wholly: their own rows, and their name, address and account wherever else they stand.

The second half is general: every column of every table of the tenant that can hold text is looked through, so a new
column is looked through too. Rows of other people keep what is their own, also where two of them share an address.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    JSON,
    CheckConstraint,
    Column,
    Connection,
    LargeBinary,
    String,
    Table,
    TypeDecorator,
    select,
    text,
)

from models.base import listed
from models.crypto import Encrypted
from models.dead_letter import BATCHES_OF_TENANT
from models.folding import fold_email, spellings
from models.outcomes import OPEN
from models.run import EMPTIED
from models.tables import metadata

ERASED = "<erased>"
# Held in one transaction, in the order in which all other code takes them.
_LOCKS = (
    f"SELECT id FROM replay_batch WHERE state = 'running' AND {BATCHES_OF_TENANT} ORDER BY id FOR UPDATE",  # noqa: S608
    """SELECT id FROM run WHERE tenant_id = :tenant AND (status IN ('queued', 'running')
           OR status = 'dry_run' AND finished_at IS NULL) ORDER BY id FOR UPDATE""",
    """SELECT m.id FROM message m WHERE m.tenant_id = :tenant AND m.kind = 'enrollment.upsert' AND m.subject_id IN
       (SELECT id FROM enrollment WHERE person_id = :person) ORDER BY m.id FOR UPDATE""",
    "SELECT id FROM person WHERE id = :person FOR UPDATE",
    "SELECT id FROM enrollment WHERE person_id = :person ORDER BY id FOR UPDATE",
    "SELECT id FROM link WHERE person_id = :person FOR UPDATE",
)
# What a producer has read of the person is in its memory: it loses its run, which begins again from the start.
_BEGIN_AGAIN = """
    UPDATE run SET status = 'queued', fence = fence + 1, lease_owner = NULL, lease_until = NULL
     WHERE tenant_id = :tenant AND status = 'running'
"""
_END_DRY_RUNS = """
    UPDATE run SET status = 'failed', reason = 'person_erased', finished_at = now()
     WHERE tenant_id = :tenant AND status = 'dry_run' AND finished_at IS NULL
"""
_ACCOUNTS = """
    SELECT pluvo_id FROM link WHERE person_id = :person
    UNION SELECT told_account FROM enrollment WHERE person_id = :person
    UNION SELECT pluvo_id FROM change WHERE tenant_id = :tenant AND internal_id = :internal_id
    UNION SELECT pluvo_id FROM completion WHERE tenant_id = :tenant AND internal_id = :internal_id
    UNION SELECT unnest(ARRAY[detail->>'before', detail->>'after']) FROM operator_action
           WHERE tenant_id = :tenant AND subject = :internal_id AND verb LIKE 'links %'
"""
_SHARED = """
    SELECT pluvo_id FROM link WHERE tenant_id = :tenant AND person_id IS DISTINCT FROM :person
       AND pluvo_id = ANY(:accounts)
"""
_NAMES = """
    SELECT name, email FROM person WHERE id = :person
    UNION SELECT applied_name, applied_email FROM person WHERE id = :person
    UNION SELECT name, email FROM snapshot_row WHERE tenant_id = :tenant AND internal_id = :internal_id
    UNION SELECT name, email FROM directory_user WHERE tenant_id = :tenant AND pluvo_id = ANY(:own)
    UNION SELECT j->>'name', j->>'email' FROM (
          SELECT unnest(ARRAY[before, after]) AS j FROM change WHERE tenant_id = :tenant AND internal_id = :internal_id
          UNION ALL SELECT unnest(ARRAY[before, after]) FROM plan_line
           WHERE tenant_id = :tenant AND internal_id = :internal_id
          UNION ALL SELECT unnest(ARRAY[before, after]) FROM hold_line
           WHERE tenant_id = :tenant AND internal_id = :internal_id) x
    UNION SELECT name, email FROM plan_line WHERE tenant_id = :tenant AND internal_id = :internal_id
"""
_MINE = "tenant_id = :tenant AND internal_id = :internal_id"
_HOOKS = "tenant_id = :tenant AND (pluvo_id = ANY(:accounts) OR ref = ANY(:refs) OR lower(ref) = ANY(:emails))"
_WORK = f"""
    kind = 'enrollment.upsert' AND subject_id IN (SELECT id FROM enrollment WHERE person_id = :person)
    OR kind = 'completion.write_back' AND subject_id IN (SELECT id FROM completion WHERE {_MINE})
    OR kind = 'completion.fetch' AND subject_id IN (SELECT id FROM webhook_event WHERE {_HOOKS})
"""  # noqa: S608  constants only
_DELETE = {
    "message": f"tenant_id = :tenant AND ({_WORK})",
    "dead_letter": f"tenant_id = :tenant AND (internal_id = :internal_id OR {_WORK})",
    "webhook_event": _HOOKS,
    "completion": f"{_MINE} OR tenant_id = :tenant AND internal_id IS NULL AND pluvo_id = ANY(:own)",
    "change": f"{_MINE} OR tenant_id = :tenant AND internal_id IS NULL AND pluvo_id = ANY(:own)",
    "hold_line": _MINE,
    "snapshot_row": f"{_MINE} OR tenant_id = :tenant AND internal_id IS NULL AND email_folded = ANY(:emails)",
    "directory_user": """tenant_id = :tenant
        AND (pluvo_id = ANY(:own) OR email_folded = ANY(:emails) OR ref = ANY(:refs))""",
    "operator_action": """tenant_id = :tenant AND subject = :internal_id
        AND (verb LIKE 'links %' OR verb = 'people open')""",
    "enrollment": "tenant_id = :tenant AND person_id = :person",
    "link": "tenant_id = :tenant AND person_id = :person",
    "person": "tenant_id = :tenant AND id = :person",
}
# Lines stay, so that every row that was read keeps its outcome; whose they were is forgotten.
_FORGET_LINES = f"""
    UPDATE plan_line
       SET internal_id = NULL, enrollment_id = NULL, completion_id = NULL, {EMPTIED},
           outcome = CASE WHEN outcome NOT IN ({listed(OPEN)}) THEN outcome
                          WHEN is_row THEN 'rejected' ELSE 'dropped' END,
           reason = 'erased', settled_at = coalesce(settled_at, now())
     WHERE tenant_id = :tenant AND internal_id = :internal_id
"""  # noqa: S608  constants
# What was decided about other people and leads to the person or an account of theirs: the next run decides again.
_FORGET_DECISIONS = (
    "UPDATE plan_line SET after_person = NULL WHERE tenant_id = :tenant AND after_person = :internal_id",
    *(
        f"""UPDATE {table} SET reason = 'same_person_as:{ERASED}'
             WHERE tenant_id = :tenant AND reason = 'same_person_as:' || :internal_id"""  # noqa: S608  constants only
        for table in ("enrollment", "plan_line")
    ),
    *(
        f"""UPDATE {table} SET match = NULL, match_account = NULL, match_by = NULL, match_with = NULL
             WHERE tenant_id = :tenant AND (match_with = :internal_id OR match_account = ANY(:own))"""  # noqa: S608
        for table in ("person", "plan_line")
    ),
)
# It can't be told whom they are about.
_EMPTY_UNREADABLE = """
    UPDATE webhook_event SET body = NULL, ref = NULL
     WHERE tenant_id = :tenant AND event = 'unreadable' AND (body IS NOT NULL OR ref IS NOT NULL)
"""


@dataclass(frozen=True)
class Known:
    """All that names one person here."""

    internal_id: str
    accounts: list[str]
    own: list[str]  # of these, the ones that no other person is linked to
    refs: list[str]
    names: list[str]
    emails: list[str]

    @property
    def values(self) -> dict[str, str | list[str]]:
        lists = {"accounts": self.accounts, "own": self.own, "refs": self.refs, "emails": self.emails}
        return lists | {"internal_id": self.internal_id}

    @property
    def words(self) -> list[str]:
        """What is looked for everywhere, the longest first."""
        given = (*self.names, *self.emails, *self.own, *self.refs)
        found = {word for one in given for word in spellings(one) if len(word) > 1}
        return sorted(found, key=len, reverse=True)


def erase(connection: Connection, tenant: int, person: int | None, internal_id: str) -> dict[str, int]:
    """Delete or clean every row here that tells something of the person; returns how many by table."""
    keys = {"tenant": tenant, "person": person, "internal_id": internal_id}
    for lock in _LOCKS:
        connection.execute(text(lock), keys)
    connection.execute(text(_BEGIN_AGAIN), keys)
    connection.execute(text(_END_DRY_RUNS), keys)
    known = _known(connection, keys, internal_id)
    gone = {"plan_line": connection.execute(text(_FORGET_LINES), keys).rowcount}
    for forget in _FORGET_DECISIONS:
        connection.execute(text(forget), keys | known.values)
    for table, where in _DELETE.items():
        statement = text(f"DELETE FROM {table} WHERE {where}")  # noqa: S608  constants only
        gone[table] = connection.execute(statement, keys | known.values).rowcount
    # What somebody searched for may be the name; each lasts an hour anyway.
    connection.execute(text("DELETE FROM people_search"))
    gone["webhook_event"] += connection.execute(text(_EMPTY_UNREADABLE), keys).rowcount
    for table_name, count in _clean_others(connection, tenant, known):
        gone[table_name] = gone.get(table_name, 0) + count
    return {table: count for table, count in gone.items() if count}


def _known(connection: Connection, keys: dict[str, str | int | None], internal_id: str) -> Known:
    accounts = [found for found in connection.execute(text(_ACCOUNTS), keys).scalars() if found]
    shared = set(connection.execute(text(_SHARED), keys | {"accounts": accounts}).scalars())
    own = [account for account in accounts if account not in shared]
    pairs = connection.execute(text(_NAMES), keys | {"own": own}).all()
    member = connection.execute(text("SELECT afas->>'member_id' FROM tenant WHERE id = :tenant"), keys).scalar()
    refs = {f"afas:{member}:{internal_id}"}
    refs |= set(connection.execute(text("SELECT ref FROM link WHERE person_id = :person"), keys).scalars())
    return Known(
        internal_id,
        accounts,
        own,
        refs=sorted(ref for ref in refs if ref),
        names=sorted({name for name, _ in pairs if name}),
        emails=sorted({form for _, email in pairs if email for form in (email.strip(), fold_email(email))}),
    )


# ------------------------------------------------------------------------------------------------ what others' rows say

# Words of ours, never of people.
_CODES = {
    "kind", "outcome", "action", "operation", "result", "system", "verb", "code", "error", "level", "event",
    "fingerprint", "trigger", "signalled_by", "code_version", "worker", "lease_owner", "plan_hash", "event_id",
    "afas_reference", "run_id", "last_run_id", "batch", "seen_run",
}  # fmt: skip
# The customer's own words for what is taught.
_SETTINGS = {"course"}
_TITLES = {"title", "field"}
# Tables without a tenant: which of their rows are about people of one.
_OF_TENANT = {"replay_batch": BATCHES_OF_TENANT}
# Rows of other people: what stands in these columns is theirs.
_THEIRS = {"person", "snapshot_row", "directory_user"}
# Lists of accounts: an account of the person's is taken out, not made unrecognisable.
_LISTS_OF_ACCOUNTS = {"candidates"}
# Under these keys a number is a person's.
_PERSON_KEYS = {"person", "internal_id", "after", "linked_to", "persons", "people", "subject"}


def _columns(table: Table) -> list[Column[Any]]:
    """The columns in which something about a person may stand in a row that is not theirs."""
    checked = {
        str(constraint.sqltext).split(" ", 1)[0]
        for constraint in table.constraints
        if isinstance(constraint, CheckConstraint)
    }
    return [
        column
        for column in table.c
        if isinstance(_stored(column), String | JSON | LargeBinary)
        and not isinstance(column.type, Encrypted)
        and not column.primary_key
        and not column.foreign_keys
        and column.name not in checked | _CODES | _TITLES | {"internal_id", "body_sha256"}
        and not (table.name in _THEIRS and isinstance(_stored(column), String))
    ]


def _stored(column: Column[Any]) -> Any:
    """The type that the database has for it."""
    return column.type.impl_instance if isinstance(column.type, TypeDecorator) else column.type


def _clean_others(connection: Connection, tenant: int, known: Known) -> Iterator[tuple[str, int]]:
    owners = _Owners(connection, tenant)
    for table in metadata.sorted_tables:
        columns = _columns(table) if table.name in _OF_TENANT or "tenant_id" in table.c else []
        if not columns or table.name in _SETTINGS:
            continue
        asked = [table.c.id, *(table.c[name] for name in ("internal_id", "person_id") if name in table.c), *columns]
        of_tenant = text(_OF_TENANT.get(table.name, "tenant_id = :tenant"))
        query = select(*asked).where(of_tenant, text(_mentions(columns)))
        found = connection.execute(query, {"tenant": tenant, **_patterns(known)}).mappings().all()
        cleaned = 0
        for row in found:
            cleaner = Cleaner(known, owners.of(table, row))
            fresh = {column.name: cleaner.value(row[column.name], column.name) for column in columns}
            changed = {name: value for name, value in fresh.items() if value != row[name]}
            if changed:
                connection.execute(table.update().where(table.c.id == row["id"]).values(changed))
                cleaned += 1
        yield table.name, cleaned


def _mentions(columns: Iterable[Column[Any]]) -> str:
    return "(" + " OR ".join(_mention(column) for column in columns) + ")"


def _mention(column: Column[Any]) -> str:
    name = f'"{column.table.name}"."{column.name}"'
    if isinstance(_stored(column), LargeBinary):
        given, there = (f"lower(encode({one}, 'escape'))" for one in ("w", name))
        return f"EXISTS (SELECT FROM unnest(CAST(:raw AS bytea[])) AS w WHERE position({given} IN {there}) > 0)"
    return f"lower(CAST({name} AS text)) LIKE ANY(CAST(:patterns AS text[]))"


def _patterns(known: Known) -> dict[str, list[str] | list[bytes]]:
    """The words as they may be written in text, in JSON and in bytes."""
    words = [form for word in known.words for form in (word, word.upper(), word.lower())]
    written = {form for word in words for form in (word, json.dumps(word, ensure_ascii=False)[1:-1])}
    # A database may know capitals of ASCII alone (locale C).
    patterns = sorted({f"%{_escaped(low)}%" for form in written for low in (form.lower(), _lower_ascii(form))})
    patterns += [f'%"{_escaped(known.internal_id)}"%', _escaped(known.internal_id)]
    raw = {encoded for word in words for encoded in _bytes_of(word)}
    return {"patterns": patterns, "raw": sorted(raw)}


def _escaped(pattern: str) -> str:
    return re.sub(r"([\\%_])", r"\\\1", pattern)


def _lower_ascii(word: str) -> str:
    return re.sub("[A-Z]+", lambda found: found[0].lower(), word)


def _bytes_of(word: str) -> set[bytes]:
    found = {json.dumps(word)[1:-1].encode(), json.dumps(word, ensure_ascii=False)[1:-1].encode()}
    return found | {word.encode(), word.encode("latin-1", "replace")}


_CALLED = "SELECT name, email, applied_name, applied_email FROM person WHERE tenant_id = :tenant AND "
_BY_NUMBER, _BY_INTERNAL_ID = f"{_CALLED} id = :value", f"{_CALLED} internal_id = :value"


class _Owners:
    """Whose a row is, and what that person is called: that stays."""

    def __init__(self, connection: Connection, tenant: int) -> None:
        self.connection, self.tenant = connection, tenant

    def of(self, table: Table, row: Mapping[Any, Any]) -> set[str]:
        key = "id" if table.name == "person" or "person_id" in row else "internal_id"
        value = row.get("person_id", row["id"] if table.name == "person" else row.get("internal_id"))
        if value is None:
            return set()
        query = _BY_NUMBER if key == "id" else _BY_INTERNAL_ID
        found = self.connection.execute(text(query), {"tenant": self.tenant, "value": value}).first()
        return {word.casefold() for word in found or () if word}


class Cleaner:
    """Takes a person out of values that are not theirs. ``kept``: words that the row's own person goes by."""

    def __init__(self, known: Known, kept: set[str]) -> None:
        words = [re.escape(word) for word in known.words if word.casefold() not in kept]
        self.pattern = re.compile(rf"(?<!\w)(?:{'|'.join(words)})(?!\w)", re.IGNORECASE) if words else None
        self.internal_id = known.internal_id

    def value(self, value: Any, key: str) -> Any:
        """The value without the person; the same value where they are not in it."""
        if isinstance(value, str):
            return self._text(value, key)
        if isinstance(value, bytes | memoryview):
            return None  # a body that names the person: it was only kept to be looked at
        if isinstance(value, list):
            return self._list(value, key)
        if isinstance(value, dict):
            return {name: self.value(item, name) for name, item in value.items()}
        return value

    def _text(self, value: str, key: str) -> str | None:
        if value == self.internal_id and key in _PERSON_KEYS:
            return ERASED
        fresh = self.pattern.sub(ERASED, value) if self.pattern else value
        # Without its ref an account is still known by its id.
        return None if key == "ref" and fresh != value else fresh

    def _list(self, value: list[Any], key: str) -> list[Any]:
        cleaned = [self.value(item, key) for item in value]
        if key in _LISTS_OF_ACCOUNTS:
            return [item for item, fresh in zip(value, cleaned, strict=True) if item == fresh]
        return cleaned
