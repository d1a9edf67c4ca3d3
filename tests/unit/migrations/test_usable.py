"""A connection pooler is recognised before anything begins, and only one that mixes sessions is refused."""

from __future__ import annotations

import pytest

from migrations.usable import Unfit, refuse_pooler
from tests.unit.migrations.pooler import pooler


def test_a_pooler_that_mixes_sessions_is_refused_with_one_sentence(empty_database_url: str) -> None:
    with (
        pooler(empty_database_url, "transaction") as url,
        pytest.raises(Unfit, match=r"transaction mode stands before PostgreSQL.*KOPPELING_DATABASE_URL") as raised,
    ):
        refuse_pooler(url)
    assert "\n" not in str(raised.value)


def test_sessions_of_ones_own_are_accepted_with_a_pooler_or_without(empty_database_url: str) -> None:
    refuse_pooler(empty_database_url)
    with pooler(empty_database_url, "session") as url:
        refuse_pooler(url)
