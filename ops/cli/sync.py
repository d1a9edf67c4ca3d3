"""``koppeling sync`` and ``koppeling completions``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import compress
from pathlib import Path
from typing import Annotated, Any

import typer

from models.direction import Direction
from models.run import RunOptions
from ops.cli.common import Json, at_database, day, duration, example, group, show
from ops.documents import Batch, RunDocument
from ops.language import Language, language_of, say
from ops.problems import Problem
from ops.runs import dry_run as dry_runs
from ops.runs import history, previews, start
from ops.runs.needs import needs
from ops.servers import environment
from ops.terminal import output, plan_view
from ops.terminal.csv_file import AS_EXCEL
from ops.terminal.progress import RunProgress

app = group()
Slugs = Annotated[list[str] | None, typer.Argument(help="Tenants.", show_default=False)]
All = Annotated[bool, typer.Option("--all", help="All tenants; paused ones are left out.")]
Preview = Annotated[
    bool, typer.Option("--preview", help="Let a worker show the plan, which is kept for a day, and write nothing.")
]
Expect = Annotated[
    str | None,
    typer.Option(
        "--expect-plan",
        metavar="HASH",
        help="Only do what a preview or dry run with this hash (or a beginning of it) showed; else stop.",
    ),
]
Dry = Annotated[bool, typer.Option("--dry-run", help="Show the plan and write nothing.")]
Wait = Annotated[bool, typer.Option("--wait", help="Wait until nothing more can be done now.")]
Timeout = Annotated[str, typer.Option("--timeout", help="How long to wait at most; the run goes on.")]
_TO_FILE = f"write the plan to this CSV file. {AS_EXCEL}"
Csv = Annotated[Path | None, typer.Option("--csv", help=f"With --dry-run: {_TO_FILE}")]
CsvOfEither = Annotated[Path | None, typer.Option("--csv", help=f"With --dry-run, or --preview --wait: {_TO_FILE}")]
COLUMNS = (
    "tenant",
    "status",
    "snapshot",
    "rows",
    "outcomes",
    "removed",
    "held",
    "pending removals",
    "calls",
    "seconds",
)
# Only shown where there is something to tell.
NOTABLE = ("removed", "held", "pending removals")


@app.command(
    "sync",
    epilog=example(
        "koppeling sync acme --wait", "koppeling sync --all --dry-run", "koppeling sync acme --expect-plan 9f3a51"
    ),
)
def sync(
    *,
    slugs: Slugs = None,
    everyone: All = False,
    dry_run: Dry = False,
    full: Annotated[
        bool, typer.Option("--full", help="Look at every enrollment in Pluvo, repair what differs.")
    ] = False,
    wait: Wait = False,
    person: Annotated[str | None, typer.Option("--person", help="Only this person (internal id), now.")] = None,
    preview: Preview = False,
    expect_plan: Expect = None,
    timeout: Timeout = "30m",
    csv: CsvOfEither = None,
    json: Json = False,
) -> None:
    """Bring enrollments from AFAS to Pluvo."""
    options = start.enrollment_options(slugs or [], everyone=everyone, full=full, person=person)
    if sum((dry_run, preview, expect_plan is not None)) > 1:
        raise Problem("one_plan")
    if expect_plan is not None:
        if everyone or len(slugs or []) != 1:
            raise Problem("expect_one_tenant")
        with at_database():
            options = previews.expecting((slugs or [""])[0], expect_plan, options)
    how = _How(dry_run, preview, wait, timeout, csv, json)
    _run(Direction.ENROLLMENTS, slugs or [], everyone, options, how)


@app.command("completions", epilog=example("koppeling completions --all --wait", "koppeling completions list acme"))
def completions(
    *,
    slugs: Slugs = None,
    everyone: All = False,
    dry_run: Dry = False,
    wait: Wait = False,
    since: Annotated[str | None, typer.Option("--since", help="Completed on this day or later.")] = None,
    until: Annotated[str | None, typer.Option("--until", help="Completed on this day or earlier.")] = None,
    timeout: Timeout = "30m",
    csv: Csv = None,
    json: Json = False,
) -> None:
    """Bring completion dates from Pluvo to AFAS. With list, show, close or retry: those that there are."""
    options = start.completion_options(since=day(since, "--since"), until=day(until, "--until"))
    _run(Direction.COMPLETIONS, slugs or [], everyone, options, _How(dry_run, False, wait, timeout, csv, json))


@dataclass(frozen=True)
class _How:
    """Whether it is only looked at, by this command or by a worker, and how it is told."""

    dry_run: bool
    preview: bool
    wait: bool
    timeout: str
    csv: Path | None
    json: bool

    @property
    def planned(self) -> bool:
        """Whether a plan is told."""
        return self.dry_run or (self.preview and self.wait)


def _run(direction: Direction, slugs: list[str], everyone: bool, options: RunOptions, how: _How) -> None:
    dry_run, wait, csv, json = how.dry_run, how.wait, how.csv, how.json
    seconds, batch = duration(how.timeout, "--timeout"), None
    if csv and not how.planned:
        raise Problem("csv_dry_run")
    if wait and not dry_run:
        environment.need_something_running()
    with at_database(keys=dry_run):
        if dry_run:
            document, over = dry_runs.document(direction, slugs, everyone=everyone, options=options), True
        else:
            begin = previews.begin if how.preview else partial(start.start, direction)
            started = begin(slugs, everyone=everyone, options=options, need_worker=wait)
            batch = started.batch if started.kept else None
            document, over = _real(started, seconds if wait else None)
        if how.preview and wait:
            document = previews.with_plans(document)
    if csv:
        plan_view.write_csv(csv, document, language_of(None))
    show(document, json, plan_view.show_plans if how.planned else show_runs)
    if direction == Direction.ENROLLMENTS and not json and "person" not in options:
        for run in document["runs"]:
            for line in [*plan_view.empty_events(run), *plan_view.unlinked_events(run)]:
                output.say(line)
    if batch and not json:
        output.say(say("batch.made", language_of(None), batch=batch))
    if not over:
        output.say("The time is up: the runs go on. `koppeling runs list` shows how they do.", error=True)
    if wait or dry_run:
        raise typer.Exit(history.exit_code(document["runs"], timed_out=not over))


def _real(started: start.Started, seconds: int | None) -> tuple[Batch, bool]:
    if seconds is None:
        if not started.workers:
            output.say("No worker is running: the run waits until one is (`koppeling up`).", error=True)
        return start.document(started), True
    with RunProgress() as progress:
        over = start.wait(started, seconds, progress.update)
    return start.document(started), over


def show_runs(document: Batch) -> None:
    """Print the runs of a batch as a table, then what needs somebody, with the command that shows it."""
    rows = [_row(run) for run in document["runs"]]
    told = [name not in NOTABLE or any(row[place] for row in rows) for place, name in enumerate(COLUMNS)]
    output.show_table([*compress(COLUMNS, told)], [[*compress(row, told)] for row in rows])
    for run in document["runs"]:
        if run["reason"] or run["reasons"]:
            output.say(f"{run['tenant']}: {', '.join(filter(None, [run['reason'], *run['reasons']]))}")
    for run in document["runs"]:
        for line in _hints(run, language_of(None)):
            output.say(line)


def _hints(run: RunDocument, language: Language) -> Iterator[str]:
    """A line for each thing that needs somebody: ``acme: 2 failed: `koppeling dead-letters list --tenant acme```."""
    found = needs(run["status"], run["reason"], run["outcomes"], run["held_removals"])
    for code, count in found.items():
        verb = "sync" if run["direction"] == Direction.ENROLLMENTS else "completions"
        yield say(f"hint.{code}", language, slug=run["tenant"], run=run["run"], count=count, verb=verb)


def _row(run: RunDocument) -> list[Any]:
    outcomes = output.counted(run["outcomes"])
    calls = f"{run['calls']['afas']} AFAS, {run['calls']['pluvo']} Pluvo"
    numbers = [run["removed"], run["held_removals"], run["pending_removals"]]
    return [run["tenant"], run["status"], run["snapshot"], run["rows"], outcomes, *numbers, calls, run["seconds"]]
