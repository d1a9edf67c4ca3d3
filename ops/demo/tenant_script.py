"""One tenant: which of its people finish, move, leave or come, and how that is done in AFAS and Pluvo.

Everything here is done to the simulators, as users of AFAS and Pluvo would do it. The product never sees this file.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from simulators.afas.tenant import AfasTenant
from simulators.core.faults import Fault
from simulators.pluvo.tenant import PluvoTenant, Record
from simulators.sample_data.people import SamplePerson
from simulators.sample_data.tenant import SampleCourse, SampleTenant
from simulators.sample_data.tenants import World, roster

FINISHERS = slice(12, 20)  # of each course; they neither leave nor move
REFUSAL = "Enter a valid email address"


@dataclass
class TenantScript:
    """One tenant on both sides."""

    world: World
    tenant: SampleTenant
    people: list[SamplePerson] = field(default_factory=list)
    accounts_at_start: dict[str, Record] = field(default_factory=dict)
    expected_dates: dict[tuple[int, int], str] = field(default_factory=dict)
    """(event, internal id) -> what AFAS must show in the end."""
    typed_by_hand: set[tuple[int, int]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.people = roster(self.tenant)
        self.accounts_at_start = deepcopy(self.pluvo.users)

    @property
    def afas(self) -> AfasTenant:
        found: AfasTenant = self.world.afas.tenants[self.tenant.member_id]
        return found

    @property
    def pluvo(self) -> PluvoTenant:
        found: PluvoTenant = self.world.pluvo.tenants[self.tenant.slug]
        return found

    def members(self, course: SampleCourse) -> list[SamplePerson]:
        """Who is in an event at the start."""
        first, last = (round(part * len(self.people)) for part in course.share)
        return self.people[first:last]

    # -- in Pluvo --------------------------------------------------------------------------------------------------

    def finish(self, course: SampleCourse) -> int:
        """Let eight people finish a course half an hour before midnight in London: in Amsterdam it is a day later."""
        evening = datetime.now(UTC).date() - timedelta(days=3)
        at = datetime.combine(evening, datetime.min.time(), UTC) + timedelta(hours=23, minutes=30)
        day = at.astimezone(ZoneInfo("Europe/Amsterdam")).date()
        finishers = self.members(course)[FINISHERS]
        with self.world.pluvo.lock:
            for somebody in finishers:
                user = self.pluvo.find_user(email=somebody.email)
                if user is None:
                    continue  # the assertions say what is missing
                instant = at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
                self.pluvo.complete(user["id"], course.title, instant, course.level.upper())
        for somebody in finishers:
            self.expected_dates.setdefault((course.event_id, somebody.internal_id), self.as_afas_shows(day))
        return len(finishers)

    def refuse(self, somebody: SamplePerson) -> Fault:
        """Let Pluvo refuse to make an account for one person, until ``allow``."""
        with self.world.pluvo.lock:
            return self.world.pluvo.faults.add(
                kind="graphql_error",
                tenant=self.tenant.slug,
                match={"operation": "createUser", "body_contains": somebody.email},
                code="ValidationError",
                message=REFUSAL,
            )

    def allow(self, refusal: Fault) -> None:
        """End a refusal."""
        with self.world.pluvo.lock:
            self.world.pluvo.faults.clear(refusal.id)

    # -- in AFAS -----------------------------------------------------------------------------------------------------

    def as_afas_shows(self, day: date) -> str:
        """A date as this tenant's field holds it."""
        return day.strftime("%d-%m-%Y") if self.tenant.completion_type == "text" else day.isoformat()

    def type_by_hand(self, course: SampleCourse) -> str:
        """Type a date for the first finisher, as the customer would; gives it."""
        typed = self.as_afas_shows(date.today() - timedelta(days=40))  # noqa: DTZ011  any day will do
        somebody = self.members(course)[FINISHERS][0]
        with self.world.afas.lock:
            self.afas.change(course.event_id, somebody.internal_id, free={self.tenant.completion_field: typed})
        self.expected_dates[course.event_id, somebody.internal_id] = typed
        self.typed_by_hand.add((course.event_id, somebody.internal_id))
        return typed

    def rename(self) -> SamplePerson:
        """Rename a person who is in both events."""
        somebody = self.people[len(self.people) // 2]
        with self.world.afas.lock:
            self.afas.rename(somebody.internal_id, f"{somebody.name}-Zonneveld")
        return somebody

    def give_new_address(self) -> SamplePerson:
        """Give a person another address."""
        somebody = self.people[11]
        with self.world.afas.lock:
            self.afas.set_email(somebody.internal_id, f"nieuw.{somebody.email}")
        return somebody

    def leave(self) -> SamplePerson:
        """Take a person out of the first event."""
        somebody = self.people[10]
        with self.world.afas.lock:
            self.afas.remove(self.tenant.courses[0].event_id, somebody.internal_id)
        return somebody

    def come(self, first_name: str) -> SamplePerson:
        """Enroll a new person in the second event."""
        number = 9001 + sum(row.internal_id > 9000 for row in self.afas.rows.values())
        name, email = f"{first_name} Nieuwenhuis", f"{first_name.lower()}.nieuwenhuis@example.nl"
        somebody = SamplePerson(number, f"{number:08}", name, email)
        with self.world.afas.lock:
            self.afas.enroll(
                self.tenant.courses[1].event_id, number, external_id=f"{number:08}", name=name, email_primary=email
            )
        return somebody
