"""``koppeling explain``."""

from __future__ import annotations

from typing import Annotated

import typer

from models.afas_values import person_number
from ops.cli.common import Cursor, InLanguage, Json, Limit, Slug, at_database, example, group, show, show_next
from ops.language import Language, language_of
from ops.people.explain import Explained, explain
from ops.people.next_action import said
from ops.terminal import output

app = group()


@app.command("explain", epilog=example("koppeling explain acme p.jansen@example.nl"))
def explain_(
    slug: Slug,
    *,
    who: Annotated[str, typer.Argument(help="Internal id, external id or e-mail address.")],
    ask: Annotated[
        bool, typer.Option("--ask", help="Ask AFAS now for this internal id, in all events, linked or not.")
    ] = False,
    limit: Limit = 100,
    cursor: Cursor = None,
    language: InLanguage = None,
    json: Json = False,
) -> None:
    """Tell everything known and done about someone: why they are, or are not, in Pluvo."""
    with at_database(keys=ask):
        found = explain(slug, who, limit=limit, cursor=cursor, ask_now=ask)
    people = [person["internal_id"] for person in found["people"]]
    # Who was never seen has a page too, by their number.
    known = people if found["found"] else [person_number(who)]
    page = f"/tenants/{found['tenant']}/people/{known[0]}" if len(known) == 1 and known[0] else None
    show(found, json, lambda document: _show_explained(document, language_of(language)), page=page)


def _show_explained(found: Explained, language: Language) -> None:
    if not found["found"]:
        output.say(f"{found['who']} was never seen in {found['tenant']}.")
        for course in found["looked_at"]["courses"]:
            read = (
                f"{course['rows']} rows, {output.ago(course['last_complete_at'])}"
                if course["rows"] is not None
                else "never"
            )
            output.say(f"  event {course['event_id']}: last read completely: {read}")
        output.say(said(found["next"], language))
        for cause in found["causes"]:
            output.say(f"  - {said(cause, language)}")
    if "asked" in found:
        output.say(f"AFAS, asked at {output.shown(found['asked']['at'])} UTC:")
        for told in (*found["asked"]["found"], *found["asked"]["failed"]):
            output.say(f"  - {said(told, language)}")
    for person in found["people"]:
        output.say(f"{person['name'] or '-'} <{person['email'] or '-'}>, internal id {person['internal_id']}")
        output.say(f"  link: {output.shown(person['link'])}")
        for one in person["enrollments"]:
            because = f" ({one['reason']})" if one["reason"] else ""
            output.say(f"  event {one['event_id']}: {one['state']}, {one['outcome'] or '-'}{because}")
            if note := one.get("completion_words"):
                output.say(f"    completion: {note.say(language)}")
            if one["completion"]:
                output.say(f"    completion: {output.shown(one['completion'])}")
        output.say(f"  next: {said(person['next'], language)}")
        for event in person["history"]:
            output.say(f"  {output.shown(event['at'])} {event['what']}: {said(event['sentence'], language)}")
        show_next(person["history_next"])
