"""What to do about each finding of ``koppeling check``, by its code."""

from __future__ import annotations

ACTIONS = {
    # AFAS
    "token_refused": "Make a new token (`koppeling token SLUG`, or in AFAS) or correct it in the tenants file.",
    "client_refused": "Correct client_id and client_secret in the tenants file; the secret may have ended.",
    "wrong_environment": "Correct environment in the tenants file, or allow client credentials on the app connector.",
    "ip_refused": "Add this machine's address to the app connector's allowed addresses.",
    "token_ends": "Make a new token before that day and import it.",
    "environment_mismatch": "Correct member_id or the credentials: they belong to different environments.",
    "envid_changed": "Correct the credentials. If the environment changed on purpose, change environment.",
    "connector_missing": "Add the connector to the app connector in AFAS, or correct its name in the tenants file.",
    "connector_not_allowed": "Add the connector to the app connector, and give its user the right to it.",
    "connector_blocked": "Have the AFAS administrator unblock the GetConnector's definition.",
    "column_missing": "Add the column to the GetConnector, or correct its name under [tenants.courses.fields].",
    "column_replaced": "Add the field to the GetConnector again: the one it showed was removed.",
    "unknown_field": "Correct the column's name under [tenants.courses.fields].",
    "no_rows": "Look at the GetConnector's filter and at the rights of the app connector's user.",
    "event_empty": "Look whether event_id is the number of the event (CrId), and whether anybody is enrolled in it.",
    "contradictory_rows": "Have the GetConnector give one row per enrollment: a joined table makes more of them.",
    "id_unreadable": "Have the column show the contact id (CdId) in every row: until then nobody counts as gone.",
    "rows_rejected": "Correct these rows in AFAS, or the columns under [tenants.courses.fields]; the others go on.",
    "id_is_text": "Give the GetConnector the contact id (CdId) itself as a number, not a text made of it.",
    "other_event": "Look at the event column: AFAS must be able to filter on it. Until then nobody counts as gone.",
    "page_too_long": "Look at the GetConnector: it gives more rows than it is asked for.",
    "double_rows": "Take the joined table that doubles rows out of the GetConnector.",
    "completion_field_missing": "Correct completion_field: its code differs per environment.",
    "completion_field_type": 'Choose a date field, or a text field with completion_type = "text".',
    "completion_field_short": "Make the text field at least 10 characters long, or choose a date field.",
    "maintenance": "Wait: AFAS is in maintenance.",
    "throttled": "Wait a moment and check again.",
    "wrong_credentials": "Correct the credentials in the tenants file.",
    # Pluvo
    "auth_refused": "Correct client_id and client_secret under [tenants.pluvo].",
    "credentials_refused": "Correct client_id and client_secret under [tenants.pluvo]: Pluvo gives no token for them.",
    "scope_refused": "Have Pluvo give the API client these scopes.",
    "assumed_missing": "Nothing has to be done: docs/pluvo.md says what is done without each of them.",
    "schema_hidden": "Nothing has to be done: what Pluvo does not take is left out when it says so.",
    "people_per_call_refused": "Nothing has to be done: work goes on with fewer people in a call, or one by one.",
    "not_permitted": "Have Pluvo give the API client the rights (scopes) it needs.",
    "scope_missing": "Have Pluvo give the API client these scopes.",
    "operation_missing": "Tell the maintainers: Pluvo's interface changed.",
    "offer_event_unknown": "Correct offer_event_ref, or give the offer event this ref in Pluvo.",
    "group_unknown": "Correct group_ref, or give the group this ref in Pluvo.",
    "title_unknown": "Correct completion_title: it is compared letter by letter.",
    "title_ambiguous": "Rename trainings in Pluvo so that one has this title.",
    "organisation_shared": "Fine if both are wanted. Else give each AFAS environment a Pluvo organisation of its own.",
    "users_incomplete": "Ask Pluvo to repair its list of users, if this stays; new people are looked up one by one.",
    "own_link_active": "Switch Pluvo's built-in AFAS link off: two links would both create and rename users.",
    # both
    "insecure_url": "Correct base_url, or set KOPPELING_ALLOW_INSECURE_URLS=1 for simulators and proxies.",
    "redirect": "Correct base_url, member_id or organisation: that address sends us elsewhere.",
    "not_found": "Correct base_url, member_id, organisation or the connector's name.",
    "connect_failed": "Correct organisation (Pluvo), member_id (AFAS) or base_url; if right, look at the network.",
    "tls_failed": "Correct base_url; if it is right, look at the certificates that this machine trusts.",
    "no_courses": "Add a [[tenants.courses]] table and import the file.",
}
ELSE = "Check again in a few minutes; if it stays, show this line to whoever runs that system."


def action_for(code: str) -> str:
    """One sentence that says what to do."""
    return ACTIONS.get(code, ELSE)
