"""What happens in the demo, act by act. Runs are started and waited for exactly as the commands do."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from models.direction import Direction
from ops.dead_letters import inbox, replay_batch
from ops.dead_letters.inbox import Filters
from ops.demo import narration
from ops.demo.setup import Setup
from ops.demo.tenant_script import TenantScript
from ops.documents import Batch, RunDocument, Watched
from ops.listing import Row
from ops.problems import Problem
from ops.runs import history, start
from ops.terminal.progress import RunProgress

BATCH_SECONDS = 120.0
REFUSES = "acme"
SUMMED = {Direction.ENROLLMENTS: ("created", "linked", "updated"), Direction.COMPLETIONS: ("written",)}


@dataclass
class Demo:
    """What was done so far, for the table and the assertions at the end."""

    setup: Setup
    scripts: dict[str, TenantScript] = field(default_factory=dict)
    run_ids: list[str] = field(default_factory=list)
    last: dict[Direction, Batch] = field(default_factory=dict)
    """The last batch of each direction; that of enrollments found nothing changed."""
    quiet_pluvo_calls: int = 0
    replayed: Counter[str] = field(default_factory=Counter)
    """What became of the dead letters: done, failed …"""

    def __post_init__(self) -> None:
        world = self.setup.world
        self.scripts = {tenant.slug: TenantScript(world, tenant) for tenant in world.tenants}

    def run_batch(self, direction: Direction) -> None:
        """Run one direction for all tenants and wait for it, with a progress bar where there is a terminal."""
        started = start.start(direction, [], everyone=True, options={}, need_worker=True)
        with RunProgress() as progress:

            def watch(found: list[Watched]) -> None:
                self.setup.must_run()
                progress.update(found)

            over = start.wait(started, BATCH_SECONDS, watch)
        document = start.document(started)
        narration.batch(document)
        if not over:
            raise Problem("demo_batch", direction=direction, seconds=round(BATCH_SECONDS))
        self.run_ids += [run["run"] for run in document["runs"] if run["run"]]
        self.last[direction] = document

    def all_runs(self) -> list[RunDocument]:
        """Every run, counted anew: a replayed line has its final outcome by now."""
        return history.by_ids(self.run_ids)

    def open_dead_letters(self) -> list[Row]:
        """Dead letters that are open."""
        return inbox.listing(Filters(state="open")).items

    def totals(self) -> dict[str, Counter[str]]:
        """The closing table's numbers per tenant."""
        found = {slug: Counter[str]() for slug in self.scripts}
        for run in self.all_runs():
            mine = found[run["tenant"]]
            mine.update({name: run["outcomes"][name] for name in SUMMED[Direction(run["direction"])]})
            mine["removed"] += run["removed"]
        for run in self.last[Direction.ENROLLMENTS]["runs"]:
            found[run["tenant"]]["rejected"] = run["outcomes"]["rejected"]
        for run in self.last[Direction.COMPLETIONS]["runs"]:
            found[run["tenant"]].update({name: run["outcomes"][name] for name in ("verified", "conflict")})
        found[REFUSES]["replayed"] = self.replayed["done"]
        for letter in self.open_dead_letters():
            found[letter["tenant"]]["dead"] += 1
        for slug, script in self.scripts.items():
            found[slug]["people"] = len({row.internal_id for row in script.afas.rows.values()})
        return found


def run_acts(demo: Demo) -> None:
    """The whole demo, from importing the tenants to the run that finds nothing to do."""
    narration.act(
        "koppeling demo: three customers, none of them real",
        f"PostgreSQL, Valkey, two worker processes and the web server run: {demo.setup.address}",
        "AFAS and Pluvo are stand-ins that answer like the real ones. Nothing leaves this machine.",
        "The demo starts each run itself. The timetable is kept once it is through, where --keep leaves it running.",
    )
    for done in demo.setup.import_tenants():
        script = demo.scripts[done.slug]
        courses = " and ".join(f"'{course.title}'" for course in script.tenant.courses)
        narration.say(f"   {done.slug:6} {script.tenant.name}: {script.tenant.people} people in {courses}")
    _first_enrollments(demo)
    _first_completions(demo)
    _changes(demo)
    _dead_letter(demo)
    _verified(demo)
    _nothing_to_do(demo)


def _first_enrollments(demo: Demo) -> None:
    narration.act(
        "1. Enrollments, AFAS → Pluvo",
        "Who has an account already is linked to it (by AFAS id, else by e-mail); only the others get a new one.",
        "In acme one person has no e-mail address at all: that row is rejected with a reason, the rest goes on.",
    )
    demo.run_batch(Direction.ENROLLMENTS)


def _first_completions(demo: Demo) -> None:
    narration.act(
        "2. Completions, Pluvo → AFAS",
        "Eight people in each event finish, at 23:30 UTC: in Amsterdam that is the next day, and that day is written.",
        "For one of them somebody typed another date in AFAS: it stays, and is listed as a conflict.",
    )
    for script in demo.scripts.values():
        for course in script.tenant.courses:
            script.finish(course)
    acme = demo.scripts["acme"]
    acme.type_by_hand(acme.tenant.courses[0])
    demo.run_batch(Direction.COMPLETIONS)


def _changes(demo: Demo) -> None:
    narration.act(
        "3. People change in AFAS",
        "In each customer somebody gets another name, somebody another address, somebody leaves, somebody is new.",
        "Only what changed is sent. The leaver loses the enrollment and keeps the account.",
        "Pluvo refuses one more newcomer of acme: that becomes a dead letter and holds up nobody else.",
    )
    for script in demo.scripts.values():
        script.rename()
        script.give_new_address()
        script.leave()
        script.come("Saskia")
    acme = demo.scripts[REFUSES]
    refusal = acme.refuse(acme.come("Tjeerd"))
    demo.run_batch(Direction.ENROLLMENTS)
    acme.allow(refusal)


def _dead_letter(demo: Demo) -> None:
    narration.act(
        "4. A dead letter is replayed",
        "What could not be done is kept with its reason until somebody decides. By now Pluvo would take it: replay.",
    )
    found = demo.open_dead_letters()
    for letter in found:
        who = f"event {letter['event_id']}, person {letter['internal_id']}"
        narration.say(f"   {letter['tenant']:6} {letter['kind']}, {who}: {letter['error']} - {letter['message']}")
    if not found:
        return  # the assertions say that one was expected
    batch = replay_batch.create([letter["id"] for letter in found], who="demo")
    told, over = replay_batch.drive(
        batch, until_settled=True, timeout_seconds=BATCH_SECONDS, watch=lambda told: demo.setup.must_run()
    )
    demo.replayed = Counter(told["fates"].values())
    results = ", ".join(f"{number} {fate.replace('_', ' ')}" for fate, number in demo.replayed.items())
    narration.say(
        f"   replayed: {results if over else 'not over in time'}; still open: {len(demo.open_dead_letters())}"
    )


def _verified(demo: Demo) -> None:
    narration.act(
        "5. Completions again",
        "Nothing is written twice: what was written has been read back from AFAS since, and counts as verified.",
    )
    demo.run_batch(Direction.COMPLETIONS)


def _nothing_to_do(demo: Demo) -> None:
    narration.act(
        "6. Enrollments once more, with nothing changed",
        "An unchanged roster costs the AFAS pages and not one call to Pluvo.",
    )
    entries = demo.setup.world.pluvo.log.entries
    before = entries[-1].n if entries else 0
    demo.run_batch(Direction.ENROLLMENTS)
    demo.quiet_pluvo_calls = sum(entry.n > before for entry in list(entries))
