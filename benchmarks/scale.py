"""A tenant of 100,000 rows with twenty small ones: who waits for whom, an unchanged run, and how much memory."""

from __future__ import annotations

import time
from typing import Any

from benchmarks.bare import replay_afas, replay_pluvo
from benchmarks.cost import command_memory, peak_memory
from benchmarks.flows import tenant_of, timed_run
from benchmarks.system import System, system, wait_until
from benchmarks.targets import Found
from models.direction import Direction
from ops.runs import start
from simulators.sample_data.tenants import many_tenants, world

SMALL_TENANTS, SMALL_PEOPLE = 20, 20


def unchanged(rows: int) -> dict[str, Found]:
    """A run that finds nothing to do, beside a script that downloads and parses the same pages."""
    with system() as made:
        waits = fairness(made, rows)
        pretend_applied(made)
        run = timed_run(made, Direction.ENROLLMENTS)
        if run.document["outcomes"]["unchanged"] != rows:
            raise AssertionError(f"not all of {rows} rows are unchanged: {run.document['outcomes']}")
        tenant = tenant_of(rows)
        bare = replay_afas(made.afas_url, tenant, run.calls["afas"])
        bare += replay_pluvo(made.pluvo_url, tenant, run.calls["pluvo"]) if run.calls["pluvo"] else 0.0
        more = run.result() | {"fairness": waits, "memory": memory(made)}
    return {"unchanged": Found(run.seconds / bare, f"{bare:.1f} s", more)}


def fairness(made: System, rows: int) -> dict[str, Any]:
    """First sync of everyone at once: how long the small tenants wait for their start, and for their end."""
    made.fill(world((tenant_of(rows), *many_tenants(SMALL_TENANTS, SMALL_PEOPLE))))
    started = start.start(Direction.ENROLLMENTS, [], everyone=True, options={}, need_worker=True)
    small = "SELECT r.id FROM run r JOIN tenant t ON t.id = r.tenant_id WHERE t.slug <> 'bench' AND r.id = ANY(:ids)"
    ids = [row["id"] for row in made.rows(small, ids=started.run_ids)]
    over = "SELECT count(*) FILTER (WHERE finished_at IS NULL) AS left FROM run WHERE id = ANY(:ids)"
    if not wait_until(lambda: made.rows(over, ids=ids)[0]["left"] == 0, 600):
        raise TimeoutError("the small tenants were not done in 10 minutes")
    waits = made.rows(
        "SELECT extract(epoch FROM started_at - created_at)::float AS start,"
        " extract(epoch FROM finished_at - created_at)::float AS finish FROM run WHERE id = ANY(:ids)",
        ids=ids,
    )
    return {
        "rows_of_the_big_one": rows,
        "small_tenants": len(waits),
        "last_small_one_started_after_seconds": round(max(row["start"] for row in waits), 2),
        "last_small_one_done_after_seconds": round(max(row["finish"] for row in waits), 2),
    }


def pretend_applied(made: System) -> None:
    """Wait until the big tenant's plan is in the ledger, and mark it as applied: creating 100,000 accounts takes long
    and measures nothing new."""
    find = "SELECT r.id, r.status FROM run r JOIN tenant t ON t.id = r.tenant_id WHERE t.slug = 'bench' ORDER BY r.id"
    if not wait_until(lambda: made.rows(find)[-1]["status"] == "applying", 900, pause=0.5):
        raise TimeoutError("the big tenant was not planned in 15 minutes")
    run = str(made.rows(find)[-1]["id"])
    code, said = made.run("runs", "stop", run)
    if not wait_until(
        lambda: made.rows("SELECT status FROM run WHERE id = :run", run=run)[0]["status"] == "stopped", 60
    ):
        raise TimeoutError(f"the big tenant's run did not stop: `runs stop` ended with {code}, {said}")
    time.sleep(5)  # calls that were under way end
    tenant = made.rows("SELECT id FROM tenant WHERE slug = 'bench'")[0]["id"]
    made.change("DELETE FROM message WHERE tenant_id = :tenant", tenant=tenant)
    made.change(
        "INSERT INTO link (tenant_id, person_id, pluvo_id, ref, state, linked_by, created_by_us)"
        " SELECT tenant_id, id, gen_random_uuid()::text, 'afas:' || internal_id, 'linked', 'created', true FROM person"
        " WHERE tenant_id = :tenant ON CONFLICT (person_id) DO NOTHING",
        tenant=tenant,
    )
    made.change(
        "UPDATE person SET applied_name = name, applied_email = email, applied_version = version, match = NULL,"
        " intent_at = NULL WHERE tenant_id = :tenant",
        tenant=tenant,
    )
    made.change(
        "UPDATE enrollment e SET state = 'enrolled', applied_version = e.version, outcome = 'created', reason = NULL,"
        " told_account = l.pluvo_id, told_target = c.target FROM link l, course c"
        " WHERE e.tenant_id = :tenant AND l.person_id = e.person_id AND c.id = e.course_id",
        tenant=tenant,
    )


def memory(made: System) -> dict[str, Any]:
    """Memory of an unchanged run in a worker, and of a dry run in the command; tenant ``bench`` is in step."""
    with peak_memory(made.workers()) as used:
        begun = time.perf_counter()
        started = start.start(Direction.ENROLLMENTS, ["bench"], everyone=False, options={}, need_worker=True)
        if not wait_until(lambda: start.wait(started, 0), 900, pause=0.1):
            raise TimeoutError("the unchanged run was not over in 15 minutes")
        seconds = round(time.perf_counter() - begun, 2)
    run = start.document(started)["runs"][0]
    code, dry = command_memory("sync", "bench", "--dry-run", "--json")
    base = command_memory("status", "--json")[1]
    return {
        "rows": run["rows"],
        "unchanged": run["outcomes"]["unchanged"],
        "seconds": seconds,
        "calls": run["calls"],
        "worker_mb": used,
        "dry_run_mb": dry,
        "dry_run_exit": code,
        "small_command_mb": base,
    }
