"""Are both systems as they must be at the end? Compared with AFAS and with the start, not with our database."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from models.direction import Direction
from ops.demo.acts import Demo
from ops.demo.tenant_script import TenantScript
from simulators.afas.tenant import Row
from simulators.sample_data.tenant import SampleCourse

IN_EVENT = ("ENROLLED", "WAITLISTED")


def failures(demo: Demo) -> list[str]:
    """One line for everything that is not as it must be; an empty list when all is right."""
    found = [*_of_the_demo(demo)]
    for script in demo.scripts.values():
        for check in (_accounts, _rosters, _accounts_before, _dates):
            found += [f"{script.tenant.slug}: {line}" for line in check(script)]
    return found


def _of_the_demo(demo: Demo) -> Iterator[str]:
    failed = 0
    for run in demo.all_runs():
        failed += run["outcomes"]["failed"]
        if run["rows"] != sum(run["outcomes"].values()):
            yield f"{run['tenant']}: run {run['run']} read {run['rows']} rows and has other outcomes: {run['outcomes']}"
        if run["outcomes"]["pending"] or run["removed"] > 1:
            yield f"{run['tenant']}: run {run['run']} ended with {run['outcomes']}, {run['removed']} removed"
    if failed != 1 or demo.replayed != {"done": 1}:
        yield f"one row was to fail and to be replayed; {failed} failed, and the replay: {dict(demo.replayed)}"
    for letter in demo.open_dead_letters():
        yield f"{letter['tenant']}: dead letter {letter['id']} is still open: {letter['error']}"
    if demo.quiet_pluvo_calls:
        yield f"the run without changes made {demo.quiet_pluvo_calls} calls to Pluvo"
    for run in demo.last[Direction.ENROLLMENTS]["runs"]:
        changed = run["rows"] - run["outcomes"]["unchanged"] - run["outcomes"]["rejected"]
        if run["status"] != "done" or changed:
            yield f"{run['tenant']}: the run without changes ended {run['status']} with {run['outcomes']}"
    for run in demo.last[Direction.COMPLETIONS]["runs"]:
        if run["rows"] != run["outcomes"]["verified"] + run["outcomes"]["conflict"]:
            yield f"{run['tenant']}: not every completion that was written is verified: {run['outcomes']}"


def _address(row: Row) -> str:
    return ((row.email_primary or "").strip() or (row.email_secondary or "").strip()).casefold()


def _accounts(script: TenantScript) -> Iterator[str]:
    """One account per person, with AFAS's name and address; no invitation was sent."""
    by_address = Counter(user["email"].casefold() for user in script.pluvo.users.values())
    yield from (f"{count} accounts have one address" for count in by_address.values() if count > 1)
    for row in script.afas.rows.values():
        user = script.pluvo.find_user(email=_address(row)) if _address(row) else None
        if user is None and _address(row):
            yield f"person {row.internal_id} has no account"
        elif user is not None and (user["name"] != row.name or user["archived"]):
            yield f"person {row.internal_id} has an account with another name, or an archived one"
    # Only the accounts of the start, of the people in AFAS now, and of the one who left.
    linked = {somebody.email.casefold() for somebody in (script.people[n] for n in (0, 1, 2, 4))}
    known = {user["email"].casefold() for user in script.accounts_at_start.values()} - {f"oud.{one}" for one in linked}
    known |= {_address(row) for row in script.afas.rows.values()} | {script.people[10].email.casefold()}
    if set(by_address) != known - {""}:
        yield f"{len(by_address)} accounts, and there must be {len(known - {''})}"
    if script.pluvo.mails:
        yield f"{len(script.pluvo.mails)} mails were sent, and none was asked for"


def _rosters(script: TenantScript) -> Iterator[str]:
    """In each event exactly those who are in AFAS's event."""
    for course in script.tenant.courses:
        wanted = {_address(row) for row in script.afas.rows.values() if row.event_id == course.event_id} - {""}
        actual = {script.pluvo.users[user_id]["email"].casefold() for user_id in _enrolled(script, course)}
        if wanted != actual:
            missing, extra = len(wanted - actual), len(actual - wanted)
            yield f"event {course.event_id}: {missing} people are missing in Pluvo, {extra} are too many"


def _enrolled(script: TenantScript, course: SampleCourse) -> list[str]:
    if course.target == "group":
        group = script.pluvo.find("groups", None, course.ref)
        return list(group["members"]) if group else []
    event = script.pluvo.find("offer_events", None, course.ref)
    there = {key: each for key, each in script.pluvo.enrollments.items() if event and key[1] == event["id"]}
    return [user_id for (user_id, _), each in there.items() if each["status"] in IN_EVENT]


def _accounts_before(script: TenantScript) -> Iterator[str]:
    """Accounts without a person in AFAS are as before; linked ones keep id, ref, roles and language."""
    in_afas = {str(row.internal_id) for row in script.afas.rows.values()}
    addresses = {_address(row) for row in script.afas.rows.values()}
    for user_id, before in script.accounts_at_start.items():
        now = script.pluvo.users.get(user_id, {})
        kept = ("id", "ref", "roles", "language")
        ours = before["email"].casefold() in addresses or before["afasContactId"] in in_afas
        if (now != before) if not ours else any(now.get(name) != before[name] for name in kept):
            yield f"account {user_id}, which was there before, was changed"


def _dates(script: TenantScript) -> Iterator[str]:
    """AFAS shows the expected day for everyone who finished, written once, and no date for the others."""
    for key, row in script.afas.rows.items():
        shown, expected = row.free.get(script.tenant.completion_field), script.expected_dates.get(key)
        if shown != expected:
            yield f"event {key[0]}, person {key[1]}: AFAS shows {shown} and must show {expected}"
        typed_by_hand = key in script.typed_by_hand
        if row.writes != (expected is not None and not typed_by_hand):
            yield f"event {key[0]}, person {key[1]}: AFAS was written to {row.writes} times"
