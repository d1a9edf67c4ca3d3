"""Whatever is asked of a page, nothing breaks, and what was typed comes back as text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
import requests
from fastapi.routing import APIRoute, iter_route_contexts

from ops.http.app import make_app
from tests.fixtures.world import World
from tests.integration.api.conftest import Api, fill

MARK = '"><img src=x onerror=alert(1)><script>alert(2)</script>{{7*7}}'
HOSTILE = (MARK, "\0", "\u202e🙂" * 200, "9" * 30, "\r\nSet-Cookie: a=b")
TRUE = {
    "slug": "acme",
    "person": "80",
    "event": "340",
    "event_id": "340",
    "number": "1",
    "system": "afas",
    "step": "afas",
}
STREAMS = ("/events",)  # an answer without end


def pages() -> Iterator[tuple[str, APIRoute]]:
    """Every route of the console, by method."""
    for found in iter_route_contexts(make_app().routes):
        route: Any = found.original_route
        if isinstance(route, APIRoute) and not route.path.endswith(STREAMS):
            for method in sorted(set(route.methods or ()) - {"HEAD"}):
                yield f"{method} {route.path}", route


PAGES = dict(pages())


def _names(route: APIRoute) -> list[str]:
    """What it reads of its query and its form."""
    dependant = route.dependant
    return [one.alias for one in (*dependant.query_params, *dependant.body_params)]


def judged(answer: requests.Response, about: str) -> None:
    """No fault of ours, and no markup of theirs."""
    assert answer.status_code < 500, f"{about}: {answer.status_code} {answer.text[:300]}"
    assert "a" not in answer.cookies, about
    if answer.headers.get("Content-Type", "").startswith("text/html"):
        assert "<img src=x" not in answer.text, about
        assert "<script>alert" not in answer.text, about
        assert ">49<" not in answer.text, about


@pytest.mark.parametrize("label", PAGES)
def test_a_page_takes_whatever_is_asked_of_it(api: Api, shared_world: World, label: str) -> None:
    method, _, path = label.partition(" ")
    names = _names(PAGES[label])
    known = TRUE | {name: api.kept[key] for name, key in KEPT.items()}
    places = re.findall(r"\{([^}:]+)[^}]*\}", path)
    with requests.Session() as session:
        session.headers["Origin"] = api.url
        for value in HOSTILE:
            for at in [None, *places]:
                filled = {name: quote(value if name == at else known.get(name, "1"), safe="") for name in places}
                given = dict.fromkeys(names, value)
                where = re.sub(r"\{([^}:]+)[^}]*\}", lambda one: filled[one[1]], path)  # noqa: B023  used at once
                part: dict[str, Any] = {"params": given} if method == "GET" else {"data": given}
                answer = session.request(method, api.url + where, timeout=60, allow_redirects=False, **part)
                judged(answer, f"{method} {where} {value[:30]!r}")
                if answer.status_code == 303:
                    followed = session.get(api.url + answer.headers["Location"], timeout=60, allow_redirects=False)
                    judged(followed, f"{method} {where} → {answer.headers['Location'][:80]}")
    if session.get(f"{api.url}/tenants/acme", timeout=60).status_code != 200:
        api.kept.update(fill(shared_world))


KEPT = {"run_id": "run", "hold_id": "hold", "letter": "letter", "batch": "batch"}


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "FOO"])
def test_another_method_is_no_way_in(api: Api, method: str) -> None:
    for path in ("/", "/tenants/acme", "/runs", "/holds", "/settings/users", "/dead-letters", "/api/docs"):
        answer = requests.request(method, api.url + path, headers={"Origin": api.url}, timeout=60)
        assert answer.status_code in (400, 404, 405), (method, path)


def test_a_file_of_links_may_be_as_large_once_more_when_its_preview_sends_it_back(api: Api) -> None:
    # given a file of nearly the largest size, whose ends of lines a browser makes two characters
    content = ("a,b,c\n" * 80_000).replace("\n", "\r\n")
    answer = requests.post(
        f"{api.url}/links/import",
        files={"content": (None, content), "name": (None, "links.csv")},
        headers={"Origin": api.url, "Accept-Language": "en"},
        timeout=60,
    )
    # then what is wrong with it is in the file
    assert "links.csv:1: the header is" in answer.text, re.sub("<[^>]+>", " ", answer.text)[-600:]
