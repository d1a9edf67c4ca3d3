"""``koppeling alerts …``"""

from __future__ import annotations

from functools import partial
from typing import Annotated

import typer

from ops.alerts import verbs
from ops.cli.common import (
    Csv,
    Cursor,
    Everything,
    InLanguage,
    Json,
    Limit,
    TenantFilter,
    Who,
    at_database,
    duration,
    example,
    group,
    named,
    show,
    show_page,
    wanted_state,
    write_csv,
)
from ops.language import language_of, say
from ops.terminal import output

app = group("What somebody should know: look, take care of it, silence it; who was told.")
Number = Annotated[int, typer.Argument(help="The number that the listing shows.", min=1)]
Kind = Annotated[str | None, typer.Option("--kind", help="Only of this kind, such as hold or quarantine.")]
COLUMNS = ("id", "tenant", "kind", "state", "text", "opened_at", "acked_by")
DELIVERY_COLUMNS = (
    "id",
    "tenant",
    "channel",
    "recipient",
    "about",
    "state",
    "code",
    "attempts",
    "created_at",
    "sent_at",
)
MUTE_COLUMNS = ("id", "tenant", "kind", "until", "who", "reason")


@app.command("list", epilog=example("koppeling alerts list", "koppeling alerts list --tenant acme --all"))
def list_(
    *,
    tenant: TenantFilter = None,
    kind: Kind = None,
    state: Annotated[str | None, typer.Option("--state", help="open or closed.")] = None,
    everything: Everything = False,
    language: InLanguage = None,
    csv: Csv = None,
    limit: Limit = 100,
    cursor: Cursor = None,
    json: Json = False,
) -> None:
    """List alerts, newest first: those that are open, unless others are asked for."""
    wanted = wanted_state(state, everything)
    listed = partial(verbs.listing, tenant=tenant, kind=kind, state=wanted, language=language_of(language))
    with at_database():
        if csv:
            write_csv(csv, COLUMNS, listed, cursor)
            return
        found = listed(limit, cursor)
    show_page(found, json, COLUMNS, "Nothing needs anybody." if wanted == "open" else "There are no alerts.")


@app.command("ack", epilog=example('koppeling alerts ack 12 --reason "asked the customer"'))
def ack(
    number: Number,
    reason: Annotated[str | None, typer.Option("--reason", help="What is being done; kept with it.")] = None,
    who: Who = None,
    json: Json = False,
) -> None:
    """Take care of an alert: it stays open until it is over, and is no longer in the digest."""
    with at_database():
        done = verbs.ack(number, reason=reason, who=named(who))
    show(done, json, lambda _: output.say(f"Alert {number} is taken care of by {done['acked_by']}."))


@app.command("mute", epilog=example('koppeling alerts mute --tenant acme --for 3d --reason "they move to a new AFAS"'))
def mute(
    *,
    reason: Annotated[str, typer.Option("--reason", help="Why; kept with it.")],
    tenant: TenantFilter = None,
    kind: Kind = None,
    lasting: Annotated[str, typer.Option("--for", help="How long, such as 4h or 7d; a year at most.")] = "7d",
    everything: Annotated[bool, typer.Option("--all", help="Of all tenants and kinds.")] = False,
    who: Who = None,
    json: Json = False,
) -> None:
    """Tell nobody for a while, of a tenant, of a kind, or of both; what opens is listed all the same."""
    with at_database():
        done = verbs.mute(
            tenant=tenant,
            kind=kind,
            seconds=duration(lasting, "--for"),
            reason=reason,
            who=named(who),
            everything=everything,
        )
    until = output.shown(done["until"])
    show(done, json, lambda _: output.say(f"Silent until {until}; `koppeling alerts unmute {done['id']}` ends it."))


@app.command("unmute", epilog=example("koppeling alerts unmute 3"))
def unmute(number: Number, who: Who = None, json: Json = False) -> None:
    """End a silence before its time."""
    with at_database():
        done = verbs.unmute(number, who=named(who))
    show(done, json, lambda _: output.say(f"Silence {number} is over."))


@app.command("mutes", epilog=example("koppeling alerts mutes"))
def mutes(json: Json = False) -> None:
    """List what is silenced, until when and why."""
    with at_database():
        found = verbs.mutes()
    if json:
        output.show_json({"items": found, "next": None})
    elif found:
        output.show_table(MUTE_COLUMNS, [[dict(one)[column] for column in MUTE_COLUMNS] for one in found])
    else:
        output.say("Nothing is silenced.")


@app.command("sent", epilog=example("koppeling alerts sent", "koppeling alerts sent --tenant acme"))
def sent(
    *,
    tenant: TenantFilter = None,
    alert: Annotated[int | None, typer.Option("--alert", min=1, help="Only what told of this alert.")] = None,
    csv: Csv = None,
    limit: Limit = 100,
    cursor: Cursor = None,
    json: Json = False,
) -> None:
    """List mails and calls of webhooks, newest first: to whom, and what came of each."""
    listed = partial(verbs.deliveries, tenant=tenant, alert=alert)
    with at_database():
        if csv:
            write_csv(csv, DELIVERY_COLUMNS, listed, cursor)
            return
        found = listed(limit, cursor)
    show_page(found, json, DELIVERY_COLUMNS, "Nobody was told of anything yet.")


@app.command("test", epilog=example("koppeling alerts test", "koppeling alerts test --tenant acme"))
def send_test(tenant: TenantFilter = None, who: Who = None, language: InLanguage = None, json: Json = False) -> None:
    """Mail every recipient now, of the installation or of a tenant; ends with 1 if one of them does not take it."""
    with at_database(keys=True):
        found = verbs.send_test(tenant, at_once=True, who=named(who))
    spoken = language_of(language)
    if json:
        output.show_json({"deliveries": found})
    for one in [] if json else found:
        code = one["code"]
        why = f": {say(f'cause.{code}', spoken)} {say(f'action.{code}', spoken)}" if code else ""
        output.say(f"{one['channel']} {one['recipient']}: {one['state']}{why}")
    raise typer.Exit(0 if all(one["state"] == "sent" for one in found) else 1)
