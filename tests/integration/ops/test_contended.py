"""What others hold is told as such, and not as a database that can't be reached."""

from __future__ import annotations

import psycopg
import pytest
import requests
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

import settings
from models.session import transaction
from ops.cli.errors import explained
from ops.http.app import make_app
from simulators.core.server import running

ASKED = "SELECT 1 FROM installation FOR UPDATE"


def _ask() -> None:
    with transaction() as connection:
        connection.execute(text("SET LOCAL lock_timeout = '50ms'"))
        connection.execute(text(ASKED))


@pytest.fixture
def refused(configured: settings.Settings) -> OperationalError:
    """What PostgreSQL says of a row that somebody holds."""
    with transaction() as holder:
        holder.execute(text("INSERT INTO installation (id, version) VALUES ('test', '0') ON CONFLICT DO NOTHING"))
    url = settings.get().need_database().replace("+psycopg", "", 1)
    with psycopg.connect(url) as holder:
        holder.execute(ASKED)
        with pytest.raises(OperationalError) as caught:
            _ask()
    return caught.value


def test_a_command_says_that_something_else_holds_it(
    refused: OperationalError, capsys: pytest.CaptureFixture[str]
) -> None:
    assert explained(refused) == 2
    said = capsys.readouterr().err
    assert "Something large holds what this would change" in said
    assert "Try again in a minute" in said
    assert "KOPPELING_DATABASE_URL" not in said


@pytest.mark.parametrize(("language", "word"), [("en", "Try again in a minute"), ("nl", "over een minuut opnieuw")])
def test_a_page_says_so_too(refused: OperationalError, language: str, word: str) -> None:
    app = make_app()

    @app.get("/held")
    def held() -> None:
        raise refused

    with running(app) as url:
        answer = requests.get(f"{url}/held", headers={"Accept-Language": language}, timeout=30)
    assert answer.status_code == 503
    assert word in answer.text
