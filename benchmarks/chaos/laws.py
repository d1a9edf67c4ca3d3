"""What must hold once everything runs again: each violation is a line, and a loss or a doubling."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import datetime
from itertools import pairwise
from typing import Any, Protocol

from benchmarks.chaos.scene import Scene, address
from models.outcomes import NOT_PLANNED, RowOutcome
from simulators.pluvo.tenant import PluvoTenant
from simulators.sample_data.tenant import SampleCourse, SampleTenant

IN_EVENT = ("ENROLLED", "WAITLISTED")
# Why an enrollment may stand unapplied once everything is over.
EXPLAINED = [*NOT_PLANNED, RowOutcome.NOT_YET, RowOutcome.ENDED, RowOutcome.BLOCKED, RowOutcome.WAITING]


class Witness(Protocol):
    """What is known of the faults: complaints, and between which times answers may have got lost."""

    @property
    def complaints(self) -> list[str]: ...
    @property
    def unclear(self) -> list[tuple[datetime, datetime]]: ...


def violations(scene: Scene, faults: Witness, checked_put: int) -> list[str]:
    """Everything that is not as it must be. ``checked_put``: PUTs up to this number were looked at before."""
    found = [*faults.complaints, *_ledger(scene)]
    for tenant in scene.tenants:
        found += [f"{tenant.slug}: {line}" for line in of_tenant(scene, tenant)]
    return found + list(_doubled_puts(scene, faults, checked_put))


def of_tenant(scene: Scene, tenant: SampleTenant) -> list[str]:
    """What of one tenant is not as it must be, in both systems."""
    pluvo = scene.pluvo(tenant)
    found = [line for law in (_accounts, _invitations, _rosters) for line in law(scene, tenant, pluvo)]
    return [*found, *_dates(scene, tenant)]


def _accounts(scene: Scene, tenant: SampleTenant, pluvo: PluvoTenant) -> Iterator[str]:
    """One account per person, as AFAS says; those of others as they were."""
    start = scene.accounts_at_start[tenant.slug]
    people: Counter[str] = Counter()
    for user in pluvo.users.values():
        made = re.fullmatch(rf"afas:{tenant.member_id}:(\d+)", user["ref"])
        if made is None and user["id"] not in start:
            yield f"account {user['id']} belongs to nobody"
        elif made and int(made[1]) not in scene.known[tenant.slug]:
            yield f"account {user['id']} is of somebody AFAS never had"
        elif made:
            people[made[1]] += 1
    yield from (f"person {who} has {count} accounts" for who, count in people.items() if count > 1)
    for user_id, before in start.items():
        now = pluvo.users.get(user_id)
        if now is None or now["ref"] != before["ref"] or now["roles"] != before["roles"]:
            yield f"account {user_id}, which was there before, is gone or changed"
        elif before["email"].endswith(f"@{tenant.slug}.example") and now != before:
            yield f"account {user_id}, which is none of ours, was changed"


def _invitations(scene: Scene, tenant: SampleTenant, pluvo: PluvoTenant) -> Iterator[str]:
    """Who got an account from us was invited once, nobody else was."""
    sent = Counter(mail["userId"] for mail in pluvo.mails if mail["kind"] == "invitation")
    for user in pluvo.users.values():
        wanted = user["id"] not in scene.accounts_at_start[tenant.slug]
        if sent[user["id"]] != wanted:
            yield f"account {user['id']} got {sent[user['id']]} invitations"


def _rosters(scene: Scene, tenant: SampleTenant, pluvo: PluvoTenant) -> Iterator[str]:
    """In each event exactly those who are in AFAS's, with AFAS's names."""
    rows = [row for row in scene.afas(tenant).rows.values() if address(row)]
    for course in tenant.courses:
        wanted = {(address(row), row.name) for row in rows if row.event_id == course.event_id}
        users = [pluvo.users[user_id] for user_id in _enrolled(pluvo, course)]
        actual = {(user["email"].casefold(), user["name"]) for user in users}
        if len(users) != len(actual):
            yield f"event {course.event_id}: somebody is enrolled twice"
        if wanted - actual:
            yield f"event {course.event_id}: {len(wanted - actual)} missing, e.g. {min(wanted - actual)}"
        if actual - wanted:
            yield f"event {course.event_id}: {len(actual - wanted)} too many, e.g. {min(actual - wanted)}"


def _enrolled(pluvo: PluvoTenant, course: SampleCourse) -> list[str]:
    if course.target == "group":
        group = pluvo.find("groups", None, course.ref)
        return list(group["members"]) if group else []
    event = pluvo.find("offer_events", None, course.ref) or {"id": None}
    found = [each for (_, event_id), each in pluvo.enrollments.items() if event_id == event["id"]]
    return [each["userId"] for each in found if each["status"] in IN_EVENT]


def _dates(scene: Scene, tenant: SampleTenant) -> Iterator[str]:
    """AFAS shows the day of everyone who finished, and none for anybody else."""
    for row in scene.afas(tenant).rows.values():
        wanted = scene.finished.get((tenant.slug, *row.key))
        shown = row.free.get(tenant.completion_field)
        if shown != wanted:
            yield f"event {row.event_id}, person {row.internal_id}: AFAS shows {shown}, must show {wanted}"


def _doubled_puts(scene: Scene, faults: Witness, checked_put: int) -> Iterator[str]:
    """A date is sent again only when it could not be known whether the first time had worked, and then the same one."""
    sent: dict[tuple[str, str, str], list[dict[str, Any]]] = defaultdict(list)
    for entry in scene.system.afas.log(operation="put"):
        element = next(iter(entry["body"].values()))["Element"]
        sent[entry["tenant"], element["@CrId"], element["@CdId"]].append(entry)
    for key, entries in sent.items():
        if len({json.dumps(entry["body"], sort_keys=True) for entry in entries}) > 1:
            yield f"{key}: different things were written"
        for first, again in pairwise(entries):
            if again["n"] > checked_put and not _unclear(first, faults):
                yield f"{key}: written again at {again['at']} although the answer of {first['at']} was good"


def _unclear(entry: dict[str, Any], faults: Witness) -> bool:
    if entry["faults"] or not 200 <= (entry["status"] or 0) < 300:
        return True
    ended = datetime.fromisoformat(entry["ended_at"])
    return any(begun <= ended <= end for begun, end in faults.unclear)


def _ledger(scene: Scene) -> Iterator[str]:
    """Nothing is left over, nobody holds anything, every row read has one outcome, every death is a row."""
    for row in scene.system.rows("SELECT id, kind, state, attempts, kills FROM message LIMIT 5"):
        yield f"still in the ledger: {row}"
    for row in scene.system.rows("SELECT id, status FROM run WHERE status IN ('queued', 'running', 'applying')"):
        yield f"a run is not over: {row}"
    for row in scene.system.rows(
        "SELECT r.id, r.rows, r.outcomes FROM run r WHERE r.status NOT IN ('failed', 'stopped', 'quarantined')"
        " AND r.rows <> (SELECT coalesce(sum(value::int), 0) FROM jsonb_each_text(r.outcomes))"
    ):
        yield f"rows and outcomes differ: {row}"
    for row in scene.system.rows(
        "SELECT e.id, e.state, e.outcome, e.reason FROM enrollment e WHERE e.applied_version IS DISTINCT FROM e.version"
        " AND e.outcome <> ALL(:explained) LIMIT 5",
        explained=EXPLAINED,
    ):
        yield f"an enrollment is neither applied nor explained: {row}"
    for row in scene.system.rows("SELECT id, kind, error, message FROM dead_letter WHERE state = 'open' LIMIT 5"):
        yield f"a dead letter is still open after its replay: {row}"
    for row in scene.system.rows("SELECT tenant_id, direction, state, reason FROM tenant_direction"
                                 " WHERE state <> 'healthy'"):  # fmt: skip
        yield f"a direction is not healthy: {row}"
