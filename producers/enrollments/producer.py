"""The enrollment producer: AFAS pages → snapshot → plan → guards → one message per enrollment.

Reading and planning may take minutes and hold nothing; the end is one transaction in which the plan becomes desired
state and messages. A producer that dies before it leaves a run that is simply begun again.
"""

from __future__ import annotations

from dataclasses import replace
from json import dumps

from sqlalchemy import Connection, text

from models.run import RunStatus, SnapshotState
from models.session import transaction
from models.tenant import Tenant
from producers.completions.producer import confirm_written, unread_before_removal
from producers.enrollments import commit, raise_holds
from producers.enrollments.expected import be_as_expected
from producers.enrollments.make_plan import Plan, forget_rows, load, make_plan, record_run
from producers.runs.context import RunContext
from producers.runs.lease import RunLease
from tenancy.alerts import close_alert, open_alert
from tenancy.systems import systems_of

_EVENTS_WITH_REMOVALS = text(
    """
    SELECT DISTINCT course_id FROM plan_line
     WHERE run_id = :run AND tenant_id = :tenant AND kind = 'removal' AND outcome = 'pending'
    """
)
_POSTPONE = text(
    """
    UPDATE plan_line SET outcome = 'postponed', reason = 'completions_unread'
     WHERE run_id = :run AND tenant_id = :tenant AND kind = 'removal' AND outcome = 'pending'
    """
)
_ADD_REASONS = text("UPDATE run SET reasons = reasons || CAST(:why AS jsonb) WHERE id = :run AND tenant_id = :tenant")
_LEARN = text(
    """
    UPDATE tenant
       SET envid = coalesce(envid, nullif(:envid, '')), first_complete_at = coalesce(first_complete_at, now())
     WHERE id = :tenant AND (envid IS NULL OR first_complete_at IS NULL)
       AND afas ->> 'member_id' = :member AND coalesce(afas ->> 'environment', 'production') = :environment
    """
)
_ADD_CALLS = text(
    """
    UPDATE run SET calls_afas = calls_afas + :afas, calls_pluvo = calls_pluvo + :pluvo
     WHERE id = :run AND tenant_id = :tenant
    """
)


def run(lease: RunLease) -> None:
    """Do one enrollment run up to its messages. Raises what concerns the whole tenant or the run itself."""
    tenant, _ = load(lease.tenant_id)
    systems = systems_of(tenant)
    try:
        plan = make_plan(lease, tenant, systems)
        be_as_expected(lease, plan)
        leaving = _courses_with_removals(lease)
        unread = unread_before_removal(lease, leaving) if leaving else None
        if unread:
            plan = _postpone_removals(lease, plan)
        with lease.writing() as connection:
            commit.lock_messages(connection, lease)
            # Before its courses, like an import.
            _record_tenant(connection, lease, plan, tenant)
            commit.record_roster(connection, lease, plan.snapshots)
            _confirm_completions(connection, plan)
            raise_holds.store_holds(connection, lease, plan.tripped, plan.snapshots, plan.hash)
            commit.commit_plan(connection, lease)
            _tell_of_users(connection, lease, plan)
            record_run(connection, lease, plan, RunStatus.APPLYING)
            if unread:
                _tell_of_report(connection, lease, unread)
            forget_rows(connection, lease)
    finally:
        _record_calls(lease, systems.counts.take())


def _confirm_completions(connection: Connection, plan: Plan) -> None:
    """The snapshot shows the completion columns too: what was written and stands there is verified."""
    usable = {snapshot.course_id for snapshot in plan.snapshots if snapshot.usable}
    for course in plan.courses:
        if course.id in usable and course.fields.completion:
            confirm_written(connection, course)


def _courses_with_removals(context: RunContext) -> list[int]:
    """Courses with removals: their completions are read first."""
    with transaction() as connection:
        values = {"run": context.run_id, "tenant": context.tenant_id}
        return list(connection.execute(_EVENTS_WITH_REMOVALS, values).scalars())


def _postpone_removals(context: RunContext, plan: Plan) -> Plan:
    """The completions of the leavers could not be read: their removals, and only those, wait for a run that can."""
    with context.writing() as connection:
        values = {"run": context.run_id, "tenant": context.tenant_id}
        postponed = connection.execute(_POSTPONE, values).rowcount
    return replace(plan, unconfirmed=plan.unconfirmed + postponed)


def _tell_of_report(connection: Connection, context: RunContext, code: str) -> None:
    """Add to the run's reasons why no person was removed, after what is wrong with the listing."""
    values = {"run": context.run_id, "tenant": context.tenant_id}
    connection.execute(_ADD_REASONS, values | {"why": dumps(["completions_unread", code])})


def _record_tenant(connection: Connection, context: RunContext, plan: Plan, tenant: Tenant) -> None:
    """Learn from the first reading that may be acted on, of any event: one that never gets complete must not keep the
    others from being guarded. ``tenant``: as it was read with; what an import pointed elsewhere meanwhile has another.
    """
    read = plan.state == SnapshotState.COMPLETE or any(one.usable and one.rows for one in plan.snapshots)
    if read and plan.snapshots and context.options.get("person") is None:
        read_with = {"member": tenant.afas.member_id, "environment": tenant.afas.environment}
        connection.execute(_LEARN, {"envid": plan.envid, "tenant": context.tenant_id} | read_with)


def _tell_of_users(connection: Connection, context: RunContext, plan: Plan) -> None:
    """Tell once that Pluvo's list of users is not whole, and when it is whole again."""
    if plan.missing_users is None:
        return
    if not plan.missing_users:
        close_alert(connection, context.tenant_id, "users_incomplete", None)
        return
    open_alert(
        connection,
        context.tenant_id,
        "users_incomplete",
        None,
        f"Pluvo's list of users is not whole: at least {plan.missing_users} are missing. New people are looked up by "
        "address one by one meanwhile; an AFAS id set beforehand on a missing user is not seen. If this does not go "
        "away by itself (the list may have changed all the time while it was read), ask Pluvo to repair it: it counts "
        "users that it does not give, or can't show one.",
        {"count": plan.missing_users},
    )


def _record_calls(context: RunContext, made: dict[str, int]) -> None:
    values = {"run": context.run_id, "tenant": context.tenant_id}
    with transaction() as connection:
        connection.execute(_ADD_CALLS, values | {"afas": made["afas"], "pluvo": made["pluvo"]})
