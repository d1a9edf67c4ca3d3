"""The dialogue of ``tenants add`` and ``courses add``: it asks and prints, ``ops/tenants/onboarding*.py`` decide."""

from __future__ import annotations

import getpass
import signal
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import typer

from models.direction import Direction
from ops.cli.adoption import show_adoption
from ops.cli.check import show_finding
from ops.language import SENTENCES, Language, say
from ops.problems import Problem
from ops.runs import dry_run, history, start
from ops.runs.adoption import adoption
from ops.tenants import onboarding, onboarding_courses, onboarding_credentials, onboarding_store
from ops.tenants.check import check
from ops.tenants.file_spec import secret_of
from ops.tenants.importing import ImportDocument
from ops.tenants.onboarding import COURSE, LEFT_OUT, OPTIONAL_COLUMNS, Draft, Question, Refused
from ops.terminal import files, output, plan_view

BACK = "<"
MAX_BYTES = 1_000_000
# What a file means that leaves it out
AFAS = {"environment": "production", "auth": "oauth", "base_url": LEFT_OUT, "secret_ends": LEFT_OUT}
PLUVO = {"base_url": LEFT_OUT}
NO_COLUMNS = dict.fromkeys(OPTIONAL_COLUMNS, LEFT_OUT)


class Left(Exception):
    """Somebody stops before the end: Ctrl-C, or no more input."""


def _interrupted_once(*_: object) -> None:
    """The first Ctrl-C ends a dialogue; one more would only cut short what is said of it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise KeyboardInterrupt


class Dialogue:
    """Asks for what is not given: on a terminal again and again, else once, line by line from standard input."""

    def __init__(self, language: Language, who: str, given: Mapping[str, str]) -> None:
        self.language = language
        self.who = who
        self.given = dict(given)
        self.terminal = sys.stdin.isatty()
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, _interrupted_once)
        # The slug under which what was given is kept
        self.kept = ""

    def say(self, code: str, **parameters: Any) -> None:
        """Print a sentence; on standard error, which leaves standard output to the result."""
        output.say(say(code, self.language, **parameters), error=True)

    def answered(self, draft: Draft) -> Draft:
        """The draft with all answers. Raises Left, and Problem for a wrong answer that nobody can be asked about."""
        while question := onboarding.pending(draft):
            self.kept = draft.slug if draft.kept else ""
            try:
                draft = self._one(draft, question)
            except (EOFError, KeyboardInterrupt):
                raise Left from None
        return draft

    def _one(self, draft: Draft, question: Question) -> Draft:
        given = self.given.pop(question.name, None)
        if question.kind == "act":
            output.say(f"… {say(question.sentence, self.language)}", error=True)
            given = ""
        elif given is None:
            given = self._ask(question)
        if given == BACK:
            return onboarding.back(draft)
        try:
            return onboarding_store.give(draft, question.name, given, self.who)
        except Refused as refused:
            told = self._refusal(refused)
            if not self.terminal:
                raise Problem(f"{question.name}: {told}") from None
            output.say(told, error=True)
            return self._after(refused.draft, question)

    def _after(self, draft: Draft, question: Question) -> Draft:
        """What failed without a wrong answer may work in a moment, or something else is to be answered anew."""
        again = onboarding.pending(draft)
        if again and again.name == question.name and question.kind == "act":
            return onboarding.back(draft) if self.line("ask.again") == BACK else draft
        return draft

    def _refusal(self, refused: Refused) -> str:
        code = refused.code if f"cause.{refused.code}" in SENTENCES else "failed"
        given = {"code": refused.code, **refused.parameters}
        said = str(refused.parameters.get("said") or "")
        cause = say(f"cause.{code}", self.language, **given)
        return (
            f"{cause}{' ' + said if said and said not in cause else ''} {say(f'action.{code}', self.language, **given)}"
        )

    def _ask(self, question: Question) -> str:
        if self.terminal:
            for number, (value, label) in enumerate(question.choices, 1):
                output.say(f"  {number:>2}  {value}" + (f"  ({label})" if label else ""), error=True)
        words = say(question.sentence, self.language, **question.parameters)
        proposed = f" [{question.proposal}]" if question.proposal else ""
        return self._read(f"{words}{proposed}: ", secret=question.kind == "secret")

    def line(self, code: str, **parameters: Any) -> str:
        """What is typed behind a sentence."""
        try:
            return self._read(f"{say(code, self.language, **parameters)}: ", secret=False)
        except (EOFError, KeyboardInterrupt):
            raise Left from None

    def yes(self, code: str, **parameters: Any) -> bool:
        """Whether somebody says so; without a terminal nobody does."""
        if not self.terminal:
            return False
        return self.line(code, **parameters).casefold() in ("", "y", "yes", "j", "ja")

    def _read(self, words: str, *, secret: bool) -> str:
        if not self.terminal:
            read = sys.stdin.readline()
            if not read:
                raise EOFError
            return read.strip()
        if secret:
            return getpass.getpass(output.harmless(words)).strip()
        sys.stderr.write(output.harmless(words))
        sys.stderr.flush()
        read = sys.stdin.readline()
        if not read:
            raise EOFError
        return read.strip()


def change_credentials(dialogue: Dialogue, slug: str, system: str) -> Mapping[str, object]:
    """Ask for other credentials and put them in place once they worked; the JSON document."""
    try:
        draft = dialogue.answered(onboarding_credentials.credentials_of(slug, system))
    except Left:
        dialogue.say("told.left_nothing")
        raise typer.Exit(3 if dialogue.terminal else 2) from None
    onboarding_credentials.change_credentials(draft, system, dialogue.who)
    return {"tenant": slug, "system": system, "changed": True}


def set_up(dialogue: Dialogue, draft: Draft) -> ImportDocument:
    """Ask, store and look; the JSON document. Raises typer.Exit where somebody leaves."""
    try:
        draft = dialogue.answered(draft)
        if dialogue.terminal and not dialogue.yes("ask.store", slug=draft.slug):
            raise Left
    except Left:
        dialogue.say("told.left" if dialogue.kept else "told.left_nothing", slug=dialogue.kept)
        raise typer.Exit(3 if dialogue.terminal else 2) from None
    finish = onboarding_store.finish if draft.tenant is None else onboarding_courses.add_courses
    done = finish(draft, dialogue.who)
    for change in done.changes + done.warnings:
        output.say(f"  {change}", error=True)
    if not draft.facts.get("day_fields") and draft.tenant is None:
        dialogue.say("told.no_write_back")
    if draft.answers.get("afas.environment", "production") != "production":
        dialogue.say("told.test", environment=draft.answers["afas.environment"])
    return done.document()


def go_live(dialogue: Dialogue, slug: str) -> int:
    """Check, show the first run, start it: each only when somebody says so. The exit code."""
    try:
        code = checked(dialogue, slug)
        if dialogue.yes("ask.adoption"):
            show_adoption(adoption(slug), dialogue.language)
        if dialogue.yes("ask.dry_run"):
            options = start.enrollment_options([slug], everyone=False, full=False, person=None)
            found = dry_run.document(Direction.ENROLLMENTS, [slug], everyone=False, options=options)
            plan_view.show_plans(found)
            if history.exit_code(found["runs"]) != 1 and dialogue.yes("ask.live"):
                start.start(Direction.ENROLLMENTS, [slug], everyone=False, options={}, need_worker=False)
                dialogue.say("told.started", slug=slug)
                return code
    except (Left, KeyboardInterrupt):
        output.say("", error=True)
        code = 3
    dialogue.say("told.begins", slug=slug)
    return code


def checked(dialogue: Dialogue, slug: str, *, quiet: bool = False) -> int:
    """Check until it is right, or somebody goes on all the same. The exit code."""
    words = dialogue.language
    while True:
        found = check(slug, lambda one: None if quiet else show_finding(one.document(words)), language=words)
        if found["ok"]:
            return 0
        if quiet or not dialogue.terminal or dialogue.line("ask.go_on").casefold().startswith("g"):
            return 1


# ------------------------------------------------------------------------------------------------ what is given


def given_answers(assignments: list[str], file: Path | None) -> dict[str, str]:
    """Answers of ``--set NAME=VALUE`` and of a file, by the names of their questions."""
    found: dict[str, str] = _of_file(file) if file else {}
    for one in assignments:
        name, equals, value = one.partition("=")
        if not equals:
            raise Problem(f"--set {name}: write NAME=VALUE, such as --set afas.member_id=12345.")
        found[name.strip()] = _secret(value) if name.endswith(("secret", "token", "_key", "code")) else value
    return found


def _secret(value: str) -> str:
    kind, colon, name = value.partition(":")
    if not colon or kind not in ("env", "file"):
        raise Problem("A secret on the command line is seen by others: write env:NAME or file:PATH.")
    return _read_secret({kind: name}, Path())


def _read_secret(value: Any, folder: Path) -> str:
    try:
        return str(secret_of(value, folder))
    except ValueError as error:
        raise Problem(f"{error}.") from None


def _of_file(file: Path) -> dict[str, str]:
    """The answers that a tenants file with one tenant holds. What may be left out is not asked."""
    try:
        document = tomllib.loads(files.read_text(file, MAX_BYTES))
    except tomllib.TOMLDecodeError as error:
        raise Problem(f"{file}: {error}") from None
    tenants = document.get("tenants", [])
    if not isinstance(tenants, list) or len(tenants) != 1:
        raise Problem(f"{file}: one [[tenants]] is needed; `koppeling tenants import` takes more.")
    tenant = tenants[0]
    courses, rules = tenant.get("courses", []), tenant.get("course_rules", [])
    shared, first = tenant.get("course_defaults", {}), (courses or [{}])[0]
    like = first | shared
    invites = first.get("pluvo", {}) | shared.get("pluvo", {})
    found: dict[str, object] = {key: tenant[key] for key in ("slug", "name") if key in tenant}
    for table, standard in (("afas", AFAS), ("pluvo", PLUVO)):
        for key, value in (standard | tenant.get(table, {})).items():
            found[f"{table}.{key}"] = _read_secret(value, file.parent)
    for key, value in (NO_COLUMNS | first.get("fields", {}) | shared.get("fields", {})).items():
        found[f"fields.{key}"] = value
    found |= {key: like[key] for key in ("getconnector", "completion_format") if key in like}
    found["write_back"] = like.get("completion_field", LEFT_OUT)
    found["send_invite"] = "yes" if invites.get("send_invite") else "no"
    blocks = [("all", rules[0])] if rules else [(one.get("event_id", ""), one.get("pluvo", {})) for one in courses]
    if blocks:
        found["events"] = ", ".join(event for event, _ in blocks)
    for event, place in blocks:
        if "group_ref" in place:
            found[f"target.{event}"] = f"group:{place['group_ref']}"
        elif "offer_event_ref" in place:
            found[f"target.{event}"] = place["offer_event_ref"]
        level = COURSE if place.get("completion_level") == "course" else ""
        found[f"title.{event}"] = f"{level}{place['completion_title']}" if "completion_title" in place else LEFT_OUT
    return {name: str(value) for name, value in found.items()}
