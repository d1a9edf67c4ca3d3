"""Which step of the customer's manual (docs/handleiding.md, docs/manual.md) was missed, by the code of a finding."""

from __future__ import annotations

from collections.abc import Mapping

_BY_STEP: Mapping[int, tuple[str, ...]] = {
    # the group's filters, the system user
    1: ("no_rows",),
    # the GetConnector and its columns
    2: (
        "column_missing", "column_type", "column_replaced", "missing_column", "unknown_field", "unusable_field",
        "id_is_text", "id_unreadable", "external_id_refused", "completion_unseen", "rows_rejected", "other_event",
        "unasked_rows", "contradictory_rows", "double_rows", "page_cut", "page_too_long", "page_halved",
        "many_columns", "too_large", "out_of_memory", "connector_blocked",
    ),
    # the free field
    3: ("completion_field_missing", "completion_field_type", "completion_field_short"),
    # the app connector
    4: (
        "connector_missing", "connector_not_allowed", "updateconnector_missing", "updateconnector_not_allowed",
        "ip_refused",
    ),
    # the key to AFAS
    5: (
        "client_refused", "wrong_environment", "token_refused", "token_ends", "token_ended", "token_end_unknown",
        "classic_token", "classic_token_ended", "otp_refused", "wrong_credentials",
    ),
    # Pluvo
    6: (
        "credentials_refused", "scope_refused", "scope_missing", "auth_refused", "not_permitted", "operation_missing",
        "offer_event_unknown", "group_unknown", "title_unknown", "title_ambiguous", "own_link_active", "events_wait",
    ),
    # names and numbers that were handed over
    7: (
        "environment_mismatch", "environment_letter", "envid_changed", "test_invites", "connector_description",
        "updateconnector_description", "column_near", "event_empty", "rules_cover_nothing", "not_found",
    ),
}  # fmt: skip
STEPS: Mapping[str, int] = {code: step for step, codes in _BY_STEP.items() for code in codes}
