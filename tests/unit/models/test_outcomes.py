"""Outcomes: what a run's JSON names, in a fixed order."""

from __future__ import annotations

from models import outcomes
from models.completion_state import CompletionState


def test_every_outcome_of_a_direction_is_named_in_the_promised_order() -> None:
    assert list(outcomes.zeros("enrollments")) == [
        *("created", "linked", "updated", "unchanged", "rejected", "ambiguous", "held", "failed", "pending"),
        *("not_yet", "ended", "blocked", "waiting"),
    ]
    assert list(outcomes.zeros("completions")) == [
        *("written", "verified", "unchanged", "conflict", "orphan", "no_date", "rejected", "failed", "pending"),
    ]
    assert set(outcomes.zeros("completions").values()) == {0}


def test_a_completion_has_the_states_that_a_run_counts_and_one_for_a_write_under_way() -> None:
    assert set(CompletionState) == {*outcomes.CompletionOutcome, "sending"}
