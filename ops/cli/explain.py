"""``koppeling explain``."""

from __future__ import annotations

from typing import Annotated

import typer

from ops.cli.common import Json, Slug, at_database, example, group, show
from ops.people.explain import Explained, explain
from ops.terminal import output

SHOWN_HISTORY = 20
app = group()


@app.command("explain", epilog=example("koppeling explain acme p.jansen@example.nl"))
def explain_(
    slug: Slug,
    who: Annotated[str, typer.Argument(help="Internal id, external id or e-mail address.")],
    json: Json = False,
) -> None:
    """Tell everything known and done about someone: why they are, or are not, in Pluvo."""
    with at_database():
        found = explain(slug, who)
    people = [person["internal_id"] for person in found["people"]]
    page = f"/tenants/{found['tenant']}/people/{people[0]}" if len(people) == 1 else None
    show(found, json, _show_explained, page=page)


def _show_explained(found: Explained) -> None:
    if not found["found"]:
        output.say(f"{found['who']} was never seen in {found['tenant']}.")
        for course in found["looked_at"]["courses"]:
            read = (
                f"{course['rows']} rows, {output.ago(course['last_complete_at'])}"
                if course["rows"] is not None
                else "never"
            )
            output.say(f"  event {course['event_id']}: last read completely: {read}")
        output.say(found["next_action"])
    for person in found["people"]:
        output.say(f"{person['name'] or '-'} <{person['email'] or '-'}>, internal id {person['internal_id']}")
        output.say(f"  link: {output.shown(person['link'])}")
        for one in person["enrollments"]:
            because = f" ({one['reason']})" if one["reason"] else ""
            output.say(f"  event {one['event_id']}: {one['state']}, {one['outcome'] or '-'}{because}")
            if one.get("completion_note"):
                output.say(f"    completion: {one['completion_note']}")
            if one["completion"]:
                output.say(f"    completion: {output.shown(one['completion'])}")
        output.say(f"  next: {person['next_action']}")
        for event in person["history"][:SHOWN_HISTORY]:
            told = {key: value for key, value in event.items() if value is not None and key not in ("at", "what")}
            output.say(f"  {output.shown(event['at'])} {event['what']}: {output.shown(told)}")
