"""Two operators decide the same thing: the second is told who was first, whichever form it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import requests

from models import session
from ops import completions, tokens
from ops.alerts import verbs
from ops.http.app import make_app
from ops.http.needs import NEEDED
from tests.fixtures.serving import serving
from tests.fixtures.world import World
from tests.integration.api.conftest import fill
from tests.integration.ops.conftest import run_sql, scalar

Form = dict[str, Any]
PREVIEW = "01JPREVIEW" + "0" * 16


@dataclass
class Two:
    """Anna and Bert at the same console, and the ids of what is there."""

    url: str
    world: World
    kept: dict[str, str]
    anna: requests.Session
    bert: requests.Session


@pytest.fixture(scope="module")
def served(shared_world: World) -> Iterator[str]:
    session.use_pool(20)
    with serving(make_app(login=True)) as served:
        yield served.url


@pytest.fixture
def two(served: str, shared_world: World) -> Two:
    kept = fill(shared_world)
    run_sql("TRUNCATE api_token")
    return Two(served, shared_world, kept, _somebody("anna"), _somebody("bert"))


def _somebody(name: str) -> requests.Session:
    found = requests.Session()
    token = tokens.create(name, "admin", None, None)["token"]
    found.headers.update({"Authorization": f"Bearer {token}", "Accept": "text/html", "Accept-Language": "en"})
    return found


# ------------------------------------------------------------------------------------ what is decided, by its route


def _paused(two: Two) -> tuple[str, Form]:
    return "/tenants/acme/pause", {"reason": "they move"}


def _paused_of_many(two: Two) -> tuple[str, Form]:
    return "/", {"verb": "pause", "tenant": "acme", "reason": "they move"}


def _resumed(two: Two) -> tuple[str, Form]:
    run_sql("UPDATE tenant_direction SET state = 'paused' WHERE tenant_id = :t", t=two.world.tenant_id)
    return "/tenants/acme/resume", {}


def _stopped(two: Two) -> tuple[str, Form]:
    run_sql("UPDATE run SET status = 'running', finished_at = NULL WHERE id = :id", id=two.kept["run"])
    return f"/runs/{two.kept['run']}/stop", {}


def _stopped_at_once(two: Two) -> tuple[str, Form]:
    run_sql("UPDATE run SET status = 'queued', finished_at = NULL WHERE id = :id", id=two.kept["run"])
    return f"/runs/{two.kept['run']}/stop", {}


def _executed(two: Two) -> tuple[str, Form]:
    run_sql(
        "INSERT INTO run (id, batch, tenant_id, direction, trigger, status, snapshot, plan_hash, finished_at)"
        " VALUES (:id, :id, :t, 'enrollments', 'preview', 'dry_run', 'complete', 'abcdef0123', now())",
        id=PREVIEW,
        t=two.world.tenant_id,
    )
    return f"/previews/{PREVIEW}/execute", {}


def _released(two: Two) -> tuple[str, Form]:
    return f"/holds/{two.kept['hold']}/release", {"which": "all", "reason": "they left"}


def _refused(two: Two) -> tuple[str, Form]:
    return f"/holds/{two.kept['hold']}/refuse", {"why": "the filter was wrong"}


def _discarded(two: Two) -> tuple[str, Form]:
    _end_replay(two)
    return f"/dead-letters/{two.kept['letter']}", {"verb": "discard", "reason": "not wanted"}


def _ticked(two: Two) -> tuple[str, Form]:
    _end_replay(two)
    return "/dead-letters/chosen", {"verb": "discard", "letter": two.kept["letter"], "reason": "not wanted"}


def _group_discarded(two: Two) -> tuple[str, Form]:
    _end_replay(two)
    return "/dead-letters/discard", {"group": "f00", "upto": two.kept["letter"], "reason": "not wanted"}


def _replayed(two: Two) -> tuple[str, Form]:
    _end_replay(two)
    return f"/dead-letters/{two.kept['letter']}", {"verb": "replay"}


def _ticks_replayed(two: Two) -> tuple[str, Form]:
    _end_replay(two)
    return "/dead-letters/chosen", {"verb": "replay", "letter": two.kept["letter"]}


def _group_replayed(two: Two) -> tuple[str, Form]:
    _end_replay(two)
    return "/dead-letters/replay", {"group": "f00", "upto": two.kept["letter"]}


def _end_replay(two: Two) -> None:
    """That of ``fill`` is under way, and would be the first."""
    run_sql("UPDATE replay_batch SET state = 'done' WHERE id = :id", id=two.kept["batch"])
    run_sql("UPDATE enrollment SET failed_code = 'functional', applied_version = 0, version = 2 WHERE id IN"
            " (SELECT subject_id FROM dead_letter)")  # fmt: skip


def _cancelled(two: Two) -> tuple[str, Form]:
    return f"/replays/{two.kept['batch']}/cancel", {}


def _closed(two: Two) -> tuple[str, Form]:
    one = completions.show(["1"])
    return "/completions/1", {"verb": "close", "basis": one["basis"], "reason": "AFAS is right"}


def _ticked_closed(two: Two) -> tuple[str, Form]:
    basis = completions.show(["1"])["basis"]
    return "/completions", {"verb": "close", "completion": f"1:{basis}", "reason": "AFAS is right"}


def _cared_for(two: Two) -> tuple[str, Form]:
    number = run_sql(
        "INSERT INTO alert (tenant_id, kind, text) VALUES (:t, 'no_room', 'x') RETURNING id", t=two.world.tenant_id
    )
    return f"/alerts/{number}/ack", {"reason": "I phone them"}


def _heard_again(two: Two) -> tuple[str, Form]:
    made = verbs.mute(tenant="acme", kind=None, seconds=3600, reason="a move", who="carla")
    return f"/alerts/mutes/{made['id']}/end", {}


def _revoked(two: Two) -> tuple[str, Form]:
    number = scalar("SELECT id FROM api_token WHERE name = 'spare'")
    number = number or tokens.create("spare", "viewer", None, None)["id"]
    return f"/settings/tokens/{number}/revoke", {}


def _edited(two: Two) -> tuple[str, Form]:
    version = scalar("SELECT settings_version FROM tenant WHERE slug = 'acme'")
    return "/tenants/acme/edit", {"version": str(version), "interval": "45m"}


def _course_edited(two: Two) -> tuple[str, Form]:
    version = scalar("SELECT settings_version FROM tenant WHERE slug = 'acme'")
    return "/tenants/acme/courses/340/edit", {"version": str(version), "fields.start": "Begin"}


def _linked(two: Two) -> tuple[str, Form]:
    account = two.world.pluvo.add_user("nieuw@example.nl", "Nieuw")["id"]
    return "/links", {"tenant": "acme", "internal_id": "4711", "pluvo_id": account}


DECIDED: dict[str, list[Callable[[Two], tuple[str, Form]]]] = {
    "POST /": [_paused_of_many],
    "POST /tenants/{slug}/pause": [_paused],
    "POST /tenants/{slug}/resume": [_resumed],
    "POST /runs/{run_id}/stop": [_stopped, _stopped_at_once],
    "POST /previews/{run_id}/execute": [_executed],
    "POST /holds/{hold_id}/release": [_released],
    "POST /holds/{hold_id}/refuse": [_refused],
    "POST /dead-letters/{letter}": [_discarded, _replayed],
    "POST /dead-letters/chosen": [_ticked, _ticks_replayed],
    "POST /dead-letters/discard": [_group_discarded],
    "POST /dead-letters/replay": [_group_replayed],
    "POST /replays/{batch}/cancel": [_cancelled],
    "POST /completions": [_ticked_closed],
    "POST /completions/{number}": [_closed],
    "POST /alerts/{number}/ack": [_cared_for],
    "POST /alerts/mutes/{number}/end": [_heard_again],
    "POST /settings/tokens/{number}/revoke": [_revoked],
    "POST /tenants/{slug}/edit": [_edited],
    "POST /tenants/{slug}/courses/{event}/edit": [_course_edited],
    "POST /links": [_linked],
}
# The same with a browser, as Pluvo or a draft is behind it: tests/browser
IN_A_BROWSER = {
    "POST /tenants/{slug}/people/{person}/decide",
    "POST /links/import",
    "POST /onboard/{slug}/{step}",
    "POST /onboard/{slug}/begin",
    "POST /onboard/{slug}/forget",
    "POST /tenants/{slug}/credentials/{system}",
}
# Two may do these, and each gets what they asked for: nothing is decided, or both decide the same.
NOTHING_DECIDED = {
    "POST /tenants/{slug}/check",
    "POST /tenants/{slug}/run",
    "POST /tenants/{slug}/quality",
    "POST /tenants/{slug}/courses/add",
    "POST /tenants/{slug}/people/{person}",
    "POST /alerts/mute",
    "POST /alerts/test",
    "POST /runs",
    "POST /runs/{run_id}/again",
    "POST /previews",
    "POST /people",
    "POST /people/ask",
    "POST /links/import/preview",
    "POST /onboard",
    "POST /onboard/{slug}/check",
    "POST /onboard/{slug}/preview",
    "POST /settings/tokens",
}
# One's own, or of users, whose page says what holds now
OF_USERS = ("POST /account/", "POST /logout", "POST /settings/users")
EACH = [(route, one) for route, found in DECIDED.items() for one in found]


def test_every_form_is_known_here() -> None:
    posts = {route for route in NEEDED if route.startswith("POST ") and not route.startswith(OF_USERS)}
    assert posts == DECIDED.keys() | IN_A_BROWSER | NOTHING_DECIDED


@pytest.mark.parametrize(("route", "form"), EACH, ids=[f"{route}, {one.__name__[1:]}" for route, one in EACH])
def test_the_second_is_told_who_was_first_in_their_language(
    two: Two, route: str, form: Callable[[Two], tuple[str, Form]]
) -> None:
    path, given = form(two)
    first = two.anna.post(two.url + path, data=given, timeout=60, allow_redirects=False)
    assert first.status_code == 303, first.text[:3000]
    if form is _linked:
        given["pluvo_id"] = two.world.pluvo.add_user("ander@example.nl", "Ander")["id"]

    second = two.bert.post(two.url + path, data=given, timeout=60, allow_redirects=False)
    dutch = two.bert.post(
        two.url + path, data=given, headers={"Accept-Language": "nl"}, timeout=60, allow_redirects=False
    )

    assert (second.status_code, dutch.status_code) == (409, 409)
    for answer in (second, dutch):
        told = _told(answer.text)
        assert "token:anna" in told, told
        assert "{" not in told, told
    assert _told(second.text) != _told(dutch.text)


def _told(page: str) -> str:
    """What the page says is wrong: beside the form, or on a page that says nothing else."""
    for begin, end in (('role="alert"', "</div>"), ('class="told"', "</p>")):
        _, there, rest = page.partition(begin)
        if there:
            return rest.partition(end)[0]
    raise AssertionError(page[:3000])


def test_programs_are_told_too(two: Two) -> None:
    json = {"Accept": "application/json"}
    for path, body in (
        ("/api/tenants/acme/pause", {"reason": "r"}),
        ("/api/tenants/acme/resume", {}),
        (f"/api/replays/{two.kept['batch']}/cancel", {}),
    ):
        assert "first" not in two.anna.post(two.url + path, json=body, headers=json, timeout=60).json()
        told = two.bert.post(two.url + path, json=body, headers=json, timeout=60).json()
        assert told["first"]["who"] == "token:anna", path
    run_sql("UPDATE run SET status = 'running', finished_at = NULL WHERE id = :id", id=two.kept["run"])
    stop = f"{two.url}/api/runs/{two.kept['run']}/stop"
    assert "first" not in two.anna.post(stop, json={}, headers=json, timeout=60).json()
    assert two.bert.post(stop, json={}, headers=json, timeout=60).json()["first"]["who"] == "token:anna"


def test_what_changed_nothing_is_not_recorded(two: Two) -> None:
    for _ in range(2):
        two.anna.post(f"{two.url}/tenants/acme/pause", data={"reason": "r"}, timeout=60, allow_redirects=False)
    assert scalar("SELECT count(*) FROM operator_action WHERE verb = 'tenants pause'") == 1
