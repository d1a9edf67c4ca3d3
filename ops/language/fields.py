"""What ``koppeling fields`` says of columns and of its proposal."""

from __future__ import annotations

SENTENCES: dict[str, str | tuple[str, str]] = {
    "fields.afas_name": "AFAS itself calls the field behind it so",
    "fields.named_so": "the administrator named it so: {label}",
    "fields.named_like": "its name or label looks like it: {label}",
    "fields.holds_addresses": "it holds e-mail addresses: {label}",
    "fields.missing": "no column fits: ask the AFAS administrator to add it",
    "fields.columns": "Columns of {connector}; examples are masked.",
    "fields.paste": "Proposal for the tenants file; look at the reason behind each line:",
    "fields.no_write_back": "The UpdateConnector is not open to this token: no date can be written back yet.",
    "fields.completion": "Fields of AFAS that can take the completion date, the likeliest first:",
    "fields.no_completion": "AFAS has no field of the customer's own that can take a date: have a free field of type date made.",
}
