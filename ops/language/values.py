"""What is wrong with a value of the tenants file (``value``), as the classes that read it say it in English.

What such a class says is found again by its text, in this order: a sentence that fits much comes last.
"""

from __future__ import annotations

SENTENCES: dict[str, str | tuple[str, str]] = {
    "value.member_id": (
        "Type the AFAS member id: five digits such as 12345, or an environment such as O12345AA, a user such as "
        "12345.jansen, or the address of your AFAS (https://12345.rest.afas.online/)."
    ),
    "value.token": "This is not an AFAS token: paste all of <token>…</token>, its 64 characters, or its base64 form.",
    "value.organisation": "Type the organisation as in https://<organisation>.pluvo.com: letters, digits and hyphens.",
    "value.address": "must be an address such as {form}; no user, query or fragment",
    "value.host": (
        "must be https on a host under {hosts}, without a port; KOPPELING_ALLOW_INSECURE_URLS=1 permits others "
        "(simulators, proxies)"
    ),
    "value.webhook": "must be https://host/path: no user, port, query or fragment",
    "value.mail": "is no e-mail address such as support@example.nl",
    "value.mails": 'must be a list of addresses: ["support@example.nl"]',
    "value.nul": "has a character (NUL) that can't be stored",
    "value.half_character": "holds half a character",
    "value.years": "must be of a year from {least} to {most}",
    "value.format": "must write a whole date that can be read back, such as %Y-%m-%d or %d-%m-%Y",
    "value.day": "must be a day such as 2027-05-01",
    "value.hours": "must be hours such as {example}",
    "value.blackouts": "must be such as mon-fri 08:00-17:30; sat 22:00-07:00",
    "value.days": 'must be a list of days: ["mon", "fri"]',
    "value.blackout_week": "must leave an hour of the week at least, or no run would ever begin by itself",
    "value.most_of_them": "must be at most {most}",
    "value.column": "AFAS can't order or filter on a column with a dot, comma or semicolon: have it renamed",
    "value.same_column": "event_id and internal_id name the same column",
    "value.target": "give offer_event_ref or group_ref, one of the two: it says where the person is enrolled",
    "value.targets": "give offer_event_ref or group_ref, one of the two: it says where the people are enrolled",
    "value.event": 'must be the number (CrId) of the event in AFAS, such as "340": AFAS\'s event ids are numbers',
    "value.completion": "completion_field and pluvo.completion_title go together: give both or neither",
    "value.filled_twice": "{names} is filled by more than one completion",
    "value.brace": "has a brace that names no column: write {{event_id}} or {{Column}} of the GetConnector",
    "value.forms": "must be {forms}, between quotes",
    "value.no_event": "{given} is no event: write {forms} (AFAS's event ids are numbers)",
    "value.names_no_event": "names no event: write {forms}",
    "value.secret_text": "a secret is text here",
    "value.secret": 'a secret is text, {{ env = "NAME" }} or {{ file = "path" }}',
    "value.our_setting": "{name} is a setting of ours, no secret of a tenant's: choose another name",
    "value.not_set": "environment variable {name} is not set (a key that is left out keeps what is stored)",
    "value.cant_read": "can't read {file}: {why}",
    "value.duration_text": 'must be text such as "60m", between quotes',
    "value.between": "must be {least} to {most}, not {given}",
    "value.no_duration": "{given} is no duration: write 45s, 15m, 2h or 7d",
    "value.oauth": '{names} missing: auth = "oauth" needs them',
    "value.no_secret": "client_secret is missing",
    "value.no_webhook_secret": "webhook_secret is missing: what goes to the webhook is signed with it",
    "value.rule": "what rule {number} links needs {lacking} in [tenants.course_defaults]",
    "value.slug": "must be a-z, 0-9 and inner hyphens, at most 40 characters",
    "value.zone": "is no time zone: write one such as Europe/Amsterdam",
    "value.missing": "{key} is missing",
    "value.unknown": "unknown key",
    "value.unknown_near": "unknown key (did you mean {near}?)",
    "value.too_long": "is longer than {most} characters",
    "value.twice": "{given} is there twice",
    "value.text": "must be text: write it between quotes",
    "value.whole_plain": "must be a whole number, without quotes",
    "value.whole": "must be a whole number",
    "value.number": "must be a number, without quotes",
    "value.flag": "must be true or false, without quotes",
    "value.empty": "is empty",
    "value.file_empty": "{file} is empty",
    "value.word": "must be letters, digits and underscores only",
    "value.tables": "must be an array of tables: write [[…]]",
    "value.table": "must be a table: write […]",
    "value.least": "must be greater than or equal to {least}",
    "value.most": "must be less than or equal to {most}",
    "value.range": "must be {least} to {most}",
    "value.one_of": "must be {listed}",
}
