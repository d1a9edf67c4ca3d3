"""The tenants file that links fictitious tenants on two running simulators."""

from __future__ import annotations

from collections.abc import Iterable

from simulators.afas.auth import token_xml
from simulators.afas.tenant import GET_CONNECTOR, UPDATE_CONNECTOR
from simulators.sample_data.tenant import SampleCourse, SampleTenant


def tenants_toml(
    afas_url: str,
    pluvo_url: str,
    tenants: Iterable[SampleTenant],
    *,
    confirm_after: str = "0s",
    calls_per_second: int = 0,
    people_per_call: int = 1,
) -> str:
    """Write the tenants file for these tenants on these simulators.

    A rehearsal waits for nothing: removals act on the first absence and calls are not slowed, unless told otherwise.
    """
    limits = f"calls_per_second = {calls_per_second}\npeople_per_call = {people_per_call}"
    return "\n".join(_tenant_toml(each, afas_url, pluvo_url, confirm_after, limits) for each in tenants)


def _tenant_toml(tenant: SampleTenant, afas_url: str, pluvo_url: str, confirm_after: str, limits: str) -> str:
    if tenant.auth == "oauth":
        login = f'client_id = "{tenant.slug}"\nclient_secret = "{tenant.secret("afas")}"'
    else:
        login = f'token = "{token_xml(tenant.token)}"'
    head = f"""\
[[tenants]]
slug = "{tenant.slug}"
name = "{tenant.name}"

[tenants.afas]
member_id = "{tenant.member_id}"
auth = "{tenant.auth}"
{login}
base_url = "{afas_url}/t/{tenant.member_id}/ProfitRestServices"

[tenants.pluvo]
organisation = "{tenant.slug}"
client_id = "{tenant.slug}"
client_secret = "{tenant.secret("pluvo")}"
webhook_secret = "{tenant.secret("webhook")}"
{limits}
base_url = "{pluvo_url}/t/{tenant.slug}"

[tenants.removals]
confirm_after = "{confirm_after}"
"""
    return "\n".join([head, *(_course_toml(tenant, course) for course in tenant.courses)])


def _course_toml(tenant: SampleTenant, course: SampleCourse) -> str:
    fields = "\n".join(f'{what} = "{name}"' for what, name in tenant.columns.items())
    as_text = 'completion_format = "%d-%m-%Y"\n' if tenant.completion_type == "text" else ""
    return f"""\
[[tenants.courses]]
event_id = "{course.event_id}"
getconnector = "{GET_CONNECTOR}"
updateconnector = "{UPDATE_CONNECTOR}"
completion_field = "{tenant.completion_field}"
completion_type = "{tenant.completion_type}"
{as_text}[tenants.courses.fields]
{fields}
[tenants.courses.pluvo]
{course.target}_ref = "{course.ref}"
completion_level = "{course.level}"
completion_title = "{course.title}"
"""
