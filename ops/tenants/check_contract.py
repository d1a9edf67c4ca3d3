"""Try what docs/afas.md and docs/pluvo.md only assume on the live systems of a tenant, as far as reading can settle it.

A fact that turns out wrong is no fault of the tenant's: those documents say what is done about it, or the maintainers
must. What only a write can settle is listed as such.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from sqlmodel import select
from typing_extensions import TypedDict

from clients.afas import AfasClient, Condition, Operator, page_size
from clients.errors import Incomplete, Misconfigured, RemoteError, Unavailable
from clients.pluvo import PluvoClient, PluvoUser
from clients.pluvo.client import NIL_ID
from models.afas_values import Unreadable, day, person_number, yes_or_no
from models.completion_dates import day_of
from models.course import Course
from models.session import session
from ops import lookup
from ops.language import Language, say
from ops.problems import Problem
from ops.tenants.check_findings import OF_THE_HOST
from tenancy.systems import systems_of

ROWS = 200
PAGES = 20  # of users and of the report: a thousand each
NO_SUCH = "Koppeling_no_such_connector"
_TYPES = {"string", "int", "boolean", "date", "datetime", "decimal", "blob", ""}
Verdict = Literal["confirmed", "refuted", "not_settled"]
# True, False, or why it could not be settled
Settled = bool | str


class Scene:
    """Both systems of a tenant, and what several facts need, read once."""

    def __init__(self, afas: AfasClient, pluvo: PluvoClient, course: Course | None) -> None:
        self.afas, self.pluvo, self.course = afas, pluvo, course

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        """Rows of the first course's event."""
        return self.page(0, ROWS) if self.course else []

    def page(self, skip: int, take: int) -> list[dict[str, Any]]:
        """Some of them."""
        assert self.course is not None  # noqa: S101  asked for by who has one
        fields = self.course.fields
        where = [[Condition(fields.event_id, Operator.EQUAL, self.course.event_id)]]
        order = [fields.event_id, fields.internal_id]
        return self.afas.rows(self.course.getconnector, skip=skip, take=take, order_by=order, where=where)

    def values(self, *words: str) -> list[Any]:
        """What the rows have in the columns of these words, without what is empty."""
        columns = [getattr(self.course.fields, word) for word in words] if self.course else []
        found = [row.get(column) for row in self.rows for column in columns if column is not None]
        return [value for value in found if value not in (None, "")]

    @cached_property
    def users(self) -> list[PluvoUser]:
        """Some users with an address."""
        page = next(self.pluvo.user_pages(archived=False), None)
        return [user for user in page.users if user.email] if page else []


def _each_readable(read: Callable[[Any], Any], values: list[Any]) -> Settled:
    if not values:
        return "no_example"
    try:
        return all(read(value) is not None for value in values)
    except (Unreadable, ValueError):
        return False


# ------------------------------------------------------------------------------------------------------------ AFAS


def _ids(scene: Scene) -> Settled:
    return _each_readable(person_number, scene.values("event_id", "internal_id"))


def _days(scene: Scene) -> Settled:
    def read(value: Any) -> bool:
        day(value)
        return True

    return _each_readable(read, scene.values("start", "end"))


def _yes_or_no(scene: Scene) -> Settled:
    return _each_readable(yes_or_no, scene.values("blocked"))


def _token_expiry(scene: Scene) -> Settled:
    meta = scene.afas.metainfo()
    return meta.token_ends_at is not None or not meta.token_expiry.strip("0 ")


def _keys_flagged(scene: Scene) -> Settled:
    if scene.course is None or not scene.course.rules:
        return "no_course"
    keys = {field.id for field in scene.afas.update_connector_fields(scene.course.updateconnector) if field.primary_key}
    return {"CrId", "CdId"} <= keys


def _types_known(scene: Scene) -> Settled:
    if scene.course is None:
        return "no_course"
    return {field.data_type for field in scene.afas.get_connector_fields(scene.course.getconnector)} <= _TYPES


def _only_what_was_asked(scene: Scene) -> Settled:
    if scene.course is None or not scene.rows:
        return "no_example"
    return {person_number(row.get(scene.course.fields.event_id)) for row in scene.rows} == {scene.course.event_id}


def _one_row_each(scene: Scene) -> Settled:
    if scene.course is None or not scene.rows:
        return "no_example"
    ids = [one for row in scene.rows if (one := person_number(row.get(scene.course.fields.internal_id))) is not None]
    return len(ids) == len(set(ids)) if ids else "no_example"


def _page_behind_the_last(scene: Scene) -> Settled:
    if not scene.rows or len(scene.rows) >= ROWS:
        return "no_example"
    return scene.page(len(scene.rows), 1) == []


def _pages_join(scene: Scene) -> Settled:
    if len(scene.rows) < 2:
        return "no_example"
    half = len(scene.rows) // 2
    return [*scene.page(0, half), *scene.page(half, len(scene.rows) - half)] == scene.rows


def _thousand(scene: Scene) -> Settled:
    if scene.course is None:
        return "no_course"
    width = len(scene.afas.get_connector_fields(scene.course.getconnector))
    scene.page(0, page_size(width))
    return True


def _unknown_connector(scene: Scene) -> Settled:
    try:
        scene.afas.get_connector_fields(NO_SUCH)
    except RemoteError as error:
        known = error.code in ("connector_not_allowed", "not_found")
        if not known and (isinstance(error, Unavailable) or error.code in OF_THE_HOST):
            raise
        return known
    return False


# ----------------------------------------------------------------------------------------------------------- Pluvo


def _operation_name(scene: Scene) -> Settled:
    scene.pluvo.get_user(NIL_ID)  # every document is sent with its name
    return True


def _schema_lacks(*names: str) -> Callable[[Scene], Settled]:
    """Whether the schema has all of these, as far as it shows itself or reading shows it."""

    def trial(scene: Scene) -> Settled:
        shown, lacking = scene.pluvo.check_assumed()
        return False if set(names) & set(lacking) else True if shown else "hidden"

    return trial


def _operation(name: str) -> Callable[[Scene], Settled]:
    def trial(scene: Scene) -> Settled:
        if not scene.pluvo.check_assumed()[0]:
            return "hidden"
        return not any(one.startswith(f"{name}:") for one in scene.pluvo.check_operations())

    return trial


def _found_by_ref(scene: Scene) -> Settled:
    refs = [user.ref for user in scene.users if user.ref][:3]
    return len(scene.pluvo.find_users(refs=refs)) == len(refs) if refs else "no_example"


def _found_by_email(scene: Scene) -> Settled:
    emails = [user.email for user in scene.users if user.email][:3]
    if not emails:
        return "no_example"
    found = {user.id for user in scene.pluvo.find_users(emails=emails)}
    return {user.id for user in scene.users if user.email in emails} <= found


def _nobody(scene: Scene) -> Settled:
    return scene.pluvo.get_user(NIL_ID) is None


def _report(level: Literal["TRAINING", "COURSE"]) -> Callable[[Scene], Settled]:
    def trial(scene: Scene) -> Settled:
        next(scene.pluvo.portfolio_pages(level, user_ids=[NIL_ID]), None)
        return True

    return trial


def _completion_dates(scene: Scene) -> Settled:
    pages = scene.pluvo.portfolio_pages("TRAINING")
    dates = [row.completion_date for page, _ in zip(pages, range(PAGES), strict=False) for row in page]
    return _each_readable(lambda value: day_of(value, "Europe/Amsterdam"), [one for one in dates if one])


def _list_is_whole(scene: Scene) -> Settled:
    try:
        for read, _ in enumerate(scene.pluvo.user_pages(archived=False), start=1):
            if read > PAGES:
                return "too_many"
    except Incomplete:
        return False
    return True


def _several_in_one(scene: Scene) -> Settled:
    return scene.pluvo.people_in_one_call(5) == 5


def _memberships(scene: Scene) -> Settled:
    return scene.pluvo.memberships(scene.users[0].id) is not None if scene.users else "no_example"


@dataclass(frozen=True)
class Fact:
    """``name``: ``fact.<name>`` is its sentence; ``where``: the part of the document that assumes it."""

    name: str
    where: str
    trial: Callable[[Scene], Settled] | None = None


FACTS = (
    Fact("ids_readable", "afas.md#values-and-dates", _ids),
    Fact("days_readable", "afas.md#values-and-dates", _days),
    Fact("booleans_readable", "afas.md#values-and-dates", _yes_or_no),
    Fact("token_expiry_form", "afas.md#credentials", _token_expiry),
    Fact("types_known", "afas.md#values-and-dates", _types_known),
    Fact("filter_works", "afas.md#filters", _only_what_was_asked),
    Fact("one_row_each", "afas.md#paging", _one_row_each),
    Fact("page_behind_last", "afas.md#paging", _page_behind_the_last),
    Fact("pages_join", "afas.md#paging", _pages_join),
    Fact("thousand_rows", "afas.md#paging", _thousand),
    Fact("unknown_connector", "afas.md#errors", _unknown_connector),
    Fact("keys_flagged", "afas.md#writing-a-completion", _keys_flagged),
    Fact("put_any_2xx", "afas.md#writing-a-completion"),
    Fact("put_missing_refused", "afas.md#writing-a-completion"),
    Fact("external_id_retry", "afas.md#writing-a-completion"),
    Fact("operation_name", "pluvo.md#line", _operation_name),
    Fact("report_scopes", "pluvo.md#token", _report("TRAINING")),
    Fact("report_of_courses", "pluvo.md#completions", _report("COURSE")),
    Fact("completion_dates", "pluvo.md#completions", _completion_dates),
    Fact("report_of_one", "pluvo.md#completions", _schema_lacks("userIds")),
    Fact("afas_ids", "pluvo.md#without", _schema_lacks("afasContactId", "afasPersonId")),
    Fact("afas_connection", "pluvo.md#without", _schema_lacks("afasConnectionId")),
    Fact("user_by_email", "pluvo.md#users", _schema_lacks("email")),
    Fact("found_by_email", "pluvo.md#users", _found_by_email),
    Fact("found_by_ref", "pluvo.md#users", _found_by_ref),
    Fact("nobody_is_told", "pluvo.md#users", _nobody),
    Fact("event_by_ref", "pluvo.md#editions", _operation("offer_event")),
    Fact("unenroll_known", "pluvo.md#editions", _operation("unenroll")),
    Fact("memberships_shown", "pluvo.md#enrollments-and-groups", _memberships),
    Fact("list_whole", "pluvo.md#paging", _list_is_whole),
    Fact("several_in_one", "pluvo.md#several-people-in-one-call", _several_in_one),
    Fact("validated_first", "pluvo.md#without"),
    Fact("restored", "pluvo.md#editions"),
    Fact("left_out_stays", "pluvo.md#users"),
    Fact("waiting_list", "pluvo.md#enrollments-and-groups"),
)


class FactDocument(TypedDict):
    """``why`` says what stood in the way of a verdict, as a code."""

    fact: str
    where: str
    verdict: Verdict
    why: str | None
    sentence: str


class ContractDocument(TypedDict):
    """``ok``: nothing was refuted."""

    tenant: str
    ok: bool
    facts: list[FactDocument]


def check_contract(
    slug: str, watch: Callable[[FactDocument], None] = lambda fact: None, *, language: Language = "en"
) -> ContractDocument:
    """Try every fact; ``watch`` hears each at once. Raises Problem for credentials that can't be sent."""
    with session() as opened:
        tenant = lookup.tenant(opened, slug)
        courses = list(opened.exec(select(Course).where(Course.tenant_id == tenant.id, Course.active)))
    try:
        systems = systems_of(tenant, patience_seconds=30.0)
    except ValueError:
        raise Problem("wrong_credentials", language=language) from None
    course = min(courses, key=lambda one: (not one.rules, int(one.event_id)), default=None)
    scene = Scene(systems.afas, systems.pluvo, course)
    facts = []
    for fact in FACTS:
        verdict, why = _verdict(fact, scene)
        document: FactDocument = {
            "fact": fact.name,
            "where": fact.where,
            "verdict": verdict,
            "why": why,
            "sentence": say(f"fact.{fact.name}", language),
        }
        watch(document)
        facts.append(document)
    return {"tenant": slug, "ok": all(one["verdict"] != "refuted" for one in facts), "facts": facts}


def _verdict(fact: Fact, scene: Scene) -> tuple[Verdict, str | None]:
    if fact.trial is None:
        return "not_settled", "needs_a_write"
    try:
        found = fact.trial(scene)
    except Misconfigured as error:
        # The other side does not know what was asked, or answers in another form than we think; unless it is not there.
        return ("not_settled" if error.code in OF_THE_HOST else "refuted"), error.code
    except RemoteError as error:
        return "not_settled", error.code
    if isinstance(found, str):
        return "not_settled", found
    return ("confirmed" if found else "refuted"), None
