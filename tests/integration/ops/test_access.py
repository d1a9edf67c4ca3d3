"""Who sees one tenant finds nothing of another: not by its name, not by an id, not in a listing, not in a count."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from models.direction import Direction
from models.role import Role
from models.session import transaction
from ops import access, audit, holds, lookup, status
from ops.access import Actor, acting
from ops.dead_letters import inbox, replay_batch
from ops.dead_letters.inbox import Filters
from ops.people import explain, links
from ops.problems import Forbidden, NotThere, Problem
from ops.runs import dry_run, history, start
from ops.tenants import export, manage
from tests.integration.ops.conftest import add_dead_letter, add_enrollment, run_sql, scalar
from tests.unit.ops.tenants.test_file import GOOD

HOLD, RUN, LETTER = "01JHOLD", "01JRUN", "01J00000000010000000000001"


@pytest.fixture
def beta(acme: int, import_text: Callable[[str], object]) -> int:
    """A second tenant with a run, a hold, a dead letter and a link of its own."""
    import_text(GOOD.replace('"acme"', '"beta"').replace('"12345"', '"67890"'))
    number = int(scalar("SELECT id FROM tenant WHERE slug = 'beta'"))
    run_sql(
        "INSERT INTO run (id, batch, tenant_id, direction, trigger, status)"
        " VALUES (:id, 'B', :t, 'enrollments', 'operator', 'running')",
        id=RUN,
        t=number,
    )
    run_sql(
        "INSERT INTO hold (id, tenant_id, run_id, guard, plan_hash) VALUES (:id, :t, :run, 'removals_run', 'x')",
        id=HOLD,
        t=number,
        run=RUN,
    )
    enrollment = add_enrollment(number, "80")
    add_dead_letter(number, enrollment)
    links.set_link("beta", "80", "0b0e0000-0000-4000-8000-000000000001", who="tester")
    return number


@pytest.fixture
def anna(beta: int) -> Iterator[Actor]:
    """An admin of acme alone acts."""
    with acting(Actor("anna", Role.ADMIN, frozenset({"acme"}))) as _:
        yield access.actor()


BY_ID: dict[str, tuple[Callable[[str], object], str]] = {
    "a run": (history.show, RUN),
    "stopping a run": (lambda one: history.stop(one, who="anna"), RUN),
    "a hold": (holds.show, HOLD),
    "releasing": (lambda one: holds.release(one, events=[], persons=[], reason="r", who="anna"), HOLD),
    "refusing": (lambda one: holds.refuse(one, reason="r", who="anna"), HOLD),
    "a dead letter": (inbox.show, ""),
    "discarding": (lambda one: inbox.discard([one], reason="r", who="anna"), ""),
    "choosing": (lambda one: inbox.choose([one], Filters(), everything=False), ""),
}


@pytest.mark.parametrize("name", BY_ID)
@pytest.mark.parametrize("shortened", [False, True], ids=["whole", "its beginning"])
def test_an_id_of_another_tenant_is_told_like_an_unknown_one(anna: Actor, name: str, shortened: bool) -> None:
    verb, whole = BY_ID[name]
    whole = whole or scalar("SELECT id FROM dead_letter")
    asked = whole[:5] if shortened else whole
    with pytest.raises(NotThere) as foreign:
        verb(asked)
    with pytest.raises(NotThere) as unknown:
        verb("01ZZZ")
    assert str(foreign.value).replace(asked, "…") == str(unknown.value).replace("01ZZZ", "…")


@pytest.mark.parametrize("table", ["run", "hold", "dead_letter"])
def test_the_last_one_is_the_last_that_one_may_see(anna: Actor, table: lookup.Numbered) -> None:
    with pytest.raises(NotThere, match="'last'"), transaction() as connection:
        lookup.full_id(connection, table, "last")


BY_SLUG: dict[str, Callable[[], object]] = {
    "showing": lambda: manage.show("beta"),
    "pausing": lambda: manage.pause("beta", reason="r", direction=None, who="anna"),
    "resuming": lambda: manage.resume("beta", direction=None, who="anna"),
    "removing": lambda: manage.remove("beta", who="anna"),
    "exporting": lambda: export.exported("beta"),
    "explaining": lambda: explain.explain("beta", "80"),
    "a link": lambda: links.show("beta", "80"),
    "linking": lambda: links.set_link("beta", "80", "0b0e", who="anna"),
    "deciding": lambda: links.decide("beta", "80", "create", None, who="anna"),
    "erasing": lambda: links.remove("beta", "80", erase=True, who="anna"),
    "runs": lambda: history.listing(tenant="beta"),
    "holds": lambda: holds.listing(tenant="beta"),
    "links": lambda: links.listing(tenant="beta"),
    "dead letters": lambda: inbox.listing(Filters(tenant="beta")),
    "a sync": lambda: start.start(Direction.ENROLLMENTS, ["beta"], everyone=False, options={}, need_worker=False),
    "a preview": lambda: dry_run.document(Direction.ENROLLMENTS, ["beta"], everyone=False, options={}),
    "the record": lambda: audit.recent("beta"),
}


@pytest.mark.parametrize("name", BY_SLUG)
def test_another_tenants_name_is_told_like_an_unknown_one(anna: Actor, name: str) -> None:
    with pytest.raises(NotThere) as raised:
        BY_SLUG[name]()
    assert str(raised.value) == str(lookup.no_tenant("'beta'"))


def test_listings_and_counts_hold_nothing_of_another_tenant(anna: Actor) -> None:
    assert [one["slug"] for one in manage.listing().items] == ["acme"]
    assert history.listing().items == []
    assert holds.listing().items == []
    assert links.listing().items == []
    assert inbox.listing(Filters()).items == []
    assert inbox.groups(Filters()) == []
    assert inbox.choose([], Filters(), everything=True) == []
    assert {one["tenant"] for one in audit.recent()} == {"acme"}
    assert audit.of("80") == []
    told = status.document()
    assert [one["tenant"] for one in told["tenants"]] == ["acme"]
    assert (told["held"], told["dead"], told["runs"], told["alerts"]) == (0, 0, 0, [])


def test_all_tenants_are_those_that_one_may_see(anna: Actor) -> None:
    with transaction() as connection:
        found = start.chosen(connection, [], True, Direction.ENROLLMENTS)
    assert [one.slug for one in found] == ["acme"]


def test_a_batch_with_another_tenants_dead_letter_is_neither_made_nor_shown_nor_cancelled(beta: int) -> None:
    letters = [scalar("SELECT id FROM dead_letter")]
    batch = replay_batch.create(letters, who="tester")
    with acting(Actor("anna", Role.ADMIN, frozenset({"acme"}))):
        for verb in (
            lambda: replay_batch.create(letters, who="anna"),
            lambda: replay_batch.cancel(batch),
            lambda: replay_batch.lines(batch),
        ):
            with pytest.raises(NotThere):
                verb()
    assert scalar("SELECT array_agg(state) FROM replay_batch") == ["running"]


def test_a_record_is_refused_to_who_may_not_do_it_and_nothing_is_kept(beta: int) -> None:
    with (
        pytest.raises(Forbidden, match="needs the role admin"),
        acting(Actor("bob", Role.OPERATOR)),
        transaction() as connection,
    ):
        audit.record(connection, verb="tenants edit", tenant_id=beta)
    with (
        pytest.raises(NotThere),
        acting(Actor("anna", Role.ADMIN, frozenset({"acme"}))),
        transaction() as connection,
    ):
        audit.record(connection, verb="tenants pause", tenant_id=beta)
    assert scalar("SELECT count(*) FROM operator_action WHERE who IN ('anna', 'bob')") == 0


@pytest.mark.parametrize("name", sorted(set(BY_SLUG) - {"showing", "explaining", "a link"}))
def test_a_viewer_changes_nothing(beta: int, name: str) -> None:
    before = scalar("SELECT count(*) FROM operator_action")
    with acting(Actor("vera", Role.VIEWER)):
        try:
            BY_SLUG[name]()
        except Forbidden:
            pass
        except Problem as problem:
            raise AssertionError(f"got as far as {problem}") from None
        else:
            assert name in ("runs", "holds", "links", "dead letters")
    assert scalar("SELECT count(*) FROM operator_action") == before


def test_who_did_it_is_who_acts_where_nobody_is_named(beta: int) -> None:
    with acting(Actor("anna", Role.OPERATOR)), transaction() as connection:
        audit.record(connection, verb="holds refuse", tenant_id=beta, subject=HOLD, reason="wrong filter")
    (row,) = audit.of(HOLD)
    assert (row["who"], row["verb"], row["reason"], row["tenant"]) == ("anna", "holds refuse", "wrong filter", "beta")
