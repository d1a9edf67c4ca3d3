"""What planning must know, fetched for a few hundred people at a time, so that memory does not grow with the roster."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, text

from models.folding import fold_email, loose_email
from models.run import SnapshotState
from producers.enrollments import facts_sql as sql
from producers.enrollments.matching import Candidate, Move, Peer
from producers.enrollments.snapshot import Snapshot
from producers.runs.context import RunContext
from tenancy.systems import SAME_ORGANISATION

CHUNK = 500
# Other tenants of the same Pluvo organisation: their people's accounts are taken.
_OTHERS = text(
    f"SELECT o.id FROM tenant t JOIN tenant o ON {SAME_ORGANISATION} WHERE t.id = :tenant AND o.id <> t.id"  # noqa: S608
)


@dataclass(frozen=True, slots=True)
class RosterRow:
    """A row that is present in this run, with what is stored of its person, link and enrollment (null without one)."""

    internal_id: str
    external_id: str | None
    name: str
    email: str
    fingerprint: str
    course_id: int
    event_id: str
    # The person: wanted so far, and what Pluvo was last told
    stored_name: str | None
    stored_email: str | None
    applied_name: str | None
    applied_email: str | None
    not_theirs: list[str] | None
    # The link
    link_state: str | None
    pluvo_id: str | None
    decision: str | None
    archived: bool | None
    # The enrollment
    enrollment_id: int | None
    state: str | None
    desired: str | None
    version: int | None
    applied_version: int | None
    failed_code: str | None
    failed_version: int | None
    failed_settings: int | None
    unsure: bool | None
    refused_fingerprint: str | None
    known_fingerprint: str | None
    told_account: str | None
    waiting: bool | None
    # Nothing is to be done, and Pluvo was asked for this very place
    settled: bool
    in_place: bool
    keeps_stored_contact: bool

    @classmethod
    def from_row(cls, row: Row[Any]) -> RosterRow:
        """Of a row of ``facts_sql.ROWS``."""
        return cls(**row._mapping)


@dataclass
class PersonFacts:
    """All rows of one person in this run, and everything known about them."""

    internal_id: str
    rows: list[RosterRow]
    by_email: list[Candidate] = field(default_factory=list)
    alike: list[Candidate] = field(default_factory=list)
    by_afas_id: list[Candidate] = field(default_factory=list)
    by_ref: list[Candidate] = field(default_factory=list)
    peers: list[Peer] = field(default_factory=list)
    # The account they are linked to, where it was looked at
    account: Candidate | None = None

    @property
    def keeps_stored_contact(self) -> bool:
        """Whether name and address stay as stored: their primary row could not be read."""
        return bool(self.rows[0].keeps_stored_contact and self.rows[0].applied_email is not None)

    @property
    def name(self) -> str:
        """The name to have."""
        return str(self.rows[0].stored_name if self.keeps_stored_contact else self.rows[0].name)

    @property
    def email(self) -> str:
        """The address to have."""
        return str(self.rows[0].stored_email if self.keeps_stored_contact else self.rows[0].email)

    @property
    def email_folded(self) -> str:
        """The address in the form in which it is compared."""
        return fold_email(self.email)


class Survey(NamedTuple):
    """What the listing as a whole says: a row of ``facts_sql.SURVEY``."""

    # Rows that need nothing, and those that may need something
    settled: int
    open: int
    # Somebody must be matched: then all of Pluvo's users are listed
    unlinked: bool
    # Somebody linked has another address than they were told with, or was told nothing yet
    readdressed: bool


class FactReader:
    """Reads facts of one run, from the snapshots that may be used."""

    def __init__(self, connection: Connection, context: RunContext, snapshots: Sequence[Snapshot]) -> None:
        self.connection = connection
        self.base = {
            "run": context.run_id,
            "tenant": context.tenant_id,
            "courses": [snapshot.course_id for snapshot in snapshots if snapshot.usable],
            "complete": [snapshot.course_id for snapshot in snapshots if snapshot.state == SnapshotState.COMPLETE],
        }
        self.tenant_id = context.tenant_id
        self.full = bool(context.options.get("full"))

    def survey(self) -> Survey:
        """How much there is to do, and what need not be looked for."""
        return Survey(*self.connection.execute(sql.SURVEY, self.base).one())

    def newcomers(self) -> list[str]:
        """Addresses of those who must be matched."""
        return list(self.connection.execute(sql.NEWCOMERS, self.base).scalars())

    def new_addresses(self, limit: int) -> list[str]:
        """New addresses of linked people, at most ``limit``."""
        return list(self.connection.execute(sql.NEW_ADDRESSES, self.base | {"limit": limit}).scalars())

    def preset_accounts(self, limit: int) -> list[str]:
        """Pluvo ids that an operator gave people beforehand and that were told nothing yet, at most ``limit``."""
        return list(self.connection.execute(sql.PRESET, self.base | {"limit": limit}).scalars())

    def moves(self) -> list[Move]:
        """Linked people whose new address is held by another account."""
        found = self.connection.execute(sql.MOVES, self.base)
        return [Move(row.internal_id, row.holder, foreign=row.holder is None) for row in found]

    def rivals(self) -> dict[str, Candidate]:
        """Linked people who want the same new address as a person with a lower id, with that person's account."""
        found = self.connection.execute(sql.RIVALS, self.base)
        return {
            row.internal_id: Candidate(row.winner_pluvo_id, name=row.winner_name, linked_to=row.winner) for row in found
        }

    def movers(self, people: Sequence[str]) -> set[str]:
        """Which of these linked people give up their address in this run."""
        if not people:
            return set()
        return set(self.connection.execute(sql.MOVERS, self.base | {"people": list(people)}).scalars())

    def chunks(self, ref_of: Callable[[str], str]) -> Iterator[list[PersonFacts]]:
        """People with work to do, some hundreds at a time. ``ref_of(internal_id)`` is our own ref in Pluvo.

        They and those with the same addresses are asked for once a run, and read on as they are needed: asking for each
        chunk would read the whole listing each time.
        """
        others = list(self.connection.execute(_OTHERS, {"tenant": self.tenant_id}).scalars())
        values = self.base | {"full": self.full, "others": others}
        some_at_a_time = {"yield_per": CHUNK}
        with (
            self.connection.execute(sql.PEOPLE, values, execution_options=some_at_a_time) as people,
            self.connection.execute(sql.PEERS, values, execution_options=some_at_a_time) as peers,
        ):
            following = peers.fetchone()
            for (*part,) in people.scalars().partitions(CHUNK):
                facts = self._chunk(part, values, ref_of)
                while following is not None and following.whose <= part[-1]:
                    person = facts.get(following.whose)
                    if person and person.email_folded == following.email_folded:
                        person.peers.append(Peer(following.internal_id, following.name, following.pluvo_id))
                    following = peers.fetchone()
                yield list(facts.values())

    def _chunk(
        self, people: list[str], values: dict[str, object], ref_of: Callable[[str], str]
    ) -> dict[str, PersonFacts]:
        rows: dict[str, list[RosterRow]] = defaultdict(list)
        for row in self.connection.execute(sql.ROWS, self.base | {"people": people}):
            rows[row.internal_id].append(RosterRow.from_row(row))
        refs = {ref_of(internal_id): internal_id for internal_id in people}
        facts = {internal_id: PersonFacts(internal_id, rows[internal_id]) for internal_id in people}
        by_email: dict[str, list[PersonFacts]] = defaultdict(list)
        for person in facts.values():
            by_email[person.email_folded].append(person)
        self._add_candidates(facts, by_email, values, refs)
        return facts

    def _add_candidates(
        self,
        facts: dict[str, PersonFacts],
        by_email: dict[str, list[PersonFacts]],
        values: dict[str, object],
        refs: dict[str, str],
    ) -> None:
        seen: set[str] = set()
        alike: dict[str, list[PersonFacts]] = defaultdict(list)
        for person in facts.values():
            alike[loose_email(person.email)].append(person)
        linked: dict[str, list[PersonFacts]] = defaultdict(list)
        for person in facts.values():
            if person.rows[0].pluvo_id:
                linked[person.rows[0].pluvo_id].append(person)
        wanted = {"emails": list(by_email), "alike": list(alike), "people": list(facts), "refs": list(refs)}
        for row in self.connection.execute(sql.CANDIDATES, values | wanted | {"accounts": list(linked)}):
            if row.pluvo_id in seen:
                continue  # an account shared by several persons: the lowest id stands for them
            seen.add(row.pluvo_id)
            candidate = Candidate(
                row.pluvo_id,
                row.email,
                row.name,
                row.ref,
                row.archived,
                row.afas_person_id,
                row.afas_contact_id,
                row.linked_to,
                row.elsewhere,
            )
            for person in by_email.get(row.email_folded, []):
                person.by_email.append(candidate)
            for person in linked.get(row.pluvo_id, []):
                person.account = candidate
            for person in alike.get(row.email_loose, []):
                if person.email_folded != row.email_folded:
                    person.alike.append(candidate)
            numbered = facts.get(row.afas_contact_id)
            if numbered and row.pluvo_id not in (numbered.rows[0].not_theirs or ()):
                numbered.by_afas_id.append(candidate)
            if row.ref in refs:
                facts[refs[row.ref]].by_ref.append(candidate)
