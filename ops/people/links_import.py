"""Give many existing Pluvo users their AFAS id at once, from a CSV file. All lines are right, or nothing is stored.

    tenant,internal_id,pluvo_id        or        tenant,internal_id,pluvo_email
    acme,80,0b0e…                                acme,80,p.jansen@example.nl

Addresses are looked up in Pluvo (reading only): each must be the address of exactly one user there.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from sqlmodel import col, select

from clients.errors import RemoteError
from clients.pluvo import same_email
from models.session import session, transaction
from models.tenant import Tenant
from models.translate import is_email
from ops import access, lookup
from ops.language import Words
from ops.people import links, links_check
from ops.problems import FileProblems, Problem
from ops.terminal import files
from tenancy.systems import systems_of

HEADERS = (["tenant", "internal_id", "pluvo_id"], ["tenant", "internal_id", "pluvo_email"])
MAX_LINES = 200_000
MAX_BYTES = 50_000_000
LOOK_UP_AT_ONCE = 5


@dataclass
class Entry:
    """One line: whom to link to which account, named by id or by address."""

    line: int
    tenant: str
    internal_id: str
    account: str


def run(path: Path, *, who: str, ask: bool = False, sure: bool = True) -> dict[str, int]:
    """Import a file. Returns ``{"linked": 3, "moved": 0, "unchanged": 1}``; raises FileProblems with file and line.

    ``ask``: every account is looked up in Pluvo. Not ``sure``: accounts that somebody else has are refused.
    """
    access.need("links.import")
    entries, by_email = _read(path)
    problems = _doubles(entries)
    tenants = _tenants(entries, problems)
    if not problems and by_email:
        for slug in tenants:
            problems += _look_up([entry for entry in entries if entry.tenant == slug], tenants[slug])
    for slug, tenant in tenants.items() if not problems else ():
        wanted = {entry.line: (entry.internal_id, entry.account) for entry in entries if entry.tenant == slug}
        problems += links_check.accounts(tenant, wanted, ask=ask and not by_email, sure=sure)
    if problems:
        raise FileProblems([_at(path, line, what) for line, what in sorted(problems, key=lambda one: one[0])])
    counts = {"linked": 0, "moved": 0, "unchanged": 0}
    with transaction() as connection:
        links.hold_known(connection, [(cast(int, tenants[e.tenant].id), e.internal_id) for e in entries])
        for entry in entries:
            number = cast(int, tenants[entry.tenant].id)
            done = links.link_person(connection, number, entry.internal_id, entry.account, who=who, verb="links import")
            counts[done] += 1
    return counts


def _read(path: Path) -> tuple[list[Entry], bool]:
    content = files.read_text(path, MAX_BYTES)
    # Dutch spreadsheets write semicolons.
    first = content.split("\n", 1)[0]
    reader = csv.reader(io.StringIO(content, newline=""), delimiter=";" if ";" in first else ",", strict=True)
    problems: list[Words] = []
    entries: list[Entry] = []
    try:
        header = [name.strip().lower() for name in next(reader, [])]
        if header not in HEADERS:
            first, second = (",".join(names) for names in HEADERS)
            raise FileProblems([_at(path, 1, Words("problem.links_header", first=first, second=second))])
        by_email = header == HEADERS[1]
        for cells in reader:
            values = [cell.strip() for cell in cells]
            if not any(values):
                continue
            problem = _wrong(values, by_email)
            if problem:
                problems.append(_at(path, reader.line_num, problem))
            else:
                entries.append(Entry(reader.line_num, *values))
            if reader.line_num > MAX_LINES:
                raise FileProblems([_at(path, reader.line_num, Words("problem.links_too_many", most=MAX_LINES))])
    except csv.Error as error:
        problems.append(_at(path, reader.line_num, str(error)))
    if problems:
        raise FileProblems(problems)
    return entries, by_email


def _at(path: Path, line: int, what: Words | str) -> Words:
    return Words("problem.at", place=f"{path}:{line}", what=what)


def _wrong(values: list[str], by_email: bool) -> Words | None:
    """What is wrong with a line; otherwise its ids are in their one form afterwards."""
    if len(values) != 3 or not all(values):
        return Words("problem.links_three_values")
    if by_email and not is_email(values[2]):
        return Words("problem.links_no_address")
    try:
        values[1] = lookup.checked_id(values[1])
        values[2] = values[2] if by_email else lookup.checked_account(values[2])
    except Problem as problem:
        return Words(f"problem.{problem.code}", **problem.params)
    return None


def _doubles(entries: Iterable[Entry]) -> list[tuple[int, Words]]:
    seen: dict[tuple[str, str], int] = {}
    problems = []
    for entry in entries:
        first = seen.setdefault((entry.tenant, entry.internal_id), entry.line)
        if first != entry.line:
            problems.append(
                (entry.line, Words("problem.links_twice", slug=entry.tenant, internal_id=entry.internal_id, line=first))
            )
    return problems


def _tenants(entries: list[Entry], problems: list[tuple[int, Words]]) -> dict[str, Tenant]:
    slugs = {entry.tenant for entry in entries if entry.tenant.isprintable()}  # the database takes no NUL
    with session() as opened:
        found = opened.exec(select(Tenant).where(col(Tenant.slug).in_(filter(access.actor().sees, slugs))))
        tenants = {tenant.slug: tenant for tenant in found}
    problems += [(e.line, Words("problem.links_no_tenant", named=e.tenant)) for e in entries if e.tenant not in tenants]
    return tenants


def _look_up(entries: list[Entry], tenant: Tenant) -> list[tuple[int, Words]]:
    """Put the account's id in the place of its address. Returns what could not be found."""
    pluvo = systems_of(tenant).pluvo
    problems: list[tuple[int, Words]] = []
    for start in range(0, len(entries), LOOK_UP_AT_ONCE):
        part = entries[start : start + LOOK_UP_AT_ONCE]
        try:
            users, unread = pluvo.look_up(emails=[entry.account for entry in part])
        except RemoteError as error:
            raise Problem("pluvo_addresses_unasked", slug=tenant.slug, said=error.message) from None
        for entry in part:
            found = sorted({user.id for user in users if same_email(user.email, entry.account)})
            if entry.account.strip() in unread:
                problems.append((entry.line, Words("problem.links_unreadable_user")))
            elif len(found) == 1:
                entry.account = found[0]
            else:
                problems.append((entry.line, Words("problem.links_several" if found else "problem.links_nobody")))
    return problems
