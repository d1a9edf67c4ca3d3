"""A finish event came in: read that person's report now, and write what is due at once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from sqlalchemy import Connection, text
from sqlmodel import select

from clients.errors import Incomplete
from clients.pluvo import PluvoClient
from models.completion import WebhookEvent
from models.course import Course
from models.direction import Direction
from models.folding import fold_title
from models.message import Kind, Priority
from models.session import session, transaction
from models.tenant import Tenant
from producers.completions.collect import load
from producers.completions.planner import Planner
from producers.completions.record import DayRange, Finished, record
from producers.completions.rules import Rule, TitleVerdicts, ask_fields, keep_fields, rules_of
from producers.completions.webhook_events import Hint, people_in, read
from producers.runs.request import request_run
from tenancy.systems import afas_of, pluvo_of
from workers.messages.delivery import Delivery
from workers.messages.execute import actor
from workers.messages.interruptions import Snooze

PATIENCE_SECONDS = 15.0
# Of 50 rows each. More rows mean that Pluvo ignored the filter: they are not of one person.
PAGES_OF_ONE = 4
# After a run that webhooks asked for, the next one waits for as long as that run took, and at least so long: a flood of
# webhooks uses at most half of the calls that Pluvo allows.
REST_SECONDS = 60.0
_REST = text(
    """
    SELECT CASE WHEN status <> 'queued' THEN extract(epoch FROM
               ended + greatest(make_interval(secs => :least), ended - coalesce(started_at, created_at)) - now()) END
      FROM (SELECT *, coalesce(finished_at, now()) AS ended FROM run
             WHERE tenant_id = :tenant AND direction = 'completions' AND trigger = 'webhook'
             ORDER BY id DESC LIMIT 1) AS last
    """
)
_HANDLED = text(
    "UPDATE webhook_event SET handled_at = now(), outcome = :outcome WHERE id = :id AND tenant_id = :tenant"
)
_titles = TitleVerdicts()


@dataclass
class Found:
    """What the report says of one person. ``whole``: it was read to its end, so nothing is missing."""

    dated: list[Finished] = field(default_factory=list)
    undated: set[tuple[str, str]] = field(default_factory=set)
    whole: bool = True


class NotAlone(Exception):
    """This Pluvo can't be asked for one person: the report of all people would have to be read."""


@actor(Kind.FETCH)
def fetch(delivery: Delivery) -> None:
    """Read one person's report. The event itself is only a hint: no date is taken from it.

    Where Pluvo can't be asked for one person, a run reads all: one run for all events that come until it begins.
    """
    event = _event(delivery)
    if event is None or event.handled_at is not None:
        with delivery.settle():
            return
    delivery.people = people_in(event.body or b"")
    hint = read(event.body) if event.body else Hint(event.event, event.pluvo_id, event.ref)
    tenant, courses = load(delivery.tenant_id)
    pluvo = pluvo_of(tenant, delivery.call_log.append, PATIENCE_SECONDS, combine=not delivery.probe)
    rules = _rules(delivery, tenant, courses, pluvo)
    pluvo_id = _user(pluvo, hint) if rules else None
    try:
        finished = _finished(report_of_one(pluvo, rules, pluvo_id), rules, hint, pluvo_id) if pluvo_id else []
    except NotAlone:
        _ask_for_a_run(delivery)
        return
    with transaction() as connection:
        ids = _record(connection, delivery, tenant, rules, finished)
    with delivery.settle() as connection:
        planner = Planner(delivery.tenant_id, None, rules, DayRange())
        due = planner.enqueue(connection, ids, Priority.INTERACTIVE) if ids else 0
        _handled(connection, delivery, _outcome(rules, pluvo_id, finished, due))


def _ask_for_a_run(delivery: Delivery) -> None:
    """Let a run read the report of all people, for all events that come until it begins. Later events wait."""
    with transaction() as connection:
        seconds = connection.execute(_REST, {"tenant": delivery.tenant_id, "least": REST_SECONDS}).scalar()
    if seconds is not None and seconds > 0:
        raise Snooze(float(seconds), "report_read_lately")
    with delivery.settle() as connection:
        request_run(connection, delivery.tenant_id, Direction.COMPLETIONS, trigger="webhook")
        _handled(connection, delivery, "run_requested")


def _record(
    connection: Connection, delivery: Delivery, tenant: Tenant, rules: Sequence[Rule], finished: Sequence[Finished]
) -> list[int]:
    reading = f"webhook:{delivery.message_id}-{delivery.number}"
    return record(connection, tenant, rules, finished, reading=reading, signal="webhook")


def _event(delivery: Delivery) -> WebhookEvent | None:
    with session() as database:
        query = select(WebhookEvent).where(
            WebhookEvent.id == delivery.subject_id, WebhookEvent.tenant_id == delivery.tenant_id
        )
        return database.exec(query).first()


def _user(pluvo: PluvoClient, hint: Hint) -> str | None:
    if hint.pluvo_id or not hint.ref:
        return hint.pluvo_id
    users = pluvo.find_users(refs=[hint.ref])
    return users[0].id if users else None


def _rules(delivery: Delivery, tenant: Tenant, courses: Sequence[Course], pluvo: PluvoClient) -> list[Rule]:
    """All rules whose title is of one training only. The report, not the event, says what was finished."""
    unasked = [course for course in courses if course.completion_types is None]
    if unasked:
        known = ask_fields(afas_of(tenant, delivery.call_log.append, PATIENCE_SECONDS), unasked, beside=courses)
        with transaction() as connection:
            keep_fields(connection, delivery.tenant_id, known)
        for course in unasked:
            course.completion_types = dict(known[course.id or 0])
    return usable_titles(delivery.tenant_id, pluvo, [rule for course in courses for rule in rules_of(course)])


def usable_titles(tenant_id: int, pluvo: PluvoClient, rules: Sequence[Rule]) -> list[Rule]:
    """The rules whose title is of one training only."""
    good = {(r.level, r.title): _titles.of(tenant_id, pluvo, r.level, r.title).reason is None for r in rules}
    return [rule for rule in rules if good[rule.level, rule.title]]


def report_of_one(pluvo: PluvoClient, rules: Iterable[Rule], pluvo_id: str) -> Found:
    """This person's rows under the rules' titles. Different rows under one title are of several courses.

    Raises NotAlone where the report of one person can't be had.
    """
    if not pluvo.supports_user_filter:
        raise NotAlone
    found = Found()
    titles: dict[str, set[str]] = defaultdict(set)
    for rule in rules:
        titles[rule.level].add(rule.title)
    for level, wanted in titles.items():
        asked: Literal["TRAINING", "COURSE"] = "COURSE" if level == "course" else "TRAINING"
        dates: dict[str, set[str | None]] = defaultdict(set)
        try:
            for number, page in enumerate(pluvo.portfolio_pages(asked, user_ids=[pluvo_id]), 1):
                for row in page:
                    dates[fold_title(row.title)].add(row.completion_date)
                if number > PAGES_OF_ONE or not pluvo.supports_user_filter:
                    raise NotAlone
        except Incomplete:
            found.whole = False
        for title in wanted & dates.keys():
            given = [raw for raw in dates[title] if raw is not None]
            if level == "course" and len(dates[title]) > 1:
                continue
            found.dated += [Finished(pluvo_id, level, title, raw) for raw in given]
            if not given:
                found.undated.add((level, title))
    return found


def _finished(found: Found, rules: Sequence[Rule], hint: Hint, pluvo_id: str) -> list[Finished]:
    """What to record: every date, and ``no_date`` for what the event calls finished and the report has no date for.

    The event's level matters only for ``no_date``: the same title may exist on another level. An event without a title
    says only that something is finished. If the report has no date at all for this person, everything begun counts.
    """
    if not hint.is_finish or not found.whole:
        return found.dated
    of_level = [rule for rule in rules if hint.level in (None, rule.level)]
    named = {(rule.level, rule.title) for rule in of_level if rule.title == hint.title}
    if named:
        lacking = named - {(row.level, row.title) for row in found.dated}
    else:
        begun = found.undated & {(rule.level, rule.title) for rule in of_level}
        lacking = set() if found.dated or hint.title else begun
    return found.dated + [Finished(pluvo_id, level, title, None) for level, title in sorted(lacking)]


def _outcome(rules: Sequence[Rule], pluvo_id: str | None, finished: Sequence[Finished], due: int) -> str:
    if not rules:
        return "no_rule"
    if pluvo_id is None:
        return "unknown_user"
    if due:
        return "due"
    if any(row.raw is None for row in finished):
        return "no_date"
    return "nothing_due"


def _handled(connection: Connection, delivery: Delivery, outcome: str) -> None:
    names = {"id": delivery.subject_id, "tenant": delivery.tenant_id}
    connection.execute(_HANDLED, names | {"outcome": outcome})
