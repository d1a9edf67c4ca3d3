"""Documents of several root fields, and how Pluvo may refuse them or tell badly what became of them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.simulators.calls import Pluvo

THREE = """
mutation Three {
  one: createUser(sendInvite: false, user: {email: "a@example.nl", name: "A", ref: "a"}) { user { ref } }
  two: createUser(sendInvite: false, user: {email: "b@example.nl", name: "B", ref: "b"}) { user { ref } }
  three: createUser(sendInvite: false, user: {email: "c@example.nl", name: "C", ref: "c"}) { user { ref } }
}"""


def refs(pluvo: Pluvo) -> set[str]:
    return {user["ref"] for user in pluvo.tenant.users.values()}


def test_one_refused_value_fails_its_own_field_among_others(pluvo: Pluvo) -> None:
    pluvo.tenant.change_switches(refused_values=["b@example.nl"])

    answer = pluvo.post(THREE).json()

    assert [error["path"] for error in answer["errors"]] == [["two"]]
    assert answer["data"] == {"one": {"user": {"ref": "a"}}, "two": None, "three": {"user": {"ref": "c"}}}
    assert refs(pluvo) == {"a", "c"}


def test_an_error_may_come_without_a_path_or_take_all_that_was_done(pluvo: Pluvo) -> None:
    pluvo.tenant.change_switches(refused_values=["b"], error_paths=False, null_spoils=True)

    answer = pluvo.post(THREE).json()

    assert answer["data"] is None
    assert "path" not in answer["errors"][0]
    assert refs(pluvo) == {"a", "c"}


@pytest.mark.parametrize(
    ("switch", "status"),
    [({"max_root_fields": 2}, 400), ({"max_body_bytes": 100}, 413), ({"repeats_fields": False}, 400)],
)
def test_a_document_may_be_refused_as_a_whole(pluvo: Pluvo, switch: dict[str, Any], status: int) -> None:
    pluvo.tenant.change_switches(**switch)

    assert pluvo.post(THREE).status_code == status
    assert refs(pluvo) == set()


def test_what_fits_is_done(pluvo: Pluvo) -> None:
    pluvo.tenant.change_switches(max_root_fields=3, max_body_bytes=10_000)

    assert len(pluvo.data(THREE)) == 3
