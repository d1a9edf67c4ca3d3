"""The pages that docs/console.md shows: each is there and has something on it. ``make screenshots`` keeps pictures."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from models.direction import Direction
from ops import holds
from ops.dead_letters import inbox, replay_batch, replays
from ops.dead_letters.inbox import Filters
from ops.runs import previews, progress, start
from tests.browser.customers import new_customer
from tests.browser.desk import Desk
from tests.browser.look import NARROW, SCREENSHOTS, WIDE, Look
from tests.browser.seed import EVENT

MOST_BYTES = 80_000
PATIENCE_SECONDS = 120.0


def onboarding(desk: Desk) -> str:
    """Somebody who came to the columns of the GetConnector."""
    customer = new_customer(desk)
    customer.until("columns", by="local")
    return f"/onboard/{customer.slug}/columns"


def preview(desk: Desk) -> str:
    """Of a first run."""
    world = desk.tenant("de-linde", name="De Linde Opleidingen")
    for number in range(1, 25):
        world.person(number, EVENT)
    for number in (2, 3, 5, 8):
        world.pluvo.add_user(f"p{number}@example.nl", f"Persoon {number}")
    world.pluvo.add_user("docent@example.org", "Docent")
    world.person(30, EVENT, email_primary="")
    begun = previews.begin(["de-linde"], everyone=False, options={}, need_worker=True)
    assert start.wait(begun, PATIENCE_SECONDS)
    return f"/previews/{begun.run_ids[0]}"


def run(desk: Desk) -> str:
    """One that is carried out at this moment, by a Pluvo that takes its time."""
    world = desk.tenant("de-eik", name="De Eik")
    for number in range(1, 81):
        world.person(number, EVENT)
    world.fault("pluvo", "delay", tenant="de-eik", match={"operation": "createUser"}, seconds=1)
    options = start.enrollment_options(["de-eik"], everyone=False, full=False, person=None)
    begun = start.start(Direction.ENROLLMENTS, ["de-eik"], everyone=False, options=options, need_worker=True)
    end = time.monotonic() + PATIENCE_SECONDS
    while progress.look(begun.run_ids[0])["applied"] < 5:
        assert time.monotonic() < end, "it does not go on"
        time.sleep(0.1)
    return f"/runs/{begun.run_ids[0]}"


def hold(desk: Desk) -> str:
    """One of which two lines were released."""
    (found,) = [one for one in holds.listing(10, tenant="acme", state="open").items if one["lines"] == 6]
    lines = [line["id"] for line in holds.show(found["id"])["lines"]][:2]
    holds.release(found["id"], events=[], persons=[], lines=lines, reason="They moved to another training", who="anna")
    return f"/holds/{found['id']}"


def unseen(desk: Desk) -> str:
    """Somebody of an event that is not linked, asked for in AFAS."""
    world = desk.tenant("de-berk", name="De Berk")
    world.person(80)
    desk.sync("de-berk")
    world.person(1070, 555)
    return "/tenants/de-berk/people/1070?ask=true"


def replay(desk: Desk) -> str:
    """One that emptied the inbox of a tenant."""
    world = desk.tenant("de-wilg", name="De Wilg")
    for number in range(1, 9):
        world.person(number, EVENT)
        match = {"operation": "createUser", "body_contains": f"p{number}@example.nl"}
        world.fault("pluvo", "graphql_error", tenant="de-wilg", match=match, code="ValidationError", message="No seats")
    desk.sync("de-wilg")
    world.clear_faults()
    letters = inbox.choose([], Filters("de-wilg"), everything=False)
    batch = replays.begin(letters, reason="The licence is extended", who="anna")["batch"]
    replay_batch.drive(batch, until_settled=True, timeout_seconds=PATIENCE_SECONDS)
    return f"/replays/{batch}"


Place = str | Callable[[Desk], str]
# What is shown of a page whose point is further down
FROM = {"onboarding": "main .card", "hold": "#lines", "decide": "main form"}
# name: (where it is, or what makes it, language, theme, width, what must stand on it)
PICTURES: dict[str, tuple[Place, str, str, int, str]] = {
    "overview": ("/", "en", "light", WIDE, "need you"),
    "overview-dark-nl": ("/", "nl", "dark", WIDE, "vragen aandacht"),
    "overview-phone": ("/", "en", "light", NARROW, "need you"),
    "inbox": ("/inbox", "en", "light", WIDE, "removals held"),
    "tenant": ("/tenants/gamma", "en", "light", WIDE, "stopped by itself"),
    "onboarding": (onboarding, "nl", "light", WIDE, "voorgesteld"),
    "preview": (preview, "en", "light", WIDE, "Run exactly this: "),
    "run": (run, "en", "light", WIDE, "Verify"),
    "hold": (hold, "en", "light", WIDE, "Is it real?"),
    "decide": ("/tenants/acme/people/31/decide", "nl", "light", WIDE, "Koppel aan dit account"),
    "person": ("/tenants/acme/people/31", "en", "light", WIDE, "31"),
    "unseen": (unseen, "en", "light", WIDE, "1070 is in event 555"),
    "dead-letters": ("/dead-letters", "nl", "dark", WIDE, "Dead letters"),
    "replay": (replay, "en", "dark", WIDE, "All 8 are sent"),
}


@pytest.mark.parametrize("name", PICTURES)
def test_each_picture_of_the_manual_can_be_taken(desk: Desk, look: Look, name: str) -> None:
    place, language, theme, width, words = PICTURES[name]
    path = place if isinstance(place, str) else place(desk)
    page = look.open(path, language=language, theme=theme, width=width)
    page.set_viewport_size({"width": min(width, 960), "height": 520})
    assert words in look.text()
    if name in FROM:
        page.locator(FROM[name]).first.evaluate("one => one.scrollIntoView()")
    taken = page.screenshot(animations="disabled")
    assert len(taken) > 5_000, "an empty page"
    if SCREENSHOTS:
        Path(SCREENSHOTS).mkdir(parents=True, exist_ok=True)
        (Path(SCREENSHOTS) / f"{name}.png").write_bytes(taken)


def test_pictures_of_the_manual_are_few_small_and_shown() -> None:
    kept = {one.stem: one.stat().st_size for one in Path("docs/console").glob("*.png")}
    assert kept.keys() == PICTURES.keys()
    assert len(kept) <= 14
    assert [name for name, size in kept.items() if size > MOST_BYTES] == []
    manual = Path("docs/console.md").read_text(encoding="utf-8")
    assert [name for name in kept if f"(console/{name}.png)" not in manual] == []
