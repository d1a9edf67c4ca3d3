"""Every text we may send fits the schema we assume, and only says what it was given to say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from graphql import FieldNode, OperationDefinitionNode, parse, validate
from hypothesis import given
from hypothesis import strategies as st

from clients.pluvo import OPERATIONS
from clients.pluvo.operations import AFAS_FIELDS, OPTIONAL_SELECTIONS, Step, compose
from clients.pluvo.schema_check import differences
from tests.unit.clients.pluvo.pluvo_server import SCHEMA

EITHER = {"user": ("id", "ref", "email"), "enroll": ("user_ref", "user_id"), "add_to_group": ("user_ref", "user_id")}


def values_for(name: str) -> dict[str, Any]:
    """Give a value for every variable of an operation, of the type it declares."""
    examples = {"Boolean!": True, "[UUID!]!": ["x"]}
    return {variable: examples.get(type_, "x") for variable, type_ in OPERATIONS[name].variables.items()}


def root_fields(text: str) -> list[str]:
    definition = parse(text).definitions[0]
    assert isinstance(definition, OperationDefinitionNode)
    return [node.name.value for node in definition.selection_set.selections if isinstance(node, FieldNode)]


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_operation_fits_the_schema(name: str) -> None:
    document = compose(name, [Step("a", name, values_for(name))])

    assert validate(SCHEMA, parse(document.text)) == []
    assert document.variables == values_for(name)


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_operation_fits_the_schema_twice_in_one_document(name: str) -> None:
    other = {variable: False if value is True else ["y"] for variable, value in values_for(name).items()}
    document = compose(name, [Step("a", name, values_for(name)), Step("b", name, other)])

    assert validate(SCHEMA, parse(document.text)) == []
    assert list(document.steps) == ["a", "b"]


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_operation_fits_the_schema_without_what_a_server_may_lack(name: str) -> None:
    refused = frozenset(
        {("", selected) for selected in OPTIONAL_SELECTIONS} | {(name, each) for each in OPERATIONS[name].optional}
    )
    document = compose(name, [Step("a", name, values_for(name))], refused=refused)

    assert validate(SCHEMA, parse(document.text)) == []
    assert not any(f"{each}: $" in document.text for each in OPERATIONS[name].optional)
    if "offerEventId: $" not in document.text:
        assert not any(selected in document.text for selected in OPTIONAL_SELECTIONS)


@given(st.data())
def test_any_choice_of_changes_fits_the_schema_and_sends_nothing_else(data: st.DataObject) -> None:
    changes = OPERATIONS["update_user"].any_of
    chosen = data.draw(st.dictionaries(st.sampled_from(sorted(changes)), st.none() | st.text(), min_size=1))
    document = compose("u", [Step("update", "update_user", {"user_id": "x", **chosen})])

    said = {name: value for name, value in chosen.items() if value is not None}
    if not said:
        assert document.text == ""
    else:
        assert validate(SCHEMA, parse(document.text)) == []
        assert document.variables == {"user_id": "x", **said}


@given(st.lists(st.sampled_from(["a@example.nl", "b@example.nl"]), min_size=1, max_size=6))
def test_equal_values_share_a_variable_and_different_ones_never_do(emails: list[str]) -> None:
    document = compose("f", [Step(f"e{n}", "user", {"email": email}) for n, email in enumerate(emails)])

    assert sorted(document.variables.values()) == sorted(set(emails))
    assert root_fields(document.text) == ["user"] * len(emails)


def test_a_value_of_none_is_left_out_and_not_sent_as_null() -> None:
    document = compose("c", [Step("create", "create_user", values_for("create_user") | {"person_id": None})])

    assert "afasPersonId:" not in document.text
    assert "person_id" not in document.variables


def test_the_order_of_the_steps_is_the_order_of_the_document() -> None:
    steps = [
        Step("archive", "archive_users", {"archive": False, "user_ids": ["x"]}),
        Step("update", "update_user", {"user_id": "x", "name": "N"}),
        Step("enroll", "enroll", {"offer_event_ref": "o", "user_id": "x"}),
    ]

    assert root_fields(compose("u", steps).text) == ["archiveUsers", "updateUser", "createOfferEventEnrollments"]


def test_no_document_names_an_input_type() -> None:
    plain = {"UUID!", "String!", "Boolean!", "Int!", "[UUID!]!"}

    assert {type_ for operation in OPERATIONS.values() for type_ in operation.variables.values()} <= plain


def test_our_operations_have_no_differences_with_the_schema_they_were_written_for() -> None:
    assert differences(SCHEMA, OPERATIONS) == []


def test_a_replaced_text_that_does_not_fit_is_named() -> None:
    wrong = replace(OPERATIONS["unenroll"], text="cancelIt(userId: $user_id) { success }")
    table: Mapping[str, Any] = {**OPERATIONS, "unenroll": wrong}

    found = differences(SCHEMA, table)

    assert found == ["unenroll: Cannot query field 'cancelIt' on type 'Mutation'."]


def test_text_that_is_no_graphql_is_named() -> None:
    broken = {"group": replace(OPERATIONS["group"], text="group(ref: $ref { id }")}

    assert len(differences(SCHEMA, broken)) == 1


def test_the_afas_fields_are_all_optional() -> None:
    assert AFAS_FIELDS <= OPTIONAL_SELECTIONS
