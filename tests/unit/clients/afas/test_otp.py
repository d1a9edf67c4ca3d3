"""A token from API key, environment key and a mailed code."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from clients.afas import AfasOtp
from clients.errors import Rejected, Unknown
from clients.http import Call
from tests.unit.clients.afas.afas_server import XML
from tests.unit.clients.http.raw_server import RawServer, Step, answer, serving

KEYS = ("A" * 32, "B" * 32, "12345.jansen")


@pytest.fixture
def server() -> Iterator[RawServer]:
    with serving() as running:
        yield running


@pytest.mark.parametrize("status", [200, 201])
def test_a_code_is_asked_for_with_both_keys_and_no_authorization(server: RawServer, status: int) -> None:
    server.will(answer(status))

    AfasOtp(server.base_url).request_otp(*KEYS)

    asked = server.requests[0]
    assert (asked.method, asked.target) == ("POST", "/base/otprequest")
    assert asked.json() == {"apiKey": KEYS[0], "apiToken": KEYS[1], "userId": KEYS[2]}
    assert "authorization" not in asked.headers


def test_a_code_gives_the_token_without_its_line_end(server: RawServer) -> None:
    server.will(answer(200, {"token": XML + "\r\n"}))
    calls: list[Call] = []

    assert AfasOtp(server.base_url, on_call=calls.append).validate_otp(*KEYS, " 34264813 ") == XML

    asked = server.requests[0]
    assert asked.target == "/base/otpvalidation"
    assert asked.json() == {"apiKey": KEYS[0], "apiToken": KEYS[1], "userId": KEYS[2], "otp": "34264813"}
    assert [call.token for call in calls] == [True]


def test_a_refused_user_is_told_so(server: RawServer) -> None:
    server.will(answer(500, {"externalMessage": "Gebruiker onbekend"}))

    with pytest.raises(Rejected) as raised:
        AfasOtp(server.base_url).request_otp(*KEYS)

    assert (raised.value.code, raised.value.remote_text) == ("otp_refused", "Gebruiker onbekend")


def test_a_lost_answer_may_have_sent_the_mail(server: RawServer) -> None:
    server.will(Step(then="close"))

    with pytest.raises(Unknown):
        AfasOtp(server.base_url).request_otp(*KEYS)
