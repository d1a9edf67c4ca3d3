"""Completions as an operator sees them: what is to be written into AFAS, what is not and why; close one, try one again.

Closing accepts that AFAS keeps what it has: the completion alarms nobody any more, and is open again by itself once
anything of what the operator saw differs (``models/completion_state.py::basis``), or somebody tries it again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from sqlalchemy import Connection, text
from typing_extensions import TypedDict

from models.completion_state import BASIS, CLOSABLE, CLOSED, SETTLED, CompletionState
from models.direction import Direction
from models.message import Kind, MessageState, Priority
from models.session import transaction
from ops import access, audit, lookup
from ops.language import SENTENCES, Language, Words
from ops.listing import Page, Row, checked_limit, number_cursor, of_tenant, page, rows, where
from ops.lookup import checked_id
from ops.problems import AlreadyDecided, NotThere, Problem

_OPEN = tuple(state for state in CompletionState if state not in SETTLED)
# What can be tried again, if it has a date and a row in AFAS.
RETRYABLE = tuple(state for state in _OPEN if state not in (CompletionState.WRITTEN, CompletionState.NO_DATE))
# What is asked for by one word → the stored states.
ASKED: Mapping[str, Sequence[str]] = {
    "pending": (CompletionState.PENDING, CompletionState.SENDING),
    "unverified": (CompletionState.WRITTEN,),
    "written": (CompletionState.WRITTEN,),
    **{state.value: (state,) for state in (*CLOSABLE, *SETTLED)},
    "closed": CLOSABLE,
}
_ITEM = f"""
    SELECT c.id, t.slug AS tenant, k.event_id, c.internal_id, c.pluvo_id, c.state, c.reason, c.completed_on,
           c.completed_raw, c.title, c.level, c.field, c.value,
           CASE WHEN c.state = 'conflict' THEN coalesce(c.shown_value, c.found_value) END AS found,
           c.first_seen_at, c.changed_at, c.written_at, c.verified_at, c.puts, {CLOSED} AS closed,
           CASE WHEN {CLOSED} THEN c.closed_at END AS closed_at, CASE WHEN {CLOSED} THEN c.closed_by END AS closed_by,
           CASE WHEN {CLOSED} THEN c.closed_reason END AS closed_reason, left({BASIS}, 12) AS basis
      FROM completion c JOIN tenant t ON t.id = c.tenant_id JOIN course k ON k.id = c.course_id
"""  # noqa: S608  constants only
_FILTERS = {
    "tenant": "c.tenant_id = :tenant",
    "tenants": "c.tenant_id = ANY(:tenants)",
    "states": "c.state = ANY(:states)",
    "closed": f"{CLOSED} = :closed",
    "event": "k.event_id = :event",
    "person": "c.internal_id = :person",
    "id": "c.id = :id",
    "cursor": "c.id < :cursor",
}
_COUNTS = f"""
    SELECT c.state, {CLOSED} AS closed, count(*) AS count FROM completion c {{where}} GROUP BY 1, 2
"""  # noqa: S608  constants only
_LINES = """
    SELECT run_id AS run, action, outcome, reason, before, after, coalesce(settled_at, created_at) AS at
      FROM plan_line WHERE tenant_id = :tenant AND completion_id = :id ORDER BY id DESC LIMIT 50
"""
_CALLS = """
    SELECT h.run_id AS run, h.result, h.code, h.status, h.before, h.after, h.at
      FROM change h JOIN completion c ON c.tenant_id = h.tenant_id AND c.internal_id = h.internal_id
      JOIN course k ON k.id = c.course_id
     WHERE c.id = :id AND c.tenant_id = :tenant AND h.operation = 'write' AND h.event_id = k.event_id
       AND h.after->>'field' = c.field ORDER BY h.id DESC LIMIT 50
"""
_LETTERS = """
    SELECT id, error, message, state, last_failed_at AS at FROM dead_letter
     WHERE kind = 'completion.write_back' AND subject_id = :id AND tenant_id = :tenant ORDER BY id DESC LIMIT 20
"""
_MESSAGE = """
    SELECT id, state, run_at, attempts FROM message
     WHERE kind = 'completion.write_back' AND subject_id = :id AND tenant_id = :tenant
"""
# Locked in the order in which all others take them: messages, dead letters, completions.
_LOCK_MESSAGES = """
    SELECT id, subject_id, state FROM message
     WHERE kind = 'completion.write_back' AND subject_id = ANY(:ids) AND tenant_id = ANY(:owners)
     ORDER BY id FOR UPDATE
"""
_LOCK_LETTERS = """
    SELECT id FROM dead_letter
     WHERE kind = 'completion.write_back' AND subject_id = ANY(:ids) AND tenant_id = ANY(:owners) AND state = 'open'
     ORDER BY id FOR UPDATE
"""
_LOCKED = f"""
    SELECT c.id, c.tenant_id, t.slug, c.state, c.completed_on, c.enrollment_id, c.version, k.event_id,
           {CLOSED} AS closed, c.closed_by, left({BASIS}, 12) AS basis
      FROM completion c JOIN course k ON k.id = c.course_id JOIN tenant t ON t.id = c.tenant_id
     WHERE c.id = ANY(:ids) AND c.tenant_id = ANY(:owners) ORDER BY c.id FOR NO KEY UPDATE OF c
"""  # noqa: S608  constants only
_CLOSE = text(
    f"""
    UPDATE completion c SET closed_for = {BASIS}, closed_at = now(), closed_by = :who, closed_reason = :reason
     WHERE c.id = ANY(:ids) AND c.tenant_id = ANY(:owners)
    """  # noqa: S608  constants only
)
_CLOSE_LETTERS = text(
    """
    UPDATE dead_letter SET state = 'discarded', closed_at = now(), closed_by = :who, closed_reason = :reason
     WHERE id = ANY(:letters) AND tenant_id = ANY(:owners) AND state = 'open'
    """
)
# Where a PUT may have happened the actor reads back before it repeats it.
_AGAIN = text(
    """
    UPDATE completion SET state = CASE WHEN sending_at IS NULL THEN 'pending' ELSE 'sending' END, reason = NULL,
           changed_at = now()
     WHERE id = :id AND tenant_id = :tenant
    """
)
# Who tries it again wants to hear how that ends, also where it ends as it was when it was closed.
_REOPEN = text(
    """
    UPDATE completion SET closed_for = NULL, closed_at = NULL, closed_by = NULL, closed_reason = NULL
     WHERE id = :id AND tenant_id = :tenant
    """
)


class Closed(TypedDict):
    """What ``completions close`` tells. ``discarded``: dead letters of them that were open."""

    closed: int
    discarded: int


class Retried(TypedDict):
    """What ``completions retry`` tells. ``result``: ``queued``, or ``hurried`` for one that waited for its next try."""

    id: int
    tenant: str
    result: str


def listing(
    limit: int = 100,
    cursor: str | None = None,
    *,
    tenant: str | None = None,
    state: str | None = None,
    everything: bool = False,
    event: str | None = None,
) -> Page:
    """Completions, newest first: those that are not settled nor closed, of one state, or all."""
    closed = None if everything else state == "closed"
    with transaction() as connection:
        wanted = _wanted(connection, tenant=tenant, states=_states(state, everything), closed=closed, event=event)
        wanted["cursor"] = number_cursor(cursor)
        filters, order = _FILTERS, "c.id DESC"
        if wanted["tenant"] is not None:
            filters, order = _FILTERS | {"tenant": of_tenant("c.tenant_id")}, f"c.tenant_id DESC, {order}"
        newest_first = f"{_ITEM} {where(filters, wanted)} ORDER BY {order} LIMIT :limit"
        found = rows(connection, newest_first, limit=checked_limit(limit) + 1, **wanted)
    return page(found, limit, "id")


def _states(state: str | None, everything: bool) -> list[str] | None:
    if state is not None and state not in ASKED:
        raise Problem("state_one_of", listed=", ".join(ASKED))
    return list(ASKED[state]) if state is not None else None if everything else list(_OPEN)


def _wanted(connection: Connection, *, tenant: str | None = None, **given: object) -> dict[str, object]:
    number = lookup.tenant_id(connection, tenant) if tenant is not None else None
    seen = lookup.visible_ids(connection)
    return dict.fromkeys(_FILTERS) | {"tenant": number, "tenants": seen} | given


def counts(tenant: str | None = None) -> dict[str, int]:
    """How many are in each state that is asked for by a word, but for those that are settled."""
    with transaction() as connection:
        wanted = _wanted(connection, tenant=tenant, states=list(_OPEN))
        found = rows(connection, _COUNTS.format(where=where(_FILTERS, wanted)), **wanted)
    told = dict.fromkeys((word for word in ASKED if word not in (*SETTLED, "written")), 0)
    for row in found:
        word = "closed" if row["closed"] else next(one for one, states in ASKED.items() if row["state"] in states)
        told[word] += row["count"]
    return told


def find(words: Sequence[str]) -> list[Row]:
    """The completions that are meant: by their number, or by tenant, internal id and event (one for each field).

    Raises NotThere where there is none.
    """
    with transaction() as connection:
        if len(words) == 1:
            wanted = _wanted(connection, id=number_cursor(words[0]))
        elif len(words) == 3:
            slug, internal_id, event = words
            wanted = _wanted(connection, tenant=slug, person=checked_id(internal_id), event=event)
        else:
            raise Problem("which_completion")
        found = rows(connection, f"{_ITEM} {where(_FILTERS, wanted)} ORDER BY c.id LIMIT 50", **wanted)
    if not found:
        raise NotThere("no_completion", given=" ".join(words)[:80])
    return found


def find_one(words: Sequence[str]) -> Row:
    """The one that is meant. Raises Problem where there are several."""
    found = find(words)
    if len(found) > 1:
        raise Problem("several_completions", listed=", ".join(f"{one['id']} ({one['field']})" for one in found))
    return found[0]


def show(words: Sequence[str]) -> Row:
    """One completion with its lines, calls and dead letters, newest first; and with what is under way for it."""
    found = find_one(words)
    with transaction() as connection:
        key = {"id": found["id"], "tenant": lookup.tenant_id(connection, found["tenant"])}
        later = rows(connection, "SELECT later FROM completion WHERE id = :id AND tenant_id = :tenant", **key)
        more = {
            "later": later[0]["later"] if later else [],
            "message": next(iter(rows(connection, _MESSAGE, **key)), None),
            "lines": rows(connection, _LINES, **key),
            "calls": rows(connection, _CALLS, **key),
            "dead_letters": rows(connection, _LETTERS, **key),
        }
    return found | more | {"decisions": audit.of(subject(found["id"]), found["tenant"])}


def subject(number: int) -> str:
    """What the record of operators' verbs calls a completion."""
    return f"completion:{number}"


def shown(found: str | None) -> str | None:
    """What AFAS holds as people write it: a day without its midnight."""
    return found.removesuffix("T00:00:00Z") if found else None


def told(item: Row) -> Words:
    """Where a completion stands, as a sentence."""
    state = CompletionState.PENDING if item["state"] == CompletionState.SENDING else item["state"]
    codes = [f"{kind}.{item['reason']}" for kind in ("reason", "cause")]
    code = next((one for one in codes if one in SENTENCES), "completion.no_reason")
    why = Words(code, system="AFAS", code=item["reason"] or "-")
    return Words(f"completion.{state}", on=item["completed_on"] or "?", found=shown(item["found"]) or "?", why=why)


def to_do(item: Row) -> Words:
    """What somebody can do about it."""
    if item["closed"]:
        return Words("completion.to_do_closed")
    codes = (f"next.{item['reason']}", f"action.{item['reason']}", f"next.{item['state']}")
    found = next((code for code in codes if code in SENTENCES), "next.pending")
    return Words(found, system="AFAS")


def sentences(items: Iterable[Row], language: Language) -> Iterator[Row]:
    """The items with where each stands (``sentence``) and what to do (``to_do``) in words."""
    for one in items:
        yield {**one, "sentence": told(one).say(language), "to_do": to_do(one).say(language)}


# ----------------------------------------------------------------------------------------------------- deciding


def close(ids: Sequence[int], *, reason: str, seen: Mapping[int, str] | None = None, who: str | None = None) -> Closed:
    """Accept completions as they are. ``seen``: the ``basis`` of each as it was looked at.

    Raises AlreadyDecided where one was closed before or looks otherwise by now; then none is closed.
    """
    access.need("completions.close")
    audit.need_reason(reason, Words("why.completion"))
    by = who or access.actor().name
    with transaction() as connection:
        key = _owners(connection, ids)
        under_way = {row["subject_id"] for row in rows(connection, _LOCK_MESSAGES, **key)}
        letters = [row["id"] for row in rows(connection, _LOCK_LETTERS, **key)]
        found = rows(connection, _LOCKED, **key)
        for now in found:
            _refuse_closing(now, under_way, (seen or {}).get(now["id"], now["basis"]))
        decided = key | {"who": by, "reason": reason}
        connection.execute(_CLOSE, decided)
        discarded = connection.execute(_CLOSE_LETTERS, decided | {"letters": letters}).rowcount
        for now in found:
            _record(connection, "completions close", now, by, reason)
    return {"closed": len(found), "discarded": discarded}


def _refuse_closing(now: Row, under_way: set[int], seen: str) -> None:
    if now["closed"]:
        raise AlreadyDecided("completion_closed", id=now["id"], who=now["closed_by"])
    if now["id"] in under_way:
        raise AlreadyDecided("completion_under_way", id=now["id"])
    if seen != now["basis"]:
        raise AlreadyDecided("completion_changed", id=now["id"])
    if now["state"] not in CLOSABLE:
        raise Problem("completion_not_closable", id=now["id"], state=now["state"])


def _owners(connection: Connection, ids: Sequence[int]) -> dict[str, list[int]]:
    """The completions and their tenants, for what locks them. Raises NotThere for one that isn't there."""
    wanted = _wanted(connection)
    chosen = f"SELECT c.id, c.tenant_id FROM completion c {where(_FILTERS, wanted)} AND c.id = ANY(:ids)"  # noqa: S608
    found = rows(connection, chosen, **(wanted | {"ids": list(ids)}))
    missing = set(ids) - {row["id"] for row in found}
    if missing or not found:
        raise NotThere("no_completion", given=", ".join(map(str, sorted(missing)[:10])))
    return {"ids": list(ids), "owners": sorted({row["tenant_id"] for row in found})}


def _record(connection: Connection, verb: str, now: Row, who: str | None, reason: str | None = None) -> None:
    audit.record(
        connection,
        who=who,
        verb=verb,
        tenant_id=now["tenant_id"],
        subject=subject(now["id"]),
        reason=reason,
        detail={"event_id": now["event_id"], "state": now["state"]},
    )


def retry(number: int, *, who: str | None = None) -> Retried:
    """Try one again now: AFAS is looked at first, as before every write. One that was closed is open again.

    Raises Problem where there is nothing to try: it is settled, has no date, or no row in AFAS to be written to.
    """
    access.need("completions.retry")
    with transaction() as connection:
        key = _owners(connection, [number])
        message = next(iter(rows(connection, _LOCK_MESSAGES, **key)), None)
        letters = [row["id"] for row in rows(connection, _LOCK_LETTERS, **key)]
        now = rows(connection, _LOCKED, **key)[0]
        _refuse_retry(now, message)
        result = "queued" if message is None else "hurried"
        connection.execute(_REOPEN, {"id": now["id"], "tenant": now["tenant_id"]})
        _send(connection, now, message, letters, who or access.actor().name)
        _record(connection, "completions retry", now, who)
    return {"id": number, "tenant": now["slug"], "result": result}


def retry_each(numbers: Sequence[int], *, who: str | None = None) -> int:
    """The same for several, each by itself; how many. Raises Problem where one can't be tried: it says how many can."""
    refused: list[Problem] = []
    for number in numbers:
        try:
            retry(number, who=who)
        except Problem as problem:
            refused.append(problem)
    done = len(numbers) - len(refused)
    if refused and done:
        why = Words(f"problem.{refused[0].code}", **refused[0].params)
        raise Problem("retried_partly", count=done, of=len(numbers), why=why)
    if refused:
        raise refused[0]
    return done


def _send(connection: Connection, now: Row, message: Row | None, letters: Sequence[str], who: str) -> None:
    from models import ledger, locks  # noqa: PLC0415  lists need none of it
    from ops.dead_letters import replay  # noqa: PLC0415

    if message is not None:
        ledger.promote(connection, [message["id"]])
    elif letters and now["state"] == CompletionState.FAILED:
        line = replay.send(connection, letters[-1], who=who, reason=None, batch="")
        if line["result"] != replay.REPLAYED:
            raise Problem("nothing_to_replay", why=Words(f"verdict.{line['code']}", **line["params"]))
    else:
        connection.execute(_AGAIN, {"id": now["id"], "tenant": now["tenant_id"]})
        again = ledger.NewMessage(
            tenant_id=now["tenant_id"],
            kind=Kind.WRITE_BACK,
            direction=Direction.COMPLETIONS,
            subject_id=now["id"],
            lock=locks.of_write_back(now["enrollment_id"]),
            version=now["version"],
            priority=Priority.INTERACTIVE,
            full=True,
        )
        ledger.enqueue(connection, [again])


def _refuse_retry(now: Row, message: Row | None) -> None:
    if now["state"] in SETTLED:
        raise AlreadyDecided("completion_settled", id=now["id"], state=now["state"])
    if now["state"] == CompletionState.WRITTEN:
        raise Problem("completion_written", id=now["id"])
    if message is not None and message["state"] != MessageState.SCHEDULED:
        raise AlreadyDecided("completion_under_way", id=now["id"])
    if now["completed_on"] is None:
        raise Problem("completion_undated", id=now["id"])
    if now["enrollment_id"] is None:
        raise Problem("completion_no_row", id=now["id"])
