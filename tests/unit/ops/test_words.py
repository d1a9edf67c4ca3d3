"""How a check's trials, addresses and commands are written on a page."""

from __future__ import annotations

import pytest

from ops.http.console.words import address, probe, prose
from ops.language import Language


@pytest.mark.parametrize(
    ("tried", "language", "shown"),
    [
        ("afas token", "nl", "AFAS-token"),
        ("afas token end", "nl", "Einde van het AFAS-token"),
        ("sample page (event 340)", "nl", "Proefpagina (evenement 340)"),
        ("sample page (event 340)", "en", "Sample page (event 340)"),
        ("getconnector Deelnemers (course rules)", "nl", "GetConnector Deelnemers (regels voor cursussen)"),
        ("whole page (Deelnemers_2)", "nl", "Volle pagina (Deelnemers_2)"),
        ("of a later release (event 1)", "nl", "of a later release (event 1)"),
    ],
)
def test_what_a_check_tried_is_said_in_the_readers_language(tried: str, language: Language, shown: str) -> None:
    assert probe(tried, language) == shown


def test_an_address_breaks_before_its_at_and_is_only_text() -> None:
    assert address("<b>@example.nl") == "&lt;b&gt;<wbr>@example.nl"


def test_a_command_on_a_tenants_page_names_the_tenant() -> None:
    assert prose("Make one: `koppeling token SLUG`.", "acme") == "Make one: <code>koppeling token acme</code>."
    assert prose("Make one: `koppeling token SLUG`.") == "Make one: <code>koppeling token SLUG</code>."
