"""Every recorded AFAS answer, over real HTTP, means what the table in tests/data/afas/answers.toml says."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from clients import errors
from clients.afas import AfasOtp
from clients.afas.errors import RULES
from clients.errors import RemoteError
from clients.http import Call
from tests.unit.clients.afas.afas_server import DATA, SECRET, read, with_oauth, with_token, write
from tests.unit.clients.http.raw_server import RawServer, answer, serving

RECORDED = tomllib.loads((Path(__file__).parents[3] / "data/afas/answers.toml").read_text("utf-8"))["answer"]
CASES = [pytest.param(one, call, id=f"{one['name']} ({call})") for one in RECORDED for call in one["calls"]]


def make(call: str, server: RawServer, calls: list[Call]) -> None:
    """Make the call that gets the answer."""
    if call == "read":
        read(with_token(server, on_call=calls.append))
    elif call == "write":
        write(with_token(server, on_call=calls.append))
    elif call == "token":
        read(with_oauth(server, on_call=calls.append))
    else:
        otp = AfasOtp(server.base_url, on_call=calls.append, read_timeout=2)
        otp.validate_otp("a" * 32, "b" * 32, "user@example.nl", "34264813")


@pytest.mark.parametrize(("recorded", "call"), CASES)
def test_an_answer_means_what_the_table_says(recorded: dict[str, Any], call: str) -> None:
    calls: list[Call] = []
    with serving() as server:
        server.will(answer(recorded["status"], recorded["body"], **recorded.get("headers", {})))

        with pytest.raises(RemoteError) as raised:
            make(call, server, calls)

    error = raised.value
    assert (type(error), error.code) == (getattr(errors, recorded["raises"]), recorded["code"])
    assert error.reference == recorded.get("reference")
    assert error.retry_after_seconds == recorded.get("retry_after")
    assert recorded.get("says", "") in error.remote_text
    assert len(error.remote_text) <= 500
    told = f"{error} {error.remote_text}"
    assert not any(secret in told for secret in (DATA, SECRET, "34264813", recorded.get("hides", DATA)))
    assert (len(server.requests), [(c.system, c.status) for c in calls]) == (1, [("AFAS", recorded["status"])])


def test_the_count_of_calls_hears_the_code_of_an_error() -> None:
    calls: list[Call] = []
    with serving() as server:
        server.will(answer(500, {"externalMessage": "Mag niet."}))

        with pytest.raises(RemoteError):
            make("write", server, calls)

    assert [(call.operation, call.error_code) for call in calls] == [("writing a completion", "functional")]


def test_every_line_of_the_error_table_is_proven_by_a_recorded_answer() -> None:
    expected = {(one["raises"], one["code"]) for one in RECORDED}

    assert {(rule.raises.__name__, rule.code) for rule in RULES} <= expected
