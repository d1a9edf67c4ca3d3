"""Whatever happens, in whatever order: each due date is written once, with the right day; none invented, none moved.

Histories of finishes, signals (webhooks and polls, doubled, reordered, lost), faults of AFAS and Pluvo, and people who
type in AFAS, against the simulators and a real ledger. The actor's reading is made to age at once, so that nothing a
human typed before a PUT may be missed; where the way to a PUT takes a minute, not even what is typed on the way.

In between courses go out and in, a rule names something else for a while, backfills have ranges of days, runs stop,
dead letters are sent again, dates are spelt oddly or can't be, and the report is not whole.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from datetime import date
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from clients.afas import AfasClient
from models.session import transaction
from ops.dead_letters import replay as replays
from producers.runs.request import request_stop
from tests.integration.completions.conftest import TITLE, Classroom
from workers.messages.execute import run_delivery

PEOPLE = (80, 81, 82)
WHO = st.sampled_from(PEOPLE)
DAYS = {
    "2026-05-04": "2026-05-04",
    "2026-06-30T22:30:00Z": "2026-07-01",
    "2026-10-24T22:00:00Z": "2026-10-25",
    "2025-12-31T22:59:59Z": "2025-12-31",
    "2026-03-29T00:30:00+01:00": "2026-03-29",
    "2026-06-15 22:30:00+00": "2026-06-16",
    "2026-02-01t10:00:00z": "2026-02-01",
    "2026-02-01T10:00": "2026-02-01",
}
"""What Pluvo says, and which day that is in Amsterdam."""
NO_DAYS = ("0001-01-01T00:00:00Z", "1900-01-01", "2099-12-31", "30-06-2026")
WHEN = st.sampled_from([*DAYS, *NO_DAYS])
SINCE = st.sampled_from([None, "2026-01-01", "2026-05-04", "2026-06-01"])
TYPED = st.sampled_from([None, "2020-01-01", "2026-05-04"])
FAULTS = [
    ("afas", {"kind": "lost_answer", "match": {"method": "PUT"}}),
    ("afas", {"kind": "reset", "match": {"method": "PUT"}}),
    ("afas", {"kind": "status", "status": 502, "match": {"method": "PUT"}}),
    ("afas", {"kind": "status", "status": 500, "body": '{"externalMessage":"Het evenement is afgesloten."}',
              "match": {"method": "PUT"}}),
    ("afas", {"kind": "status", "status": 503, "headers": {"Retry-After": "60"}, "match": {"method": "PUT"}}),
    ("afas", {"kind": "status", "status": 502, "match": {"operation": "page"}}),
    ("pluvo", {"kind": "status", "status": 502, "match": {"operation": "portfolioReport"}}),
    ("pluvo", {"kind": "lost_answer", "match": {"operation": "portfolioReport"}}),
]  # fmt: skip


@st.composite
def histories(draw: st.DrawFn) -> list[tuple[Any, ...]]:
    """A shuffled deck: everybody finishes (some twice), is signalled, may be typed about; in between things break."""
    deck: list[tuple[Any, ...]] = [("poll",)] * 4 + [("deliver_all",)] * 3 + [("wait",)] * 2
    deck += [("course", False), ("course", True), ("rule", "Iets anders"), ("rule", TITLE), ("stop",), ("replay",)]
    deck += [("backfill", draw(SINCE), draw(SINCE)), ("report_off", draw(st.sampled_from([-1, 1]))), ("report_off", 0)]
    deck += [("deliver_twice",), ("deliver_twice",), ("deliver_late",), ("lose",), ("snapshot",), ("deliver", 1)]
    deck += [("fault", fault) for fault in draw(st.lists(st.sampled_from(FAULTS), min_size=3, max_size=5))]
    for person in PEOPLE:
        deck += [("finish", person, draw(WHEN)), ("webhook", person, draw(st.integers(1, 3))), ("webhook", person, 1)]
        deck += [("type", person, day) for day in draw(st.lists(TYPED, max_size=2))]
        deck += [("type_on_the_way", person, day) for day in draw(st.lists(TYPED, max_size=1))]
    deck += [("finish", draw(WHO), draw(WHEN)), ("finish_again", draw(WHO), draw(WHEN))]
    return draw(st.permutations(deck))


class History:
    """Does the steps and keeps what must stay true after each of them."""

    def __init__(self, classroom: Classroom) -> None:
        self.classroom = classroom
        self.given: dict[int, set[date]] = defaultdict(set)
        self.typed: dict[int, str | None] = {}
        self.cleared: set[int] = set()
        self.day: dict[int, date] = {}
        self.lost = 0
        self.parked: list[Any] = []
        self.on_the_way: dict[int, list[str | None]] = defaultdict(list)

    # -- steps

    def finish(self, person: int, at: str) -> None:
        self._give(person, at)
        self.classroom.complete(person, at)

    def finish_again(self, person: int, at: str) -> None:
        """A second row of the report under the same title."""
        self._give(person, at)
        pluvo = self.classroom.world.pluvo
        row = {"userId": self.classroom.user(person), "title": TITLE, "objectType": "TRAINING", "progress": 1.0}
        pluvo.portfolio.append(row | {"score": 1.0, "completionDate": at})
        pluvo.changed()

    def _give(self, person: int, at: str) -> None:
        if at in DAYS:
            self.given[person].add(date.fromisoformat(DAYS[at]))

    def reported(self, person: int) -> set[date]:
        """The days that the report shows now."""
        user = self.classroom.user(person)
        shown = [one["completionDate"] for one in self.classroom.world.pluvo.portfolio
                 if (one["userId"], one["title"]) == (user, TITLE)]  # fmt: skip
        return {date.fromisoformat(DAYS[at]) for at in shown if at in DAYS}

    def webhook(self, person: int, times: int) -> None:
        for _ in range(times):
            self.classroom.event(person)

    def poll(self) -> None:
        run = self.classroom.begin()
        self.classroom.execute("UPDATE run SET status = 'done' WHERE id = :id", id=run.id)
        assert run.rows == sum(run.outcomes.values())

    def backfill(self, since: str | None, until: str | None) -> None:
        """A run with a range of days, to its end: nothing outside it is written."""
        puts = len(self.classroom.puts())
        run = self.classroom.begin(since=since, until=until)
        self.classroom.execute("UPDATE run SET status = 'done' WHERE id = :id", id=run.id)
        assert run.rows == sum(run.outcomes.values())
        for line in self.classroom.world.rows("SELECT after FROM plan_line WHERE run_id = :id", id=run.id):
            assert (since or "") <= line["after"]["completion"] <= (until or "9")
        assert len(self.classroom.puts()) == puts

    def stop(self) -> None:
        """A run is stopped in the middle."""
        run = self.classroom.begin()
        self.deliver(1)
        with transaction() as connection:
            request_stop(connection, run.id)

    def replay(self) -> None:
        """An operator sends everything again that gave up."""
        for row in self.classroom.world.rows("SELECT id FROM dead_letter WHERE state = 'open'"):
            with transaction() as connection:
                replays.send(connection, row["id"], who="test", reason=None, batch="b")

    def course(self, active: bool) -> None:
        self.classroom.execute("UPDATE course SET active = :active", active=active)

    def rule(self, title: str) -> None:
        self.classroom.rule(title=title)

    def report_off(self, by: int) -> None:
        """Pluvo's count does not fit the rows of the report."""
        self.classroom.world.pluvo.change_switches(count_off=by)

    def deliver(self, number: int) -> None:
        self.classroom.world.drain(limit=number)

    def deliver_all(self) -> None:
        """All there is; a direction that was told to wait would give its messages back for ever."""
        self.classroom.world.drain(limit=40)

    def deliver_twice(self) -> None:
        if envelope := self.classroom.world.hand_out():
            run_delivery(envelope)
            run_delivery(envelope)

    def deliver_late(self) -> None:
        """A delivery that was thought lost, long after the message was handed out again."""
        self.parked += [envelope for envelope in [self.classroom.world.hand_out()] if envelope]
        self._expire()
        self.deliver_all()
        for envelope in self.parked:
            run_delivery(envelope)
        self.parked.clear()

    def lose(self) -> None:
        """Redis loses a message; its lease ends."""
        self.classroom.world.hand_out()
        self._expire()

    def wait(self) -> None:
        """Hours pass."""
        self.classroom.execute("UPDATE message SET state = 'ready', run_at = now() WHERE state = 'scheduled'")
        self.classroom.execute("UPDATE tenant_direction SET wait_until = NULL")
        self.classroom.world.forget_told()

    def fault(self, fault: tuple[str, dict[str, Any]]) -> None:
        system, switch = fault
        self.lost += switch["kind"] in ("lost_answer", "reset") and system == "afas"
        self.classroom.world.fault(system, times=1, **switch)

    def type(self, person: int, day: str | None) -> None:
        self.classroom.type_date(person, day)
        self.typed[person] = day
        if day is None:
            self.cleared.add(person)

    def type_on_the_way(self, person: int, day: str | None) -> None:
        """Somebody types while the next PUT for this person is on its way, which takes a minute."""
        self.on_the_way[person].append(day)

    def about_to_put(self, person: int) -> None:
        for day in self.on_the_way.pop(person, []):
            self.type(person, day)
            self.classroom.execute("UPDATE completion SET shown_at = shown_at - interval '60 seconds'")

    def snapshot(self) -> None:
        self.classroom.world.sync()

    def _expire(self) -> None:
        self.classroom.execute("UPDATE message SET state = 'ready', started_at = NULL WHERE state = 'sent'")

    # -- what must stay true

    def check(self) -> None:
        for person, day in self.typed.items():
            if day is not None:
                assert self.classroom.shown(person) == day, f"what a human typed for {person} was written over"
        for row in self.classroom.completions():
            person = int(row["internal_id"])
            if row["completed_on"] is not None:
                assert row["completed_on"] in self.given[person], "a date was invented"
                if person not in self.day:
                    assert row["completed_on"] == min(self.reported(person)), "a later date of a report came first"
                assert self.day.setdefault(person, row["completed_on"]) == row["completed_on"], "a date moved"
        assert all(row["later"] == [] or row["completed_on"] for row in self.classroom.completions())

    def come_to_rest(self) -> None:
        """All is well again, time passes, and everybody looks once more."""
        world = self.classroom.world
        world.clear_faults()
        self.classroom.execute("UPDATE tenant SET settings_version = settings_version + 1")
        self.course(True)
        self.rule(TITLE)
        self.report_off(0)
        self.on_the_way.clear()
        for _ in range(4):
            self.wait()
            self.classroom.execute("UPDATE completion SET changed_at = changed_at - interval '2 hours'")
            self.classroom.execute("UPDATE completion SET shown_at = shown_at - interval '2 hours'")
            world.drain()
            self.poll()
            world.drain()
        assert world.rows("SELECT state, history FROM message") == []

    def check_at_rest(self) -> None:
        for person in PEOPLE:
            writes = self.classroom.world.afas.rows[340, person].writes
            sent = {next(v for k, v in put["Fields"].items() if k != "BcCo")
                    for put in self.classroom.puts() if put["@CdId"] == str(person)}  # fmt: skip
            seen = [row for row in self.classroom.completions(person) if row["completed_on"] is not None]
            if not seen:  # nothing was finished, or its day was gone from the report before anybody looked
                assert (writes, sent, self.reported(person)) == (0, set(), set())
                continue
            (row,) = seen
            day = row["completed_on"].isoformat()
            assert sent <= {day}, "another day than the first was sent"
            # What a human cleared after our write is written once more.
            assert writes <= 1 + self.lost + (person in self.cleared)
            assert (row["state"], self.classroom.shown(person)) != ("conflict", None), "what was cleared is left out"
            if self.typed.get(person) is None and person not in self.cleared:
                assert (self.classroom.shown(person), row["state"]) == (day, "verified")
            if self.lost == 0 and person not in self.cleared:
                assert writes == (1 if row["written_at"] else 0)


@settings(
    max_examples=20,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    derandomize=True,
)
@given(steps=histories())
def test_each_due_date_is_written_once_whatever_happens(
    classroom: Classroom, monkeypatch: pytest.MonkeyPatch, steps: list[tuple[Any, ...]]
) -> None:
    # given three people on both sides
    monkeypatch.setattr("workers.actors.completion_write_back.actor.FRESH_SECONDS", -1.0)
    classroom.world.reset(events=("340",))
    classroom.world.pluvo.add_training("Iets anders")
    classroom.enroll(*PEOPLE)
    history = History(classroom)
    put = AfasClient.put_course_member

    def slow_put(self: AfasClient, connector: str, **about: Any) -> None:
        history.about_to_put(int(about["internal_id"]))
        put(self, connector, **about)

    monkeypatch.setattr(AfasClient, "put_course_member", slow_put)

    # when
    for name, *arguments in steps:
        step: Callable[..., None] = getattr(history, name)
        step(*arguments)
        history.check()
    history.come_to_rest()

    # then
    history.check()
    history.check_at_rest()
