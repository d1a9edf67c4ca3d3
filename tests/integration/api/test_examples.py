"""The examples of docs/api.md and of /api/docs are tried as they stand."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import requests

from ops.http.api.app import REFUSALS, make_api
from ops.http.api.reference import reference
from tests.integration.api.conftest import Api

DOCUMENT = Path("docs/api.md").read_text(encoding="utf-8")
LINES = re.findall(r"^curl .*$", DOCUMENT, re.MULTILINE)
SHOWN = [one["curl"] for noun in reference(make_api().openapi())["nouns"] for one in noun["operations"]]


@pytest.fixture
def token(api: Api) -> str:
    """One that opens everything."""
    return str(api.post("/tokens", name="examples", role="admin")["token"])


def done(line: str, api: Api, token: str) -> requests.Response:
    """What a curl line does."""
    line = line.replace("$KOPPELING_URL", api.url).replace("$KOPPELING_API_TOKEN", token)
    words = iter(shlex.split(line)[1:])
    headers, method, body, address = {}, "", None, ""
    for word in words:
        if word == "-H":
            name, _, value = next(words).partition(": ")
            headers[name] = value
        elif word == "-X":
            method = next(words)
        elif word == "--json":
            body, headers["Content-Type"] = next(words), "application/json"
        else:
            address = word
    method = method or ("POST" if body else "GET")
    return requests.request(method, address, headers=headers, data=body and body.encode(), timeout=60)


@pytest.mark.parametrize("line", LINES, ids=lambda line: line.rpartition("/api")[2].rstrip('"'))
def test_an_example_of_the_document_works(api: Api, token: str, line: str) -> None:
    assert done(line, api, token).status_code in (200, 202)


@pytest.mark.parametrize("line", SHOWN, ids=lambda line: line.rpartition("/api")[2].rstrip('"'))
def test_a_line_of_the_reference_is_understood(api: Api, token: str, line: str) -> None:
    if "-X DELETE" in line:
        line = line.replace("acme", "nobody")
    answer = done(line, api, token)
    assert answer.status_code < 500
    assert answer.status_code not in (400, 405, 415)
    assert answer.ok or answer.json()["error"]["code"] not in ("invalid_request", "no_path")


def test_the_document_names_every_status() -> None:
    for status in REFUSALS:
        assert re.search(rf"^\| .*\b{status}\b", DOCUMENT, re.MULTILINE), status
