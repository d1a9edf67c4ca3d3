"""What is forgotten, and when: payloads first, then the ledger, then people who left. A bite at a time, so that no
statement runs long. All statements are constants.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass

import structlog
from sqlalchemy import text

import settings
from models.run import EMPTIED
from models.session import transaction

BITE = 5000
EVERY_SECONDS = 3600.0
# How long other chores wait for it, and for the bite that it is at.
AT_ONCE_SECONDS = 0.5
log = structlog.get_logger("workers.maintenance.retention")
_OVER = "NOT IN ('queued', 'running', 'applying')"


@dataclass(frozen=True)
class Rule:
    """One thing to forget. ``statement`` takes ``:age`` in seconds and ``:bite``."""

    name: str
    setting: str
    statement: str
    bite: int = BITE


def _delete(table: str, column: str, setting: str, where: str = "true") -> Rule:
    chosen = f"SELECT id FROM {table} WHERE {_older(column)} AND {where} ORDER BY {column} LIMIT :bite"  # noqa: S608
    return Rule(f"{table} deleted", setting, f"DELETE FROM {table} WHERE id = ANY(ARRAY({chosen}))")  # noqa: S608


def _empty(table: str, column: str, columns: tuple[str, ...], nothing: str = "NULL", where: str = "true") -> Rule:
    full = " OR ".join(f"{name} IS DISTINCT FROM {nothing}" for name in columns)
    chosen = f"SELECT id FROM {table} WHERE {_older(column)} AND ({full}) AND {where} ORDER BY {column} LIMIT :bite"  # noqa: S608
    emptied = ", ".join(f"{name} = {nothing}" for name in columns)
    statement = f"UPDATE {table} SET {emptied} WHERE id = ANY(ARRAY({chosen}))"  # noqa: S608
    return Rule(f"{table} emptied", "payload_retention", statement)


def _older(column: str) -> str:
    return f"{column} < now() - make_interval(secs => :age)"


# By run: going through the lines of years each hour would take long.
_LINES = f"""
    UPDATE plan_line SET {EMPTIED} WHERE id = ANY(ARRAY(
        SELECT l.id FROM run r JOIN plan_line l ON l.run_id = r.id
         WHERE r.has_payloads AND {_older("r.created_at")}
           AND (l.before IS NOT NULL OR l.after IS NOT NULL OR l.email IS NOT NULL) LIMIT :bite))
"""  # noqa: S608  constants only
_HELD = f"""
    UPDATE hold_line SET before = NULL, after = NULL WHERE id = ANY(ARRAY(
        SELECT l.id FROM hold h JOIN hold_line l ON l.hold_id = h.id
         WHERE {_older("h.created_at")} AND (l.before IS NOT NULL OR l.after IS NOT NULL) LIMIT :bite))
"""  # noqa: S608  constants only
# Lines go before their runs: there may be hundreds of thousands, which would go in the one statement of their runs.
_LINES_OF = """
    DELETE FROM plan_line WHERE id = ANY(ARRAY(
        SELECT l.id FROM run r CROSS JOIN LATERAL (SELECT id FROM plan_line WHERE run_id = r.id LIMIT :bite) l
         WHERE {runs} LIMIT :bite))
"""
_RUN_LINES = _LINES_OF.format(runs=f"{_older('r.created_at')} AND r.status {_OVER}")
# A plan that was only looked at, for a day.
_OLD_PREVIEW = f"""
    r.trigger = 'preview' AND r.status {_OVER}
    AND r.created_at < now() - least(make_interval(secs => :age), interval '24 hours')
"""
_PREVIEW_LINES = _LINES_OF.format(runs=_OLD_PREVIEW)
_PREVIEWS = f"""
    DELETE FROM run WHERE id = ANY(ARRAY(SELECT r.id FROM run r WHERE {_OLD_PREVIEW} ORDER BY r.id LIMIT :bite))
"""  # noqa: S608  constants only
_BATCH_TENANTS = f"""
    DELETE FROM batch_tenant WHERE id = ANY(ARRAY(
        SELECT i.id FROM batch b JOIN batch_tenant i ON i.batch = b.id WHERE {_older("b.created_at")} LIMIT :bite))
"""  # noqa: S608  constants only
# A run deletes what it read when it ends; this is for a run that could not.
_READ = """
    DELETE FROM {table} WHERE id = ANY(ARRAY(
        SELECT s.id FROM run r JOIN {table} s ON s.run_id = r.id
         WHERE r.status NOT IN ('queued', 'running', 'applying') AND r.created_at < now() - make_interval(secs => :age)
         LIMIT :bite))
"""
# Gone from AFAS for so long (or their event is no longer linked), and nothing is left to be done for them. An account
# that was made for them is found again by its ref, should they come back.
# Who may be meant comes first, by one look through enrollments and people each: everything else is asked of these few.
_PEOPLE = f"""
    WITH old AS MATERIALIZED (
        SELECT person_id AS id FROM enrollment WHERE {_older("absent_since")}
        UNION
        SELECT e.person_id FROM course c JOIN enrollment e ON e.course_id = c.id AND e.tenant_id = c.tenant_id
         WHERE NOT c.active AND {_older("coalesce(c.base_at, e.seen_at)")}
        UNION
        SELECT p.id FROM person p
         WHERE {_older("coalesce(p.seen_at, p.created_at)")}
           AND NOT EXISTS (SELECT 1 FROM enrollment e WHERE e.person_id = p.id)),
    gone AS MATERIALIZED (
        SELECT p.id, p.tenant_id, p.internal_id FROM old JOIN person p ON p.id = old.id
         WHERE NOT EXISTS (
               SELECT 1 FROM enrollment e JOIN course c ON c.id = e.course_id
                WHERE e.person_id = p.id
                  -- null: still in AFAS, so not old
                  AND NOT ((coalesce({_older("e.absent_since")}, false) AND (e.state <> 'enrolled' OR e.removal_refused)
                            OR NOT c.active AND coalesce({_older("coalesce(c.base_at, e.seen_at)")}, false))
                           AND e.left_behind = '[]'))
           AND (EXISTS (SELECT 1 FROM enrollment e WHERE e.person_id = p.id)
                -- whom an operator linked beforehand may still come
                OR {_older("coalesce(p.seen_at, p.created_at)")}
                   AND NOT EXISTS (SELECT 1 FROM link l WHERE l.person_id = p.id))
           AND NOT EXISTS (SELECT 1 FROM enrollment e JOIN message m ON m.subject_id = e.id
                            WHERE e.person_id = p.id AND m.kind = 'enrollment.upsert')
           AND NOT EXISTS (SELECT 1 FROM enrollment e JOIN completion c ON c.enrollment_id = e.id
                            WHERE e.person_id = p.id AND c.state IN ('pending', 'sending'))
           AND NOT EXISTS (SELECT 1 FROM enrollment e JOIN hold_line h ON h.enrollment_id = e.id
                            WHERE e.person_id = p.id AND h.state = 'open')
         LIMIT :bite FOR UPDATE OF p SKIP LOCKED),
    completions AS (
        DELETE FROM completion c USING gone g WHERE c.tenant_id = g.tenant_id AND c.internal_id = g.internal_id),
    lines AS (
        UPDATE plan_line l
           SET internal_id = NULL, enrollment_id = NULL, completion_id = NULL, {EMPTIED}
          FROM gone g WHERE l.tenant_id = g.tenant_id AND l.internal_id = g.internal_id)
    DELETE FROM person p USING gone g WHERE p.id = g.id
"""  # noqa: S608  constants only
# What lets nobody in any more, and what no limit counts any more: days, whatever is kept otherwise.
_SESSIONS = """
    DELETE FROM console_session WHERE id = ANY(ARRAY(
        SELECT id FROM console_session WHERE expires_at < now() OR seen_at < now() - interval '12 hours' LIMIT :bite))
"""
_ATTEMPTS = """
    DELETE FROM login_attempt WHERE id = ANY(ARRAY(
        SELECT id FROM login_attempt WHERE at < now() - interval '7 days' ORDER BY at LIMIT :bite))
"""
RULES = (
    _empty("change", "at", ("before", "after")),
    _empty("webhook_event", "received_at", ("body", "ref")),
    _empty("link", "updated_at", ("candidates",), "CAST('[]' AS jsonb)"),
    Rule("plan_line emptied", "payload_retention", _LINES),
    Rule("run emptied", "payload_retention",
         f"UPDATE run SET has_payloads = false WHERE has_payloads AND {_older('created_at')}"),  # noqa: S608
    Rule("hold_line emptied", "payload_retention", _HELD),
    Rule("snapshot_row deleted", "payload_retention", _READ.format(table="snapshot_row")),
    Rule("directory_user deleted", "payload_retention", _READ.format(table="directory_user")),
    Rule("preview_line deleted", "payload_retention", _PREVIEW_LINES),
    Rule("preview deleted", "payload_retention", _PREVIEWS),
    Rule("plan_line deleted", "ledger_retention", _RUN_LINES),
    _delete("run", "created_at", "ledger_retention", f"status {_OVER}"),
    Rule("batch_tenant deleted", "ledger_retention", _BATCH_TENANTS),
    _delete("batch", "created_at", "ledger_retention"),
    _delete("change", "at", "ledger_retention"),
    _delete("webhook_event", "received_at", "ledger_retention"),
    _delete("operator_action", "at", "ledger_retention"),
    _delete("alert", "closed_at", "ledger_retention"),
    _delete("alert_delivery", "created_at", "payload_retention"),
    _delete("alert_digest", "created_at", "payload_retention"),
    _delete("alert_mute", "until", "payload_retention"),
    _delete("dead_letter", "last_failed_at", "dead_letter_retention"),
    Rule("people_search deleted", "payload_retention",
         "DELETE FROM people_search WHERE created_at < now() - interval '1 hour'"),
    _delete("onboarding", "updated_at", "payload_retention"),
    Rule("login_attempt deleted", "payload_retention", _ATTEMPTS),
    Rule("console_session deleted", "payload_retention", _SESSIONS),
    _delete("api_token", "coalesce(revoked_at, expires_at)", "ledger_retention"),
    _delete("replay_batch", "finished_at", "dead_letter_retention"),
    Rule("person deleted", "ledger_retention", _PEOPLE, bite=1000),
)  # fmt: skip


def apply() -> dict[str, int]:
    """Apply every rule once; how many rows each touched, by name."""
    touched = {rule.name: _apply(rule) for rule in RULES}
    _say(touched)
    return touched


def _apply(rule: Rule) -> int:
    total = 0
    while True:
        count, more = _bite(rule)
        total += count
        if not more:
            return total


def _bite(rule: Rule) -> tuple[int, bool]:
    """How many rows it touched, and whether there may be more. A rule without bites does all at once."""
    values = {"age": getattr(settings.get(), rule.setting), "bite": rule.bite}
    with transaction() as connection:
        count = connection.execute(text(rule.statement), values).rowcount
    return count, count >= rule.bite and ":bite" in rule.statement


def _say(touched: Mapping[str, int]) -> None:
    if any(touched.values()):
        log.info("retention", **{name.replace(" ", "_"): count for name, count in touched.items() if count})


class Forgetting:
    """All rules each hour, a moment at a time: there may be millions of rows, and other chores wait meanwhile."""

    def __init__(self) -> None:
        self.rules: deque[Rule] = deque()
        self.touched: Counter[str] = Counter()
        self.begin_at = 0.0

    def forget(self) -> None:
        """Go on where it was left. A rule that breaks waits for the next hour, and the others go on."""
        now = time.monotonic()
        if not self.rules and now >= self.begin_at:
            self.begin_at = now + EVERY_SECONDS
            self.rules.extend(RULES)
        while self.rules:
            rule = self.rules[0]
            more = False
            try:
                count, more = _bite(rule)
                self.touched[rule.name] += count
            finally:
                if not more:
                    self.rules.popleft()
                if not self.rules:
                    _say(self.touched)
                    self.touched.clear()
            if time.monotonic() - now >= AT_ONCE_SECONDS:
                return
