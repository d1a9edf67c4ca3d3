"""Dates written back beside a script that makes the same calls; and once more with nothing to write."""

from __future__ import annotations

from benchmarks.bare import replay_afas, replay_pluvo
from benchmarks.flows import COURSE, Timed, tenant_of, timed_run
from benchmarks.system import System, system
from benchmarks.targets import Found
from models.direction import Direction
from simulators.sample_data.tenant import SampleTenant
from simulators.sample_data.tenants import world

# As an import of the tenants file does
MOST_CALLS = """
    UPDATE tenant SET settings_version = settings_version + 1, afas = afas || '{"parallel_calls": 5}'
"""


def measure(few: int, many: int) -> dict[str, Found]:
    """First so many finish, then so many more, then nobody."""
    tenant = tenant_of(few + many)
    with system() as made:
        made.fill(world((tenant,)), people_per_call=10)
        made.change(MOST_CALLS)
        timed_run(made, Direction.ENROLLMENTS)
        first, alone = _written(made, tenant, few, 1)
        second, eight = _written(made, tenant, many, 8)
        nothing = timed_run(made, Direction.COMPLETIONS)
        download = _bare(made, tenant, nothing, 1)
    return {
        "write-backs": Found(first.seconds / alone, f"{alone:.2f} s", first.result() | {"dates": few}),
        "write-backs-8": Found(second.seconds / eight, f"{eight:.2f} s", second.result() | {"dates": many}),
        "write-backs-none": Found(nothing.seconds / download, f"{download:.2f} s", nothing.result()),
    }


def _written(made: System, tenant: SampleTenant, people: int, threads: int) -> tuple[Timed, float]:
    made.pluvo.do(tenant.slug, "finish", title=COURSE.title, count=people, at="2026-06-30T22:30:00.000Z")
    before = made.afas.state()
    run = timed_run(made, Direction.COMPLETIONS)
    puts = sum(entry["method"] == "PUT" for entry in run.calls["afas"])
    if puts < people:
        raise AssertionError(f"{puts} of {people} dates were written: {run.document['outcomes']}")
    after = made.afas.state()
    made.afas.replace(before)
    bare = _bare(made, tenant, run, threads)
    made.afas.replace(after)
    return run, bare


def _bare(made: System, tenant: SampleTenant, run: Timed, threads: int) -> float:
    """Read the report one page after the other; write in so many threads."""
    reading = replay_pluvo(made.pluvo_url, tenant, run.calls["pluvo"])
    return reading + replay_afas(made.afas_url, tenant, run.calls["afas"], threads)
