"""One access token per set of credentials, fetched once however many threads want it."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import pytest

from clients.errors import Misconfigured, Unavailable
from clients.http import TokenCache


class Endpoint:
    """Give tokens t1, t2 … and count them."""

    def __init__(self, expires_in: object = 3600) -> None:
        self.fetched = 0
        self.expires_in = expires_in

    def __call__(self) -> Mapping[str, object]:
        self.fetched += 1
        return {"access_token": f"t{self.fetched}", "token_type": "Bearer", "expires_in": self.expires_in}


class CountingLock:
    """A lock that tells how often it was wanted."""

    def __init__(self) -> None:
        self.wanted = threading.Semaphore(0)
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        self.wanted.release()
        self._lock.acquire()

    def __exit__(self, *error: object) -> None:
        self._lock.release()


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("expires_in", "usable_for"),
    [(3600, 3540), ("3600", 3540), (1200, 1140), (100, 95), ("20.0", 19), (None, 285), ("soon", 285), ("nan", 285)],
)
def test_a_token_is_used_until_just_before_its_end(expires_in: object, usable_for: float) -> None:
    clock, endpoint = Clock(), Endpoint(expires_in)
    tokens = TokenCache(clock=clock)

    assert tokens.get(endpoint) == "t1"
    clock.now += usable_for - 0.1
    assert tokens.get(endpoint) == "t1"
    clock.now += 0.2
    assert tokens.get(endpoint) == "t2"


@pytest.mark.parametrize("expires_in", [0, -5])
def test_a_token_without_life_is_used_once(expires_in: int) -> None:
    tokens, endpoint = TokenCache(), Endpoint(expires_in)

    assert [tokens.get(endpoint), tokens.get(endpoint)] == ["t1", "t2"]


def test_only_the_refused_token_is_dropped() -> None:
    tokens, endpoint = TokenCache(), Endpoint()
    first = tokens.get(endpoint)
    tokens.drop(first)
    second = tokens.get(endpoint)

    tokens.drop(first)  # another thread was refused with the old one, and comes late

    assert (tokens.get(endpoint), second, endpoint.fetched) == ("t2", "t2", 2)


def test_threads_that_want_a_token_together_cause_one_fetch() -> None:
    tokens, endpoint, together = TokenCache(), Endpoint(), threading.Barrier(8)

    def want() -> str:
        together.wait()
        return tokens.get(endpoint)

    with ThreadPoolExecutor(8) as pool:
        got = [future.result() for future in [pool.submit(want) for _ in range(8)]]

    assert (got, endpoint.fetched) == (["t1"] * 8, 1)


def test_threads_that_waited_for_a_failed_fetch_fail_with_it_and_the_next_call_tries_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tokens, fetching, go_on, fetched = TokenCache(), threading.Event(), threading.Event(), []
    lock = CountingLock()
    monkeypatch.setattr(tokens, "_lock", lock)  # to see who waits

    def fail() -> Mapping[str, object]:
        fetched.append(1)
        fetching.set()
        go_on.wait()
        raise Unavailable("timeout", "No token in time.")

    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(tokens.get, fail)
        fetching.wait()
        others = [pool.submit(tokens.get, fail) for _ in range(3)]
        assert lock.wanted.acquire(timeout=10)  # by the first
        assert all(lock.wanted.acquire(timeout=10) for _ in range(3))  # the others stand before it
        go_on.set()
        errors = [future.exception() for future in (first, *others)]

    assert all(isinstance(error, Unavailable) for error in errors)
    assert len(fetched) == 1
    assert tokens.get(Endpoint()) == "t1"


@pytest.mark.parametrize("answer", [{}, {"access_token": None}, {"access_token": " "}, {"access_token": 5}])
def test_an_answer_without_a_token_is_misconfigured(answer: Mapping[str, object]) -> None:
    with pytest.raises(Misconfigured) as raised:
        TokenCache().get(lambda: answer)

    assert raised.value.code == "no_token"


def test_a_process_shares_tokens_per_address_client_and_secret() -> None:
    one = TokenCache.shared("https://a", "client", "secret")

    assert TokenCache.shared("https://a", "client", "secret") is one
    assert TokenCache.shared("https://a", "client", "wrong") is not one
    assert TokenCache.shared("https://a", "other", "secret") is not one
    assert TokenCache.shared("https://b", "client", "secret") is not one
