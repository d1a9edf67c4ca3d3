"""The arithmetic of the guards: the larger of a count and a share."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models.tenant_settings import Limits
from producers.enrollments.guards import allowed

calm = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # on a busy machine too


@pytest.mark.parametrize(
    ("name", "base", "most"),
    [
        ("event", 0, 3),
        ("event", 30, 3),
        ("event", 31, 3.1),
        ("event", 100, 10),
        ("run", 200, 10),
        ("run", 201, 10.05),
        ("window", 166, 25),
        ("window", 200, 30),
        ("creates", 200, 100),
        ("creates", 202, 101),
        ("email_changes", 50, 10),
        ("email_changes", 55, 11),
    ],
)
def test_default_limits(name: str, base: int, most: float) -> None:
    assert allowed(Limits(), name, base) == pytest.approx(most)


@calm
@given(st.integers(0, 500), st.integers(0, 100), st.integers(0, 100_000))
def test_limit_is_never_under_the_count_nor_under_the_share(count: int, percent: int, base: int) -> None:
    most = allowed(Limits(event_count=count, event_percent=percent), "event", base)
    assert most == max(count, base * percent / 100)
