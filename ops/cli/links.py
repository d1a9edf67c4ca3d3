"""``koppeling links …``"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ops.cli.common import (
    Cursor,
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
)
from ops.listing import Row
from ops.people import links, links_check, links_import
from ops.terminal import output

app = group("The ID mapping: which AFAS person is which Pluvo user.")
InternalId = Annotated[str, typer.Argument(help="The person's internal id in AFAS (CdId).")]
Reason = Annotated[str | None, typer.Option("--reason", help="Why; kept with the decision.")]
COLUMNS = ("tenant", "internal_id", "external_id", "pluvo_id", "ref", "state", "linked_by", "reason")


@app.command("list", epilog=example("koppeling links list --tenant acme --state ambiguous"))
def list_(
    *,
    tenant: TenantFilter = None,
    state: Annotated[str | None, typer.Option("--state", help="linked, ambiguous, ignored or left.")] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
    json: Json = False,
) -> None:
    """List links; those that wait for a decision have candidates (see `links show`)."""
    with at_database():
        found = links.listing(limit, cursor, tenant=tenant, state=state)
    show_page(found, json, COLUMNS, "There are no links.")


@app.command("show", epilog=example("koppeling links show acme 80"))
def show_(slug: Slug, internal_id: InternalId, json: Json = False) -> None:
    """Show a person's link, its candidates and what was decided about it."""
    with at_database():
        found = links.show(slug, internal_id)
    show(found, json, _show_link)


def _show_link(found: Row) -> None:
    output.show_fields(found, skip=("candidates", "history"))
    for title, listed in (("candidates", found["candidates"]), ("history", found["history"])):
        if listed:
            output.show_table(list(listed[0]), [list(one.values()) for one in listed], title=title)


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
    yes: Yes = False,
    who: Who = None,
    json: Json = False,
) -> None:
    """Set many links from a CSV file. All lines are right, or nothing is stored."""
    with at_database():
        done = links_import.run(file, who=named(who), ask=True, sure=yes)
    show(done, json, lambda _: output.say(", ".join(f"{count} {what}" for what, count in done.items()) + "."))


@app.command("decide", epilog=example("koppeling links decide acme 80 create"))
def decide(
    *,
    slug: Slug,
    internal_id: InternalId,
    decision: Annotated[str, typer.Argument(help="link PLUVO_ID, create or ignore.", metavar="link|create|ignore")],
    pluvo_id: Annotated[str | None, typer.Argument(help="With link: the user's id in Pluvo.")] = None,
    reason: Reason = None,
    who: Who = None,
    json: Json = False,
) -> None:
    """Say who an ambiguous person is. Remembered; the next run acts on it."""
    with at_database():
        done = links_check.decide_checked(slug, internal_id, decision, pluvo_id, who=named(who), reason=reason)
    person = done["internal_id"]
    hint = f"The next run acts on it; now: koppeling sync {slug} --person {person}"
    show(done, json, lambda _: output.say(f"{slug} {person}: {done['result']}. {hint}"))


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
