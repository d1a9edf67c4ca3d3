"""What is wrong with a value that a caller of the API gave is told in their language, whatever kind of error it is."""

from __future__ import annotations

from typing import Any, cast, get_args

import pytest
from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticKnownError, core_schema

from ops.http.api.answers import wrong
from ops.http.api.inputs import At, Text
from ops.language import api_values

# What the sentences of these kinds name.
GIVEN: dict[str, Any] = {
    "min_length": 2,
    "max_length": 3,
    "actual_length": 9,
    "field_type": "List",
    "pattern": "^[a-z]+$",
    "expected": "'one' or 'two'",
    "gt": 1,
    "ge": 1,
    "lt": 5,
    "le": 5,
    "error": "too short",
    "class_name": "Body",
}
KINDS = sorted(code.removeprefix("api_value.") for code in api_values.SENTENCES)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("other", "or")])
def test_a_sentence_is_of_a_kind_that_there_is_and_names_what_it_tells(kind: str) -> None:
    assert kind in get_args(core_schema.ErrorType)
    error = PydanticKnownError(cast(Any, kind), GIVEN)
    found = {"type": kind, "msg": error.message(), "ctx": error.context or {}}
    assert wrong(found, "en") == error.message()
    dutch = wrong(found, "nl")
    assert "?" not in dutch
    assert "{" not in dutch
    assert " or " not in dutch
    assert dutch != error.message()


@pytest.mark.parametrize("kind", get_args(core_schema.ErrorType))
def test_no_kind_of_error_is_told_in_english_to_who_likes_dutch(kind: str) -> None:
    assert wrong({"type": kind, "msg": "Input should be otherwise"}, "nl") != "Input should be otherwise"


class Given(BaseModel):
    text: Text
    at: At


def test_what_our_own_classes_refuse_is_told_too() -> None:
    with pytest.raises(ValidationError) as caught:
        Given.model_validate({"text": "nul \0", "at": "1801-01-01T00:00:00Z"})
    told = {str(one["loc"][0]): wrong(one, "nl") for one in caught.value.errors()}
    assert told == {
        "text": "bevat een teken (NUL) dat niet opgeslagen kan worden",
        "at": "moet uit een jaar van 1980 tot 2200 zijn",
    }
