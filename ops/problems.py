"""What an operator did, named or configured wrongly. One line each; commands print it and exit with 2."""

from __future__ import annotations

NO_WORKER = "No worker is running, so nothing would be done: start one with `koppeling up` or `koppeling worker`."


class Problem(Exception):
    """Wrong usage, an unknown slug or id, a paused tenant, nothing that could do the work. The text says what to do."""


class NotThere(Problem):
    """Nothing has this name or id, or nothing that one may see."""


class Forbidden(Problem):
    """Who acts may not do this."""


class FileProblems(Problem):
    """What is wrong with a file, one line each."""

    def __init__(self, lines: list[str]) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines
