"""What is wrong with a value that a caller of the API gave, by the kinds of pydantic's errors.

In English the API says what pydantic says, as it always did; these sentences are for its Dutch.
"""

from __future__ import annotations

SENTENCES: dict[str, str | tuple[str, str]] = {
    "api_value.missing": "is needed",
    "api_value.extra_forbidden": "is not known here",
    "api_value.string_type": "must be text",
    "api_value.string_unicode": "must be text",
    "api_value.string_too_short": (
        "must have at least {count} character",
        "must have at least {count} characters",
    ),
    "api_value.string_too_long": (
        "must have at most {count} character",
        "must have at most {count} characters",
    ),
    "api_value.string_pattern_mismatch": "must fit {pattern}",
    "api_value.int_type": "must be a whole number",
    "api_value.int_parsing": "must be a whole number",
    "api_value.int_from_float": "must be a whole number",
    "api_value.int_parsing_size": "is too large a number",
    "api_value.float_type": "must be a number",
    "api_value.float_parsing": "must be a number",
    "api_value.finite_number": "must be a number that ends",
    "api_value.bool_type": "must be true or false",
    "api_value.bool_parsing": "must be true or false",
    "api_value.list_type": "must be a list",
    "api_value.tuple_type": "must be a list",
    "api_value.set_type": "must be a list",
    "api_value.dict_type": "must be an object",
    "api_value.model_type": "must be an object",
    "api_value.model_attributes_type": "must be an object",
    "api_value.too_short": "must have at least {min_length}, and has {actual_length}",
    "api_value.too_long": "may have at most {max_length}",
    "api_value.literal_error": "must be {expected}",
    "api_value.enum": "must be {expected}",
    "api_value.greater_than": "must be more than {gt}",
    "api_value.greater_than_equal": "must be {ge} or more",
    "api_value.less_than": "must be less than {lt}",
    "api_value.less_than_equal": "must be {le} or less",
    "api_value.date_type": "must be a day such as 2026-11-26",
    "api_value.date_parsing": "must be a day such as 2026-11-26",
    "api_value.date_from_datetime_parsing": "must be a day such as 2026-11-26",
    "api_value.date_from_datetime_inexact": "must be a day such as 2026-11-26",
    "api_value.datetime_type": "must be a time such as 2026-11-26T08:00:00Z",
    "api_value.datetime_parsing": "must be a time such as 2026-11-26T08:00:00Z",
    "api_value.datetime_object_invalid": "must be a time such as 2026-11-26T08:00:00Z",
    "api_value.datetime_from_date_parsing": "must be a time such as 2026-11-26T08:00:00Z",
    "api_value.none_required": "must be null",
    "api_value.or": "or",
    "api_value.other": "is not as it should be",
}
