"""How a run ended follows from its outcomes."""

from __future__ import annotations

import pytest

from producers.runs.result import Count, status_of


@pytest.mark.parametrize(
    ("outcomes", "removals", "snapshot", "quarantined", "status"),
    [
        ({"created": 3, "rejected": 1, "pending": 2}, {}, "complete", False, "done"),
        ({"created": 3, "held": 1}, {}, "complete", False, "done_with_holds"),
        ({"created": 3, "ambiguous": 1}, {}, "complete", False, "done_with_holds"),
        ({"created": 3}, {"held": 4}, "complete", False, "done_with_holds"),
        ({"created": 3}, {}, "suspect", False, "done_with_holds"),
        ({"created": 3, "failed": 1, "held": 1}, {}, "complete", False, "done_with_failures"),
        ({"created": 3}, {"failed": 1, "removed": 2}, "complete", False, "done_with_failures"),
        ({"created": 3, "held": 1}, {}, "partial", False, "done_with_failures"),
        ({"failed": 1}, {}, "partial", True, "quarantined"),
        ({}, {}, None, False, "done"),
    ],
)
def test_status(
    outcomes: dict[str, int], removals: dict[str, int], snapshot: str | None, quarantined: bool, status: str
) -> None:
    assert status_of(Count(outcomes, removals), snapshot, quarantined=quarantined) == status
