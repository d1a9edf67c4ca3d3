"""What comes and goes again and again, at any moment and for anybody: who is told believes what is so."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as how
from hypothesis import strategies as st

from models.session import connect_alone
from ops.alerts import plan
from ops.tenants import importing
from tests.integration.ops.conftest import run_sql, scalar
from tests.unit.ops.tenants.test_file import GOOD

WINDOW = timedelta(hours=4)
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
# Those of a tenant, and of the installation
KEYS = [("acme", "hold", "a"), ("acme", "hold", None), ("acme", "quarantine", "a"), (None, "relay", None)]
MINUTES = st.sampled_from([0, 1, 119, 120, 121, 239, 240, 241, 500])
STEPS = st.lists(st.tuples(MINUTES, st.sampled_from(["turn", "turn", "tell"]), st.sampled_from(KEYS)), max_size=25)
Key = tuple[str | None, str, str | None]


@dataclass
class Once:
    """One time that it was so."""

    number: int
    # It was over a short while before.
    again: bool
    over: datetime | None = None
    told: bool = False
    over_told: bool = False

    def is_new(self) -> bool:
        return not self.told if self.over is None else self.told and not self.over_told

    def is_held(self, now: datetime) -> bool:
        return self.over is not None and self.again and now - self.over < WINDOW


def begin(key: Key, at: datetime) -> int:
    return int(
        run_sql(
            "INSERT INTO alert (tenant_id, kind, subject, text, opened_at)"
            " VALUES ((SELECT id FROM tenant WHERE slug = :slug), :kind, :subject, 'x', :at) RETURNING id",
            **dict(zip(("slug", "kind", "subject"), key, strict=True)),
            at=at,
        )
    )


def end(number: int, at: datetime) -> None:
    run_sql("UPDATE alert SET closed_at = :at WHERE id = :id", id=number, at=at)


def told(number: int) -> tuple[bool, bool]:
    both: list[bool] = scalar(
        "SELECT ARRAY[told_at IS NOT NULL, over_told_at IS NOT NULL] FROM alert WHERE id = :id", id=number
    )
    return both[0], both[1]


def tell(times: list[Once], now: datetime) -> int:
    """The rule, of one thing: note what is told at this moment, and say how much."""
    found = [one for one in times if one.is_new()]
    done = [one for one in found if one is not found[-1] or not one.is_held(now)]
    for one in done:
        one.told, one.over_told = True, one.over is not None
    # Of what began again before its end was told nobody is told anything.
    return int(bool(found) and found[-1] in done and not (len(found) > 1 and found[-1].over is None))


@given(steps=STEPS)
@how(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_each_end_is_held_back_for_as_long_as_the_rule_says(
    import_text: Callable[[str], list[importing.Imported]], steps: list[tuple[int, str, Key]]
) -> None:
    # given nothing so far
    import_text(GOOD)
    run_sql("DELETE FROM alert")
    there: dict[Key, list[Once]] = {key: [] for key in KEYS}
    now = NOON
    for minutes, what, key in steps:
        now += timedelta(minutes=minutes)
        times = there[key]
        if what == "tell":
            # when there is something to tell for somebody, all of theirs is looked at
            due = {
                key[0] for key, times in there.items() if any(one.is_new() and not one.is_held(now) for one in times)
            }
            expected = sum(tell(times, now) for key, times in there.items() if key[0] in due)
            assert plan.news(now) == expected
        elif times and times[-1].over is None:
            times[-1].over = now
            end(times[-1].number, now)
        else:
            again = any(one.over is not None and now - one.over < WINDOW for one in times)
            times.append(Once(begin(key, now), again))
        # then what was told is what the rule says
        every = [one for times in there.values() for one in times]
        assert [told(one.number) for one in every] == [(one.told, one.over_told) for one in every]


@pytest.mark.parametrize("key", [KEYS[0], KEYS[3]], ids=["a tenant's", "the installation's"])
def test_what_is_so_is_never_told_as_over_although_another_one_tells_just_then(acme: int, key: Key) -> None:
    # given an end that is held back, of what people were told
    first = begin(key, NOON - 6 * HOUR)
    assert plan.news(NOON) == 1
    end(first, NOON - 5 * HOUR)
    second = begin(key, NOON - 4 * HOUR)
    assert plan.news(NOON) == 0
    end(second, NOON - 2 * HOUR)
    assert plan.news(NOON) == 0
    # when it begins again while another one that tells has hold of that end
    third = begin(key, NOON - HOUR)
    with connect_alone("test") as other, other.transaction():
        other.execute("SELECT 1 FROM alert WHERE id = %s FOR UPDATE", [second])
        # then nobody is told: they know that it is so
        assert plan.news(NOON) == 0
    # and when the time of the held end is over
    assert plan.news(NOON + 3 * HOUR) == 0
    # then it is settled, and the third is told as over in its time
    assert (told(second), told(third)) == ((True, True), (True, False))
    end(third, NOON + 3 * HOUR)
    assert plan.news(NOON + 4 * HOUR) == 0
    assert plan.news(NOON + 7 * HOUR) == 1
