"""The text of a mail, plain and as simple HTML, from one structure. Nothing in it is loaded from anywhere.

Names that somebody typed stand in it as text. What AFAS or Pluvo said does not: they may name people.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from typing import Any, cast
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Row, text

import settings
from models.alert import Event, Item
from models.base import utc_now
from ops import quality
from ops.alerts import flapping, kinds
from ops.alerts.needs import Line
from ops.language import Language, Words, say
from ops.quality import Quality
from ops.terminal import csv_file

_CODE = re.compile(r"`([^`]+)`")
MOST_LINES = 100
# What a finding may say of people beside their ids
_NAMELESS = {"theirs": "…", "ours": "…"}
SUBJECT_LENGTH = 150
ALERTS = text(
    f"""
    SELECT a.id, a.kind, a.subject, a.parameters, a.opened_at, a.closed_at, t.slug, t.name, {flapping.AGAIN} AS again,
           coalesce(t.afas->>'environment', 'production') <> 'production' AS test
      FROM alert a LEFT JOIN tenant t ON t.id = a.tenant_id WHERE a.id = ANY(:ids)
    """  # noqa: S608  constants only
)


@dataclass(frozen=True)
class Part:
    """One thing that is told: what is the matter, what to do, where to look."""

    heading: str
    told: str
    more: tuple[str, ...] = ()
    page: str = ""
    command: str = ""
    test: bool = False


@dataclass(frozen=True)
class Letter:
    subject: str
    parts: Sequence[Part]
    intro: str = ""
    # Its name and what is in it
    attached: tuple[str, bytes] | None = None


def news(connection: Connection, items: Sequence[Item], language: Language, zone: ZoneInfo) -> Letter | None:
    """What is told of alerts; None where none of them is there any more."""
    found = {row.id: row for row in connection.execute(ALERTS, {"ids": [item["alert"] for item in items]})}
    there = [(found[item["alert"]], item["event"]) for item in items if item["alert"] in found]
    if not there:
        return None
    parts = [_of_alert(row, event, language, zone) for row, event in there]
    if len(parts) == 1:
        what = f"{parts[0].heading}: {parts[0].told}"
        subject = say("mail.subject", language, what=what)
    else:
        subject = say("mail.subject_many", language, count=len(parts))
    return Letter(_flagged(subject, parts), parts)


def _of_alert(row: Row[Any], event: str, language: Language, zone: ZoneInfo) -> Part:
    told = kinds.sentence(row.kind, row.parameters, language)
    since = shown(row.opened_at, zone)
    over = event == Event.RESOLVED
    when = (
        say("mail.until", language, since=since, time=shown(row.closed_at or utc_now(), zone))
        if over
        else say("mail.since", language, time=since)
    )
    advice = () if over else (kinds.advice(row.kind, row.parameters, row.slug, language),)
    again = (say("mail.again", language, hours=flapping.HOURS),) if row.again and not over else ()
    about = (row.kind, row.subject, row.slug, row.parameters)
    return Part(
        heading=heading(row.slug, row.name, row.test, language),
        told=say("mail.resolved", language, what=told) if over else told,
        more=(*advice, *again, when),
        page=kinds.page(*about),
        command=kinds.command(*about),
        test=row.test,
    )


def digest(lines: Sequence[Line], language: Language) -> Letter:
    """What needs a person today."""
    parts = [
        Part(
            heading=heading(line["slug"], line["name"], line["test"], language),
            told=kinds.sentence(line["kind"], line["parameters"], language)
            if line["kind"]
            else say(f"digest.{line['code']}", language, **(line["parameters"] or {})),
            page=line["page"],
            command=line["command"],
            test=line["test"],
        )
        for line in lines
    ]
    subject = say("mail.subject_digest", language, count=len(parts))
    return Letter(_flagged(subject, parts), parts, intro=say("mail.digest", language))


def putting_right(found: Quality, language: Language) -> Letter | None:
    """What is to be put right in AFAS: numbers, and as a file the ids; None where nothing is.

    Names and addresses stay out of it, as out of every mail: whoever looks finds them by the ids, or on the page.
    """
    if not found["findings"]:
        return None
    findings = [one | {"params": one["params"] | _NAMELESS} for one in found["findings"]]
    bare = cast(Quality, found | {"findings": findings})
    test = found["environment"] not in (None, "production")
    headed = heading(found["tenant"], found["name"], test, language)
    page = f"/tenants/{found['tenant']}/quality"
    parts = [
        Part(
            heading=headed,
            told=say(
                "mail.quality_line",
                language,
                kind=Words(f"quality_kind.{code}"),
                number=count,
                what=quality.to_do(first).say(language),
            ),
            page=f"{page}?code={code}",
            command=f"koppeling quality {found['tenant']}",
            test=test,
        )
        for code, count in found["counts"].items()
        for first in (next(one for one in bare["findings"] if one["code"] == code),)
    ]
    rows = quality.table(bare, language, people=False)
    columns = [name for name in quality.COLUMNS if name not in ("name", "value")]
    text_ = "".join(csv_file.lines(columns, rows, language))
    subject = say("mail.subject_quality", language, count=len(findings), tenant=headed)
    file = (f"{found['tenant']}-afas.csv", text_.encode())
    return Letter(_flagged(subject, parts), parts, intro=say("mail.quality", language), attached=file)


def test(language: Language) -> Letter:
    """Whether mails arrive."""
    return Letter(say("mail.subject_test", language), [], intro=say("mail.test", language))


def heading(slug: str | None, name: str | None, test: bool, language: Language) -> str:
    """Whose it is: ``[TEST] Acme Opleidingen (acme)``."""
    if slug is None:
        return say("mail.installation", language)
    return ("[TEST] " if test else "") + (f"{plain(name)} ({slug})" if name and name != slug else slug)


def _flagged(subject: str, parts: Sequence[Part]) -> str:
    """Whether it is all about test environments is seen before the mail is opened."""
    return f"[TEST] {subject.replace('[TEST] ', '')}" if parts and all(part.test for part in parts) else subject


def shown(at: datetime, zone: ZoneInfo) -> str:
    """A time by the recipient's clock, with its zone: ``26-11-2026 14:02 CET``."""
    return at.astimezone(zone).strftime("%d-%m-%Y %H:%M %Z")


def plain(typed: str | None, most: int = 100) -> str:
    """What somebody typed, as one line of text that turns no other text around."""
    kept = [(one, unicodedata.category(one)) for one in typed or ""]
    line = " ".join("".join(" " if kind == "Cc" else one for one, kind in kept if kind != "Cf").split())
    return line if len(line) <= most else line[: most - 1] + "…"


# ------------------------------------------------------------------------------------------------------------ as mail


def message(letter: Letter, *, sender: str, to: str, number: str, language: Language) -> EmailMessage:
    """The mail; ``number`` makes its Message-ID, the same each time it is tried."""
    mail = EmailMessage(policy=SMTP)
    mail["From"] = sender
    mail["To"] = to
    mail["Subject"] = plain(letter.subject, SUBJECT_LENGTH)
    mail["Date"] = format_datetime(utc_now())
    mail["Message-ID"] = f"<{number}@{sender.rpartition('@')[2]}>"
    mail["Auto-Submitted"] = "auto-generated"
    mail["X-Auto-Response-Suppress"] = "All"
    mail["Content-Language"] = language
    mail.set_content("\n".join(_text(letter, language)) + "\n", cte="quoted-printable")
    mail.add_alternative("\n".join(_html(letter, language)) + "\n", subtype="html", cte="quoted-printable")
    if letter.attached:
        name, content = letter.attached
        mail.add_attachment(content, maintype="text", subtype="csv", filename=name, params={"charset": "utf-8"})
    return mail


def link(part: Part) -> str | None:
    """Where it is shown; None while nobody said at which address the pages are."""
    base = settings.get().public_url
    return base + part.page if base and part.page else None


def _by_heading(parts: Iterable[Part]) -> Mapping[str, list[Part]]:
    found: dict[str, list[Part]] = {}
    for part in parts:
        found.setdefault(part.heading, []).append(part)
    return found


def _text(letter: Letter, language: Language) -> Iterable[str]:
    if letter.intro:
        yield letter.intro
    for headed, parts in _by_heading(letter.parts[:MOST_LINES]).items():
        yield ""
        yield headed
        for part in parts:
            yield f"* {_sentence(part.told)}"
            yield from (f"  {one}" for one in part.more)
            yield f"  {link(part) or part.command}"
    if len(letter.parts) > MOST_LINES:
        yield ""
        yield say("mail.more", language, count=len(letter.parts) - MOST_LINES)
    yield ""
    yield "-- "
    yield say("mail.foot", language)


def _html(letter: Letter, language: Language) -> Iterable[str]:
    yield f'<!doctype html><html lang="{language}"><head><meta charset="utf-8"></head><body>'
    if letter.intro:
        yield f"<p>{html.escape(letter.intro)}</p>"
    for headed, parts in _by_heading(letter.parts[:MOST_LINES]).items():
        yield f"<h2>{html.escape(headed)}</h2><ul>"
        for part in parts:
            more = "".join(f"<br>{_marked(one)}" for one in part.more)
            where = link(part)
            shown = html.escape(where or part.command)
            place = f'<a href="{shown}">{shown}</a>' if where else f"<code>{shown}</code>"
            yield f"<li><strong>{_marked(_sentence(part.told))}</strong>{more}<br>{place}</li>"
        yield "</ul>"
    if len(letter.parts) > MOST_LINES:
        yield f"<p>{html.escape(say('mail.more', language, count=len(letter.parts) - MOST_LINES))}</p>"
    yield f"<hr><p>{html.escape(say('mail.foot', language))}</p></body></html>"


def _marked(text_: str) -> str:
    """Escaped, with what stands in backquotes as code."""
    return _CODE.sub(r"<code>\1</code>", html.escape(text_))


def _sentence(told: str) -> str:
    return told[:1].upper() + told[1:]
