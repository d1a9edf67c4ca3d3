"""The pages of runs, previews and holds over HTTP, without a browser: forms as plain posts, files, refusals."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

import pytest
import requests

from models.direction import Direction
from models.run import PREVIEW
from models.session import transaction
from ops import holds as ops_holds
from ops.http.app import make_app
from ops.runs import progress, start
from producers.runs import request
from tests.fixtures.looking import holds
from tests.fixtures.serving import serving
from tests.fixtures.world import World, now_removals
from workers.runs import finalizer, runner


class Site(requests.Session):
    """A visitor whose browser sends what a form needs."""

    def __init__(self, address: str) -> None:
        super().__init__()
        self.address = address
        self.headers.update({"Origin": address, "Sec-Fetch-Site": "same-origin", "Accept-Language": "en"})

    def look(self, path: str, status: int = 200) -> str:
        found = self.get(self.address + path, timeout=60)
        assert found.status_code == status, (path, found.status_code, found.text[:1500])
        return found.text

    def act(self, path: str, status: int = 303, **fields: object) -> requests.Response:
        found = self.post(self.address + path, data=fields, timeout=60, allow_redirects=False)
        assert found.status_code == status, (path, found.status_code, found.text[:1500])
        return found


@pytest.fixture
def site(world: World) -> Iterator[Site]:
    with serving(make_app()) as served, Site(served.url) as visitor:
        yield visitor


def work() -> str:
    finalizer.finalize()
    lease = runner.claim()
    assert lease is not None
    runner.work(lease)
    return lease.run_id


def fill(world: World, count: int = 30) -> None:
    world.set_tenant(removals=now_removals(event_count=3, event_percent=10))
    for internal_id in range(1, count + 1):
        world.person(internal_id)
    world.sync()


def test_runs_are_listed_filtered_and_kept_as_a_file(world: World, site: Site) -> None:
    fill(world, 3)
    world.person(9, email_primary="")
    run = world.sync()
    finalizer.finalize()
    assert run.id[:10] in site.look("/runs")
    assert run.id[:10] in site.look("/runs?tenant=acme&direction=enrollments&status=done&since=2020-01-01")
    assert run.id[:10] not in site.look("/runs?trigger=preview")
    assert "no tenant" in site.look("/runs?tenant=nobody", 404)
    assert "one of" in site.look("/runs?status=nonsense", 422)
    answer = site.get(f"{site.address}/runs.csv?tenant=acme", timeout=60)
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    rows = list(csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig"))))
    assert run.id in {row["id"] for row in rows}
    shown = site.look(f"/runs/{run.id}?outcome=rejected")
    assert "The row has no e-mail address" in shown
    assert "Persoon 9" not in shown
    lines = site.get(f"{site.address}/runs/{run.id}/lines.csv?outcome=rejected", timeout=60)
    assert [row["reason"] for row in csv.DictReader(io.StringIO(lines.content.decode("utf-8-sig")))] == ["no_email"]
    dutch = site.get(f"{site.address}/runs/{run.id}/lines.csv", headers={"Accept-Language": "nl"}, timeout=60)
    assert dutch.content.startswith("\ufeffid;event_id;".encode())


def test_a_run_is_stopped_and_asked_for_again_from_its_page(world: World, site: Site) -> None:
    world.person(1)
    place = site.act("/runs", tenant="acme", direction="enrollments").headers["Location"]
    assert "Stop this run" in site.look(place)
    assert site.act(f"{place}/stop").headers["Location"] == place
    shown = site.look(place)
    assert "stopped the run" in shown
    assert "Stop this run" not in shown
    again = site.act(f"{place}/again").headers["Location"]
    assert again != place
    work()
    world.drain()
    finalizer.finalize()
    assert "Run again" in site.look(again)
    assert world.roster() == world.expected()


def test_a_run_that_makes_accounts_tells_how_many_are_made_so_far(world: World, site: Site) -> None:
    # given newcomers, of whom one gets an account that is there, and nobody who makes the others yet
    for number in range(1, 5):
        world.person(number)
    world.pluvo.add_user("p4@example.nl", "Persoon 4")
    world.person(30, email_primary="")
    started = start.start(Direction.ENROLLMENTS, ["acme"], everyone=False, options={}, need_worker=False)
    run = work()
    # then only what was settled by planning it counts
    now = progress.look(run)
    assert (now["status"], now["planned"], now["applied"], now["per_minute"]) == ("applying", 5, 1, 0)
    assert "1 of 5 lines" in site.look(f"/runs/{run}")
    seen: list[int] = []
    start.wait(started, 0, lambda found: seen.extend(one["applied"] for one in found))
    assert seen == [1]
    # and a rate of what was done since it began, less than a minute ago
    world.rows(
        "UPDATE plan_line SET outcome = 'created', settled_at = now() - interval '30 seconds'"
        " WHERE run_id = :run AND internal_id = '1' RETURNING id",
        run=run,
    )
    now = progress.look(run)
    assert (now["applied"], now["per_minute"]) == (2, 2)
    assert 90 <= (now["seconds_left"] or 0) < 180
    # and what is done, as it is done
    world.drain()
    seen.clear()
    start.wait(started, 0, lambda found: seen.extend(one["applied"] for one in found))
    assert seen == [5]


def test_a_preview_is_made_looked_at_and_carried_out(world: World, site: Site) -> None:
    world.pluvo.add_user("docent@example.org", "Docent")
    for internal_id in (1, 2, 3):
        world.person(internal_id)
    place = site.act("/previews", tenant="acme").headers["Location"]
    assert "Waits for a worker" in site.look(place)
    assert "shows no plan" in site.act(f"{place}/execute", 422).text
    preview = work()
    shown = site.look(place)
    for words in (
        "Persoon 1",
        "Run exactly this: 3 changes",
        "First run",
        "accounts only in Pluvo",
        "nobody is enrolled yet",
    ):
        assert words in shown
    assert "Persoon 2" in site.look(f"{place}?outcome=created&event=340")
    assert site.look(f"/runs/{preview}") == site.look(place)
    run = site.act(f"{place}/execute").headers["Location"]
    work()
    world.drain()
    finalizer.finalize()
    assert "exactly a preview" in site.look(run)
    assert world.roster() == world.expected()
    refused = site.act(f"{place}/execute", 409).text
    assert "carries this preview out already" in refused
    assert "Run exactly this" not in site.look(place)


def test_a_run_that_did_not_do_what_was_looked_at_says_so(world: World, site: Site) -> None:
    fill(world, 3)
    world.person(60)
    with transaction() as connection:
        preview = request.request_run(connection, world.tenant_id, "enrollments", trigger=PREVIEW, options={})
    work()
    world.person(61)
    run = site.act(f"/previews/{preview}/execute").headers["Location"]
    work()
    assert "the plan is not the one that was looked at" in site.look(run)
    assert "/people/61" in site.look(f"{run}?reason=not_in_preview")
    assert "/people/61" not in site.look(f"{run}?reason=only_in_preview")
    assert "Run exactly this" in site.look(f"/previews/{preview}")


def test_a_hold_is_released_in_part_and_refused_from_its_page(world: World, site: Site) -> None:
    fill(world)
    for internal_id in (1, 2, 3, 4):
        world.afas.remove(340, internal_id)
    world.sync()
    (hold,) = holds(world)
    place = f"/holds/{hold['id']}"
    assert place in site.look("/holds?tenant=acme")
    shown = site.look(place)
    for words in ("4 of 30 = 13 %, limit 3 or 10 %", "Persoon 1", "4 of 4 go on", "Release all 4 removals"):
        assert words in shown
    lines = {line["internal_id"]: line["id"] for line in ops_holds.show(hold["id"])["lines"]}
    # nothing chosen, no reason, another plan: refused, and what was typed stays
    assert "Choose at least one line" in site.act(f"{place}/release", 422, which="chosen", reason="gone <b>").text
    kept = site.act(f"{place}/release", 422, which="chosen", line=[lines["2"]], reason=" ").text
    assert f'value="{lines["2"]}" checked' in kept
    assert "changed since the page" in site.act(f"{place}/release", 409, which="all", reason="x", plan="0").text
    assert len(holds(world)[0]["people"]) == 4
    # one of four, then the rest is refused
    site.act(f"{place}/release", which="chosen", line=[lines["2"]], reason="she left", plan=hold["plan_hash"])
    assert "released: 1 go on, 0 were dropped, 3 still held" in site.look(place)
    assert "Give a reason" in site.act(f"{place}/refuse", 422, why="").text
    assert "changed since the page" in site.act(f"{place}/refuse", 409, why="they only moved", plan="0").text
    assert site.look(place).count(f'name="plan" value="{hold["plan_hash"]}"') == 2
    site.act(f"{place}/refuse", why="they only moved")
    shown = site.look(place)
    assert "they only moved" in shown
    assert "Release" not in shown.split("What was done here", maxsplit=1)[0]
    assert "already, by" in site.act(f"{place}/release", 409, which="all", reason="x").text
    assert "Nothing is held" in site.look("/holds")
    assert place in site.look("/holds?state=refused")
    answer = site.get(f"{site.address}{place}/lines.csv?state=refused", timeout=60)
    assert len(list(csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig"))))) == 3


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/runs/01JNOSUCHRUN", 404),
        ("/runs/01JNOSUCHRUN/events", 404),
        ("/runs/01JNOSUCHRUN/lines.csv", 404),
        ("/holds/01JNOSUCHHOLD/lines.csv", 404),
        ("/previews/01JNOSUCHRUN", 404),
        ("/holds/01JNOSUCHHOLD", 404),
        ("/runs?cursor=%27;--", 200),
        ("/holds?state=nonsense", 422),
        ("/runs?tenant=" + "x" * 500, 422),
    ],
)
def test_addresses_that_mean_nothing_are_told_so(world: World, site: Site, path: str, status: int) -> None:
    site.look(path, status)
