"""A run that may carry out one plan only: the one that somebody looked at.

Any other plan ends the run before it changes anything. Its lines tell what differs: ``not_in_preview`` what is planned
now, ``only_in_preview`` what was planned then, ``as_in_preview`` what is as it was and was not begun either.
"""

from __future__ import annotations

from json import dumps

from sqlalchemy import Connection, text

from models.run import RunStatus
from producers.enrollments.make_plan import Plan, forget_rows, record_run
from producers.enrollments.plan_lines import DOES, DOES_NOTHING
from producers.runs.context import RunContext
from producers.runs.lease import PlanChanged

_THEIRS = text(
    "SELECT looked -> 'targets' FROM run WHERE id = :looked_at AND tenant_id = :tenant AND status = 'dry_run'"
)
_BOTH = f"""
    mine AS MATERIALIZED (
        SELECT l.id, {DOES.format(targets=":mine")} AS does FROM plan_line l
         WHERE l.run_id = :run AND l.tenant_id = :tenant AND NOT ({DOES_NOTHING})),
    theirs AS MATERIALIZED (
        SELECT l.id, {DOES.format(targets=":theirs")} AS does FROM plan_line l
         WHERE l.run_id = :looked_at AND l.tenant_id = :tenant AND NOT ({DOES_NOTHING}))
"""  # noqa: S608  constants only
# Before anything of the new plan is marked: what a line does includes what becomes of it.
_COMPARE = text(
    f"""
    WITH {_BOTH},
    marked AS (
        UPDATE plan_line n SET reason = 'not_in_preview'
          FROM mine m
         WHERE n.id = m.id AND n.tenant_id = :tenant AND NOT EXISTS (SELECT 1 FROM theirs t WHERE t.does = m.does))
    INSERT INTO plan_line (run_id, tenant_id, course_id, enrollment_id, event_id, internal_id, is_row, action, outcome,
                           reason, before, after)
    SELECT :run, :tenant, o.course_id, o.enrollment_id, o.event_id, o.internal_id, false, o.action, 'dropped',
           'only_in_preview', o.before, o.after
      FROM theirs t JOIN plan_line o ON o.id = t.id AND o.tenant_id = :tenant
     WHERE NOT EXISTS (SELECT 1 FROM mine m WHERE m.does = t.does)
     ORDER BY o.id
    """  # noqa: S608  constants only
)
# Nothing is under way and nothing is held: a row stays as it is.
_DO_NOTHING = text(
    """
    UPDATE plan_line
       SET outcome = CASE WHEN is_row THEN 'unchanged' ELSE 'dropped' END, settled_at = now(),
           reason = CASE WHEN reason = 'not_in_preview' THEN reason ELSE :reason END
     WHERE run_id = :run AND tenant_id = :tenant AND outcome IN ('pending', 'held')
    """
)


def be_as_expected(context: RunContext, plan: Plan) -> None:
    """Raise PlanChanged, and leave in the run's lines what differs, when another plan was looked at."""
    expected = context.options.get("expect")
    if expected is None or plan.hash == expected:
        return
    run = {"run": context.run_id, "tenant": context.tenant_id, "looked_at": context.options.get("looked_at")}
    with context.writing() as connection:
        compared = _compare(connection, run, plan)
        connection.execute(_DO_NOTHING, run | {"reason": "as_in_preview" if compared else "plan_changed"})
        record_run(connection, context, plan, RunStatus.RUNNING)
        forget_rows(connection, context)
    raise PlanChanged(context.run_id)


def _compare(connection: Connection, run: dict[str, object], plan: Plan) -> bool:
    """False where what was looked at is gone: nobody can tell then which lines differ."""
    theirs = connection.execute(_THEIRS, run).scalar()
    if theirs is None:
        return False
    connection.execute(_COMPARE, run | {"mine": dumps(plan.targets), "theirs": dumps(theirs)})
    return True
