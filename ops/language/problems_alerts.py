"""Why a verb about alerts refuses; ``problem`` and ``page`` as in problems.py."""

from __future__ import annotations

SENTENCES: dict[str, str | tuple[str, str]] = {
    "problem.no_alert": "There is no alert {given}: `koppeling alerts list --all` shows them.",
    "page.no_alert": "There is no alert {given}, or no longer.",
    "problem.alert_over": "Alert {id} is over: nothing is left to take care of.",
    "problem.alert_acked": "Alert {id} is taken care of by {who} already.",
    "problem.alert_kind": "--kind is one of {listed}.",
    "page.alert_kind": "The kind is one of {listed}.",
    "problem.mute_what": "Say --tenant, --kind or both; --all silences everything.",
    "page.mute_what": "Choose a tenant, a kind, or both.",
    "problem.mute_long": "A silence lasts a year at most.",
    "problem.no_mute": "There is no silence {given}: `koppeling alerts mutes` shows them.",
    "page.no_mute": "There is no silence {given}, or no longer.",
    "problem.no_recipients": "{slug} names nobody who is told: add [tenants.alerts] to the tenants file.",
    "problem.no_operators": "Nobody is told: set KOPPELING_ALERT_MAIL or KOPPELING_ALERT_WEBHOOK, or say --tenant.",
    "page.no_operators": "Nobody is told: set KOPPELING_ALERT_MAIL or KOPPELING_ALERT_WEBHOOK.",
    "problem.no_smtp": "No mail server is named here: set KOPPELING_SMTP_URL and KOPPELING_SMTP_FROM.",
    "problem.no_quality_mail": "{slug} names nobody who keeps AFAS: add quality_mail to [tenants.alerts] in the tenants file.",
    "why.mute": "it is kept with the silence",
}
