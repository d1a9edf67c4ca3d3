"""``koppeling links …``"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from ops.cli.common import (
    Csv,
    Cursor,
    InLanguage,
    Json,
    Limit,
    Slug,
    TenantFilter,
    Who,
    Yes,
    at_database,
    confirm,
    example,
    group,
    named,
    show,
    show_page,
    write_csv,
)
from ops.language import Language, Words, language_of, say
from ops.listing import Row
from ops.people import deciding, links, links_check, links_import
from ops.people.next_action import said
from ops.terminal import output

app = group("The ID mapping: which AFAS person is which Pluvo user.")
InternalId = Annotated[str, typer.Argument(help="The person's internal id in AFAS (CdId).")]
Reason = Annotated[str | None, typer.Option("--reason", help="Why; kept with the decision.")]
COLUMNS = ("tenant", "internal_id", "external_id", "pluvo_id", "ref", "state", "linked_by", "reason")


@app.command(
    "list",
    epilog=example("koppeling links list --tenant acme --state ambiguous", "koppeling links list --csv links.csv"),
)
def list_(
    *,
    tenant: TenantFilter = None,
    state: Annotated[str | None, typer.Option("--state", help="linked, ambiguous, ignored or left.")] = None,
    csv: Csv = None,
    limit: Limit = 100,
    cursor: Cursor = None,
    json: Json = False,
) -> None:
    """List links; those that wait for a decision have candidates (see `links show`)."""
    listed = partial(links.listing, tenant=tenant, state=state)
    with at_database():
        if csv:
            write_csv(csv, COLUMNS, listed, cursor)
            return
        found = listed(limit, cursor)
    show_page(found, json, COLUMNS, "There are no links.")


@app.command("show", epilog=example("koppeling links show acme 80"))
def show_(slug: Slug, internal_id: InternalId, json: Json = False) -> None:
    """Show a person's link, its candidates and what was decided about it."""
    with at_database():
        found = links.show(slug, internal_id)
    show(found, json, _show_link, page=f"/tenants/{slug}/people/{found['internal_id']}")


def _show_link(found: Row) -> None:
    output.show_fields(found, skip=("candidates", "history"))
    for title, listed in (("candidates", found["candidates"]), ("history", found["history"])):
        if listed:
            output.show_table(list(listed[0]), [list(one.values()) for one in listed], title=title)


@app.command("candidates", epilog=example("koppeling links candidates acme 80"))
def candidates_(slug: Slug, internal_id: InternalId, language: InLanguage = None, json: Json = False) -> None:
    """Show a person beside the accounts that may be theirs, as Pluvo has them now, and what each choice does."""
    with at_database(keys=True):
        found = deciding.candidates(slug, internal_id)
    show(found, json, lambda document: _show_candidates(document, language_of(language)))


def _show_candidates(found: deciding.Deciding, language: Language) -> None:
    output.show_fields(
        found, skip=("external_id", "pluvo_id", "decided", "candidates", "choices", "unasked", "following")
    )
    if found["decided"]:
        output.say(_decided(found["decided"], language))
    if found["unasked"]:
        output.say(said(found["unasked"], language))
    columns = ("pluvo_id", "name", "email", "archived", "linked_to", "there")
    accounts: Sequence[Mapping[str, object]] = found["candidates"]
    if accounts:
        output.show_table(columns, [[one[column] for column in columns] for one in accounts])
    command = f"koppeling links decide {found['tenant']} {found['internal_id']}"
    for choice in found["choices"]:
        what = " ".join(filter(None, [choice["choice"], choice["pluvo_id"]]))
        end = f" --seen {found['revision']}" if choice["possible"] else ""
        output.say(f"`{command} {what}{end}`" if choice["possible"] else what)
        output.say(f"    {said(choice, language)}")


def _decided(before: links.Decided, language: Language) -> str:
    what = Words(f"decision.{before['decision']}", account=before["account"] or "-").say(language)
    return f"{output.shown(before['at'])} {before['who']}: {what}"


@app.command("set", epilog=example("koppeling links set acme 80 7d4f9c1e-0b52-4c0b-9a55-0c1f0a6d2b11"))
def set_(
    *,
    slug: Slug,
    internal_id: InternalId,
    pluvo_id: Annotated[str, typer.Argument(help="The user's id in Pluvo.")],
    reason: Reason = None,
    yes: Yes = False,
    who: Who = None,
    json: Json = False,
) -> None:
    """Give an existing Pluvo user their AFAS id, also before the person was seen. The next run acts on it."""
    with at_database():
        done = links_check.set_checked(slug, internal_id, pluvo_id, sure=yes, who=named(who), reason=reason)
    show(done, json, lambda _: output.say(f"{slug} {done['internal_id']}: {done['result']}."))


@app.command("import", epilog=example("koppeling links import links.csv"))
def import_(
    *,
    file: Annotated[Path, typer.Argument(help="CSV: tenant,internal_id,pluvo_id (or pluvo_email).")],
    preview: Annotated[bool, typer.Option("--preview", help="Say what each line would do, and store nothing.")] = False,
    seen: Annotated[
        str | None, typer.Option("--seen", help="What `--preview --json` gave: refuse, if a link changed since.")
    ] = None,
    yes: Yes = False,
    who: Who = None,
    language: InLanguage = None,
    json: Json = False,
) -> None:
    """Set many links from a CSV file. All lines are right, or nothing is stored."""
    if preview:
        with at_database(keys=True):
            told = links_import.preview(file, sure=yes)
        show(told, json, lambda document: _show_preview(document, language_of(language)))
        raise typer.Exit(0 if told["fits"] else 1)
    with at_database():
        done = links_import.run(file, who=named(who), ask=True, sure=yes, seen=seen)
    show(done, json, lambda _: output.say(f"{_counted(done, language_of(language))}."))


def _show_preview(found: links_import.ImportPreview, language: Language) -> None:
    rows = [
        [one["line"], one["tenant"], one["internal_id"], one["pluvo_id"], say(one["code"], language, **one["params"])]
        for one in found["lines"]
    ]
    output.show_table(("line", "tenant", "internal_id", "pluvo_id", ""), rows)
    counted = _counted({what: count for what, count in found["counts"].items() if count}, language)
    output.say(f"{counted or '-'}. {say('line.nothing_stored', language)}")


def _counted(counts: Mapping[str, int], language: Language) -> str:
    return ", ".join(say(f"line.count_{what}", language, count=count) for what, count in counts.items())


@app.command("decide", epilog=example("koppeling links decide acme 80 create"))
def decide(
    *,
    slug: Slug,
    internal_id: InternalId,
    decision: Annotated[str, typer.Argument(help="link PLUVO_ID, create or ignore.", metavar="link|create|ignore")],
    pluvo_id: Annotated[str | None, typer.Argument(help="With link: the user's id in Pluvo.")] = None,
    reason: Reason = None,
    seen: Annotated[
        int | None, typer.Option("--seen", help="The revision that `links candidates` showed: refuse, if it changed.")
    ] = None,
    who: Who = None,
    json: Json = False,
) -> None:
    """Say who an ambiguous person is. Remembered; the next run acts on it."""
    with at_database():
        done = links_check.decide_checked(
            slug, internal_id, decision, pluvo_id, who=named(who), reason=reason, seen=seen
        )
    person = done["internal_id"]
    hint = f"The next run acts on it; now: koppeling sync {slug} --person {person}"
    show(done, json, lambda _: output.say(f"{slug} {person}: {done['result']}. {hint}"))
    before = done.get("before")
    if before and not json:
        output.say(f"Before: {_decided(before, 'en')}")


@app.command("remove", epilog=example("koppeling links remove acme 80 --yes"))
def remove(
    *,
    slug: Slug,
    internal_id: InternalId,
    erase: Annotated[bool, typer.Option("--erase", help="Erase all that is known of the person here.")] = False,
    yes: Yes = False,
    who: Who = None,
    json: Json = False,
) -> None:
    """Forget a link: the next run matches the person anew. Nothing changes in AFAS or Pluvo."""
    what = "everything known here about" if erase else "the link of"
    with at_database():
        links.show(slug, internal_id)
        confirm(f"Remove {what} person {internal_id} of {slug}? This can't be undone.", yes)
        gone = links.remove(slug, internal_id, erase=erase, who=named(who))
    said = f"{slug} {internal_id}: {sum(gone.values())} rows removed."
    show({"tenant": slug, "internal_id": internal_id, "removed": gone}, json, lambda _: output.say(said))
