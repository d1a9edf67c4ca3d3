"""Completions, Pluvo → AFAS: read the report, remember who finished what, write what is due.

    report → record → refresh (what does AFAS show by now?) → plan lines and messages

A run that starts again after a crash does it all again: each step is safe to repeat.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from sqlalchemy import text

from models.run import RunStatus
from producers.completions.afas_column import confirm_written
from producers.completions.collect import (
    Collected,
    collect,
    collect_before_removal,
    forget,
    load,
    unread_before_removal,
)
from producers.completions.planner import Planner
from producers.completions.preview import Preview, preview
from producers.completions.record import DayRange, Finished, record
from producers.completions.rules import Rule, keep_fields
from producers.completions.steps import count, courses_to_read, plan, read_values, settle_by_column
from producers.runs.context import RunContext
from tenancy.systems import Systems, systems_of

__all__ = ["Preview", "collect_before_removal", "confirm_written", "preview", "run", "unread_before_removal"]

_FINISH = text(
    """
    UPDATE run SET status = :status, reason = :why, snapshot = :snapshot, reasons = CAST(:reasons AS jsonb),
           courses = CAST(:courses AS jsonb), rows_without_line = CAST(:quiet AS jsonb), plan_hash = :hash,
           rows = (SELECT count(*) FROM plan_line WHERE run_id = :run AND tenant_id = :tenant AND is_row) + :quiet_rows,
           calls_afas = calls_afas + :afas, calls_pluvo = calls_pluvo + :pluvo
     WHERE id = :run AND tenant_id = :tenant
    """
)


def run(lease: RunContext) -> None:
    """Do one completions run; ends with status ``applying``. Raises what concerns the whole tenant."""
    tenant, courses = load(lease.tenant_id)
    systems = systems_of(tenant)
    days = DayRange.of(lease.options)

    def sink(batch: Sequence[Finished], rules: Sequence[Rule]) -> None:
        with lease.writing(pages=1, rows=len(batch)) as connection:
            record(connection, tenant, rules, batch, run_id=lease.run_id, days=days)

    found = collect(lease, systems, tenant, courses, sink)
    with lease.writing() as connection:
        keep_fields(connection, lease.tenant_id, found.fields)
        forget(connection, lease.tenant_id, lease.run_id, found.doubtful)
    planner = Planner(lease.tenant_id, lease.run_id, found.good, days)
    with lease.writing() as connection:
        planner.refresh(connection, courses)
    for course, rules in courses_to_read(lease, planner, found):
        read_values(lease, systems, course, rules)
        with lease.writing() as connection:
            settle_by_column(connection, planner, course, rules)
    plan(lease, planner)
    finish(lease, planner, found, systems)


def finish(context: RunContext, planner: Planner, found: Collected, systems: Systems) -> None:
    """Count, and hand the run over to those who watch its messages."""
    calls = systems.counts.take()
    with context.writing() as connection:
        quiet, courses = count(connection, planner, found)
        connection.execute(
            _FINISH,
            {
                "run": context.run_id,
                "tenant": context.tenant_id,
                "status": RunStatus.APPLYING,
                "why": found.refused,
                "snapshot": found.snapshot,
                "reasons": json.dumps(found.reasons),
                "courses": json.dumps(courses),
                "quiet": json.dumps(quiet),
                "hash": planner.hash.hexdigest(),
                "quiet_rows": sum(quiet.values()),
                "afas": calls["afas"],
                "pluvo": calls["pluvo"],
            },
        )
