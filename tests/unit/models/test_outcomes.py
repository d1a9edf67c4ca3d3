"""Outcomes: what a run's JSON names, in a fixed order."""

from __future__ import annotations

from models import outcomes


def test_every_outcome_of_a_direction_is_named_in_the_promised_order() -> None:
    assert list(outcomes.zeros("enrollments")) == [
        *("created", "linked", "updated", "unchanged", "rejected", "ambiguous", "held", "failed", "pending"),
        *("not_yet", "ended", "blocked", "waiting"),
    ]
    assert list(outcomes.zeros("completions")) == [
        *("written", "verified", "unchanged", "conflict", "orphan", "no_date", "rejected", "failed", "pending"),
    ]
    assert set(outcomes.zeros("completions").values()) == {0}
