"""Give many existing Pluvo users their AFAS id at once, from a CSV file. All lines are right, or nothing is stored.

    tenant,internal_id,pluvo_id        or        tenant,internal_id,pluvo_email
    acme,80,0b0e…                                acme,80,p.jansen@example.nl

Addresses are looked up in Pluvo (reading only): each must be the address of exactly one user there.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from sqlalchemy import Connection, text
from sqlmodel import col, select
from typing_extensions import TypedDict

from clients.errors import RemoteError
from clients.pluvo import same_email
from models.person import LinkState
from models.session import session, transaction
from models.tenant import Tenant
from models.translate import is_email
from ops import access, audit, lookup
from ops.language import Words
from ops.people import links, links_check
from ops.people.unasked import why
from ops.problems import AlreadyDecided, FileProblems, Problem
from ops.terminal import files
from tenancy.systems import systems_at_once

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


class PreviewLine(TypedDict):
    """What a line would do. ``result``: linked, moved, unchanged or refused; ``code`` and ``params`` say it in words.

    ``pluvo_id``: None where an address led to none.
    """

    line: int
    tenant: str
    internal_id: str
    pluvo_id: str | None
    result: str
    code: str
    params: dict[str, Any]


class ImportPreview(TypedDict):
    """Every line of a file, in order; ``fits``: none is refused, so that it can be imported.

    ``seen``: what the file says and the links that were there; who gives it to the import is told when they changed.
    """

    fits: bool
    seen: str
    counts: dict[str, int]
    lines: list[PreviewLine]


@dataclass
class _Judged:
    """The lines of a file, and what is wrong with some."""

    name: str
    entries: list[Entry]
    tenants: dict[str, Tenant]
    problems: list[tuple[int, Words]]

    def number(self, entry: Entry) -> int:
        return cast(int, self.tenants[entry.tenant].id)

    @property
    def people(self) -> list[tuple[int, str]]:
        """Who they are about: (tenant, internal id)."""
        return [(self.number(one), one.internal_id) for one in self.entries if one.tenant in self.tenants]


def run(path: Path, *, who: str, ask: bool = False, sure: bool = True, seen: str | None = None) -> dict[str, int]:
    """Import a file. Returns ``{"linked": 3, "moved": 0, "unchanged": 1}``; raises FileProblems with file and line.

    ``ask``: every account is looked up in Pluvo. Not ``sure``: accounts that somebody else has are refused. ``seen``:
    of the preview that was looked at; AlreadyDecided where a link of the file is another one by now.
    """
    access.need("links.import")
    return run_text(files.read_text(path, MAX_BYTES), str(path), who=who, ask=ask, sure=sure, seen=seen)


def run_text(
    content: str, name: str, *, who: str, ask: bool = True, sure: bool = False, seen: str | None = None
) -> dict[str, int]:
    """The same with the text of a file of this name."""
    access.need("links.import")
    judged = _judge(content, name, ask=ask, sure=sure)
    entries, problems = judged.entries, judged.problems
    if problems:
        raise FileProblems([_at(name, line, what) for line, what in sorted(problems, key=lambda one: one[0])])
    counts = {"linked": 0, "moved": 0, "unchanged": 0}
    with transaction() as connection:
        links.hold_known(connection, judged.people)
        if seen is not None and seen != _seen(judged, _links_of(connection, judged.people)):
            raise AlreadyDecided("links_changed_meanwhile", first=_first(connection, judged))
        # In one order for everybody: files with the same new people would wait for each other.
        for entry in sorted(entries, key=lambda one: (judged.number(one), one.internal_id)):
            number = judged.number(entry)
            done = links.link_person(connection, number, entry.internal_id, entry.account, who=who, verb="links import")
            counts[done] += 1
    return counts


def _first(connection: Connection, judged: _Judged) -> Words:
    """Who changed a link last in the tenants of a file."""
    verbs = ("links set", "links import", "links decide", "links remove")
    found = [audit.first(connection, *verbs, tenant=tenant) for tenant in judged.tenants]
    return audit.by(max(filter(None, found), key=lambda one: one["at"], default=None))


def preview(path: Path, *, sure: bool = False) -> ImportPreview:
    """What importing a file would do, line by line; nothing is stored. Raises FileProblems for what is no such file."""
    access.need("links.import")
    return preview_text(files.read_text(path, MAX_BYTES), str(path), sure=sure)


def preview_text(content: str, name: str, *, sure: bool = False) -> ImportPreview:
    """The same with the text of a file of this name."""
    access.need("links.import")
    judged = _judge(content, name, ask=True, sure=sure)
    wrong: dict[int, Words] = {}
    for line, what in judged.problems:
        wrong.setdefault(line, what)
    with transaction() as connection:
        before = _links_of(connection, judged.people)
    lines = [_preview(entry, wrong.get(entry.line), before, judged) for entry in judged.entries]
    counts = Counter(line["result"] for line in lines)
    told = {name: counts[name] for name in ("linked", "moved", "unchanged", "refused")}
    return {"fits": not counts["refused"], "seen": _seen(judged, before), "counts": told, "lines": lines}


def _preview(
    entry: Entry, wrong: Words | None, before: dict[tuple[int, str], tuple[str, str | None]], judged: _Judged
) -> PreviewLine:
    account: str | None = entry.account
    params: dict[str, Any]
    if wrong:
        result, params = "refused", {"why": wrong}
        account = None if is_email(entry.account) else entry.account
    else:
        state, had = before.get((judged.number(entry), entry.internal_id), ("", None))
        had = None if state == LinkState.IGNORED else had
        result = "moved" if had else "linked"
        if had == entry.account and state == LinkState.LINKED:
            result = "unchanged"
        params = {"before": had} if result == "moved" else {}
    return {
        "line": entry.line,
        "tenant": entry.tenant,
        "internal_id": entry.internal_id,
        "pluvo_id": account,
        "result": result,
        "code": f"line.{result}",
        "params": params,
    }


_LINKS = text(
    """
    SELECT p.tenant_id, p.internal_id, l.state, l.pluvo_id
      FROM unnest(CAST(:tenants AS bigint[]), CAST(:ids AS text[])) AS w (tenant_id, internal_id)
      JOIN person p USING (tenant_id, internal_id) JOIN link l ON l.person_id = p.id AND l.tenant_id = p.tenant_id
    """
)


def _links_of(
    connection: Connection, people: Sequence[tuple[int, str]]
) -> dict[tuple[int, str], tuple[str, str | None]]:
    """State and account of the links that these people have, (tenant, internal id)."""
    values = {"tenants": [tenant for tenant, _ in people], "ids": [internal_id for _, internal_id in people]}
    found = connection.execute(_LINKS, values)
    return {(row.tenant_id, row.internal_id): (row.state, row.pluvo_id) for row in found}


def _seen(judged: _Judged, before: dict[tuple[int, str], tuple[str, str | None]]) -> str:
    told = [(one.tenant, one.internal_id, one.account) for one in judged.entries]
    return hashlib.sha256(json.dumps([told, sorted(before.items())]).encode()).hexdigest()[:32]


def _judge(content: str, name: str, *, ask: bool, sure: bool) -> _Judged:
    """Read the lines, put ids for addresses, and find out what can't work. Raises FileProblems for no such file."""
    entries, by_email = _read(content, name)
    problems = _doubles(entries)
    tenants = _tenants(entries, problems)
    if not problems and by_email:
        for slug in tenants:
            problems += _look_up([entry for entry in entries if entry.tenant == slug], tenants[slug])
    for slug, tenant in tenants.items() if not problems else ():
        wanted = {entry.line: (entry.internal_id, entry.account) for entry in entries if entry.tenant == slug}
        problems += links_check.accounts(tenant, wanted, ask=ask and not by_email, sure=sure)
    return _Judged(name, entries, tenants, problems)


def _read(content: str, path: str) -> tuple[list[Entry], bool]:
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
    except csv.Error:
        problems.append(_at(path, reader.line_num, Words("problem.links_no_csv")))
    if problems:
        raise FileProblems(problems)
    return entries, by_email


def _at(path: str, line: int, what: Words) -> Words:
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
    pluvo = systems_at_once(tenant).pluvo
    problems: list[tuple[int, Words]] = []
    for start in range(0, len(entries), LOOK_UP_AT_ONCE):
        part = entries[start : start + LOOK_UP_AT_ONCE]
        try:
            users, unread = pluvo.look_up(emails=[entry.account for entry in part])
        except RemoteError as error:
            raise Problem("pluvo_addresses_unasked", slug=tenant.slug, said=why(error)) from None
        for entry in part:
            found = sorted({user.id for user in users if same_email(user.email, entry.account)})
            if entry.account.strip() in unread:
                problems.append((entry.line, Words("problem.links_unreadable_user")))
            elif len(found) == 1:
                entry.account = found[0]
            else:
                problems.append((entry.line, Words("problem.links_several" if found else "problem.links_nobody")))
    return problems
