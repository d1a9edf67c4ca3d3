"""Every route of the application, asked as everybody: the answer follows from what it needs, and none is forgotten."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests
from fastapi.routing import APIRoute, iter_route_contexts
from starlette.routing import Mount

from models.role import Role
from ops import tokens, users
from ops.access import NEEDS
from ops.alerts import verbs
from ops.dead_letters import replay_batch
from ops.http.access import OPEN, is_way_in
from ops.http.app import make_app
from ops.http.needs import NEEDED
from simulators.core.server import running
from tests.fixtures.asking import PASSWORD, Visitor
from tests.integration.ops.conftest import add_dead_letter, add_enrollment, run_sql, scalar
from tests.unit.ops.tenants.test_file import GOOD

UNSAFE = {"POST", "PUT", "PATCH", "DELETE"}
# An id that nothing has, in whatever form a path wants one.
NOTHING = "1999999"


def routes() -> dict[tuple[str, str], str | None]:
    """(method, path) → verb of every route, those of applications within the application too."""
    return dict(sorted(_walk(make_app())))


def _walk(app: Any, prefix: str = "") -> Iterator[tuple[tuple[str, str], str | None]]:
    for found in iter_route_contexts(app.routes):
        route: Any = found.original_route
        if isinstance(route, Mount):
            yield from _walk(route.app, prefix + route.path)
        elif isinstance(route, APIRoute):
            declared = [str(verb) for one in route.dependencies if (verb := getattr(one.dependency, "verb", None))]
            for method in set(route.methods or ()) - {"HEAD"}:
                at = (method, prefix + route.path)
                yield at, declared[0] if declared else NEEDED.get(" ".join(at))
        else:
            assert route.path == "/openapi.json", f"{route}: a kind of route that nobody checks"
            yield ("GET", prefix + route.path), NEEDED.get(f"GET {prefix}{route.path}")


ROUTES = routes()
NEEDS_OF = {at: verb for at, verb in ROUTES.items() if not at[1].startswith(OPEN) and not is_way_in(at[1])}
KNOWN = {at: verb for at, verb in NEEDS_OF.items() if verb is not None}


@pytest.fixture
def base(acme: int) -> Iterator[str]:
    with running(make_app(login=True)) as url:
        yield url


def filled(path: str, slug: str) -> str:
    """A path with something in its places."""
    return re.sub(r"\{[^}]+\}", NOTHING, path.replace("{slug}", slug))


def bearer(role: str, tenants: list[str] | None) -> dict[str, str]:
    made = tokens.create(f"{role}-of-the-test", role, tenants, None)
    return {"Authorization": f"Bearer {made['token']}", "Accept": "text/html"}


def ask(base: str, method: str, path: str, headers: dict[str, str]) -> int:
    answer = requests.request(method, base + path, headers=headers, timeout=60, allow_redirects=False, stream=True)
    answer.close()
    return answer.status_code


def test_every_route_has_a_need_and_every_need_a_route() -> None:
    assert len(ROUTES) > 10
    assert sorted(set(NEEDS_OF) - set(KNOWN)) == [], "give them a verb in ops/http/needs.py"
    assert sorted(set(NEEDED) - {" ".join(at) for at in NEEDS_OF}) == [], "these are no routes any more"
    assert {verb for verb in KNOWN.values() if verb not in NEEDS} == set()


def test_what_changes_something_needs_more_than_looking() -> None:
    """But for one's own account, and for looking whose words or ids are too much for an address."""
    looking = {verb for (method, _), verb in KNOWN.items() if method in UNSAFE and NEEDS[verb] == Role.VIEWER}
    looks = (".read", ".run", ".open", ".search")
    assert {verb for verb in looking if not verb.startswith("account.") and not verb.endswith(looks)} == set()


def test_without_a_login_nothing_answers_but_the_way_in(base: str) -> None:
    for method, path in NEEDS_OF:
        at = filled(path, "acme")
        assert ask(base, method, at, {"Origin": base, "Accept": "*/*"}) == 401, (method, path)
        if method == "GET":
            assert ask(base, method, at, {"Accept": "text/html"}) == 303, (method, path)


def test_without_a_page_of_ours_nothing_is_changed(base: str) -> None:
    users.add("anna", "admin", None, PASSWORD)
    visitor = Visitor(base)
    visitor.log_in("anna")
    before = scalar("SELECT count(*) FROM operator_action")
    for method, path in ROUTES:
        if method in UNSAFE and not path.startswith(OPEN):
            for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}, {"Origin": ""}):
                answer = visitor.request(method, filled(path, "acme"), headers=headers)
                assert answer.status_code == 403, (method, path, headers)
    assert scalar("SELECT count(*) FROM operator_action") == before


@pytest.mark.parametrize("role", Role)
def test_each_role_is_let_in_where_it_reaches_and_nowhere_else(base: str, role: Role) -> None:
    headers = bearer(role, None)
    for (method, path), verb in KNOWN.items():
        if NEEDS[verb] > role:
            assert ask(base, method, filled(path, "acme"), headers) == 403, (method, path)
        elif method == "GET" and not verb.endswith(".run"):  # which asks AFAS, and there is none
            assert ask(base, method, filled(path, "acme"), headers) not in (401, 403, 500), (method, path)


@pytest.mark.parametrize("role", Role)
def test_another_tenants_page_is_not_there_and_that_of_all_is_an_admin_of_alls(base: str, role: Role) -> None:
    headers = bearer(role, ["acme"])
    for (method, path), verb in KNOWN.items():
        status = ask(base, method, filled(path, "beta"), headers)
        if "{slug}" in path:
            assert status == 404, (method, path)
        elif verb.startswith(("users.", "tokens.", "onboarding.")):
            assert status == 403, (method, path)
        else:
            assert status != 500, (method, path)


def test_a_route_that_nobody_declared_is_an_admins_alone(acme: int) -> None:
    app = make_app(login=True)

    @app.get("/forgotten")
    def forgotten() -> str:
        return "seen"

    with running(app) as base:
        assert ask(base, "GET", "/forgotten", bearer("operator", None)) == 403
        assert ask(base, "GET", "/forgotten", bearer("admin", ["acme"])) == 403
        assert ask(base, "GET", "/forgotten", bearer("admin", None)) == 200


# What is found nowhere but in rows of the tenant ``beta``.
THEIRS = ("beta", "01JRUNOFTHEIRS", "01JHOLDOFTHEIRS", "777001")
# For all: what the installation itself is.
PLACE = re.compile(r"\{(\w+)\}")
OF_ALL = ("/api/openapi.json",)


@pytest.fixture
def theirs(acme: int, import_text: Callable[[str], object]) -> dict[str, str]:
    """A second tenant with something on every page; its ids by the names that paths have for them."""
    import_text(GOOD.replace('"acme"', '"beta"').replace('"12345"', '"67890"').replace("Acme", "Beta"))
    number = int(scalar("SELECT id FROM tenant WHERE slug = 'beta'"))
    run_sql(
        "INSERT INTO run (id, batch, tenant_id, direction, trigger, status, finished_at)"
        " VALUES ('01JRUNOFTHEIRS', 'B', :t, 'enrollments', 'operator', 'done_with_holds', now())",
        t=number,
    )
    run_sql(
        "INSERT INTO hold (id, tenant_id, run_id, guard, plan_hash)"
        " VALUES ('01JHOLDOFTHEIRS', :t, '01JRUNOFTHEIRS', 'removals_run', 'x')",
        t=number,
    )
    enrollment = add_enrollment(number, "777001")
    letter = add_dead_letter(number, enrollment)
    run_sql(
        "INSERT INTO link (tenant_id, person_id, state) SELECT tenant_id, id, 'ambiguous' FROM person"
        " WHERE tenant_id = :t",
        t=number,
    )
    completion = run_sql(
        "INSERT INTO completion (tenant_id, course_id, subject, internal_id, enrollment_id, pluvo_id,"
        " field, level, title, state)"
        " SELECT :t, course_id, 'person:777001', '777001', id, 'p', 'F', 'training', 'T', 'conflict' FROM enrollment"
        "  WHERE id = :e RETURNING id",
        t=number,
        e=enrollment,
    )
    alert = run_sql(
        "INSERT INTO alert (tenant_id, kind, text) VALUES (:t, 'listing', 'of beta') RETURNING id", t=number
    )
    batch = replay_batch.create([letter], who="tester")
    return {
        **dict.fromkeys(("run", "run_id"), "01JRUNOFTHEIRS"),
        **dict.fromkeys(("hold", "hold_id"), "01JHOLDOFTHEIRS"),
        **dict.fromkeys(("person", "internal_id"), "777001"),
        "letter": letter,
        "batch": batch,
        "slug": "beta",
        "completions": str(completion),
        "alerts": str(alert),
    }


def test_no_page_and_no_document_holds_anything_of_a_tenant_that_one_may_not_see(
    base: str, theirs: dict[str, str]
) -> None:
    headers = bearer("admin", ["acme"])
    for (method, path), verb in KNOWN.items():
        if method != "GET" or path in OF_ALL or path.endswith("/events") or "{slug}" in path:
            continue
        places = {name: theirs.get(name, theirs.get(path.split("/")[-2], NOTHING)) for name in PLACE.findall(path)}
        at = path.format(**places)
        answer = requests.get(base + at, headers=headers, timeout=60, allow_redirects=False)
        # An id that was asked for may be told back.
        found = [word for word in THEIRS if word not in places.values() and word in answer.text]
        assert (found, answer.status_code == 500) == ([], False), (at, verb)
        if "{" in path:
            assert answer.status_code in (403, 404), (at, answer.status_code)


def test_what_is_of_another_tenant_is_changed_by_nobody_who_knows_its_id(base: str, theirs: dict[str, str]) -> None:
    silence = verbs.mute(tenant="beta", kind=None, seconds=3600, reason="r", who="anna")["id"]
    headers = bearer("admin", ["acme"])
    before = scalar("SELECT count(*) FROM operator_action WHERE verb <> 'tokens create'")
    given = {"reason": "r", "why": "r", "which": "all", "verb": "discard", "choice": "ignore", "seen": "0"}
    asked = 0
    for (method, path), verb in KNOWN.items():
        if method not in UNSAFE or path.startswith("/api/") or "{" not in path or "{slug}" in path:
            continue
        noun = path.split("/")[1]
        ids = theirs | {"number": str(silence) if "mutes" in path else theirs.get(noun, NOTHING)}
        ids = {name: ids.get(name, NOTHING) for name in PLACE.findall(path)}
        at = path.format(**ids)
        for form in (given, given | {"verb": "retry"}, given | {"verb": "close"}, given | {"verb": "replay"}):
            answer = requests.request(method, base + at, data=form, headers=headers, timeout=60, allow_redirects=False)
            assert answer.status_code in (403, 404), (at, verb, answer.status_code)
        asked += 1
    assert asked > 12
    letters = {"letter": theirs["letter"], "reason": "r"}
    many: list[tuple[str, dict[str, str]]] = [
        ("/dead-letters/chosen", letters | {"verb": "discard"}),
        ("/dead-letters/chosen", letters | {"verb": "replay"}),
        ("/dead-letters/replay", letters),
        ("/completions", {"verb": "retry", "completion": f"{theirs['completions']}:x"}),
        ("/completions", {"verb": "close", "completion": f"{theirs['completions']}:x", "reason": "r"}),
        ("/", {"verb": "pause", "tenant": "beta", "reason": "r"}),
        ("/", {"verb": "run", "tenant": "beta"}),
        ("/previews", {"tenant": "beta"}),
        ("/runs", {"tenant": "beta"}),
        ("/links", {"tenant": "beta", "internal_id": "777001", "pluvo_id": "p" * 20}),
        ("/alerts/mute", {"tenant": "beta", "reason": "r"}),
        ("/alerts/test", {"tenant": "beta"}),
        ("/people/ask", {"tenant": "beta", "who": "777001"}),
    ]
    for at, form in many:
        answer = requests.post(base + at, data=form, headers=headers, timeout=60, allow_redirects=False)
        assert answer.status_code in (403, 404), (at, form, answer.status_code)
    assert scalar("SELECT count(*) FROM operator_action WHERE verb <> 'tokens create'") == before
