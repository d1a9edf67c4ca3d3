"""Why a verb refuses (``problem``), and how a page says it where a command would not help (``page``)."""

from __future__ import annotations

SENTENCES: dict[str, str | tuple[str, str]] = {
    "problem.and": "{first} and {second}",
    "problem.at": "{place}: {what}",
    "problem.reason_empty": "--reason is empty: say why, {why}.",
    "page.reason_empty": "Give a reason: {why}.",
    "why.dead_letter": "it is kept with the dead letter",
    "why.hold": "it is kept with the decision",
    "why.paused": "for whoever finds it paused",
    "problem.state_one_of": "--state is one of {listed}.",
    "page.state_one_of": "The state is one of {listed}.",
    "problem.status_one_of": "--status is one of {listed}.",
    "page.status_one_of": "The status is one of {listed}.",
    "problem.limit": "--limit is 1 to {most}.",
    "page.limit": "A page has 1 to {most} rows.",
    "problem.cursor": "--cursor: give the 'next' of the page before.",
    "problem.cursor_gone": "Whom the page before ended with is gone meanwhile: begin again without --cursor.",
    "page.cursor_gone": "Whom the page before ended with is gone meanwhile: begin again with the first page.",
    "page.cursor": "The cursor is not the 'next' of the page before.",
    "problem.direction": "--direction is enrollments or completions, not {word!r}.",
    "page.direction": "The direction is enrollments or completions, not {word!r}.",
    "problem.no_tenant": "There is no tenant {named}: `koppeling tenants list` shows them.",
    "page.no_tenant": "There is no tenant {named}.",
    "problem.no_person": "{slug} has no person {internal_id!r}: `koppeling explain {slug} {internal_id}` tells more.",
    "page.no_person": "{slug} has no person {internal_id!r}.",
    "problem.no_run": "There is no run {given!r}: `koppeling runs list` shows them.",
    "page.no_run": "There is no run {given!r}, or no longer.",
    "problem.no_hold": "There is no hold {given!r}: `koppeling holds list` shows them.",
    "page.no_hold": "There is no hold {given!r}, or no longer.",
    "problem.no_dead_letter": "There is no dead letter {given!r}: `koppeling dead-letters list` shows them.",
    "page.no_dead_letter": "There is no dead letter {given!r}, or no longer.",
    "problem.no_batch": "There is no batch {batch!r}.",
    "problem.several_runs": "More than one run begins with {given!r}: give more of its id.",
    "problem.several_holds": "More than one hold begins with {given!r}: give more of its id.",
    "problem.several_dead_letters": "More than one dead letter begins with {given!r}: give more of its id.",
    "problem.no_internal_id": "{given!r} is no internal id: that is the whole number (CdId) that AFAS gives a person.",
    "problem.no_pluvo_id": "{given!r} is no Pluvo id: it is the id of the user in Pluvo, letters, digits and hyphens.",
    "problem.all_tenants": "This concerns all tenants: somebody who may see all of them can do it.",
    "problem.role": "This needs the role {needed}, and {name} is {role}.",
    "problem.no_worker": "No worker is running, so nothing would be done: start one with `koppeling up` or `koppeling worker`.",
    "page.no_worker": "No worker is running, so nothing would be done. Who runs Koppeling starts one.",
    "problem.person_one_tenant": "--person needs an internal id and exactly one tenant.",
    "page.person_one_tenant": "A run for one person is for exactly one tenant.",
    "problem.since_until": "--since comes after --until.",
    "page.since_until": "The first day comes after the last.",
    "problem.name_tenants": "Name one or more tenants, or say --all.",
    "page.name_tenants": "Choose one or more tenants, or all.",
    "problem.paused": "{slug} is paused ({why}): `koppeling tenants resume {slug}` ends that.",
    "page.paused": "{slug} is paused ({why}). Resume it first.",
    "why.none_given": "no reason given",
    "problem.unread": "{slug} can't be read: {why}. `koppeling check {slug}` tells more.",
    "page.unread": "{slug} can't be read: {why}. A check tells more.",
    "problem.first_run_was": "{slug} had its first run: `koppeling links list --tenant {slug}` shows who is linked to what.",
    "page.first_run_was": "{slug} had its first run. The list of links shows who is linked to what.",
    "problem.not_checked": "{slug} was not checked yet: `koppeling check {slug}` does it.",
    "page.not_checked": "{slug} was not checked yet.",
    "problem.hold_decided": "Hold {hold} is {state} already: nothing is left to decide.",
    "problem.hold_no_lines": "Hold {hold} has no open line of those: `koppeling holds show {hold}` lists them.",
    "page.hold_no_lines": "None of those lines is open any more.",
    "problem.ids_or_filters": "Name dead letters or give filters, not both.",
    "problem.which_dead_letters": "Name dead letters, give a filter (--tenant --kind --error --since --until), or say --all.",
    "page.which_dead_letters": "Choose dead letters, give a filter, or say that it is for all.",
    "problem.rate_most": "The rate and the number of failures are numbers of more than 0, up to {most}.",
    "problem.none_to_discard": "Name the dead letters to discard.",
    "page.none_to_discard": "Choose the dead letters to discard.",
    "problem.rate": "--rate and --max-failures are more than 0.",
    "page.rate": "The rate and the number of failures are more than 0.",
    "problem.decide_what": "Decide `link PLUVO_ID`, `create` or `ignore`.",
    "page.decide_what": "Decide: link to an account, create one, or ignore.",
    "problem.linked_already": "{internal_id} of {slug} is linked to {pluvo_id}: `koppeling links remove` it first if wrong.",
    "page.linked_already": "{internal_id} of {slug} is linked to {pluvo_id}. Remove that link first if it is wrong.",
    "problem.account_taken": (
        "{pluvo_id} is linked to {other} already. --yes links {internal_id} to it as well: both then share it, "
        "with name and address of the lower id. `koppeling links show {slug} {other}` shows the other."
    ),
    "page.account_taken": (
        "{pluvo_id} is linked to {other} already. Who is sure can link {internal_id} to it as well: both then "
        "share it, with name and address of the lower id."
    ),
    "problem.account_taken_in_file": "{pluvo_id} is linked to {other} already; --yes links both to it",
    "page.account_taken_in_file": "{pluvo_id} is linked to {other} already",
    "problem.no_pluvo_user": "Pluvo has no user with the id {pluvo_id}: look it up there, it is the id, not the ref.",
    "problem.no_pluvo_user_in_file": "Pluvo has no user with the id {pluvo_id}",
    "problem.pluvo_account_unasked": "{slug}: Pluvo can't be asked for {pluvo_id}: {said}",
    "problem.pluvo_users_unasked": "{slug}: Pluvo can't be asked for its users: {said}",
    "problem.pluvo_address_unasked": "{slug}: Pluvo can't be asked for the address of {internal_id}: {said}",
    "problem.pluvo_addresses_unasked": "{slug}: Pluvo can't be asked for the addresses: {said}",
    "problem.address_taken": (
        "No account can be made for {internal_id}: {holder} has their address in Pluvo. If it is theirs: "
        "`koppeling links decide {slug} {internal_id} link {holder}`; if not: give one of the two another address, "
        "in AFAS or in Pluvo."
    ),
    "page.address_taken": (
        "No account can be made for {internal_id}: {holder} has their address in Pluvo. If it is theirs, link them "
        "to it; if not, give one of the two another address, in AFAS or in Pluvo."
    ),
    "problem.address_taken_linked": (
        "No account can be made for {internal_id}: {holder}, linked to {other}, has their address in Pluvo. If it "
        "is theirs: `koppeling links decide {slug} {internal_id} link {holder}`; if not: give one of the two "
        "another address, in AFAS or in Pluvo."
    ),
    "page.address_taken_linked": (
        "No account can be made for {internal_id}: {holder}, linked to {other}, has their address in Pluvo. If it "
        "is theirs, link them to it; if not, give one of the two another address, in AFAS or in Pluvo."
    ),
    "problem.links_header": "the header is {first} or {second}",
    "problem.links_too_many": "more than {most} lines: split the file",
    "problem.links_three_values": "needs three values",
    "problem.links_no_csv": "is no line of CSV: look at its quotation marks",
    "problem.links_no_address": "is no e-mail address",
    "problem.links_twice": "{slug} {internal_id} is in line {line} already",
    "problem.links_no_tenant": "there is no tenant {named!r}",
    "problem.links_unreadable_user": "Pluvo can't read a user who may have this address",
    "problem.links_nobody": "nobody in Pluvo has this address",
    "problem.links_several": "several users have it",
}
