"""The signature of a webhook, by the vectors of docs/completions.md, and what an event's body tells."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ops.http.webhooks import is_signed, signature
from producers.completions.webhook_events import Hint, read

VECTORS = [
    ("whk-secret-1", "s4lt-abc", b'{"event":"USER_CREATED","id":"1"}', "lhgySwC6nq9IqVIARhs6NTYlwLk"),
    ("whk-secret-1", "s4lt-abd", b'{"event":"USER_CREATED","id":"1"}', "NO9cHygSFRPWq30QvvjWBs8Q_iE"),
    ("topsecret", "1700000000", b"{}", "yfU4o20N1ovO1JfLXwew2RZE-Lw"),
    ("kéy", "nönce", '{"name":"Jürgen"}'.encode(), "LTgR3ZhycFu_UULLj8SrBBxaYAA"),
]


@pytest.mark.parametrize(("secret", "salt", "body", "expected"), VECTORS)
def test_the_signature_is_the_one_pluvo_makes(secret: str, salt: str, body: bytes, expected: str) -> None:
    assert signature(secret, salt, body) == expected
    assert is_signed(secret, salt, expected, body)


def test_both_spellings_of_base64_are_the_same_signature() -> None:
    secret, salt, body, _ = VECTORS[1]
    for spelling in ("NO9cHygSFRPWq30QvvjWBs8Q/iE=", "NO9cHygSFRPWq30QvvjWBs8Q/iE", "NO9cHygSFRPWq30QvvjWBs8Q_iE="):
        assert is_signed(secret, salt, spelling, body)


@pytest.mark.parametrize(
    "given", [None, "", "=", "NO9cHygSFRPWq30QvvjWBs8Q_iF", "NO9cHygSFRPWq30QvvjWBs8Q_i", "ünïcode"]
)
def test_any_other_signature_is_refused(given: str | None) -> None:
    secret, salt, body, _ = VECTORS[1]
    assert not is_signed(secret, salt, given, body)
    assert not is_signed(secret, None, "NO9cHygSFRPWq30QvvjWBs8Q_iE", body)
    assert not is_signed(secret, salt, signature(secret, salt, b""), b"")


@given(st.binary(min_size=1, max_size=200), st.integers(0, 199))
def test_one_changed_byte_breaks_the_signature(body: bytes, position: int) -> None:
    changed = bytearray(body)
    changed[position % len(body)] ^= 1
    assert not is_signed("geheim", "zout", signature("geheim", "zout", body), bytes(changed))


@given(st.one_of(st.binary(max_size=100), st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["event", "user", "id", "ref", "training", "title", "userId"]), inner, max_size=5),
    max_leaves=12,
).map(lambda content: json.dumps(content).encode())))  # fmt: skip
def test_reading_a_body_never_fails(body: bytes) -> None:
    assert isinstance(read(body), Hint)


def test_a_body_nested_a_hundred_thousand_deep_is_unreadable() -> None:
    assert read(b"[" * 100_000) == Hint()


@pytest.mark.parametrize(
    ("body", "hint"),
    [
        (
            {"event": "TRAINING_FINISHED", "user": {"id": "u1", "ref": "r1"}, "training": {"title": " BHV  basis "}},
            Hint("TRAINING_FINISHED", "u1", "r1", "BHV basis"),
        ),
        ({"event": "COURSE_FINISHED", "user": {"ref": "r1"}, "course": None}, Hint("COURSE_FINISHED", None, "r1")),
        ({"event": "COURSE_FINISHED", "userId": "u1"}, Hint("COURSE_FINISHED", "u1")),
        ({"event": "USER_UPDATED", "id": "u1"}, Hint("USER_UPDATED")),
        ({"event": "TRAINING_FINISHED", "user": {"id": "a\u0000b", "ref": 7}}, Hint("TRAINING_FINISHED")),
        ({"event": "drop table"}, Hint()),
    ],
)
def test_an_event_is_read_tolerantly(body: dict[str, object], hint: Hint) -> None:
    assert read(json.dumps(body).encode()) == hint
