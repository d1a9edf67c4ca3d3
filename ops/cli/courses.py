"""``koppeling courses …``"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from ops.cli.common import InLanguage, Json, Slug, Who, at_database, example, group, named, show
from ops.cli.onboarding import Dialogue, set_up
from ops.language import language_of
from ops.tenants import onboarding_courses
from ops.terminal import output

if TYPE_CHECKING:
    from ops.tenants.insight import CourseInsight

app = group("Courses: AFAS events that are linked to something in Pluvo.")


@app.command("show", epilog=example("koppeling courses show acme 340"))
def show_(
    slug: Slug, event: Annotated[str, typer.Argument(help="Number of the event in AFAS (CrId).")], json: Json = False
) -> None:
    """Show a course: its columns, where its people go, rows read over time, what is held and rejected."""
    from ops.tenants import insight  # noqa: PLC0415  adding needs none of it

    with at_database():
        found = insight.course(slug, event)
    show(found, json, _show_course, page=f"/tenants/{slug}/courses/{event}")


def _show_course(found: CourseInsight) -> None:
    output.show_fields(found["course"])
    output.show_fields({"outcomes": output.counted(found["counts"])})
    tables: dict[str, tuple[Sequence[Mapping[str, object]], tuple[str, ...]]] = {
        "roster": (found["roster"], ("run", "at", "rows", "snapshot")),
        "holds": (found["holds"], ("id", "guard", "lines", "created_at")),
        "rejected": (found["rejected"], ("internal_id", "outcome", "reason", "seen_at")),
    }
    for title, (lines, columns) in tables.items():
        if lines:
            output.show_table(columns, [[line[column] for column in columns] for line in lines], title=title)


@app.command("add", epilog=example("koppeling courses add acme --event 341 --target afas-341"))
def add(
    slug: Slug,
    *,
    event: Annotated[list[str] | None, typer.Option("--event", help="Number of the event in AFAS (CrId).")] = None,
    target: Annotated[str | None, typer.Option("--target", help="Ref of an offer event, or group:REF.")] = None,
    title: Annotated[
        str | None, typer.Option("--title", help="Training whose completion is written back; - for none.")
    ] = None,
    language: InLanguage = None,
    who: Who = None,
    json: Json = False,
) -> None:
    """Link more AFAS events of a tenant, with the columns of its newest course. Asks for what is not given."""
    events = event or []
    given = {"events": ", ".join(events)} if events else {}
    given |= {f"target.{one}": target for one in events if target is not None}
    given |= {f"title.{one}": title for one in events if title is not None}
    dialogue = Dialogue(language_of(language), named(who), given)
    with at_database(keys=True):
        document = set_up(dialogue, onboarding_courses.courses_of(slug))
    show(document, json, lambda _: output.say(f"{slug}: {document['action']}"))
