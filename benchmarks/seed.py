"""A database as it is after years, to look at plans and sizes: a thousand tenants, a million enrollments.

    .venv/bin/python -m benchmarks.seed HOME [--scale 1.0]

Fills the database below ``HOME`` (embedded PostgreSQL, made and migrated if need be), which is for nothing else. One
tenant has a tenth of everybody. Nobody in it exists; all of it is set-based SQL.
"""

# ruff: noqa: S608  constants only

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import psycopg

from migrations.run import upgrade
from ops.servers.embedded import start_postgres


@dataclass(frozen=True)
class Sizes:
    """How many rows; there are half as many people as enrollments, and a plan line and a change for each.

    ``reading``: tenants of which AFAS and Pluvo were just read. ``applying``: runs that are not over.
    """

    tenants: int = 1_000
    enrollments: int = 1_000_000
    runs: int = 40_000
    open_dead_letters: int = 10_000
    closed_dead_letters: int = 40_000
    held_lines: int = 10_000
    messages: int = 20_000
    webhooks: int = 100_000
    applying: int = 50
    reading: int = 20

    @classmethod
    def of(cls, scale: float) -> Self:
        """All of them so many times as large."""
        return cls(**{name: max(10, int(size * scale)) for name, size in asdict(cls()).items()})


# Of run, hold and dead letter ``n``: they sort like real ones, and before them.
_ULID = "'01J' || lpad((n)::text, 23, '0')"


def _ulid(number: str) -> str:
    return _ULID.replace("(n)", f"({number})")


# Each statement makes rows from numbers; ``%(…)s`` are the sizes. What has to fit together is computed alike.
_TENANT_OF_PERSON = "CASE WHEN p %% 10 = 0 THEN 1 ELSE 1 + (p / 10) %% %(tenants)s END"
# A run of a tenant, the same for all lines of the same enrollment.
_RUN_OF = f"""{_ulid("e.tenant_id + %(tenants)s * (e.id %% (%(runs)s / %(tenants)s))")}"""
# Its newest run.
_READING = _ulid("%(runs)s - %(tenants)s + p.tenant_id")
_STATEMENTS = (
    """INSERT INTO tenant (id, slug, name, timezone, interval_seconds, afas, pluvo, removals, envid, first_complete_at)
       SELECT n, 'tenant-' || n, 'Tenant ' || n, 'Europe/Amsterdam', 3600,
              jsonb_build_object('member_id', (10000 + n)::text, 'client_id', 'koppeling'),
              jsonb_build_object('organisation', 'org-' || n, 'client_id', 'koppeling'),
              '{"policy": "unenroll"}', 'env-' || n, now()
         FROM generate_series(1, %(tenants)s) n""",
    """INSERT INTO tenant_direction (tenant_id, direction, state, next_run_at)
       SELECT n, d, CASE WHEN n %% 200 = 0 THEN 'paused' ELSE 'healthy' END, now() + n * interval '3 seconds'
         FROM generate_series(1, %(tenants)s) n, unnest(ARRAY['enrollments', 'completions']) d""",
    """INSERT INTO course (id, tenant_id, event_id, getconnector, updateconnector, fields, pluvo, base_rows, base_at)
       SELECT n, (n + 9) / 10, (100 + n %% 10)::text, 'Pluvo_Deelnemers', 'KnCourseMember',
              '{"event_id": "CrId", "internal_id": "Intern_ID", "external_id": "Extern_ID", "name": "Naam",
                "email_primary": "Email_werk", "completion": "Voltooid_op"}',
              jsonb_build_object('offer_event_ref', 'e' || n), 100, now()
         FROM generate_series(1, 10 * %(tenants)s) n""",
    f"""INSERT INTO person (id, tenant_id, internal_id, external_id, name, email, email_folded, version,
                            applied_version, applied_name, applied_email, seen_at)
       SELECT p, {_TENANT_OF_PERSON}, p, 'x' || p, 'Person ' || p, 'person' || p || '@example.com',
              'person' || p || '@example.com', 1, 1, 'Person ' || p, 'person' || p || '@example.com', now()
         FROM generate_series(1, %(people)s) p""",
    """INSERT INTO link (tenant_id, person_id, pluvo_id, ref, state, linked_by, created_by_us)
       SELECT tenant_id, id, md5('account' || id)::uuid::text, 'afas:' || tenant_id || ':' || internal_id,
              CASE WHEN id %% 1000 = 5 THEN 'ambiguous' WHEN id %% 1000 = 6 THEN 'ignored'
                   WHEN id %% 50 = 7 THEN 'left' ELSE 'linked' END, 'created', true FROM person ORDER BY id""",
    """INSERT INTO enrollment (id, tenant_id, person_id, course_id, external_id, fingerprint, version, applied_version,
                               state, told_account, told_target, told_target_id, outcome, seen_at)
       SELECT e, p.tenant_id, p.id, c.id, p.external_id, md5('content' || p.id), 1, 1, 'enrolled', l.pluvo_id, c.target,
              'id-' || c.id, 'unchanged', now()
         FROM generate_series(1, %(enrollments)s) e JOIN person p ON p.id = (e + 1) / 2
         JOIN link l ON l.person_id = p.id
         JOIN course c ON c.id = (p.tenant_id - 1) * 10 + 1 + (e %% 2) * 5 + (p.id / 10) %% 5 ORDER BY e""",
    f"""INSERT INTO run (id, batch, tenant_id, direction, trigger, status, snapshot, rows, outcomes, created_at,
                         started_at, finished_at)
       SELECT {_ULID}, {_ulid("n / 10")}, 1 + (n - 1) %% %(tenants)s,
              CASE WHEN n / %(tenants)s %% 2 = 0 THEN 'enrollments' ELSE 'completions' END, 'schedule',
              CASE WHEN n > %(runs)s - %(applying)s THEN 'applying' WHEN n %% 500 = 1 THEN 'failed'
                   WHEN n %% 500 = 2 THEN 'dry_run' WHEN n %% 50 = 3 THEN 'done_with_holds' ELSE 'done' END, 'complete',
              100, '{{"unchanged": 98, "created": 2}}', at, at, at + interval '9 seconds'
         FROM (SELECT n, now() - (%(runs)s - n) * interval '1 minute' AS at FROM generate_series(1, %(runs)s) n) n""",
    """INSERT INTO batch (id, direction, started_by, created_at)
       SELECT batch, min(direction), 'operator', min(created_at) FROM run GROUP BY batch""",
    """INSERT INTO batch_tenant (batch, tenant_id, run_id)
       SELECT batch, tenant_id, min(id) FROM run GROUP BY batch, tenant_id""",
    f"""INSERT INTO plan_line (id, run_id, tenant_id, course_id, enrollment_id, event_id, internal_id, action, kind,
                               outcome, after, calls, created_at, settled_at)
       SELECT e.id, {_RUN_OF}, e.tenant_id, e.course_id, e.id, c.event_id, p.internal_id,
              CASE WHEN e.id %% 50 = 0 THEN 'unenroll' WHEN e.id %% 2 = 0 THEN 'enroll' ELSE 'create' END,
              CASE WHEN e.id %% 50 = 0 THEN 'removal' WHEN e.id %% 2 = 1 THEN 'create' END,
              CASE WHEN e.id %% 50 = 0 THEN 'removed' ELSE 'created' END,
              jsonb_build_object('name', p.name, 'email', p.email), 2, now() - e.id * interval '2 seconds', now()
         FROM enrollment e JOIN person p ON p.id = e.person_id JOIN course c ON c.id = e.course_id ORDER BY e.id""",
    f"""INSERT INTO change (tenant_id, run_id, message_id, system, operation, internal_id, event_id, pluvo_id, result,
                            after, seconds, at)
       SELECT e.tenant_id, {_RUN_OF}, e.id, 'pluvo', 'create', p.internal_id, c.event_id, e.told_account, 'done',
              jsonb_build_object('name', p.name, 'email', p.email), 0.2, now() - e.id * interval '2 seconds'
         FROM enrollment e JOIN person p ON p.id = e.person_id JOIN course c ON c.id = e.course_id ORDER BY e.id""",
    """INSERT INTO completion (id, tenant_id, course_id, subject, internal_id, enrollment_id, pluvo_id, field, level,
                               title, completed_on, state)
       SELECT e.id, e.tenant_id, e.course_id, 'person:' || p.internal_id, p.internal_id, e.id, e.told_account,
              'Voltooid', 'training', 'Training', '2026-06-30',
              CASE e.id / 5 %% 500 WHEN 0 THEN 'conflict' WHEN 1 THEN 'orphan' WHEN 2 THEN 'failed' ELSE 'verified' END
         FROM enrollment e JOIN person p ON p.id = e.person_id WHERE e.id %% 5 = 0""",
    """INSERT INTO webhook_event (id, tenant_id, body_sha256, event, pluvo_id, received_at, handled_at, outcome)
       SELECT l.id, l.tenant_id, sha256(l.pluvo_id::bytea), 'TRAINING_FINISHED', l.pluvo_id,
              now() - l.id * interval '5 seconds', now(), 'done'
         FROM link l WHERE l.id <= %(webhooks)s""",
    """INSERT INTO hold (id, tenant_id, run_id, guard, event_id, state, plan_hash, expires_at)
       SELECT DISTINCT ON (l.run_id) l.run_id, l.tenant_id, l.run_id, 'removals_event', l.event_id,
              CASE WHEN l.id <= %(held_lines)s * 41 THEN 'open' ELSE 'released' END, 'hash', now() + interval '14 days'
         FROM plan_line l WHERE l.id %% 41 = 0 AND l.id <= %(held_lines)s * 50 ORDER BY l.run_id, l.id""",
    """INSERT INTO hold_line (hold_id, tenant_id, enrollment_id, plan_line_id, event_id, internal_id, action, state)
       SELECT h.id, h.tenant_id, l.enrollment_id, l.id, l.event_id, l.internal_id, 'unenroll', h.state
         FROM plan_line l JOIN hold h ON h.run_id = l.run_id
        WHERE l.id %% 41 = 0 AND l.id <= %(held_lines)s * 50""",
    """UPDATE plan_line l SET outcome = 'held', hold_id = h.id, settled_at = NULL
         FROM hold h WHERE h.run_id = l.run_id AND l.id %% 41 = 0 AND l.id <= %(held_lines)s * 41
                       AND h.state = 'open'""",
    f"""INSERT INTO dead_letter (id, tenant_id, kind, direction, subject_id, run_id, internal_id, event_id, error,
                                 message, fingerprint, code_version, state, history, last_call, attempts,
                                 first_failed_at, last_failed_at, closed_at)
       SELECT {_ULID}, e.tenant_id, CASE WHEN n %% 4 = 0 THEN 'completion.write_back' ELSE 'enrollment.upsert' END,
              CASE WHEN n %% 4 = 0 THEN 'completions' ELSE 'enrollments' END, e.id, {_RUN_OF}, p.internal_id,
              c.event_id, (ARRAY['timeout', 'server_error', 'invalid_email', 'no_answer'])[1 + n %% 4],
              'Pluvo did not answer in 30 seconds', md5('fault' || n %% 40), '0.1.0/1',
              CASE WHEN n %% (1 + %(closed_dead_letters)s / %(open_dead_letters)s) = 0 THEN 'open'
                   WHEN n %% 3 = 0 THEN 'discarded' ELSE 'replayed' END,
              jsonb_build_array(jsonb_build_object('at', now(), 'code', 'timeout', 'text', repeat('no answer ', 20))),
              jsonb_build_object('operation', 'createUser', 'answer', repeat('nothing ', 40)), 8, at, at,
              CASE WHEN n %% (1 + %(closed_dead_letters)s / %(open_dead_letters)s) > 0 THEN now() END
         FROM (SELECT n, now() - (%(all_dead)s - n) * interval '1 minute' AS at
                 FROM generate_series(1, %(all_dead)s) n) n
         JOIN enrollment e ON e.id = 5 * n JOIN person p ON p.id = e.person_id JOIN course c ON c.id = e.course_id
        ORDER BY n""",
    f"""INSERT INTO message (tenant_id, kind, direction, subject_id, lock, version, run_id, plan_line_id, state, run_at,
                             deliveries, sent_at, lease_until)
       SELECT e.tenant_id, 'enrollment.upsert', 'enrollments', e.id, 'account:' || e.told_account, 1, {_RUN_OF}, e.id,
              CASE WHEN n <= 32 THEN 'sent' WHEN n %% 20 = 0 THEN 'scheduled' ELSE 'ready' END,
              now() + CASE WHEN n %% 20 = 0 THEN interval '1 hour' ELSE interval '0' END, (n <= 32)::int,
              CASE WHEN n <= 32 THEN now() END, CASE WHEN n <= 32 THEN now() + interval '3 minutes' END
         FROM generate_series(1, %(messages)s) n
         JOIN enrollment e ON e.id = n * (%(enrollments)s / (%(messages)s + 1)) ORDER BY n""",
    """UPDATE enrollment e SET version = 2, outcome = 'pending' FROM message m WHERE m.subject_id = e.id""",
    # What runs have just read, and everybody in those tenants' Pluvo.
    f"""INSERT INTO snapshot_row (run_id, tenant_id, course_id, position, internal_id, external_id, name, email,
                                  email_folded, row_state, fingerprint)
       SELECT {_READING}, e.tenant_id, e.course_id,
              row_number() OVER (PARTITION BY e.course_id ORDER BY e.id), p.internal_id, p.external_id, p.name, p.email,
              p.email_folded, 'present', e.fingerprint
         FROM enrollment e JOIN person p ON p.id = e.person_id WHERE e.tenant_id <= %(reading)s""",
    f"""INSERT INTO directory_user (run_id, tenant_id, pluvo_id, ref, email, email_folded, email_loose, name)
       SELECT {_READING}, p.tenant_id, l.pluvo_id, l.ref, p.email, p.email_folded, p.email_folded, p.name
         FROM person p JOIN link l ON l.person_id = p.id WHERE p.tenant_id <= %(reading)s""",
    """INSERT INTO operator_action (tenant_id, who, verb, subject, reason)
       SELECT 1 + n %% %(tenants)s, 'operator', 'links decide', n, 'asked' FROM generate_series(1, %(runs)s) n""",
    """INSERT INTO alert (tenant_id, kind, subject, text, closed_at)
       SELECT 1 + n %% %(tenants)s, 'quarantine', n, 'AFAS refused the token', CASE WHEN n %% 100 > 0 THEN now() END
         FROM generate_series(1, %(tenants)s) n""",
)
_COUNTED = ("tenant", "course", "person", "enrollment", "plan_line", "completion", "webhook_event")
_SEQUENCE = "SELECT setval(pg_get_serial_sequence('{table}', 'id'), greatest((SELECT max(id) FROM {table}), 1))"


def seed(connection: psycopg.Connection[Any], sizes: Sizes) -> None:
    """Fill an empty database. ``connection`` is in autocommit: at its end the tables are vacuumed and analyzed."""
    values = asdict(sizes) | {
        "people": (sizes.enrollments + 1) // 2,
        "all_dead": sizes.open_dead_letters + sizes.closed_dead_letters,
    }
    # Large sorts and joins, once.
    connection.execute("SET work_mem = '128MB'")
    connection.execute("SET synchronous_commit = off")
    for statement in _STATEMENTS:
        # With the values in it: of $1 PostgreSQL could not tell the type everywhere.
        with psycopg.ClientCursor(connection) as cursor:
            cursor.execute(statement, values)
        table = statement.split()[2] if statement.startswith("INSERT") else "message"
        connection.execute(f"ANALYZE {table}".encode())  # the next one joins what this one made
    for table in _COUNTED:
        connection.execute(_SEQUENCE.format(table=table).encode())
    connection.execute("VACUUM ANALYZE")
    for name in ("work_mem", "synchronous_commit"):
        connection.execute(f"RESET {name}".encode())


def main() -> int:
    """Fill the database below a folder and say how to reach it while it is up, which is until Enter."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("home", type=Path)
    parser.add_argument("--scale", type=float, default=1.0, help="1: a million enrollments of a thousand tenants")
    given = parser.parse_args()
    server = start_postgres(given.home)
    try:
        upgrade(server.url)
        began = time.monotonic()
        with psycopg.connect(server.url, autocommit=True) as connection:
            if not connection.execute("SELECT 1 FROM tenant LIMIT 1").fetchone():
                seed(connection, Sizes.of(given.scale))
        sys.stdout.write(f"{time.monotonic() - began:.0f} s; Enter ends it\n{server.url}\n")
        sys.stdout.flush()
        sys.stdin.readline()
    finally:
        server.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
