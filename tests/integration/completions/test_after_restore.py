"""A database as it was some hours ago, with Pluvo and AFAS ahead of it: nobody is doubled, no date is written twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

import settings
from models.session import engine_for
from ops.servers.backup import write
from ops.servers.backup_file import opened
from ops.servers.restore import fill, settle
from tests.fixtures.postgres import new_database
from tests.fixtures.world import World
from tests.integration.completions.conftest import Classroom

Restore = Callable[[], None]


@pytest.fixture
def restore(postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], Restore]]:
    """Make a backup; what it gives puts that back, into a database of its own, which this process uses from then on."""
    with ExitStack() as stack:

        def backed_up() -> Restore:
            write(tmp_path / "backup", settings.get().need_database(), None)
            return back

        def back() -> None:
            url = stack.enter_context(new_database(postgres_url))
            with opened(tmp_path / "backup") as found:
                fill(found, url)
                settle(url, "tester", found.header)
            monkeypatch.setenv("KOPPELING_DATABASE_URL", url)
            settings.get.cache_clear()
            stack.callback(settings.get.cache_clear)
            stack.callback(engine_for(settings.get().need_database()).dispose)
            stack.callback(monkeypatch.undo)

        yield backed_up


def doubled(world: World) -> list[str]:
    """Names that more than one account has, and refs likewise."""
    users = list(world.pluvo.users.values())
    return [
        value
        for key in ("name", "ref", "email")
        for value, n in Counter(user[key] for user in users if user.get(key)).items()
        if n > 1
    ]


def test_people_who_were_made_and_changed_after_the_backup_are_linked_and_set_right(
    classroom: Classroom, restore: Callable[[], Restore]
) -> None:
    # given people before the backup, one of them with work that is not done yet
    world = classroom.world
    classroom.enroll(80, 81, 82)
    world.person(83)
    world.begin()
    back = restore()
    # and what was done after it: 83 to 85 got accounts, 81 another name, 82 and 83 another address
    world.drain()
    world.person(84)
    world.person(85, 341)
    world.afas.change(340, 81, name="Anders")
    world.afas.change(340, 82, email_primary="nieuw@example.nl")
    world.afas.change(340, 83, email_primary="ander@example.nl")
    assert world.sync().status != "failed"
    assert world.user("p81@example.nl")["name"] == "Anders"
    assert len(world.pluvo.users) == 6
    # and a name that is in AFAS again as the database of then has it
    world.afas.change(340, 81, name="Persoon 81")
    before = {user["id"]: user["ref"] for user in world.pluvo.users.values()}

    # when
    back()
    world.clear_log()
    world.drain()
    run = world.sync()

    # then
    assert run.outcomes["failed"] == 0
    assert {user["id"]: user["ref"] for user in world.pluvo.users.values()} == before
    assert doubled(world) == []
    assert world.roster() == world.expected()
    assert world.user("p81@example.nl")["name"] == "Persoon 81"
    links = world.rows("SELECT count(*) AS n FROM link WHERE state = 'linked'")
    assert links == [{"n": 6}]
    # and the run after that has nothing to do
    world.clear_log()
    assert world.sync().outcomes["unchanged"] == 6
    assert world.writes() == []


def test_a_date_that_was_written_after_the_backup_is_written_no_second_time_and_never_as_another_day(
    classroom: Classroom, restore: Callable[[], Restore]
) -> None:
    # given one date written before the backup, one waiting in it, and one that Pluvo has later
    classroom.enroll(80, 81, 82, 83)
    classroom.complete(80, "2026-05-01T10:00:00Z")
    classroom.run()
    classroom.complete(81, "2026-05-02T10:00:00Z")
    classroom.begin()
    back = restore()
    classroom.world.drain()
    classroom.complete(82, "2026-05-03T10:00:00Z")
    classroom.complete(83, "2026-05-04T10:00:00Z")
    classroom.run()
    shown = {person: classroom.shown(person) for person in (80, 81, 82, 83)}
    assert shown == {80: "2026-05-01", 81: "2026-05-02", 82: "2026-05-03", 83: "2026-05-04"}
    # and Pluvo tells another day of one of them by now
    classroom.complete(83, "2026-06-30T10:00:00Z")

    # when
    back()
    classroom.world.clear_log()
    classroom.world.drain()
    classroom.run()
    classroom.run()

    # then
    assert classroom.puts() == []
    assert {person: classroom.shown(person) for person in shown} == shown
    states = {person: classroom.completion(person)["state"] for person in shown}
    assert (states[80], states[81], states[82]) == ("verified", "unchanged", "unchanged")
    assert states[83] == "conflict"
