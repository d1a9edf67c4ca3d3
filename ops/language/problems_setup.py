"""Why a tenant can't be stored, changed or set up so; ``problem`` and ``page`` as in problems.py."""

from __future__ import annotations

SENTENCES: dict[str, str | tuple[str, str]] = {
    "problem.stored_meanwhile": (
        "{slug} was stored meanwhile ({first}), and is left as it is: `koppeling tenants add {slug} "
        "--discard` forgets what was given here, `koppeling tenants edit {slug}` changes it."
    ),
    "page.stored_meanwhile": (
        "{slug} was stored meanwhile ({first}), and is left as it is. Discard what was given here, or edit the tenant."
    ),
    "problem.confirm_slug": "This can't be undone: repeat {slug} to confirm it.",
    "problem.same_refs": (
        "{slug} and {other} have the same AFAS member_id and the same Pluvo organisation: the accounts they make "
        "would carry the same refs. Put all courses under one tenant, or give one an organisation of its own."
    ),
    "problem.linked_elsewhere": (
        "{slug}: {key} can't change from {before} to {after}: {links} people are linked to accounts of "
        "{organisation} by their ids at AFAS member {member_id}. Give the new one a tenant of its own, or remove "
        "this one first."
    ),
    "problem.secrets_missing": "{slug}: {lacking} missing. A secret may be left out only where one is stored, for the same address.",
    "problem.changed_meanwhile": (
        "{slug} was changed meanwhile ({first}), nothing is stored yet. Edit it again to bring this in as "
        "well; what you leave out is undone:\n{told}"
    ),
    "problem.no_columns_yet": "{slug} has no course yet to take the columns from: `koppeling tenants edit {slug}`.",
    "page.no_columns_yet": "{slug} has no course yet to take the columns from: edit the tenant.",
    "problem.has_course": "{slug} has course {event_id} already: `koppeling tenants edit {slug}`.",
    "page.has_course": "{slug} has course {event_id} already: edit the tenant.",
    "problem.credentials_of": "Credentials are of afas or pluvo, not of {system!r}.",
    "problem.address_changed": "{slug} has another address since these were tried ({first}), so they are not stored: begin again.",
    "problem.which_draft": "Which one? Being set up are {listed}.",
    "problem.no_draft": "Nothing is being set up: begin with `koppeling tenants add`.",
    "page.no_draft": "Nothing is being set up.",
    "problem.no_such_draft": "Nothing is being set up as {slug}: begin with `koppeling tenants add`.",
    "page.no_such_draft": "Nothing is being set up as {slug}.",
    "problem.no_tenant_yet": "This makes no tenant yet: {told}",
    "problem.choose_connector": "Say --connector and the name of a GetConnector. Open to this token: {listed}.",
    "page.choose_connector": "Choose a GetConnector. Open to this token: {listed}.",
    "problem.nearest_connector": "There is no GetConnector {name} open to this token. Perhaps meant: {near}.",
    "problem.connector_not_open": "There is no GetConnector {name} open to this token. Open are: {listed}.",
    "problem.system_refused": "{error}: {cause} {action}",
    "problem.wrong_credentials": (
        "The stored credentials or addresses are not of the right form. Correct the credentials in the tenants file."
    ),
    "problem.no_connector_yet": "No GetConnector is known yet: name it under [tenants.course_defaults] of the tenants file.",
    "problem.no_token": "AFAS gave no token: {said}",
    "problem.afas_address": "{said}",
    "problem.nothing_given": "{question}: nothing was given.",
    "problem.token_address_changed": "{slug} has another address since the code was asked for ({first}), so its token is not stored.",
    "problem.secret_unread": "{said}.",
    "problem.file_unread": "{file}: {said}",
    "problem.one_tenant_needed": "{file}: one [[tenants]] is needed; `koppeling tenants import` takes more.",
    "problem.more_than_asked": "{file}: {more} can't be asked here: `koppeling tenants import {file}` takes all of it.",
    "problem.answer_refused": "{question}: {told}",
    "problem.set_form": "--set {name}: write NAME=VALUE, such as --set afas.member_id=12345.",
    "problem.set_unknown": "--set {name}: nothing of that name is asked; such names are afas.member_id, fields.name, title.340.",
    "problem.secret_on_command_line": "A secret on the command line is seen by others: write env:NAME or file:PATH.",
    "problem.nothing_changed": "Nothing was changed.",
    "problem.one_tenant_in_file": "The file is to have one tenant, {slug}: others are imported from files of their own.",
    "problem.draft_moved": "{name} answered for {slug} meanwhile, so nothing of this was kept: `koppeling tenants add {slug} --resume` goes on from there.",
    "page.draft_moved": "{name} answered here meanwhile. Nothing of this was kept yet: look what stands here now, then try again.",
    "problem.draft_gone": "{slug} is no longer being set up: somebody stored or forgot it meanwhile, so nothing of this was kept.",
    "problem.no_page": "There is no such page.",
    "problem.settings_changed": "{slug} was changed by {who} meanwhile, at {at}, so nothing of this was stored: look at it again.",
    "edit.somebody_else": "somebody else",
    "problem.wrong_values": "This can't be used: {keys}.",
    "page.wrong_values": "Something can't be used: see below what.",
}
