"""An address that stands in for a system's own leads where everybody reads that it leads."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

import settings
from clients.afas import AFAS_HOSTS
from clients.errors import Misconfigured
from clients.http import checked_base_url
from tenancy.systems import address

FINE = [
    "https://12345.rest.afas.online/ProfitRestServices",
    "https://12345.RESTTEST.afas.online",
    "https://12345.rest.afas.online:443/ProfitRestServices/",
    "https://xn--jan-tha.afas.online/x_y/a.b~c",
]
ELSEWHERE = [
    "https://evil.example\\.afas.online/x", "https://evil.example/.afas.online", "https://evil.example#.afas.online",
    "https://evil.example?.afas.online", "https://evil.example%2f.afas.online", "https://evil.example%00.afas.online",
    "https://evil.example:443\\@12345.rest.afas.online/x", "https://12345.rest.afas.online@evil.example/",
    "https://a:b@12345.rest.afas.online/", "https://@12345.rest.afas.online/", "https:evil.afas.online",
    "https:///evil.afas.online", "https:\\\\evil.afas.online", "https://evil.example\t.afas.online",
    "https://evil.example .afas.online", "https://evil.example\n.afas.online", "https://.afas.online/",
    "https://12345..afas.online/", "https://-a.afas.online", "https://a_b.afas.online", "https://evil。afas.online",
    "https://ｅvil.afas.online", "https://jañ.afas.online", "https://12345.rest.afas.online./", "https://afas.online/",
    "https://notafas.online/", "https://12345.rest.afas.online.evil.example/", "http://12345.rest.afas.online/",
    "https://12345.rest.afas.online:8443/", "https://12345.rest.afas.online:0/", "https://12345.rest.afas.online:/",
    "https://12345.rest.afas.online:99999/", "https://12345.rest.afas.online/../x", "https://12345.rest.afas.online/./x",
    "https://12345.rest.afas.online/a/..", "https://12345.rest.afas.online//evil.example/",
    "https://12345.rest.afas.online/%2e%2e/x", "https://12345.rest.afas.online/x;y", "https://12345.rest.afas.online/x?y",
    "https://12345.rest.afas.online/x#y", "https://12345.rest.afas.online/a b", "HTTPS://[::1].afas.online/", "ftp://x",
    "https://[::1]/", "https://127.0.0.1/", "//12345.rest.afas.online", "", "12345.rest.afas.online", "https://",
    " https://12345.rest.afas.online/", "https://12345.rest.afas.online/\u2028",
]  # fmt: skip


@pytest.mark.parametrize("value", FINE)
def test_an_address_of_the_system_s_own_is_taken(value: str) -> None:
    assert checked_base_url(value, AFAS_HOSTS, insecure=False) == value.rstrip("/")


@pytest.mark.parametrize("value", ELSEWHERE)
def test_what_leads_or_may_lead_elsewhere_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match="must be"):
        checked_base_url(value, AFAS_HOSTS, insecure=False)


@pytest.mark.parametrize("value", [one for one in ELSEWHERE if one])
def test_the_same_is_refused_when_it_is_used(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KOPPELING_ALLOW_INSECURE_URLS", raising=False)
    settings.get.cache_clear()
    with pytest.raises(Misconfigured):
        address(value, "https://standard", AFAS_HOSTS)


@pytest.mark.parametrize("value", ["http://127.0.0.1:8801/t/1/ProfitRestServices", "http://[::1]:80/x", "http://proxy"])
def test_simulators_and_proxies_need_the_operator_s_word(value: str) -> None:
    assert checked_base_url(value, AFAS_HOSTS, insecure=True) == value


_AWKWARD = st.text(st.sampled_from("aé.:@/\\%?#[]_- \t\n\x00。٣1"), max_size=12)


@given(_AWKWARD, _AWKWARD)
def test_whatever_is_taken_is_where_the_library_goes(first: str, last: str) -> None:
    value = f"https://{first}.afas.online{last}"
    try:
        taken = checked_base_url(value, AFAS_HOSTS, insecure=False)
    except ValueError:
        return
    prepared = requests.Request("GET", f"{taken}/connectors/x").prepare()
    assert str(urlsplit(str(prepared.url)).hostname).endswith(".afas.online")
    assert urlsplit(str(prepared.url)).port in (None, 443)
