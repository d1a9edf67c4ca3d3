"""A tenant with people enrolled on both sides, and what completion tests do with it."""

from __future__ import annotations

import json
from typing import Any, Unpack

import pytest
from sqlalchemy import text

from models.base import new_id
from models.direction import Direction
from models.run import RunOptions
from models.session import _Pool, session, transaction
from models.tables.run import Run
from producers.completions import producer
from producers.completions.webhook_events import store
from producers.runs.lease import RunLease
from simulators.afas.tenant import COMPLETION_FIELD
from simulators.pluvo.webhooks import event_body
from tests.fixtures.world import World
from workers.actors import completion_fetch
from workers.runs import finalizer

TITLE = "Training 340"


class Classroom:
    """Event 340 and its training; person N has the address pN@example.nl in Pluvo."""

    def __init__(self, world: World) -> None:
        self.world = world

    def enroll(self, *people: int, event_id: int = 340) -> None:
        """Enroll people in AFAS and bring them to Pluvo."""
        for person in people:
            self.world.person(person, event_id)
        self.world.sync()
        self.world.clear_log()

    def user(self, person: int) -> str:
        """The Pluvo id of a person."""
        return str(self.world.user(f"p{person}@example.nl")["id"])

    def complete(self, person: int, at: str | None, title: str = TITLE, level: str = "TRAINING") -> None:
        """Finish something in Pluvo."""
        self.world.pluvo.complete(self.user(person), title, at, level)

    def type_date(self, person: int, day: str | None, event_id: int = 340, field: str = COMPLETION_FIELD) -> None:
        """Someone types a date in AFAS by hand, or clears it."""
        row = self.world.afas.rows[event_id, person]
        self.world.afas.change(event_id, person, free={**row.free, field: day})

    def shown(self, person: int, event_id: int = 340, field: str = COMPLETION_FIELD) -> str | None:
        """What AFAS holds."""
        return self.world.afas.rows[event_id, person].free.get(field)

    def begin(self, **options: Unpack[RunOptions]) -> Run:
        """A completions run up to its messages."""
        run_id = new_id()
        with transaction() as connection:
            connection.execute(
                text(
                    """INSERT INTO run (id, batch, tenant_id, direction, trigger, options, status, fence)
                       VALUES (:id, :id, :tenant, 'completions', 'test', CAST(:options AS jsonb), 'running', 1)"""
                ),
                {"id": run_id, "tenant": self.world.tenant_id, "options": json.dumps(options)},
            )
        producer.run(RunLease(run_id, self.world.tenant_id, Direction.COMPLETIONS, options, 1))
        return self.world.run(run_id)

    def run(self, **options: Unpack[RunOptions]) -> Run:
        """A whole completions run, ended and counted."""
        begun = self.begin(**options)
        self.world.drain()
        finalizer.finalize()
        return self.run_again(begun)

    def run_again(self, run: Run) -> Run:
        """The run as it stands by now."""
        finalizer.recount()
        return self.counted(run.id)

    def counted(self, run_id: str) -> Run:
        """A run as it was counted last."""
        with session() as opened:
            return opened.get_one(Run, run_id)

    def event(self, person: int, name: str = "TRAINING_FINISHED", **about: Any) -> str:
        """A webhook comes in, its signature checked; what became of it."""
        body = event_body(name, self.world.pluvo.users[self.user(person)], {"title": TITLE, **about})
        return self.signal(json.dumps(body).encode())

    def signal(self, body: bytes) -> str:
        """A body as it came in."""
        with transaction() as connection:
            return store(connection, self.world.tenant_id, body)

    def puts(self) -> list[dict[str, Any]]:
        """The elements that AFAS was asked to write, in order."""
        entries = [entry for entry in self.world.calls("afas") if entry.operation == "put"]
        return [entry.body["KnCourseMember"]["Element"] for entry in entries]

    def completion(self, person: int) -> dict[str, Any]:
        """The one completion row of a person."""
        rows = self.completions(person)
        assert len(rows) == 1, rows
        return rows[0]

    def completions(self, person: int | None = None) -> list[dict[str, Any]]:
        """Completion rows, by id."""
        rows = self.world.rows("SELECT * FROM completion ORDER BY id")
        return [row for row in rows if person is None or row["internal_id"] == str(person)]

    def rule(self, **values: Any) -> None:
        """Change the rule of event 340."""
        with transaction() as connection:
            connection.execute(
                text(
                    """UPDATE course SET completion_types = NULL,
                              rules = jsonb_build_array(rules -> 0 || CAST(:values AS jsonb)) WHERE event_id = '340'"""
                ),
                {"values": json.dumps(values)},
            )

    def execute(self, sql: str, **values: Any) -> None:
        """One statement."""
        with transaction() as connection:
            connection.execute(text(sql), values)


@pytest.fixture
def world(shared_world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """The world, empty. Whatever nests two connections in one thread fails at once."""
    monkeypatch.setattr(_Pool, "one_each", True)
    shared_world.reset()
    return shared_world


@pytest.fixture
def classroom(world: World, monkeypatch: pytest.MonkeyPatch) -> Classroom:
    """A classroom of its own; waits between tries are short, nothing is remembered from other tests."""
    monkeypatch.setattr("producers.completions.report.RETRY_WAITS_SECONDS", (0.0, 0.0, 0.0))
    monkeypatch.setattr(completion_fetch, "_titles", type(completion_fetch._titles)())
    return Classroom(world)
