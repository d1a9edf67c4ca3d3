"""``koppeling tenants …``"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ops.cli.common import (
    Csv,
    Cursor,
    InLanguage,
    Json,
    Limit,
    Slug,
    Who,
    Yes,
    at_database,
    by,
    confirm,
    example,
    flagged,
    group,
    named,
    show,
    show_next,
    with_first,
    write_csv,
)
from ops.language import language_of
from ops.listing import Page, Row
from ops.problems import Problem
from ops.tenants import manage
from ops.tenants.blackout_text import written
from ops.terminal import output
from ops.terminal.editor import edited
from settings import format_duration

if TYPE_CHECKING:
    from ops.tenants import importing

app = group("Customers: an AFAS environment with a Pluvo organisation each.")
CSV_COLUMNS = ("slug", "name", "environment", "enrollments", "completions", "last_run_at", "next_run_at", "afas_ends")
Given = Annotated[
    list[str] | None,
    typer.Option("--set", help="An answer, such as afas.member_id=12345; of a secret env:NAME or file:PATH."),
]
Direction = Annotated[str | None, typer.Option("--direction", help="enrollments or completions; both if left out.")]


@app.command(
    "import", epilog=example("koppeling tenants import tenants.toml", "koppeling tenants import tenants.toml --dry-run")
)
def import_(
    file: Annotated[Path, typer.Argument(help="The tenants file (TOML).")],
    replace_lost_keys: Annotated[
        bool, typer.Option("--replace-lost-keys", help="The keys of stored secrets are lost: take those of the file.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Tell what would change, and change nothing.")] = False,
    who: Who = None,
    json: Json = False,
) -> None:
    """Create or update tenants from a file, by slug. All of it or nothing; shows what changed, never a secret."""
    from ops.tenants import file as tenants_file  # noqa: PLC0415  what reads and writes files is large, and most commands need none
    from ops.tenants import importing  # noqa: PLC0415

    specs = tenants_file.read(file)
    with at_database(create=not dry_run, keys=not replace_lost_keys, lost_keys=replace_lost_keys):
        done = importing.apply(specs, named(who), replace_lost=replace_lost_keys, dry_run=dry_run)
        lost = importing.under_lost_keys() if replace_lost_keys and not dry_run else []
    if lost:
        output.say(
            f"Still under a lost key: {', '.join(lost)}. Import their files too, or remove them; one that is being set "
            "up is forgotten by `koppeling tenants add SLUG --discard`.",
            error=True,
        )
    document: Row = {"items": [one.document() for one in done]}
    show(document | ({"dry_run": True} if dry_run else {}), json, lambda _: _show_import(done, dry_run=dry_run))


def _show_import(done: list[importing.Imported], *, dry_run: bool = False) -> None:
    for one in done:
        would = "would be " if dry_run and one.action != "unchanged" else ""
        output.say(f"{one.slug}: {would}{one.action}")
        for change in one.changes:
            output.say(f"  {change}")
        for warning in one.warnings:
            output.say(f"  warning: {warning}")
        if one.action == "created" and not dry_run:
            output.say(f"  next: `koppeling check {one.slug}`, then `koppeling sync {one.slug} --dry-run`.")
            output.say(
                f"  Its timetable begins with `koppeling sync {one.slug}`, or `koppeling tenants resume {one.slug}`."
            )
    if dry_run:
        output.say("Nothing was stored: the same without --dry-run does it.")
    if not done:
        output.say("The file has no tenants.")


@app.command(
    "add",
    epilog=example(
        "koppeling tenants add", "koppeling tenants add acme --resume", "koppeling tenants add --file acme.toml"
    ),
)
def add(
    slug: Annotated[str | None, typer.Argument(help="The short name of the customer.", show_default=False)] = None,
    *,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where it was left.")] = False,
    discard: Annotated[bool, typer.Option("--discard", help="Forget what was given so far.")] = False,
    listed: Annotated[bool, typer.Option("--list", help="List who is being set up.")] = False,
    given: Given = None,
    file: Annotated[Path | None, typer.Option("--file", help="Answers from a tenants file with one tenant.")] = None,
    language: InLanguage = None,
    who: Who = None,
    json: Json = False,
) -> None:
    """Set up a tenant question by question, from credentials to the first run; each answer is tried at once."""
    from ops.cli import onboarding, onboarding_file  # noqa: PLC0415  as above
    from ops.tenants import onboarding_store  # noqa: PLC0415
    from ops.tenants.onboarding import Draft  # noqa: PLC0415

    answers, also = onboarding_file.answers_of(file) if file else ({}, {})
    answers |= onboarding.given_answers(given or [])
    dialogue = onboarding.Dialogue(language_of(language), named(who), answers)
    with at_database(create=not listed, keys=not (discard or listed)):
        if listed:
            drafts = onboarding_store.listing()
            show({"items": drafts}, json, lambda _: _show_drafts(drafts))
            return
        if discard:
            output.say(f"{onboarding_store.discard(slug)}: forgotten.")
            return
        if slug and not resume:
            dialogue.given["slug"] = slug
        draft = onboarding_store.resumed(slug) if resume else Draft()
        draft = draft.know(also=also) if also else draft
        dialogue.say("ask.how")
        document = onboarding.set_up(dialogue, draft)
        if json:
            code = onboarding.checked(dialogue, document["tenant"], quiet=True)
            output.show_json({"items": [document], "ok": code == 0})
        else:
            output.say(f"{document['tenant']}: {document['action']}")
            code = onboarding.go_live(dialogue, document["tenant"])
    raise typer.Exit(code)


def _show_drafts(drafts: list[Row]) -> None:
    if not drafts:
        output.say("Nobody is being set up.")
        return
    rows = [[one["slug"], one["name"], one["who"], one["updated_at"]] for one in drafts]
    output.show_table(["slug", "name", "last answer by", "at"], rows)


@app.command("export", epilog=example("koppeling tenants export acme > acme.toml"))
def export_(slug: Slug, json: Json = False) -> None:
    """Print the tenants file of a tenant. It names environment variables for secrets, which are never shown."""
    from ops.tenants import export  # noqa: PLC0415  as above

    with at_database():
        written = export.exported(slug)
    show({"tenant": slug, "file": written}, json, lambda _: output.say(written.rstrip("\n")))


@app.command("example", epilog=example("koppeling tenants example > tenants.toml"))
def example_(json: Json = False) -> None:
    """Print a tenants file with every key there is, its default, its range and what it means."""
    from ops.tenants import reference  # noqa: PLC0415  as above

    written = reference.example()
    show({"file": written}, json, lambda _: output.say(written.rstrip("\n")))


@app.command("edit", epilog=example("koppeling tenants edit acme"))
def edit(slug: Slug, who: Who = None, json: Json = False) -> None:
    """Change a tenant in $EDITOR: its file again, imported when it is saved. What is wrong is shown, to edit again."""
    from ops.tenants import export, importing  # noqa: PLC0415  as above
    from ops.tenants import file as tenants_file  # noqa: PLC0415

    with at_database(keys=True):
        written = stored = export.exported(slug, to_edit=True)
        while True:
            changed = edited(written, ".toml")
            if changed == written:
                raise Problem("nothing_changed")
            try:
                _, version = export.versioned(slug)
                before, stored = stored, export.exported(slug, to_edit=True)
                export.refuse_changed(slug, before, stored)
                specs = tenants_file.parse(changed, name=f"{slug}.toml", folder=Path(), keep_secrets=True)
                if [one.slug for one in specs] != [slug]:
                    raise Problem("one_tenant_in_file", slug=slug)
                done = importing.apply(specs, named(who), verb="tenants edit", version=version)
                break
            except Problem as problem:
                output.say(str(problem), error=True)
                confirm("Edit it again?", yes=False)
                written = changed
    show({"items": [one.document() for one in done]}, json, lambda _: _show_import(done))


@app.command("credentials", epilog=example("koppeling tenants credentials acme afas"))
def credentials(
    slug: Slug,
    system: Annotated[str, typer.Argument(help="afas or pluvo.", show_default=False)],
    *,
    given: Given = None,
    language: InLanguage = None,
    who: Who = None,
    json: Json = False,
) -> None:
    """Replace a tenant's credentials, also by those of another kind: tried first, then switched between two calls."""
    from ops.cli import onboarding  # noqa: PLC0415  as above

    dialogue = onboarding.Dialogue(language_of(language), named(who), onboarding.given_answers(given or []))
    with at_database(keys=True):
        document = onboarding.change_credentials(dialogue, slug, system)
    said = f"{slug}: the new credentials of {system} work and are in use; the old ones can be withdrawn in a minute."
    show(document, json, lambda _: output.say(said))


@app.command("list", epilog=example("koppeling tenants list"))
def list_(csv: Csv = None, limit: Limit = 100, cursor: Cursor = None, json: Json = False) -> None:
    """List the tenants: health of both directions, last and next run."""

    def cells(size: int, after: str | None) -> Page:
        listed = manage.listing(size, after)
        ways = ("enrollments", "completions")
        return Page([one | {way: _health(one[way]) for way in ways} for one in listed.items], listed.next)

    with at_database():
        if csv:
            write_csv(csv, CSV_COLUMNS, cells, cursor)
            return
        found = manage.listing(limit, cursor)
    if json:
        output.show_json(found.document())
        return
    rows = [
        (
            flagged(one["slug"], one["environment"]),
            one["name"],
            _health(one["enrollments"]),
            _health(one["completions"]),
            output.ago(one["last_run_at"]),
            output.ago(one["next_run_at"]),
            one["afas_ends"],
        )
        for one in found.items
    ]
    output.show_table(["slug", "name", "enrollments", "completions", "last run", "next run", "AFAS until"], rows)
    show_next(found.next)


def _health(way: Row) -> str:
    return f"{way['state'] or '-'}" + (f" ({way['reason']})" if way["reason"] else "")


@app.command("show", epilog=example("koppeling tenants show acme"))
def show_(slug: Slug, json: Json = False) -> None:
    """Show a tenant's settings, courses and health. Of secrets only whether they are there."""
    from ops.tenants import insight  # noqa: PLC0415  listing needs none of it

    with at_database():
        found = insight.shown(slug)
    show(found, json, _show_tenant, page=f"/tenants/{slug}")


def _show_tenant(found: Row) -> None:
    output.say(f"{flagged(found['slug'], found['environment'])}: {found['name']}")
    for way in ("enrollments", "completions"):
        last = f", last run {found[way]['last_run']}" if found[way]["last_run"] else ""
        output.say(f"{way}: {_health(found[way])}, next run {output.ago(found[way]['next_run_at'])}{last}")
    if found["blackout_until"]:
        until = output.in_zone({"at": found["blackout_until"]}, found["timezone"])["at"]
        output.say(f"blackout: until {until} no run begins by itself; `koppeling sync {found['slug']}` does at once.")
    for title, record in _parts(found):
        output.say("")
        known = [(key, value) for key, value in record.items() if value is not None]
        output.show_table(["", ""], known, title=title, header=False)
    for rule in found["course_rules"]:
        output.say("")
        output.show_fields({name: value for name, value in rule.items() if value is not None})
    _show_courses([course for course in found["courses"] if course["rule"] is None])
    _show_linked([course for course in found["courses"] if course["rule"] is not None])


def _parts(found: Row) -> list[tuple[str, Row]]:
    """What a tenant's settings say, in the tables of its file."""
    secrets = found["secrets"]
    stored = {name: "stored" if there else "-" for name, there in secrets.items()}
    limits = found["removals"].get("limits", {})
    general = {
        "timezone": found["timezone"],
        "interval": format_duration(found["interval_seconds"]),
        "blackout": written(found["blackout"]) or None,
        "environment id": found["envid"],
        "first complete read": found["first_complete_at"],
    }
    afas = found["afas"] | {"until": found["afas_ends"]}
    afas |= {name.removeprefix("afas_"): stored[name] for name in stored if name.startswith("afas_")}
    pluvo = found["pluvo"] | {
        name.removeprefix("pluvo_"): stored[name] for name in stored if not name.startswith("afas_")
    }
    removals = {key: value for key, value in found["removals"].items() if key != "limits"}
    removals["confirm_after"] = format_duration(removals["confirm_after"])
    return [("settings", general), ("AFAS", afas), ("Pluvo", pluvo), ("removals", removals | limits)]


def _show_courses(courses: list[Row]) -> None:
    """Those of blocks of their own, a line for each; then, once each, the columns that they read."""
    if not courses:
        return
    rows = [
        [
            one["event_id"],
            "yes" if one["active"] else "no",
            one["target"],
            "; ".join(f"{rule['title']} → {rule['field']}" for rule in one["rules"]),
            one["base_rows"],
            one["enrolled"],
            one["getconnector"],
        ]
        for one in courses
    ]
    output.say("")
    output.show_table(["event", "active", "target", "completions", "rows", "enrolled", "GetConnector"], rows)
    told: list[Row] = []
    for one in courses:
        columns = {key: value for key, value in one["fields"].items() if value is not None}
        if columns not in told:
            told.append(columns)
            same = [course["event_id"] for course in courses if course["fields"] == one["fields"]]
            output.say("")
            output.show_table(["", ""], columns.items(), title=f"columns of {', '.join(same)}", header=False)


def _show_linked(courses: list[Row]) -> None:
    """What rules linked: many, so a line for each."""
    if courses:
        output.say("")
        rows = [
            [one["event_id"], "yes" if one["active"] else "no", one["target"], one["base_rows"], one["enrolled"]]
            for one in courses
        ]
        headings = ["event", "active", "target", "rows", "enrolled"]
        output.show_table(headings, rows, title="linked by rules (`koppeling events` tells what is not)")


@app.command("pause", epilog=example('koppeling tenants pause acme --reason "moving to another environment"'))
def pause(
    slug: Slug,
    reason: Annotated[str, typer.Option("--reason", help="Why, for whoever finds it paused.")],
    direction: Direction = None,
    who: Who = None,
    json: Json = False,
) -> None:
    """Stop a tenant, or one direction of it, until it is resumed. Nothing is lost: its work waits."""
    with at_database():
        paused = manage.pause(slug, reason=reason, direction=direction, who=named(who))
        first = None if paused else manage.paused_by(slug)
    said = f"{slug}: paused {', '.join(paused)}." if paused else f"{slug}: was paused already{by(first)}."
    show({"tenant": slug, "paused": paused} | with_first(first), json, lambda _: output.say(said))


@app.command("resume", epilog=example("koppeling tenants resume acme"))
def resume(slug: Slug, direction: Direction = None, who: Who = None, json: Json = False) -> None:
    """End a pause, or a quarantine, at once; begin the timetable of a new tenant."""
    with at_database():
        resumed = manage.resume(slug, direction=direction, who=named(who))
        first = None if resumed else manage.resumed_by(slug)
    said = (
        f"{slug}: {', '.join(resumed)} go on." if resumed else f"{slug}: nothing was paused or quarantined{by(first)}."
    )
    show({"tenant": slug, "resumed": resumed} | with_first(first), json, lambda _: output.say(said))


@app.command("rotate-keys", epilog=example("koppeling tenants rotate-keys", "koppeling tenants rotate-keys --new"))
def rotate_keys(
    new: Annotated[
        bool, typer.Option("--new", help="Make a key, and put it in place of the one in the home folder.")
    ] = False,
    who: Who = None,
    json: Json = False,
) -> None:
    """Put all stored secrets under the first of KOPPELING_SECRET_KEYS, so that the older keys can go."""
    with at_database(keys=True):
        changed = manage.rotate_keys(who=named(who), new=new)
    said = (
        f"{changed} secrets are under a new key now, and the old one is gone. What runs goes on. A backup from before "
        "needs the old key."
        if new
        else f"{changed} secrets are under the first key now: the others can be taken out of KOPPELING_SECRET_KEYS."
    )
    show({"secrets": changed}, json, lambda _: output.say(said))


@app.command("remove", epilog=example("koppeling tenants remove acme --yes"))
def remove(slug: Slug, yes: Yes = False, who: Who = None, json: Json = False) -> None:
    """Erase everything of a tenant here, its history too. Nothing changes in AFAS or Pluvo."""
    with at_database():
        manage.show(slug)
        confirm(f"Erase everything of {slug} here, its links and history too? This can't be undone.", yes)
        gone = manage.remove(slug, who=named(who))
    said = f"{slug}: erased {sum(gone.values())} rows."
    show({"tenant": slug, "erased": sum(gone.values()), "tables": gone}, json, lambda _: output.say(said))
