"""The questions that planning asks the database. They all start from the rows of this run that are present.

``:run``, ``:tenant``, ``:courses`` (ids of those whose snapshot may be used), ``:complete`` (of those whose snapshot is
complete), ``:people`` (internal ids).
"""

# ruff: noqa: S608  only constants of this file are put together

from __future__ import annotations

from sqlalchemy import text

from models.folding import SQL_FOLD_EMAIL

# The place Pluvo was asked for last is the one that is wanted: this account in this target.
IN_PLACE = "coalesce(e.told_account = l.pluvo_id AND e.told_target = c.target, false)"
# A row is settled when Pluvo was told exactly this, in this place, and nothing is open about it.
SETTLED = f"""
    coalesce(l.state = 'linked' AND l.pluvo_id IS NOT NULL AND e.state = 'enrolled' AND e.desired = 'enrolled'
             AND e.applied_version = e.version AND e.fingerprint = s.fingerprint AND NOT e.waiting
             AND NOT e.unsure AND {IN_PLACE}, false)
"""
JOINED = """
    FROM snapshot_row s
    JOIN course c ON c.id = s.course_id
    LEFT JOIN person p ON p.tenant_id = s.tenant_id AND p.internal_id = s.internal_id
    LEFT JOIN enrollment e ON e.person_id = p.id AND e.course_id = s.course_id
    LEFT JOIN link l ON l.person_id = p.id
   WHERE s.run_id = :run AND s.tenant_id = :tenant AND s.row_state = 'present' AND s.course_id = ANY(:courses)
"""
_UNLINKED = "NOT coalesce(l.state = 'ignored' OR (l.pluvo_id IS NOT NULL AND l.state <> 'ignored'), false)"
# Who has an account of which we are sure, whose address, as written, is not the one that was told (or none was).
_LINKED_ANEW = "l.pluvo_id IS NOT NULL AND l.state <> 'ignored' AND s.email IS DISTINCT FROM p.applied_email"
# One look at the whole listing, which says what else need not be looked for.
SURVEY = text(
    f"""
    SELECT count(*) FILTER (WHERE {SETTLED}) AS settled, count(*) - count(*) FILTER (WHERE {SETTLED}) AS open,
           coalesce(bool_or({_UNLINKED}), false) AS unlinked,
           coalesce(bool_or({_LINKED_ANEW}), false) AS readdressed
    {JOINED}
    """
)
NEWCOMERS = text(
    f"""
    SELECT DISTINCT s.email {JOINED} AND NOT {SETTLED} AND s.email IS NOT NULL
        AND {_UNLINKED}
     ORDER BY s.email
    """
)
# Name and address come from the primary row: of the lowest event, unless a still lower one of theirs could not
# be read this time: then what is stored stays.
_UNREAD_LOWER = """
    EXISTS (SELECT 1 FROM enrollment le JOIN course lc ON lc.id = le.course_id
             WHERE le.person_id = p.id AND lc.active AND le.state = 'enrolled' AND le.desired = 'enrolled'
               AND (length(lc.event_id), lc.event_id) < (length(c.event_id), c.event_id)
               AND (SELECT coalesce(bool_or(r.row_state = 'rejected'), NOT (lc.id = ANY(:complete)))
                      FROM snapshot_row r
                     WHERE r.run_id = :run AND r.course_id = lc.id AND r.internal_id = s.internal_id))
"""
PEOPLE = text(
    f"""
    SELECT DISTINCT s.internal_id COLLATE "C" AS internal_id {JOINED} AND (:full OR NOT {SETTLED}) ORDER BY 1
    """
)
ROWS = text(
    f"""
    SELECT s.internal_id, s.external_id, s.name, s.email, s.fingerprint, s.course_id, c.event_id,
           p.name AS stored_name, p.email AS stored_email, p.applied_name,
           p.applied_email, p.not_theirs, l.state AS link_state, l.pluvo_id, l.decision, l.archived,
           e.id AS enrollment_id, e.state, e.desired, e.version, e.applied_version, e.failed_code, e.failed_version,
           e.failed_settings, e.unsure,
           (SELECT re.refused_fingerprint FROM enrollment re
             WHERE re.person_id = p.id AND re.refused_fingerprint = s.fingerprint LIMIT 1) AS refused_fingerprint,
           e.fingerprint AS known_fingerprint,
           {SETTLED} AS settled, {IN_PLACE} AS in_place, e.told_account, e.waiting,
           {_UNREAD_LOWER} AS keeps_stored_contact
    {JOINED} AND s.internal_id = ANY(:people) ORDER BY s.internal_id, length(c.event_id), c.event_id, s.position
    """
)
CANDIDATES = text(
    """
    SELECT d.*, p.internal_id AS linked_to,
           EXISTS (SELECT 1 FROM link o WHERE o.tenant_id = ANY(:others) AND o.pluvo_id = d.pluvo_id
                      AND o.state <> 'ignored') AS elsewhere
      FROM directory_user d
      LEFT JOIN link l ON l.tenant_id = d.tenant_id AND l.pluvo_id = d.pluvo_id AND l.state <> 'ignored'
      LEFT JOIN person p ON p.id = l.person_id
     WHERE d.run_id = :run
       AND (d.email_folded = ANY(:emails) OR d.email_loose = ANY(:alike) OR d.afas_contact_id = ANY(:people)
            OR d.ref = ANY(:refs) OR d.pluvo_id = ANY(:accounts))
     ORDER BY d.pluvo_id, length(p.internal_id), p.internal_id
    """
)
# Who may go before somebody who must be matched, and has the same address: of those who are in this run, or linked
# before and not in it, the first two by id with an account and without (one of them may be that person). For everybody
# at once, since a snapshot has no index by address; and never all pairs, since a whole event may have one address.
PEERS = text(
    f"""
    WITH newcomer AS MATERIALIZED (
        SELECT s.internal_id, s.email_folded, p.email_folded AS stored_folded {JOINED} AND NOT {SETTLED}
           AND {_UNLINKED}),
    address AS MATERIALIZED (
        SELECT internal_id, email_folded FROM newcomer
         UNION
        SELECT internal_id, stored_folded FROM newcomer WHERE stored_folded IS NOT NULL),
    other AS (
        SELECT s.email_folded, s.internal_id, s.name, l.pluvo_id
          FROM (SELECT DISTINCT email_folded FROM address) a
          JOIN snapshot_row s ON s.run_id = :run AND s.tenant_id = :tenant AND s.row_state = 'present'
                             AND s.email_folded = a.email_folded
          LEFT JOIN person p ON p.tenant_id = s.tenant_id AND p.internal_id = s.internal_id
          LEFT JOIN link l ON l.person_id = p.id
         WHERE l.state IS DISTINCT FROM 'ignored'
         UNION
        SELECT p.email_folded, p.internal_id, p.name, l.pluvo_id
          FROM (SELECT DISTINCT email_folded FROM address) a
          JOIN person p ON p.tenant_id = :tenant AND p.email_folded = a.email_folded
          JOIN link l ON l.person_id = p.id AND l.state <> 'ignored' AND l.pluvo_id IS NOT NULL
         -- who left may have another address by now: their account says which
         WHERE (l.state <> 'left' OR EXISTS (SELECT 1 FROM directory_user d WHERE d.run_id = :run
                                                AND d.pluvo_id = l.pluvo_id AND d.email_folded = p.email_folded))
           AND NOT EXISTS (SELECT 1 FROM snapshot_row s WHERE s.run_id = :run AND s.internal_id = p.internal_id
                              AND s.row_state = 'present')),
    ranked AS (
        SELECT other.*, dense_rank() OVER (PARTITION BY email_folded, pluvo_id IS NULL
                                               ORDER BY length(internal_id), internal_id) AS place FROM other)
    SELECT a.internal_id COLLATE "C" AS whose, a.email_folded, r.internal_id, r.name, r.pluvo_id
      FROM address a JOIN ranked r ON r.email_folded = a.email_folded AND r.place <= 2
     WHERE r.internal_id <> a.internal_id
     ORDER BY whose
    """
)


def _moving(whom: str = "") -> str:
    """Linked people whose address has changed; ``whom`` narrows it to some of them."""
    return f"""
    WITH changed AS MATERIALIZED (SELECT DISTINCT s.internal_id {JOINED} AND {_LINKED_ANEW} {whom}),
    primary_row AS (
        SELECT DISTINCT ON (s.internal_id) s.internal_id, s.tenant_id, s.run_id, s.name, s.email, s.email_folded,
               p.applied_email, l.pluvo_id, {_UNREAD_LOWER} AS keeps_stored_contact
        {JOINED} AND l.pluvo_id IS NOT NULL AND l.state <> 'ignored'
           AND s.internal_id IN (SELECT internal_id FROM changed)
         ORDER BY s.internal_id, length(c.event_id), c.event_id, s.position),
    moving AS (
        SELECT * FROM primary_row
         WHERE email_folded <> {SQL_FOLD_EMAIL.format("coalesce(applied_email, '')")}
           AND NOT (keeps_stored_contact AND applied_email IS NOT NULL))
    """


NEW_ADDRESSES = text(f"{_moving()} SELECT DISTINCT email FROM moving WHERE applied_email IS NOT NULL LIMIT :limit")
# Accounts that an operator named and that were told nothing yet.
PRESET = text(
    f"""
    SELECT DISTINCT l.pluvo_id {JOINED} AND l.pluvo_id IS NOT NULL AND l.state <> 'ignored' AND p.applied_email IS NULL
     LIMIT :limit
    """
)
MOVERS = text(
    f"{_moving('AND s.internal_id = ANY(:people)')} SELECT internal_id FROM moving WHERE applied_email IS NOT NULL"
)
MOVES = text(
    f"""{_moving()}
    SELECT DISTINCT ON (m.internal_id) m.internal_id, h.internal_id AS holder
      FROM moving m
      JOIN directory_user d ON d.run_id = m.run_id AND d.email_folded = m.email_folded AND d.pluvo_id <> m.pluvo_id
      LEFT JOIN link hl ON hl.tenant_id = m.tenant_id AND hl.pluvo_id = d.pluvo_id AND hl.state <> 'ignored'
      LEFT JOIN person h ON h.id = hl.person_id
     ORDER BY m.internal_id, length(h.internal_id), h.internal_id
    """
)
# Two accounts can't get one address: the lowest id gets it.
RIVALS = text(
    f"""{_moving()}
    SELECT internal_id, winner, winner_name, winner_pluvo_id
      FROM (SELECT internal_id, pluvo_id, first_value(internal_id) OVER w AS winner,
                   first_value(name) OVER w AS winner_name, first_value(pluvo_id) OVER w AS winner_pluvo_id
              FROM moving WINDOW w AS (PARTITION BY email_folded ORDER BY length(internal_id), internal_id)) AS ranked
     WHERE winner_pluvo_id <> pluvo_id
    """
)
