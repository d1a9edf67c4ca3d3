"""Find people of all tenants that one may see: by any id, by address, by parts of their names.

Ids and whole addresses are looked up by the indexes that the work itself needs. Parts of names and addresses are found
by ``ix_person_search``: words that stand anywhere (``pg_trgm``), or, where the database may not have that, names
that begin so. What is erased is not found: nothing is searched but the people themselves.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Connection, text
from typing_extensions import TypedDict

from models.afas_values import person_number
from models.base import new_id
from models.folding import SQL_SEARCH, SQL_SEARCHED, fold_account, fold_email
from models.session import transaction
from ops import access, lookup
from ops.listing import Page, checked_limit, number_cursor, page, rows, where
from ops.problems import NotThere, Problem

MAX_TEXT = 200
MAX_WORDS = 8
# More than these are no answer: nobody looks through them.
MOST = 1000
# Of an index over parts of words; one over beginnings is a btree.
_INDEX = "SELECT a.amname FROM pg_class c JOIN pg_am a ON a.oid = c.relam WHERE c.oid = to_regclass('ix_person_search')"
_TENANTS = "SELECT id FROM tenant"
_FOLDED = f"SELECT {SQL_SEARCHED.format('CAST(:text AS text)')}"
_BY_ID = """
    SELECT id FROM person WHERE tenant_id = ANY(:tenants) AND internal_id = :number
     UNION SELECT id FROM person WHERE tenant_id = ANY(:tenants) AND external_id = :text
     UNION SELECT id FROM person WHERE tenant_id = ANY(:tenants) AND email_folded = :email
     UNION SELECT l.person_id FROM link l WHERE l.tenant_id = ANY(:tenants) AND l.pluvo_id = :account
     LIMIT :most
"""
# All of it at once and not as far as a page needs: a plan made before the words are known would walk through everybody
# in the order of the page.
_FOUND = """
    WITH found AS MATERIALIZED (SELECT p.id FROM person p {where} LIMIT :most)
    SELECT id FROM found
"""
_PEOPLE = """
    SELECT p.id AS number, t.slug AS tenant, p.internal_id, p.external_id, p.name, p.email, l.pluvo_id, l.state,
           p.seen_at
      FROM person p JOIN tenant t ON t.id = p.tenant_id
      LEFT JOIN link l ON l.person_id = p.id AND l.tenant_id = p.tenant_id
     WHERE p.id = ANY(:people) AND p.id > :cursor ORDER BY p.id LIMIT :limit
"""
_KEEP = "INSERT INTO people_search (id, who, text, tenant) VALUES (:id, :who, :text, :tenant)"
_KEPT = """
    SELECT text, tenant FROM people_search WHERE id = :id AND who = :who AND created_at > now() - interval '1 hour'
"""


class FoundPerson(TypedDict):
    """Somebody who fits. ``state``: of the link, None without one."""

    tenant: str
    internal_id: str
    external_id: str | None
    name: str | None
    email: str | None
    pluvo_id: str | None
    state: str | None
    seen_at: datetime | None


class Found(TypedDict):
    """``names``: how they are searched, by ``words`` that stand anywhere or by ``beginnings`` only.

    ``more_than``: set where too many fit to be listed; then say more of the name.
    """

    items: list[FoundPerson]
    next: str | None
    names: Literal["words", "beginnings"]
    more_than: int | None


class Kept(TypedDict):
    """A search that was kept for a page."""

    text: str
    tenant: str | None


def search(words: str, *, tenant: str | None = None, limit: int = 50, cursor: str | None = None) -> Found:
    """People whose id, address or name this is, or a part of it. Raises Problem for too little to search by."""
    asked = checked_text(words)
    after = number_cursor(cursor) or 0
    with transaction() as connection:
        tenants = _tenants(connection, tenant)
        by_words = connection.execute(text(_INDEX)).scalar() == "gin"
        people = _by_id(connection, tenants, asked)
        patterns = _patterns(str(connection.execute(text(_FOLDED), {"text": asked}).scalar()), by_words)
        if patterns:
            people |= _by_name(connection, tenants if tenant or access.visible() is not None else None, patterns)
        values = {"people": sorted(people)[:MOST], "cursor": after, "limit": checked_limit(limit) + 1}
        found = page(rows(connection, _PEOPLE, **values), limit, "number")
    return _document(found, by_words, len(people))


def _document(found: Page, by_words: bool, count: int) -> Found:
    items: list[Any] = [{key: value for key, value in one.items() if key != "number"} for one in found.items]
    return {
        "items": items,
        "next": found.next,
        "names": "words" if by_words else "beginnings",
        "more_than": MOST if count > MOST else None,
    }


def checked_text(words: str) -> str:
    """What is searched for, tidied. Raises Problem where it is nothing, or too much."""
    asked = " ".join(words.replace("\0", " ").encode("utf-8", "replace").decode().split())
    if not asked:
        raise Problem("search_nothing")
    if len(asked) > MAX_TEXT or len(asked.split()) > MAX_WORDS:
        raise Problem("search_long", most=MAX_TEXT, words=MAX_WORDS)
    return asked


def _tenants(connection: Connection, tenant: str | None) -> list[int]:
    if tenant is not None:
        access.check("people.search", tenant)
        return [lookup.tenant_id(connection, tenant)]
    access.need("people.search")
    seen = lookup.visible_ids(connection)
    return list(connection.execute(text(_TENANTS)).scalars()) if seen is None else seen


def _by_id(connection: Connection, tenants: list[int], asked: str) -> set[int]:
    names = {
        "text": asked,
        "number": person_number(asked),
        "email": fold_email(asked),
        "account": fold_account(asked),
    }
    return set(connection.execute(text(_BY_ID), names | {"tenants": tenants, "most": MOST + 1}).scalars())


def _by_name(connection: Connection, tenants: list[int] | None, patterns: dict[str, str]) -> set[int]:
    filters = {name: f"{SQL_SEARCH} LIKE :{name}" for name in patterns} | {"tenants": "p.tenant_id = ANY(:tenants)"}
    wanted: dict[str, object] = {**patterns, "tenants": tenants}
    statement = _FOUND.format(where=where(filters, wanted))
    return set(connection.execute(text(statement), wanted | {"most": MOST + 1}).scalars())


def _patterns(folded: str, by_words: bool) -> dict[str, str]:
    """What a name must be like. A word of three letters may stand anywhere, a shorter one only at a word's beginning.

    None where a single letter is all there is: everybody has it.
    """
    if len(folded.strip()) < 2:
        return {}
    words = folded.split() if by_words else [folded.strip()]
    marked = [_escaped(word) if by_words and len(word) > 2 else f" {_escaped(word)}" for word in words]
    return {f"word{number}": f"{'%' * by_words}{word}%" for number, word in enumerate(marked)}


def _escaped(word: str) -> str:
    for sign in "\\%_":
        word = word.replace(sign, f"\\{sign}")
    return word


# ------------------------------------------------------------------------------------------------------ for pages


def keep(words: str, tenant: str | None = None) -> str:
    """Remember a search for an hour, so that the page's address names no person. Returns its id. Raises Problem."""
    asked = checked_text(words)
    with transaction() as connection:
        _tenants(connection, tenant)
        kept = {"id": new_id(), "who": access.actor().name, "text": asked, "tenant": tenant}
        connection.execute(text(_KEEP), kept)
    return kept["id"] or ""


def kept(search_id: str) -> Kept:
    """The search that who acts has kept. Raises NotThere when it is over, or somebody else's."""
    with transaction() as connection:
        values = {"id": search_id.upper(), "who": access.actor().name}
        found = connection.execute(text(_KEPT), values).mappings().first()
    if found is None:
        raise NotThere("search_over")
    return {"text": found["text"], "tenant": found["tenant"]}
