"""Does a direction of a tenant work again? A few cheap reads that would fail for whatever stops a whole tenant."""

from __future__ import annotations

from sqlmodel import select

from clients.afas import Condition, Operator
from clients.errors import Misconfigured, Rejected, TooLarge, Unavailable
from models.course import Course
from models.session import session
from models.tenant import Tenant
from producers.completions.rules import ask_fields, judge_title, rules_of
from tenancy.systems import Systems, systems_of

PATIENCE_SECONDS = 10.0
NOBODY = "afas:probe:0"  # a ref that no account has


def probe_enrollments(tenant_id: int) -> None:
    """One row of every GetConnector, and a look-up in Pluvo. Raises RemoteError while the direction does not work.

    What concerns one connector alone (a wrong column, a refused question) stops no run, so it fails no probe either;
    nor does one that doesn't answer while another does.
    """
    systems, courses = _load(tenant_id)
    systems.afas.metainfo()
    away: Unavailable | None = None
    answered = False
    for connector, course in {course.getconnector: course for course in courses}.items():
        event, key = course.fields.event_id, course.fields.internal_id
        where = [[Condition(event, Operator.EQUAL, course.event_id)]]
        try:
            systems.afas.rows(connector, take=1, order_by=[event, key], where=where)
            answered = True
        except (Misconfigured, Rejected, TooLarge):
            answered = True
        except Unavailable as error:
            away = error
    if away is not None and not answered:
        raise away
    systems.pluvo.find_users(refs=[NOBODY])


def probe_completions(tenant_id: int) -> None:
    """The fields of every UpdateConnector, a title and the first page of the report. Raises RemoteError like the other.

    What a run of this direction reads is tried, no less: a missing right to the report must not reopen it each time.
    """
    systems, courses = _load(tenant_id)
    systems.afas.metainfo()
    ask_fields(systems.afas, [course for course in courses if course.rules])
    rules = {rule.level: rule for course in courses for rule in rules_of(course)}
    for level, rule in rules.items():
        judge_title(systems.pluvo, level, rule.title)
        next(systems.pluvo.portfolio_pages("COURSE" if level == "course" else "TRAINING"), None)
    if not rules:
        systems.pluvo.find_users(refs=[NOBODY])


def _load(tenant_id: int) -> tuple[Systems, list[Course]]:
    with session() as opened:
        tenant = opened.get_one(Tenant, tenant_id)
        courses = opened.exec(select(Course).where(Course.tenant_id == tenant_id, Course.active)).all()
    return systems_of(tenant, patience_seconds=PATIENCE_SECONDS), list(courses)
