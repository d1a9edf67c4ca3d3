"""The dialogue of ``tenants add`` and ``courses add``: it asks and prints, ``ops/tenants/onboarding*.py`` decide."""

from __future__ import annotations

import getpass
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import typer

from models.direction import Direction
from ops.cli.adoption import show_adoption
from ops.cli.check import show_finding
from ops.language import SENTENCES, Language, say
from ops.problems import Problem
from ops.runs import dry_run, history, previews, start
from ops.runs.adoption import adoption
from ops.tenants import onboarding, onboarding_courses, onboarding_credentials, onboarding_store
from ops.tenants.check import check
from ops.tenants.file_spec import secret_of
from ops.tenants.importing import ImportDocument
from ops.tenants.onboarding import Draft, Question, Refused
from ops.tenants.onboarding_words import refusal
from ops.terminal import output, plan_view

BACK = "<"


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
            told = refusal(refused, self.language)
            if not self.terminal:
                raise Problem("answer_refused", question=question.name, told=told) from None
            output.say(told, error=True)
            return self._after(refused.draft, question)

    def _after(self, draft: Draft, question: Question) -> Draft:
        """What failed without a wrong answer may work in a moment, or something else is to be answered anew."""
        again = onboarding.pending(draft)
        if again and again.name == question.name and question.kind == "act":
            return onboarding.back(draft) if self.line("ask.again") == BACK else draft
        return draft

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
    for one in done.changed + done.warned:
        output.say(f"  {one.say(dialogue.language)}", error=True)
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
            looked_at = found["runs"][0]["plan"]["hash"]
            if history.exit_code(found["runs"]) != 1 and looked_at and dialogue.yes("ask.live"):
                # Exactly what was shown, or nothing.
                exactly = previews.expecting(slug, looked_at, {})
                start.start(Direction.ENROLLMENTS, [slug], everyone=False, options=exactly, need_worker=False)
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


def given_answers(assignments: list[str]) -> dict[str, str]:
    """Answers of ``--set NAME=VALUE``, by the names of their questions."""
    found: dict[str, str] = {}
    for one in assignments:
        name, equals, value = one.partition("=")
        if not equals:
            raise Problem("set_form", name=name)
        name = name.strip()
        if f"ask.{name}" not in SENTENCES and not name.startswith(("target.", "title.")):
            raise Problem("set_unknown", name=name)
        found[name] = _secret(value) if onboarding.is_secret(name) else value
    return found


def _secret(value: str) -> str:
    kind, colon, name = value.partition(":")
    if not colon or kind not in ("env", "file"):
        raise Problem("secret_on_command_line")
    try:
        return str(secret_of({kind: name}, Path()))
    except ValueError as error:
        raise Problem("secret_unread", said=error) from None
