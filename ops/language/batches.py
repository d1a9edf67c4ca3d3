"""Batches of runs: what is told in the terminal, and their pages."""

from __future__ import annotations

SENTENCES: dict[str, str | tuple[str, str]] = {
    "batch.made": "Batch {batch}: `koppeling batches show {batch}` shows how it goes.",
    "hint.not_asked": "{slug}: no run was asked for, as its direction was in use: `koppeling {verb} {slug}`",
    "problem.no_run_batch": "No batch {batch!r}: `koppeling batches list` shows them.",
    "page.no_run_batch": "There is no batch {batch!r}, or not any more.",
    "problem.several_run_batches": "More than one batch begins with {given!r}: give more of its id.",
    "batches.title": "Batches",
    "batches.one": "Batch",
    "batches.lead": "Runs of several tenants that were started together.",
    "batches.empty": "No batches yet",
    "batches.empty_text": "Whoever starts runs of several tenants at once makes one.",
    "batches.col_begun": "Started",
    "batches.col_by": "By",
    "batches.col_done": "Tenants done",
    "batches.col_states": "State",
    "batches.ended": "Ended",
    "batches.told": (
        "{done} of 1 tenant is done.",
        "{done} of {count} tenants are done.",
    ),
    "batches.bar": "Tenants by the state of their run",
    "batches.read": "Rows read",
    "batches.applied": "Changes done",
    "batches.of": "{applied} of {planned}",
    "batches.outcomes": "Outcomes of rows",
    "batches.needs": "Needs somebody",
    "batches.needs_none": "Nothing of it needs somebody.",
    "batches.tenants": "Tenants",
    "batches.state_not_asked": "not asked for",
    "batches.need_failed": (
        "1 failed",
        "{count} failed",
    ),
    "batches.need_held": (
        "1 held",
        "{count} held",
    ),
    "batches.need_ambiguous": (
        "1 ambiguous",
        "{count} ambiguous",
    ),
    "batches.need_conflict": (
        "1 date in conflict",
        "{count} dates in conflict",
    ),
    "batches.need_plan_changed": "The plan is not the one that was looked at.",
    "batches.need_check": "The run did not get through: see why.",
    "batches.need_not_asked": "No run was asked for, as its direction was in use: start one.",
}
