"""What an operator did, named or configured wrongly: a code with parameters, said in one line that tells what to do.

Commands print ``str(problem)``, the English sentence, and exit with 2. Pages, mails and the API ask ``problem.say`` for
their reader's language, and answer with ``problem.status``.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from typing_extensions import TypedDict

from ops.language import SENTENCES, Language, Words, say


class Problem(Exception):
    """Wrong usage, an unknown slug or id, a paused tenant, nothing that could do the work.

    Args:
        code: the sentence is ``problem.<code>`` of the catalogue. Where a page would say it otherwise, as a command is
            no help there, it is ``page.<code>``.
        language: what ``str`` speaks: of a command that was asked for one.
        params: those of the sentence; one that is a sentence itself is ``Words``.
    """

    status = 422  # of the answer by HTTP

    def __init__(self, code: str, /, *, language: Language = "en", **params: object) -> None:
        super().__init__(code)
        self.code = code
        self.params = params
        self.language = language

    def __str__(self) -> str:
        return say(f"problem.{self.code}", self.language, **self.params)

    def say(self, language: Language) -> str:
        """The sentence as a page shows it."""
        page = f"page.{self.code}"
        return say(page if page in SENTENCES else f"problem.{self.code}", language, **self.params)


class NotThere(Problem):
    """Nothing has this name or id, or nothing any more, or nothing that one may see."""

    status = 404


class Forbidden(Problem):
    """Who acts may not do this."""

    status = 403


class RoleNeeded(Forbidden):
    """Who acts has too low a role. Both roles are said in the reader's language; as parameters they stay our words."""

    def say(self, language: Language) -> str:
        """The sentence as a page shows it."""
        roles = {name: Words(f"role.{self.params[name]}") for name in ("needed", "role")}
        return say(f"problem.{self.code}", language, **(self.params | roles))


class AlreadyDecided(Problem):
    """Somebody else was first, or what was to be decided changed meanwhile."""

    status = 409


class First(TypedDict):
    """Who did something, and when: for whoever wants to do it second."""

    who: str
    at: datetime


class FileProblems(Problem):
    """What is wrong with a file, one line each."""

    def __init__(self, told: Sequence[Words | str]) -> None:
        super().__init__("file")
        self.told = told

    def __str__(self) -> str:
        return "\n".join(self.lines)

    @property
    def lines(self) -> list[str]:
        """The lines in English."""
        return [str(one) for one in self.told]

    def say(self, language: Language) -> str:
        """The lines as a page shows them."""
        return "\n".join(one if isinstance(one, str) else one.say(language) for one in self.told)
