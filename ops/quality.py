"""What is wrong with a tenant's data, for whoever keeps AFAS: one finding a row, a person, an event or an account.

From what the last runs stored alone: nobody is called. Names and addresses are in it, as whoever puts a row right has
to find it; so it is for people who may see the tenant's people.

    quality.document("acme")                   all of it
    quality.table(document, "nl")              the same as rows of ``COLUMNS``, with sentences: for a CSV or a mail
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection
from typing_extensions import TypedDict

from models.completion_state import CLOSED
from models.folding import clearly_other_name, fold_name
from models.session import transaction
from ops import access, lookup
from ops.language import SENTENCES, Language, Words
from ops.listing import Row, checked_limit, rows
from ops.problems import Problem

# In the order in which they are told: what keeps people out comes first.
CODES = (
    *("no_email", "bad_email", "no_name", "bad_name", "bad_date", "bad_blocked", "duplicate", "no_internal_id"),
    *("other_event", "shared_email", "double_person", "other_name", "undecided"),
    *("no_rows", "key_order", "unidentified", "missing_column", "same_page", "page_too_long", "too_many_rows"),
    *("target_unknown", "column_missing", "column_empty", "column_differs", "value_unusable"),
    *("conflict", "unreadable_date", "implausible_date", "not_enrolled", "not_in_afas", "only_in_pluvo", "kept"),
)
COLUMNS = ("code", "event_id", "internal_id", "external_id", "name", "value", "sentence", "to_do")
# Of each kind at most so many are told.
MOST = 2000

# Not one that stopped because another plan was looked at: in the place of reasons its lines tell what differs.
_NEWEST_RUN = """
    SELECT id, coalesce(finished_at, created_at) AS read_at, courses, unlinked FROM run
     WHERE tenant_id = :tenant AND direction = 'enrollments' AND NOT options ? 'person'
       AND snapshot IS NOT NULL AND status <> 'dry_run' AND reason IS DISTINCT FROM 'plan_changed'
     ORDER BY id DESC LIMIT 1
"""
# What is rejected by now, with what the newest run read of it: the person's own row shows the last that was usable.
_REJECTED = """
    SELECT DISTINCT ON (e.id) e.reason AS code, k.event_id, p.internal_id, e.external_id,
           coalesce(l.after->>'name', p.name) AS name, coalesce(l.after->>'email', p.email) AS email, e.seen_at AS since
      FROM enrollment e JOIN person p ON p.id = e.person_id JOIN course k ON k.id = e.course_id
      LEFT JOIN plan_line l ON l.run_id = :run AND l.outcome = 'rejected' AND l.tenant_id = e.tenant_id
                           AND l.internal_id = p.internal_id AND l.event_id = k.event_id
     WHERE e.tenant_id = :tenant AND e.row_state = 'rejected' AND k.active
     ORDER BY e.id LIMIT :most
"""
_NOBODYS = """
    SELECT l.reason AS code, l.event_id, l.after->>'name' AS name, l.after->>'email' AS email, l.created_at AS since
      FROM plan_line l
     WHERE l.run_id = :run AND l.tenant_id = :tenant AND l.outcome = 'rejected' AND l.internal_id IS NULL
     ORDER BY l.id LIMIT :most
"""
# First by address alone, which the index has: few are left of whom the rows must be looked at.
_SHARED = """
    WITH doubled AS MATERIALIZED (
        SELECT email_folded FROM person WHERE tenant_id = :tenant AND email_folded IS NOT NULL
         GROUP BY email_folded HAVING count(*) > 1),
    shared AS (
        SELECT p.email_folded FROM doubled d JOIN person p ON p.tenant_id = :tenant AND p.email_folded = d.email_folded
         WHERE EXISTS (
               SELECT 1 FROM enrollment e WHERE e.person_id = p.id AND e.row_state IN ('present', 'not_yet'))
         GROUP BY p.email_folded HAVING count(*) > 1 ORDER BY p.email_folded LIMIT :most)
    SELECT p.email_folded, p.internal_id, p.external_id, p.name, p.email, p.seen_at AS since,
           (SELECT min(k.event_id) FROM enrollment e JOIN course k ON k.id = e.course_id
             WHERE e.person_id = p.id AND e.row_state IN ('present', 'not_yet')) AS event_id
      FROM shared s JOIN person p ON p.tenant_id = :tenant AND p.email_folded = s.email_folded
     WHERE EXISTS (SELECT 1 FROM enrollment e WHERE e.person_id = p.id AND e.row_state IN ('present', 'not_yet'))
     ORDER BY p.email_folded, length(p.internal_id), p.internal_id
"""
# Who waits for a decision about their account, but for those whom the address shared in AFAS explains.
_UNDECIDED = """
    SELECT l.reason, p.internal_id, p.external_id, p.name, p.email, l.updated_at AS since, l.candidates
      FROM link l JOIN person p ON p.id = l.person_id
     WHERE l.tenant_id = :tenant AND l.state = 'ambiguous' AND l.decision IS NULL AND l.reason <> 'same_email'
     ORDER BY l.id LIMIT :most
"""
# Linked by address alone: the line that did it has both names, as long as payloads are kept. Few differ, and these an
# index has; the newest such line of a person counts.
_BY_ADDRESS = """
    SELECT p.internal_id, p.external_id, p.name, p.email, x.event_id, x.before->>'name' AS theirs,
           x.after->>'name' AS ours, x.created_at AS since
      FROM plan_line x JOIN person p ON p.tenant_id = x.tenant_id AND p.internal_id = x.internal_id
      JOIN link l ON l.person_id = p.id AND l.linked_by = 'email' AND l.state = 'linked'
     WHERE x.tenant_id = :tenant AND x.action = 'link' AND x.outcome = 'linked'
       AND x.before->>'name' <> x.after->>'name'
       AND NOT EXISTS (
           SELECT 1 FROM plan_line n WHERE n.tenant_id = x.tenant_id AND n.internal_id = x.internal_id AND n.id > x.id
              AND n.action = 'link' AND n.outcome = 'linked' AND n.before IS NOT NULL)
     ORDER BY p.id
"""
_EMPTY = """
    SELECT event_id, base_at AS since FROM course
     WHERE tenant_id = :tenant AND active AND base_rows = 0 ORDER BY length(event_id), event_id LIMIT :most
"""
_COMPLETIONS = f"""
    SELECT CASE WHEN c.state = 'conflict' THEN 'conflict' WHEN c.reason = 'unknown_person' THEN 'only_in_pluvo'
                ELSE c.reason END AS code,
           k.event_id, c.internal_id, p.external_id, p.name, c.changed_at AS since, c.pluvo_id, c.title,
           CAST(c.completed_on AS text) AS completed_on, c.completed_raw,
           CASE WHEN c.state = 'conflict' THEN coalesce(c.shown_value, c.found_value) END AS found
      FROM completion c JOIN course k ON k.id = c.course_id
      LEFT JOIN person p ON p.tenant_id = c.tenant_id AND p.internal_id = c.internal_id
     WHERE c.tenant_id = :tenant AND k.active AND NOT {CLOSED} AND (
           c.state = 'conflict' OR c.state = 'rejected' AND c.reason IN ('unreadable_date', 'implausible_date')
           OR c.state = 'orphan' AND c.reason IN ('unknown_person', 'not_enrolled', 'not_in_afas'))
     ORDER BY c.id LIMIT :most
"""  # noqa: S608  constants only
_KEPT = """
    SELECT k.event_id, p.internal_id, e.external_id, p.name, e.absent_since AS since
      FROM enrollment e JOIN person p ON p.id = e.person_id JOIN course k ON k.id = e.course_id
     WHERE e.tenant_id = :tenant AND e.state = 'kept' AND e.row_state = 'absent' AND k.active
     ORDER BY e.id LIMIT :most
"""


class Finding(TypedDict):
    """One thing to put right. ``value``: what stands there now; ``params``: what its sentence says besides."""

    code: str
    event_id: str | None
    internal_id: str | None
    external_id: str | None
    name: str | None
    value: str | None
    params: dict[str, Any]
    since: datetime | None


class Quality(TypedDict):
    """``counts``: of each code that was found; ``read_at``: when a run read all of AFAS last, None: never."""

    tenant: str
    name: str
    environment: str | None
    read_at: datetime | None
    counts: dict[str, int]
    findings: list[Finding]


class QualityPage(TypedDict):
    """A part of it; ``next`` is the cursor of what comes after."""

    items: list[Finding]
    next: str | None


def document(slug: str) -> Quality:
    """Everything that is to be put right, in the order of ``CODES``, then by event and person."""
    access.check("quality.read", slug)
    with transaction() as connection:
        tenant = lookup.tenant_id(connection, slug)
        (about,) = rows(
            connection, "SELECT name, afas->>'environment' AS environment FROM tenant WHERE id = :tenant", tenant=tenant
        )
        run = next(iter(rows(connection, _NEWEST_RUN, tenant=tenant)), None)
        found = sorted(_all(connection, tenant, run), key=_order)
    counts = Counter(one["code"] for one in found)
    return {
        "tenant": slug,
        "name": about["name"],
        "environment": about["environment"],
        "read_at": run["read_at"] if run else None,
        "counts": dict(counts),
        "findings": found,
    }


def page(found: Quality, limit: int = 100, cursor: str | None = None, *, code: str | None = None) -> QualityPage:
    """A page of a document: of one code, or of all. The cursor is the ``next`` of the page before."""
    if code is not None and code not in CODES:
        raise Problem("no_quality_code", listed=", ".join(CODES))
    chosen = [(place, one) for place, one in _placed(found["findings"]) if code in (None, one["code"])]
    rest = [(place, one) for place, one in chosen if cursor is None or place > cursor]
    cut = rest[: checked_limit(limit)]
    return {"items": [one for _, one in cut], "next": cut[-1][0] if len(rest) > len(cut) else None}


def told(one: Finding) -> Words:
    """A finding as a sentence."""
    return _words(one, "quality", "reason")


def to_do(one: Finding) -> Words:
    """What whoever keeps AFAS can do about it."""
    return _words(one, "quality_do", "next")


def table(found: Quality, language: Language, *, people: bool = True) -> list[Row]:
    """The findings as rows of ``COLUMNS``. Without ``people`` ids alone say who is meant."""
    return [
        {
            **{name: one.get(name) for name in COLUMNS[:4]},
            "name": one["name"] if people else None,
            "value": one["value"] if people else None,
            "sentence": told(one).say(language),
            "to_do": to_do(one).say(language),
        }
        for one in found["findings"]
    ]


def _words(one: Finding, kind: str, shared: str) -> Words:
    codes = (f"{kind}.{one['code']}", f"{shared}.{one['code']}")
    code = next(code for code in codes if code in SENTENCES)
    return Words(code, **one["params"])


# Numbers as AFAS counts them: 9 before 10.
def _order(one: Finding) -> tuple[object, ...]:
    return CODES.index(one["code"]), *_keys(one)


def _keys(one: Finding) -> tuple[str, ...]:
    ids = (one["event_id"] or "", one["internal_id"] or "", str(one["params"].get("pluvo_id") or ""))
    return tuple(f"{len(each):02}{each}" for each in ids)


def _placed(found: Sequence[Finding]) -> Iterator[tuple[str, Finding]]:
    """Each with a cursor: what it is about, and its number among those that are about the same."""
    before: Counter[str] = Counter()
    for one in found:
        about = ".".join((f"{CODES.index(one['code']):02}", *_keys(one)))
        before[about] += 1
        yield f"{about}.{before[about]:06}", one


def _all(connection: Connection, tenant: int, run: Row | None) -> Iterator[Finding]:
    key = {"tenant": tenant, "most": MOST}
    of_run = key | {"run": run["id"] if run else None}
    for row in [*rows(connection, _REJECTED, **of_run), *rows(connection, _NOBODYS, **of_run)]:
        if row["code"] in CODES:
            yield _finding(row["code"], row, row["email"] if row["code"] == "bad_email" else None)
    yield from _shared_addresses(rows(connection, _SHARED, **key))
    for row in rows(connection, _UNDECIDED, **key):
        names = [str(one.get("name")) for one in row["candidates"] or [] if one.get("name")]
        if row["reason"] == "other_name":
            yield _finding("other_name", row, row["email"], theirs=", ".join(names) or "?", ours=row["name"])
        else:
            why = Words(f"reason.{row['reason']}") if f"reason.{row['reason']}" in SENTENCES else row["reason"]
            yield _finding("undecided", row, row["email"], why=why)
    for row in rows(connection, _BY_ADDRESS, tenant=tenant):
        if clearly_other_name(row["theirs"], row["ours"]):
            yield _finding("other_name", row, row["email"], theirs=row["theirs"], ours=row["ours"])
    yield from (_finding("no_rows", row) for row in rows(connection, _EMPTY, **key))
    yield from _of_listings(run) if run else ()
    for row in rows(connection, _COMPLETIONS, **key):
        found = (row["found"] or "").removesuffix("T00:00:00Z") or None
        value = found or row["completed_raw"]
        about = {"on": row["completed_on"], "found": found, "title": row["title"], "pluvo_id": row["pluvo_id"]}
        yield _finding(row["code"], row, value, **about)
    yield from (_finding("kept", row) for row in rows(connection, _KEPT, **key))


def _shared_addresses(found: Sequence[Row]) -> Iterator[Finding]:
    together: dict[str, list[Row]] = defaultdict(list)
    for row in found:
        together[row["email_folded"]].append(row)
    for group in together.values():
        same = len({fold_name(one["name"]) for one in group}) == 1
        for row in group:
            others = ", ".join(one["internal_id"] for one in group if one is not row)
            yield _finding("double_person" if same else "shared_email", row, row["email"], others=others)


def _of_listings(run: Row) -> Iterator[Finding]:
    """What the newest run said of whole events, and of events that wait for their target."""
    for course in run["courses"]:
        for reason in course["reasons"]:
            # Of these each row is told.
            if reason in CODES and reason not in ("other_event", "duplicate"):
                yield _finding(reason, {"event_id": course["event_id"], "since": run["read_at"]})
    for reason, counted in run["unlinked"].items():
        if reason in CODES:
            yield _finding(reason, {"since": run["read_at"]}, events=counted["events"], people=counted["people"])


def _finding(code: str, row: Mapping[str, Any], value: str | None = None, **params: Any) -> Finding:
    return {
        "code": code,
        "event_id": row.get("event_id"),
        "internal_id": row.get("internal_id"),
        "external_id": row.get("external_id"),
        "name": row.get("name"),
        "value": value,
        "params": params,
        "since": row.get("since"),
    }
