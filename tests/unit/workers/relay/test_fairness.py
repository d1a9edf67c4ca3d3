"""The places in flight are shared fairly, never above a cap, and nothing of it is wasted."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.relay.fairness import IN_FLIGHT_MIN, Lane, allocate, cap_of, in_flight_limit, of_use, share

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


def test_the_in_flight_limit_grows_with_the_threads_and_has_a_least_size() -> None:
    assert in_flight_limit(0) == 32
    assert in_flight_limit(16) == 48


numbers = st.integers(0, 64)


@given(numbers, st.integers(1, 64), numbers, st.integers(0, 5), st.booleans(), st.integers(0, 9))
def test_a_lane_takes_at_most_half_of_the_threads_and_at_least_one(  # noqa: PLR0917
    threads: int, wanted: int, ended: int, timeouts: int, slow: bool, slow_lanes: int
) -> None:
    cap = cap_of(wanted, threads, ended, timeouts, slow, slow_lanes)
    assert 1 <= cap <= max(1, (threads or IN_FLIGHT_MIN) // 2)
    assert cap <= wanted
    if timeouts >= 3:
        assert cap == 1


@given(st.integers(2, 64), st.integers(1, 16))
def test_slow_lanes_together_leave_half_of_the_threads_to_the_rest(threads: int, slow_lanes: int) -> None:
    taken = slow_lanes * cap_of(16, threads, 99, slow=True, slow_lanes=slow_lanes)
    assert taken <= max(threads // 2, slow_lanes)  # one each is the least


def test_a_lane_begins_with_few_and_rises_with_what_ends() -> None:
    assert [cap_of(16, 32, ended) for ended in (0, 4, 12, 100)] == [4, 8, 16, 16]


groups = st.lists(
    st.tuples(st.sampled_from([0, 5, 9]), st.sampled_from(["a", "b", "c"])), min_size=1, max_size=6, unique=True
)


@given(groups, st.lists(st.integers(1, 8), min_size=1, max_size=30))
def test_no_group_of_a_lane_waits_for_ever(some: list[tuple[int, str]], rounds: list[int]) -> None:
    passed: dict[tuple[int, str], float] = {}
    got = dict.fromkeys(some, 0)
    for places in rounds:
        given_ = share(some, places, passed)
        assert sum(given_.values()) == places
        for group, count in given_.items():
            got[group] += count
    # for each place of the least urgent one the most urgent has at most four, and a start
    for one in some:
        for other in some:
            assert got[one] <= 4 * (got[other] + 1)


def test_a_group_that_comes_anew_begins_where_the_others_are() -> None:
    passed: dict[tuple[int, str], float] = {}
    share([(5, "a")], 100, passed)
    assert share([(5, "a"), (0, "b")], 6, passed) == {(0, "b"): 4, (5, "a"): 2}


@given(lanes, st.lists(st.integers(2, 12), min_size=30, max_size=30), st.integers(0, 60))
def test_messages_that_share_a_call_take_one_place_and_nobodys(some: list[Lane], sharing: list[int], room: int) -> None:
    shared = [replace(lane, sharing=people) for lane, people in zip(some, sharing, strict=False)]
    given_ = allocate(shared, room)
    after = [replace(lane, in_flight=lane.in_flight + given_.get(lane.key, 0)) for lane in shared]
    taken = sum(lane.places for lane in after) - sum(lane.places for lane in shared)
    assert taken <= room
    for lane in after:
        if taken == room:  # full: whoever may still go needs another place
            assert lane.in_flight >= lane.cap or lane.in_flight % lane.sharing == 0
        else:
            assert lane.in_flight >= lane.cap


def test_people_who_share_a_call_go_before_lanes_with_as_many_calls_are_served_again() -> None:
    some = [Lane(1, "enrollments", 0, 20, sharing=10), Lane(2, "completions", 0, 20)]
    assert allocate(some, 4) == {(1, "enrollments"): 20, (2, "completions"): 2}


def test_threads_that_stand_by_are_for_messages_that_wait_for_each_others_call() -> None:
    assert [cap_of(40, 16, 99, standing_by=by) for by in (0, 48)] == [8, 40]
    assert cap_of(40, 16, 2, standing_by=48) == 4  # it begins as slowly as any
    assert cap_of(40, 16, 99, slow=True, slow_lanes=2, standing_by=48) == 4


@pytest.mark.parametrize(("processes", "out"), [(0, 20), (1, 20), (2, 50), (4, 80), (9, 80)])
def test_each_process_has_people_for_its_next_call_at_hand(processes: int, out: int) -> None:
    assert of_use("enrollments", parallel_calls=2, people_per_call=10, processes=processes) == out
    assert of_use("enrollments", parallel_calls=2, people_per_call=1, processes=processes) == 16


@pytest.mark.parametrize(("people", "out"), [(1, 16), (8, 16), (10, 20), (25, 50)])
def test_people_who_share_calls_have_those_of_the_next_call_at_hand(people: int, out: int) -> None:
    assert of_use("enrollments", parallel_calls=2, people_per_call=people) == out
    assert of_use("completions", parallel_calls=2, people_per_call=people) == 4
