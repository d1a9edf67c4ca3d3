"""The batch of 100 tenants among which four are in trouble: what its judge lets pass, and what it complains of."""

from __future__ import annotations

from typing import Any, cast

import pytest

from benchmarks.batch import DOWN, HUGE, REFUSED, SLOW, TROUBLED, Play, Size
from benchmarks.chaos.scene import Scene
from models.direction import Direction
from ops.runs.batches import BatchShown

AS_IT_MUST_BE = {HUGE: "done", SLOW: "done", DOWN: "failed", REFUSED: "quarantined"}


def play() -> Play:
    return Play(cast(Scene, None), Size())


def ended(needs: tuple[str, ...] = (DOWN, REFUSED), over: bool = True, **statuses: str) -> BatchShown:
    """A batch at its end, as ``batches.show`` tells it."""
    slugs = [tenant.slug for tenant in Size().made()]
    told: Any = {
        "id": "01M", "direction": "enrollments", "over": over, "tenants": len(slugs), "done": len(slugs),
        "items": [
            {"tenant": slug, "status": (AS_IT_MUST_BE | statuses).get(slug.replace("-", "_"), "done"), "reason": None}
            for slug in slugs
        ],
        "needs": [{"tenant": slug, "run": "01M", "code": "check", "count": 1} for slug in needs],
    }  # fmt: skip
    return cast(BatchShown, told)


def test_there_are_100_tenants_of_which_four_are_in_trouble() -> None:
    made = Size().made()
    assert len({tenant.slug for tenant in made}) == len({tenant.member_id for tenant in made}) == 100
    assert {tenant.slug for tenant in made} >= set(TROUBLED)
    assert max(made, key=lambda tenant: tenant.people).slug == HUGE


@pytest.mark.parametrize(
    ("shown", "complaints"),
    [
        (ended(), 0),
        (ended(load_050="failed"), 1),
        (ended(slow="applying", over=False), 2),
        (ended(down="done"), 1),
        (ended(needs=(DOWN,)), 1),
        (ended(needs=(DOWN, REFUSED, "load-050")), 1),
    ],
    ids=["as it must be", "a healthy one failed", "it goes on", "who is down is done", "one not named", "one too many"],
)
def test_the_end_of_a_batch_is_judged(shown: BatchShown, complaints: int) -> None:
    acts = play()
    acts._ended(shown)
    assert len(acts.complaints) == complaints


@pytest.mark.parametrize(
    ("late", "complaints"),
    [
        ({HUGE: "applying", SLOW: "running", DOWN: "failed", REFUSED: "quarantined"}, 0),
        ({SLOW: "applying", DOWN: "failed", REFUSED: "quarantined"}, 1),
        ({HUGE: "applying", SLOW: "failed", DOWN: "failed", REFUSED: "quarantined"}, 1),
    ],
    ids=["the four", "the huge one was quicker", "the slow one failed"],
)
def test_whom_the_batch_waits_for_when_the_healthy_are_done_is_judged(late: dict[str, str], complaints: int) -> None:
    acts = play()
    acts._named(Direction.ENROLLMENTS, late)
    assert len(acts.complaints) == complaints
