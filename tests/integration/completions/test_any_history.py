"""Whatever happens, in whatever order: each due date is written once, with the right day; none invented, none moved.

Histories of finishes, signals (webhooks and polls, doubled, reordered, lost), faults of AFAS and Pluvo, and people who
type in AFAS, against the simulators and a real ledger. The actor's reading is made to age at once, so that nothing a
human typed before a PUT may be missed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from datetime import date
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.integration.completions.conftest import Classroom
from workers.turns import run_delivery

PEOPLE = (80, 81, 82)
WHO = st.sampled_from(PEOPLE)
DAYS = {
    "2026-05-04": "2026-05-04",
    "2026-06-30T22:30:00Z": "2026-07-01",
    "2026-10-24T22:00:00Z": "2026-10-25",
    "2025-12-31T22:59:59Z": "2025-12-31",
    "2026-03-29T00:30:00+01:00": "2026-03-29",
}
"""What Pluvo says, and which day that is in Amsterdam."""
WHEN = st.sampled_from(list(DAYS))
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
    deck += [("deliver_twice",), ("deliver_twice",), ("deliver_late",), ("lose",), ("snapshot",), ("deliver", 1)]
    deck += [("fault", fault) for fault in draw(st.lists(st.sampled_from(FAULTS), min_size=3, max_size=5))]
    for person in PEOPLE:
        deck += [("finish", person, draw(WHEN)), ("webhook", person, draw(st.integers(1, 3))), ("webhook", person, 1)]
        deck += [("type", person, day) for day in draw(st.lists(TYPED, max_size=2))]
    deck += [("finish", draw(WHO), draw(WHEN))]
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

    # -- steps

    def finish(self, person: int, at: str) -> None:
        self.given[person].add(date.fromisoformat(DAYS[at]))
        self.classroom.complete(person, at)

    def webhook(self, person: int, times: int) -> None:
        for _ in range(times):
            self.classroom.event(person)

    def poll(self) -> None:
        run = self.classroom.begin()
        self.classroom.execute("UPDATE run SET status = 'done' WHERE id = :id", id=run.id)
        assert run.rows == sum(run.outcomes.values())

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

    def fault(self, fault: tuple[str, dict[str, Any]]) -> None:
        system, switch = fault
        self.lost += switch["kind"] in ("lost_answer", "reset") and system == "afas"
        self.classroom.world.fault(system, times=1, **switch)

    def type(self, person: int, day: str | None) -> None:
        self.classroom.type_date(person, day)
        self.typed[person] = day
        if day is None:
            self.cleared.add(person)

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
                assert self.day.setdefault(person, row["completed_on"]) == row["completed_on"], "a date moved"
        assert all(row["later"] == [] or row["completed_on"] for row in self.classroom.completions())

    def come_to_rest(self) -> None:
        """All is well again, time passes, and everybody looks once more."""
        world = self.classroom.world
        world.clear_faults()
        self.classroom.execute("UPDATE tenant SET settings_version = settings_version + 1")
        for _ in range(3):
            self.wait()
            world.drain()
            self.poll()
            world.drain()
        assert world.rows("SELECT state, history FROM message") == []

    def check_at_rest(self) -> None:
        for person in PEOPLE:
            writes = self.classroom.world.afas.rows[340, person].writes
            sent = {next(v for k, v in put["Fields"].items() if k != "BcCo")
                    for put in self.classroom.puts() if put["@CdId"] == str(person)}  # fmt: skip
            if not self.given[person]:
                assert (writes, sent) == (0, set())
                continue
            row = self.classroom.completion(person)
            day = row["completed_on"].isoformat()
            assert sent <= {day}, "another day than the first was sent"
            assert writes <= 1 + self.lost
            if self.typed.get(person) is None and person not in self.cleared:
                assert (self.classroom.shown(person), row["state"]) == (day, "verified")
            if self.lost == 0:
                assert writes == (1 if row["written_at"] else 0)


@pytest.mark.usefixtures("configured")
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
    monkeypatch.setattr("workers.write_backs.FRESH_SECONDS", -1.0)
    classroom.world.reset(events=("340",))
    classroom.enroll(*PEOPLE)
    history = History(classroom)

    # when
    for name, *arguments in steps:
        step: Callable[..., None] = getattr(history, name)
        step(*arguments)
        history.check()
    history.come_to_rest()

    # then
    history.check()
    history.check_at_rest()
