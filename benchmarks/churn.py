"""Does the ledger stay as small and quick as it was, through very many messages?

    .venv/bin/python -m benchmarks.churn [--messages 1000000] [--seconds 300] [--backlog 5000]

Sends messages through the very statements of enqueue, relay, claim and settle, on a PostgreSQL of its own with its
autovacuum, and without Python's and Redis's part: thousands a second, so it is harder on the tables than a real day.
Prints one line now and then: how large ``message`` is with its indexes, and what a tick of the relay and a claim read.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from migrations.run import upgrade
from models import ledger
from ops.servers.embedded import start_postgres
from workers.relay import statements as sql
from workers.relay.leader import PLANS

TENANTS, AT_ONCE, SAMPLES = 10, 48, 20
_NAME = re.compile(r"(?<![:\\\w]):(\w+)(?!:)|%\((\w+)\)s")
# Each statement is a transaction of its own, as it is in the relay and the workers. (A loop of PostgreSQL's own: the
# way to Python and back would take ten times as long.)
_CHURN = """
CREATE PROCEDURE bench_churn(v_tenants bigint[], v_messages int, v_backlog int) LANGUAGE plpgsql AS $procedure$
DECLARE
    v_directions text[] := array_fill('enrollments'::text, ARRAY[cardinality(v_tenants)]);
    v_kinds text[] := array_fill('bench.noop'::text, ARRAY[cardinality(v_tenants)]);
    v_priorities smallint[] := array_fill(5::smallint, ARRAY[cardinality(v_tenants)]);
    v_rooms int[] := array_fill({room}, ARRAY[cardinality(v_tenants)]);
    v_lease int := 180;
    v_worker text := 'bench:1:a';
    v_kind text := 'bench.noop';
    v_why text := 'done';
    v_left int := v_messages;
    v_waiting int;
    v_next bigint;
    v_rows jsonb;
    v_row record;
    v_out bigint[];
    v_id bigint;
    v_subject bigint;
    v_tenant bigint;
    v_delivery int := 1;
BEGIN
    SELECT count(*), coalesce(max(subject_id), 0) + 1 INTO v_waiting, v_next FROM message;
    WHILE v_left > 0 LOOP
        IF v_waiting < v_backlog THEN
            SELECT jsonb_agg(jsonb_build_object(
                       'tenant_id', v_tenants[1 + s % cardinality(v_tenants)], 'kind', 'bench.noop', 'direction',
                       'enrollments', 'subject_id', s, 'lock', 'account:' || s, 'version', 1, 'priority', 5,
                       'full', false)) INTO v_rows FROM generate_series(v_next, v_next + 999) s;
            v_next := v_next + 1000;
            v_waiting := v_waiting + 1000;
            {enqueue}; COMMIT;
        END IF;
        {in_flight}; {lanes}; {hand_out}; COMMIT;
        SELECT array_agg(id ORDER BY id) INTO v_out FROM message WHERE state = 'sent';
        FOREACH v_id IN ARRAY v_out LOOP
            SELECT tenant_id, subject_id INTO v_tenant, v_subject FROM message WHERE id = v_id;
            {claim}; COMMIT;
        END LOOP;
        FOREACH v_id IN ARRAY v_out LOOP
            SELECT tenant_id, subject_id INTO v_tenant, v_subject FROM message WHERE id = v_id;
            {settle}; COMMIT;
        END LOOP;
        v_left := v_left - cardinality(v_out);
        v_waiting := v_waiting - cardinality(v_out);
    END LOOP;
END $procedure$
"""


@dataclass(frozen=True)
class Sample:
    """After ``messages``: size in bytes; blocks read and milliseconds of the server, of a tick and of one claim."""

    messages: int
    size: int
    tick_blocks: int
    tick_ms: float
    claim_blocks: int
    claim_ms: float
    hot_share: float


def churn(url: str, messages: int, seconds: float, backlog: int) -> Iterator[Sample]:
    """Put so many messages through the ledger, or what the time allows, with ``backlog`` waiting all the while."""
    with psycopg.connect(url, autocommit=True, options=PLANS) as connection:
        connection.execute("SET synchronous_commit = off")
        tenants = [_tenant(connection, number) for number in range(TENANTS)]
        statements = {"enqueue": ledger._ENQUEUE.text, "claim": ledger._CLAIM.text, "settle": ledger._SETTLE.text}
        statements |= {"in_flight": sql.IN_FLIGHT, "lanes": sql.READY_LANES, "hand_out": sql.CLAIM}
        made = {name: _executed(statement) for name, statement in statements.items()}
        connection.execute(_CHURN.format(room=AT_ONCE // TENANTS + 1, **made).encode())
        began, done = time.monotonic(), 0
        call = "CALL bench_churn(%s::bigint[], %s, %s)"
        connection.execute(call, [tenants, backlog, backlog])
        while done < messages and time.monotonic() - began < seconds:
            yield _sample(connection, done, tenants)
            connection.execute(call, [tenants, messages // SAMPLES, backlog])
            done += messages // SAMPLES
        yield _sample(connection, done, tenants)


def _executed(statement: str) -> str:
    """As PL/pgSQL runs it: each name is the variable ``v_…``."""
    names: list[str] = []

    def number(match: re.Match[str]) -> str:
        name = match[1] or match[2]
        if name not in names:
            names.append(name)
        return f"${names.index(name) + 1}"

    text = _NAME.sub(number, statement).replace("\\:", ":")
    return f"EXECUTE $q${text}$q$" + (f" USING {', '.join(f'v_{name}' for name in names)}" if names else "")


def _tenant(connection: psycopg.Connection[Any], number: int) -> int:
    found = connection.execute(
        """INSERT INTO tenant (slug, name, timezone, interval_seconds, afas, pluvo)
           VALUES (%(slug)s, %(slug)s, 'UTC', 3600, '{"member_id": "1"}', '{"organisation": "acme"}') RETURNING id""",
        {"slug": f"t{number}"},
    ).fetchone()
    return int(found[0]) if found else 0


def _sample(connection: psycopg.Connection[Any], done: int, tenants: list[int]) -> Sample:
    """What a tick and a claim cost now; both are undone."""
    lanes = {"tenants": tenants, "directions": ["enrollments"] * TENANTS, "kinds": ["bench.noop"] * TENANTS}
    quota = lanes | {"priorities": [5] * TENANTS, "rooms": [AT_ONCE // TENANTS + 1] * TENANTS, "lease": 180}
    tick = [_cost(connection, statement, quota) for statement in (sql.IN_FLIGHT, sql.READY_LANES, sql.CLAIM)]
    with connection.transaction(force_rollback=True):
        out = connection.execute(sql.CLAIM, quota).fetchall()[0]
        claim = {"id": out[0], "tenant": out[1], "kind": out[2], "delivery": out[4], "worker": "a", "lease": 180}
        named = _NAME.sub(r"%(\1)s", ledger._CLAIM.text)
        blocks, milliseconds = _cost(connection, named, claim)
    size, hot = connection.execute(
        """SELECT pg_total_relation_size('message'), n_tup_hot_upd / greatest(n_tup_upd, 1)::float
             FROM pg_stat_user_tables WHERE relname = 'message'"""
    ).fetchone() or (0, 0.0)
    return Sample(
        done, size, sum(one[0] for one in tick), sum(one[1] for one in tick), blocks, milliseconds, round(hot, 2)
    )


def _cost(connection: psycopg.Connection[Any], statement: str, names: dict[str, Any]) -> tuple[int, float]:
    """Blocks and milliseconds, the best of five: the machine may be busy."""
    found = []
    for _ in range(5):
        with connection.transaction(force_rollback=True):
            row = connection.execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement}".encode(), names).fetchone()
            plan = row[0][0] if row else {}
            blocks = plan["Plan"]["Shared Hit Blocks"] + plan["Plan"]["Shared Read Blocks"]
            found.append((blocks, plan["Execution Time"]))
    return min(one[0] for one in found), min(one[1] for one in found)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("messages", 1_000_000), ("seconds", 300), ("backlog", 5_000)):
        parser.add_argument(f"--{name}", type=int, default=default)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="koppeling-bench-") as home:
        server = start_postgres(Path(home))
        try:
            upgrade(server.url)
            sys.stdout.write("messages  size MB  tick blocks  ms  claim blocks  ms  updates in place\n")
            for one in churn(server.url, given.messages, given.seconds, given.backlog):
                sys.stdout.write(
                    f"{one.messages:8d} {one.size / 1e6:8.1f} {one.tick_blocks:12d} {one.tick_ms:5.2f}"
                    f" {one.claim_blocks:9d} {one.claim_ms:6.3f} {one.hot_share:8.2f}\n"
                )
                sys.stdout.flush()
        finally:
            server.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
