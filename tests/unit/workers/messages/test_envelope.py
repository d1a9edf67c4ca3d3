"""What comes out of Redis is read without believing or fearing it."""

from __future__ import annotations

import json

import pytest
from dramatiq.message import Message
from hypothesis import given
from hypothesis import strategies as st

from workers.messages.envelope import Defect, Envelope, encode, parse

ids = st.integers(1, 2**63 - 1)
envelopes = st.builds(
    Envelope,
    kind=st.sampled_from(["enrollment.upsert", "completion.fetch", "completion.write_back"]),
    tenant_id=ids,
    message_id=ids,
    delivery=st.integers(1, 2**31 - 1),
)


def fields(**changes: object) -> dict[str, object]:
    """A good message, changed."""
    good: dict[str, object] = json.loads(encode(Envelope("enrollment.upsert", 3, 17, 2), "enrollments", 1767225600000))
    return good | changes


@given(envelopes)
def test_what_was_encoded_reads_back_the_same(envelope: Envelope) -> None:
    assert parse(encode(envelope, "enrollments", 1767225600000)) == envelope


@given(envelopes)
def test_dramatiq_reads_what_we_encode(envelope: Envelope) -> None:
    message = Message.decode(encode(envelope, "enrollments", 1767225600000))
    assert message.actor_name == envelope.kind
    assert message.options == {"redis_message_id": f"{envelope.message_id}-{envelope.delivery}"}


@given(st.binary(max_size=300))
def test_any_bytes_are_a_defect_and_never_an_exception(data: bytes) -> None:
    assert isinstance(parse(data), Defect)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(st.sampled_from(sorted(fields())), json_values)
def test_a_message_with_any_field_replaced_reads_as_an_envelope_of_ids_or_a_defect(name: str, value: object) -> None:
    read = parse(json.dumps(fields(**{name: value})).encode())
    if isinstance(read, Envelope):
        numbers = (read.tenant_id, read.message_id, read.delivery, read.version)
        assert all(type(number) is int and number > 0 for number in numbers)


GOOD = {"tenant": 3, "message": 17, "delivery": 2, "v": 1}


@pytest.mark.parametrize(
    ("data", "code", "kind"),
    [
        (b"", "undecodable", "unknown"),
        (b"\xff\xfe", "undecodable", "unknown"),
        (b"[" * 60000, "undecodable", "unknown"),
        (b"9" * 5000, "undecodable", "unknown"),
        (b"[]", "undecodable", "unknown"),
        (b'{"actor_name": 7}', "undecodable", "unknown"),
        (json.dumps(fields(actor_name="Jan <jan@example.org>")).encode(), "malformed_message", "unknown"),
        (json.dumps(fields(extra=1)).encode(), "malformed_message", "enrollment.upsert"),
        (json.dumps(fields(args=[1])).encode(), "malformed_message", "enrollment.upsert"),
        (json.dumps(fields(kwargs=None)).encode(), "malformed_message", "enrollment.upsert"),
        (json.dumps(fields(kwargs=GOOD | {"name": "x"})).encode(), "malformed_message", "enrollment.upsert"),
        (json.dumps(fields(kwargs=GOOD | {"tenant": "3"})).encode(), "malformed_message", "enrollment.upsert"),
        (json.dumps(fields(kwargs=GOOD | {"tenant": True})).encode(), "malformed_message", "enrollment.upsert"),
        (json.dumps(fields(kwargs=GOOD | {"message": 2**63})).encode(), "malformed_message", "enrollment.upsert"),
        (json.dumps(fields(kwargs=GOOD | {"delivery": 0})).encode(), "malformed_message", "enrollment.upsert"),
    ],
)
def test_each_way_to_be_no_message_has_its_code_and_tells_nothing_of_the_content(
    data: bytes, code: str, kind: str
) -> None:
    read = parse(data)
    assert isinstance(read, Defect)
    assert (read.code, read.kind) == (code, kind)
    assert "jan" not in read.text.lower()


def test_a_later_version_of_the_form_is_read_as_far_as_it_names_the_message() -> None:
    read = parse(json.dumps(fields(kwargs=GOOD | {"v": 2})).encode())
    assert read == Envelope("enrollment.upsert", 3, 17, 2, version=2)
