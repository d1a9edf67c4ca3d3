"""What planning must know, fetched for a few hundred people at a time, so that memory does not grow with the roster."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Row, text

from producers.matching import Candidate, Peer
from producers.scope import Scope

CHUNK = 500

# A row is settled when Pluvo was told exactly this and nothing is open about it.
_SETTLED = """
    coalesce(l.state = 'linked' AND l.pluvo_id IS NOT NULL AND e.state = 'enrolled' AND e.desired = 'enrolled'
             AND e.applied_version = e.version AND e.fingerprint = s.fingerprint, false)
"""
_JOINED = """
    FROM snapshot_row s
    JOIN course c ON c.id = s.course_id
    LEFT JOIN person p ON p.tenant_id = s.tenant_id AND p.internal_id = s.internal_id
    LEFT JOIN enrollment e ON e.person_id = p.id AND e.course_id = s.course_id
    LEFT JOIN link l ON l.person_id = p.id
   WHERE s.run_id = :run AND s.row_state = 'present' AND s.course_id = ANY(:courses)
"""
_COUNT_SETTLED = text(f"SELECT count(*) {_JOINED} AND {_SETTLED}")
_UNLINKED = text(
    f"""
    SELECT EXISTS (SELECT 1 {_JOINED} AND NOT {_SETTLED}
        AND NOT coalesce(l.state = 'ignored' OR (l.pluvo_id IS NOT NULL AND l.state <> 'ignored'), false))
    """
)
_NEW_ADDRESSES = text(
    f"""
    SELECT DISTINCT s.email {_JOINED} AND l.pluvo_id IS NOT NULL AND l.state <> 'ignored'
       AND p.applied_email IS NOT NULL AND s.email_folded <> lower(p.applied_email) AND NOT {_SETTLED}
     LIMIT :limit
    """
)
_PEOPLE = text(
    f"""
    SELECT DISTINCT s.internal_id COLLATE "C" AS internal_id {_JOINED} AND (:full OR NOT {_SETTLED})
       AND s.internal_id COLLATE "C" > :after ORDER BY 1 LIMIT :limit
    """
)
_ROWS = text(
    f"""
    SELECT s.internal_id, s.external_id, s.name, s.email, s.email_folded, s.fingerprint, s.course_id, s.position,
           c.event_id, p.id AS person_id, p.name AS stored_name, p.email AS stored_email, p.applied_name,
           p.applied_email, p.match, l.state AS link_state, l.pluvo_id, l.ref, l.decision, l.archived,
           e.id AS enrollment_id, e.state, e.desired, e.version, e.applied_version, e.failed_code, e.failed_version,
           e.failed_settings, e.refused_fingerprint, e.fingerprint AS known_fingerprint, {_SETTLED} AS settled
    {_JOINED} AND s.internal_id = ANY(:people) ORDER BY s.internal_id, length(c.event_id), c.event_id, s.position
    """
)
_CANDIDATES = text(
    """
    SELECT d.*, p.internal_id AS linked_to
      FROM directory_user d
      LEFT JOIN link l ON l.tenant_id = d.tenant_id AND l.pluvo_id = d.pluvo_id AND l.state <> 'ignored'
      LEFT JOIN person p ON p.id = l.person_id
     WHERE d.run_id = :run
       AND (d.email_folded = ANY(:emails) OR d.afas_contact_id = ANY(:people) OR d.ref = ANY(:refs))
     ORDER BY d.pluvo_id, length(p.internal_id), p.internal_id
    """
)
_PEERS = text(
    """
    SELECT s.email_folded, s.internal_id, s.name, l.pluvo_id
      FROM snapshot_row s
      LEFT JOIN person p ON p.tenant_id = s.tenant_id AND p.internal_id = s.internal_id
      LEFT JOIN link l ON l.person_id = p.id
     WHERE s.run_id = :run AND s.row_state = 'present' AND s.email_folded = ANY(:emails)
       AND l.state IS DISTINCT FROM 'ignored'
     UNION
    SELECT p.email_folded, p.internal_id, p.name, l.pluvo_id
      FROM person p JOIN link l ON l.person_id = p.id AND l.state = 'linked' AND l.pluvo_id IS NOT NULL
     WHERE p.tenant_id = :tenant AND p.email_folded = ANY(:emails)
       AND NOT EXISTS (SELECT 1 FROM snapshot_row s WHERE s.run_id = :run AND s.internal_id = p.internal_id
                          AND s.row_state = 'present')
    """
)
_MOVES = text(
    f"""
    SELECT DISTINCT s.internal_id, h.internal_id AS holder, d.pluvo_id, lower(p.applied_email) AS old_email,
           s.email_folded AS new_email
    {
        _JOINED.replace(
            "WHERE",
            '''
    JOIN directory_user d ON d.run_id = s.run_id AND d.email_folded = s.email_folded AND d.pluvo_id <> l.pluvo_id
    LEFT JOIN link hl ON hl.tenant_id = s.tenant_id AND hl.pluvo_id = d.pluvo_id AND hl.state <> 'ignored'
    LEFT JOIN person h ON h.id = hl.person_id
    WHERE''',
        )
    }
       AND l.pluvo_id IS NOT NULL AND l.state <> 'ignored' AND s.email_folded <> lower(coalesce(p.applied_email, ''))
    """
)
_MOVERS = text(
    f"""
    SELECT DISTINCT s.internal_id {_JOINED} AND l.pluvo_id IS NOT NULL AND l.state <> 'ignored'
       AND p.applied_email IS NOT NULL AND s.email_folded <> lower(p.applied_email) AND s.internal_id = ANY(:people)
    """
)


@dataclass
class PersonFacts:
    """All rows of one person in this run, and everything known about them."""

    internal_id: str
    rows: list[Row[Any]]
    by_email: list[Candidate] = field(default_factory=list)
    by_afas_id: list[Candidate] = field(default_factory=list)
    by_ref: list[Candidate] = field(default_factory=list)
    peers: list[Peer] = field(default_factory=list)


class FactReader:
    """Reads facts of one run. ``courses`` are those whose snapshot may be used."""

    def __init__(self, connection: Connection, scope: Scope, courses: Sequence[int]) -> None:
        self.connection = connection
        self.base = {"run": scope.run_id, "courses": list(courses)}
        self.tenant_id = scope.tenant_id
        self.full = bool(scope.options.get("full"))

    def count_settled(self) -> int:
        """Rows that need nothing."""
        return 0 if self.full else self.connection.execute(_COUNT_SETTLED, self.base).scalar_one()

    def someone_unlinked(self) -> bool:
        """Whether anybody must be matched: then all of Pluvo's users are listed."""
        return bool(self.connection.execute(_UNLINKED, self.base).scalar_one())

    def new_addresses(self, limit: int) -> list[str]:
        """New addresses of linked people, at most ``limit``."""
        return list(self.connection.execute(_NEW_ADDRESSES, self.base | {"limit": limit}).scalars())

    def moves(self) -> Sequence[Row[Any]]:
        """Linked people whose new address another account holds."""
        return self.connection.execute(_MOVES, self.base).all()

    def movers(self, people: Sequence[str]) -> set[str]:
        """Which of these linked people give up their address in this run."""
        if not people:
            return set()
        return set(self.connection.execute(_MOVERS, self.base | {"people": list(people)}).scalars())

    def chunks(self, ref_of: Any) -> Iterator[list[PersonFacts]]:
        """People with work to do, some hundreds at a time. ``ref_of(internal_id)`` is our own ref in Pluvo."""
        after = ""
        while True:
            found = self.connection.execute(
                _PEOPLE, self.base | {"full": self.full, "after": after, "limit": CHUNK}
            ).scalars()
            people = list(found)
            if not people:
                return
            yield self._chunk(people, ref_of)
            after = people[-1]

    def _chunk(self, people: list[str], ref_of: Any) -> list[PersonFacts]:
        rows: dict[str, list[Row[Any]]] = defaultdict(list)
        for row in self.connection.execute(_ROWS, self.base | {"people": people}):
            rows[row.internal_id].append(row)
        emails = sorted({row.email_folded for found in rows.values() for row in found})
        refs = {ref_of(internal_id): internal_id for internal_id in people}
        facts = {internal_id: PersonFacts(internal_id, rows[internal_id]) for internal_id in people}
        by_email: dict[str, list[PersonFacts]] = defaultdict(list)
        for person in facts.values():
            by_email[person.rows[0].email_folded].append(person)
        self._add_candidates(facts, by_email, emails, refs)
        for peer in self.connection.execute(_PEERS, self.base | {"emails": emails, "tenant": self.tenant_id}):
            for person in by_email.get(peer.email_folded, []):
                if person.internal_id != peer.internal_id:
                    person.peers.append(Peer(peer.internal_id, peer.name, peer.pluvo_id))
        return list(facts.values())

    def _add_candidates(
        self,
        facts: dict[str, PersonFacts],
        by_email: dict[str, list[PersonFacts]],
        emails: list[str],
        refs: dict[str, str],
    ) -> None:
        seen: set[str] = set()
        values = self.base | {"emails": emails, "people": list(facts), "refs": list(refs)}
        for row in self.connection.execute(_CANDIDATES, values):
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
            )
            for person in by_email.get(row.email_folded, []):
                person.by_email.append(candidate)
            if row.afas_contact_id in facts:
                facts[row.afas_contact_id].by_afas_id.append(candidate)
            if row.ref in refs:
                facts[refs[row.ref]].by_ref.append(candidate)
