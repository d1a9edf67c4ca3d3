"""What ``koppeling check`` tries of Pluvo, reading only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import islice
from typing import Literal

from clients.errors import Incomplete
from clients.pluvo import Group, OfferEvent, PluvoClient, Target
from clients.pluvo.client import NIL_ID
from models.course import Course
from models.folding import fold_title
from models.tenant_settings import CompletionRule
from ops.tenants.check_findings import Finding, fault, reached, tried, warning
from producers.completions.rules import TitleVerdict, judge_title

LISTED_PAGES = 20  # of users, when looking for Pluvo's own AFAS link: a thousand people


def findings(pluvo: PluvoClient, courses: Sequence[Course], people_per_call: int) -> Iterator[Finding]:
    """All of it; nothing more when Pluvo does not let us in."""
    let_in = False
    for finding in reached("pluvo", partial(_token, pluvo)):
        let_in = finding.probe == "pluvo token" and finding.code in ("ok", "scope_missing")
        yield finding
    if not let_in:
        return
    yield from tried("pluvo operations", partial(_operations, pluvo))
    yield from tried("pluvo schema", partial(_assumed, pluvo))
    if people_per_call > 1:
        yield from tried("pluvo people_per_call", partial(_people_per_call, pluvo, people_per_call))
    yield from tried("pluvo targets", partial(_targets, pluvo, courses))
    verdicts = Verdicts(pluvo)
    for course in courses:
        for rule in course.rules:
            name = f"completion title (event {course.event_id})"
            yield from tried(name, partial(_title, verdicts, rule, name))
    for level in sorted({rule.level for course in courses for rule in course.rules}):
        yield from tried(f"pluvo report ({level})", partial(_report, pluvo, level))
    yield from tried("pluvo's own AFAS link", partial(_own_link, pluvo))


def _token(pluvo: PluvoClient) -> Iterator[Finding]:
    lacking = pluvo.missing_scopes()
    yield fault("pluvo token", "scope_missing", scopes=lacking) if lacking else Finding("pluvo token", True)


def _operations(pluvo: PluvoClient) -> Iterator[Finding]:
    refused = pluvo.check_operations()
    if refused:
        yield fault("pluvo operations", "operation_missing", detail="; ".join(refused[:5]))
    else:
        yield Finding("pluvo operations", True)


def _assumed(pluvo: PluvoClient) -> Iterator[Finding]:
    """What we assume of Pluvo, unconfirmed. Things work without it, but the customer loses something."""
    shown, lacking = pluvo.check_assumed()
    if lacking:
        yield warning("pluvo schema", "assumed_missing", names=lacking)
    if not shown:
        yield warning("pluvo schema", "schema_hidden")
    if shown and not lacking:
        yield Finding("pluvo schema", True)


def _people_per_call(pluvo: PluvoClient, wanted: int) -> Iterator[Finding]:
    taken = pluvo.people_in_one_call(wanted)
    if taken < wanted:
        yield warning("pluvo people_per_call", "people_per_call_refused", wanted=wanted, count=taken)
    else:
        yield Finding("pluvo people_per_call", True)


def _targets(pluvo: PluvoClient, courses: Sequence[Course]) -> Iterator[Finding]:
    """Where people are enrolled; many are asked for in one call."""
    wanted = {course.event_id: _place(course) for course in courses}
    known = pluvo.target_ids(list(dict.fromkeys(wanted.values())))
    for event_id, target in wanted.items():
        name = f"pluvo target (event {event_id})"
        code = "group_unknown" if isinstance(target, Group) else "offer_event_unknown"
        yield Finding(name, True) if target in known else fault(name, code, ref=target.ref)


def _place(course: Course) -> Target:
    group = course.pluvo.group_ref
    return Group(group) if group is not None else OfferEvent(str(course.pluvo.offer_event_ref))


class Verdicts:
    """Whether a title stands for one training: many courses have the same."""

    def __init__(self, pluvo: PluvoClient) -> None:
        self._pluvo = pluvo
        self._known: dict[tuple[str, str], TitleVerdict] = {}

    def of(self, level: str, title: str) -> TitleVerdict:
        """The verdict, asked for once."""
        key = level, fold_title(title)
        if key not in self._known:
            self._known[key] = judge_title(self._pluvo, *key)
        return self._known[key]


def _title(verdicts: Verdicts, rule: CompletionRule, name: str) -> Iterator[Finding]:
    verdict = verdicts.of(rule.level, rule.title)
    if verdict.reason is None:
        yield Finding(name, True)
        return
    listed = [f"“{one['title']}”{' (archived)' if one['archived'] else ''}" for one in verdict.candidates]
    yield fault(name, verdict.reason, system="Pluvo", title=rule.title, listed=listed)


def _report(pluvo: PluvoClient, level: str) -> Iterator[Finding]:
    """Whether the report may be read at all; nobody is asked for."""
    kind: Literal["TRAINING", "COURSE"] = "COURSE" if level == "course" else "TRAINING"
    next(pluvo.portfolio_pages(kind, user_ids=[NIL_ID]), None)
    yield Finding(f"pluvo report ({level})", True)


def _own_link(pluvo: PluvoClient) -> Iterator[Finding]:
    name = "pluvo's own AFAS link"
    carrying = 0
    try:
        for page in islice(pluvo.user_pages(archived=False), LISTED_PAGES):
            carrying += sum(user.afas_connection_id is not None for user in page.users)
    except Incomplete as error:
        yield warning("pluvo users", "users_incomplete", count=error.missing)
    if carrying:
        yield warning(name, "own_link_active", count=carrying)
    else:
        yield Finding(name, True)
