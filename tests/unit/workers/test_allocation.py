"""The window is shared fairly, never above a cap, and nothing of it is wasted."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from workers.allocation import Lane, allocate, window

lanes = st.lists(
    st.builds(
        Lane,
        tenant_id=st.integers(1, 200),
        direction=st.sampled_from(["enrollments", "completions"]),
        in_flight=st.integers(0, 20),
        cap=st.integers(0, 20),
        served=st.integers(0, 5),
    ),
    max_size=30,
    unique_by=lambda lane: lane.key,
)


@given(lanes, st.integers(0, 200))
def test_no_lane_rises_above_its_cap(some: list[Lane], room: int) -> None:
    given_ = allocate(some, room)
    for lane in some:
        places = given_.get(lane.key, 0)
        assert places == 0 or lane.in_flight + places <= lane.cap


@given(lanes, st.integers(0, 200))
def test_nothing_is_left_over_while_a_lane_could_use_it(some: list[Lane], room: int) -> None:
    usable = sum(max(0, lane.cap - lane.in_flight) for lane in some)
    assert sum(allocate(some, room).values()) == min(room, usable)


@given(lanes, st.integers(0, 200))
def test_lanes_end_level_unless_a_cap_or_an_older_share_keeps_them_apart(some: list[Lane], room: int) -> None:
    given_ = allocate(some, room)
    levels = {lane.key: lane.in_flight + given_.get(lane.key, 0) for lane in some}
    for one in some:
        for other in some:
            if given_.get(one.key) and levels[other.key] < other.cap:
                assert levels[one.key] <= levels[other.key] + 1


def test_a_big_tenant_with_much_in_flight_waits_until_the_small_ones_have_as_much() -> None:
    big = Lane(1, "enrollments", in_flight=16, cap=40)
    small = [Lane(number, "enrollments", in_flight=0, cap=40) for number in range(2, 6)]
    assert allocate([big, *small], 20) == {(number, "enrollments"): 5 for number in range(2, 6)}


def test_the_least_recently_served_of_equals_goes_first() -> None:
    some = [Lane(1, "enrollments", 0, 5, served=9), Lane(2, "enrollments", 0, 5, served=3)]
    assert allocate(some, 1) == {(2, "enrollments"): 1}


def test_the_window_grows_with_the_threads_and_has_a_least_size() -> None:
    assert window(0) == 32
    assert window(16) == 48
