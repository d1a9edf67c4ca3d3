"""Read Pluvo's report, which is the truth about completions: read once a level, for all courses of a tenant at once.

The report can't be asked for one training or for what is new, so all of it is read and only rows with a rule's title
and a date are handed on, some hundreds at a time: memory does not grow with the report.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Literal

from clients.errors import Incomplete, Unavailable
from clients.pluvo import PluvoClient, PortfolioRow
from models.course import Course
from models.folding import fold_title
from models.run import Candidate, CourseResult, SnapshotState
from producers.completions.record import Finished
from producers.completions.rules import MAX_CANDIDATES, Rule, TitleVerdict, judge_title
from producers.event_reader import RETRY_WAITS_SECONDS, sleep
from tenancy.rate_limit import RateLimited

BATCH = 1000
CHECK_SECONDS = 0.5
MAX_TITLES_KEPT = 1000
Sink = Callable[[Sequence[Finished]], None]
Check = Callable[[], None]


@dataclass
class CourseNote:
    """What became of one course in a run, as the run shows it."""

    event_id: str
    snapshot: str = SnapshotState.COMPLETE
    reasons: list[str] = field(default_factory=list)
    rows: int = 0
    candidates: list[Candidate] = field(default_factory=list)

    def refuse(self, reason: str, candidates: Sequence[Candidate] = ()) -> None:
        """This course can't be read (in full): the run says so and counts as failed, the others go on."""
        self.snapshot = SnapshotState.PARTIAL
        if reason not in self.reasons:
            self.reasons.append(reason)
        self.candidates += [one for one in candidates if one not in self.candidates]

    def as_json(self) -> CourseResult:
        shown = CourseResult(event_id=self.event_id, snapshot=self.snapshot, reasons=self.reasons, rows=self.rows)
        if self.candidates:
            shown["candidates"] = self.candidates[:MAX_CANDIDATES]
        return shown


Notes = dict[int, CourseNote]


def usable_rules(pluvo: PluvoClient, rules: Sequence[Rule], notes: Notes, check: Check) -> list[Rule]:
    """The rules whose title stands for one training; the others are noted with their course.

    A rule whose *field* can't hold a date stays: its finished people are listed as ``rejected``.
    """
    verdicts: dict[tuple[str, str], TitleVerdict] = {}
    kept: list[Rule] = []
    for rule in rules:
        key = rule.level, rule.title
        if key not in verdicts:
            check()
            verdicts[key] = judge_title(pluvo, rule.level, rule.title)
        if rule.refusal:
            notes[rule.course_id].refuse(rule.refusal)
        if reason := verdicts[key].reason:
            notes[rule.course_id].refuse(reason, verdicts[key].candidates)
        else:
            kept.append(rule)
    return kept


def find_groups(pluvo: PluvoClient, courses: Sequence[Course], notes: Notes) -> dict[int, str | None]:
    """Pluvo's id of each course's group; None for a course without one. Unknown groups are noted and left out."""
    groups: dict[int, str | None] = {}
    for course in courses:
        assert course.id is not None  # noqa: S101  read from the database
        ref = course.pluvo.group_ref
        group_id = (course.target_id or pluvo.group_id(ref)) if ref else None
        if ref and group_id is None:
            notes[course.id].refuse("group_unknown")
        else:
            groups[course.id] = group_id
    return groups


class LevelReport:
    """One level's report. ``sink`` gets finished rows in batches, possibly some of them twice."""

    def __init__(self, pluvo: PluvoClient, level: str, rules: Sequence[Rule], sink: Sink, check: Check) -> None:
        self.pluvo = pluvo
        self.level = level
        self.titles = {rule.title for rule in rules}
        self.sink = sink
        self.check = check
        self.seen_titles: set[str] = set()
        self.other_titles: set[str] = set()
        # Courses can't be looked up by title. Two different rows of one user under one title give them away.
        self.ambiguous: set[str] = set()
        self._dates: dict[str, dict[str, str | None]] = defaultdict(dict)
        self._batch: list[Finished] = []
        self._checked_at = float("-inf")

    def read(self, group_ids: Sequence[str] | None) -> None:
        """Read it all; starts again after 2, 10 and 30 s when Pluvo fails. Raises Unavailable after that.

        What was read is good and is handed on in any case.
        """
        waits = iter(RETRY_WAITS_SECONDS)
        while True:
            try:
                self._read_once(group_ids)
                return
            except Incomplete:
                raise  # it came to its end more than once: reading it again gives nothing new
            except (Unavailable, RateLimited) as error:
                wait = next(waits, None)
                if wait is None:
                    raise
                told = error.retry_after_seconds or 0 if isinstance(error, Unavailable) else error.seconds
                sleep(max(wait, min(told, 60)), self.check)

    def _read_once(self, group_ids: Sequence[str] | None) -> None:
        self._dates.clear()
        level: Literal["TRAINING", "COURSE"] = "COURSE" if self.level == "course" else "TRAINING"
        try:
            for page in self.pluvo.portfolio_pages(level, group_ids=group_ids):
                if time.monotonic() - self._checked_at >= CHECK_SECONDS:
                    self._checked_at = time.monotonic()
                    self.check()
                for row in page:
                    self._take(row)
                if len(self._batch) >= BATCH:
                    self._flush()
        except (Unavailable, RateLimited):
            self._flush()
            raise
        self._flush()

    def _take(self, row: PortfolioRow) -> None:
        title = fold_title(row.title)
        if title not in self.titles:
            if len(self.other_titles) < MAX_TITLES_KEPT:
                self.other_titles.add(title)
            return
        self.seen_titles.add(title)
        if self.level == "course" and self._dates[title].setdefault(row.user_id, row.completion_date) != (
            row.completion_date
        ):
            self.ambiguous.add(title)
        if row.completion_date is not None:
            self._batch.append(Finished(row.user_id, self.level, title, row.completion_date))

    def _flush(self) -> None:
        if self._batch:
            self.sink(self._batch)
            self._batch = []

    def doubtful(self, rules: Sequence[Rule], notes: Notes, *, whole: bool) -> list[Rule]:
        """Rules of courses (not trainings) that the report itself showed to be ambiguous or, read whole, unknown."""
        found: list[Rule] = []
        for rule in rules if self.level == "course" else ():
            if rule.title in self.ambiguous:
                notes[rule.course_id].refuse("title_ambiguous")
                found.append(rule)
            elif whole and rule.title not in self.seen_titles and self.other_titles:
                near = get_close_matches(rule.title, self.other_titles, n=5)
                notes[rule.course_id].refuse("title_unknown", [{"title": title} for title in near])
                found.append(rule)
        return found


def read_report(
    pluvo: PluvoClient,
    rules: Sequence[Rule],
    groups: dict[int, str | None],
    notes: Notes,
    *,
    sink: Sink,
    check: Check,
) -> list[Rule]:
    """Read every level that a rule needs; returns the rules that must not be acted on after all.

    A level is read for its groups only when all its courses have one. When Pluvo goes on failing, its courses are
    noted as partly read: what was seen is good, and what is missing comes in the next run.
    """
    doubtful: list[Rule] = []
    for level in sorted({rule.level for rule in rules}):
        of_level = [rule for rule in rules if rule.level == level and rule.course_id in groups]
        if not of_level:
            continue
        ids = {groups[rule.course_id] for rule in of_level}
        level_report = LevelReport(pluvo, level, of_level, sink, check)
        whole = False
        try:
            level_report.read(None if None in ids else sorted(str(one) for one in ids))
            whole = True
        except (Unavailable, RateLimited) as error:
            for rule in of_level:
                notes[rule.course_id].refuse(error.code if isinstance(error, Unavailable) else "pace")
        doubtful += level_report.doubtful(of_level, notes, whole=whole)
    return doubtful
