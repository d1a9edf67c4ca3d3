"""``koppeling people search``: by any id, by address, by parts of a name; over the tenants that one may see."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

import settings
from migrations.run import current, head, upgrade
from models.session import engine
from ops.access import Actor, Role, acting
from ops.people import links
from ops.people.search import MAX_TEXT, MOST, keep, kept, search
from ops.problems import NotThere, Problem
from ops.tenants.importing import Imported
from tests.fixtures.environment import SECRET_KEY
from tests.fixtures.postgres import new_database
from tests.integration.ops.conftest import add_enrollment, run_sql, scalar
from tests.unit.ops.tenants.test_file import GOOD
from workers.maintenance import retention

ACCOUNT = "0b0e1f00-0000-4000-8000-000000000001"


def add(tenant: int, internal_id: str, name: str, email: str | None = None) -> None:
    run_sql(
        "INSERT INTO person (tenant_id, internal_id, name, email, email_folded) VALUES (:t, :i, :n, :e, :f)",
        t=tenant,
        i=internal_id,
        n=name,
        e=email,
        f=email and email.lower(),
    )


def ids(words: str, **how: Any) -> list[str]:
    return [one["internal_id"] for one in search(words, **how)["items"]]


@pytest.fixture
def two(acme: int, import_text: Callable[[str], list[Imported]]) -> tuple[int, int]:
    """The numbers of two tenants."""
    import_text(GOOD.replace('"acme"', '"borg"').replace("12345", "67890"))
    return acme, int(scalar("SELECT id FROM tenant WHERE slug = 'borg'"))


@pytest.mark.parametrize("words", ["80", "0080", "0000080", "P80@Example.NL", " p80@example.nl ", ACCOUNT.upper()])
def test_somebody_is_found_by_every_id_and_by_the_address(acme: int, words: str) -> None:
    add_enrollment(acme, "80")
    add_enrollment(acme, "81")
    links.set_link("acme", "80", ACCOUNT, who="tester")
    found = search(words)
    assert [one["internal_id"] for one in found["items"]] == ["80"]
    assert found["items"][0]["pluvo_id"] == ACCOUNT
    assert (found["items"][0]["tenant"], found["items"][0]["state"]) == ("acme", "linked")


@pytest.mark.parametrize(
    "words",
    [
        *("Zoë", "zoe", "ZOE\u0308", "van den berg", "berg, z", "Berg zo", "den  berg\tzoë"),
        *("z.berg", "@bakkerij", "bakkerij jansen", "o'neill", "jansen-o"),
    ],
)
def test_parts_of_name_and_address_are_found_in_any_order_and_spelling(acme: int, words: str) -> None:
    add(acme, "1", "Berg, Zoë van den Jansen-O'Neill", "Z.Berg@bakkerij-jansen.nl".replace("-", "."))
    add(acme, "2", "Piet Puk", "piet@example.nl")
    expected = [] if words == "bakkerij jansen" else ["1"]
    assert ids(words.replace("bakkerij jansen", "bakkerij-jansen")) == expected


@pytest.mark.parametrize(
    "name",
    ["<script>alert(1)</script>", "100%_zeker\\nodig", "'; DROP TABLE person; --", "\u202eevil\u202c", "{{7*7}}"],
)
def test_signs_in_a_name_mean_nothing_but_themselves(acme: int, name: str) -> None:
    add(acme, "1", name, "a@example.nl")
    add(acme, "2", "100 zeker nodig script alert evil 7 7", "b@example.nl")
    assert ids(name) == ["1"]


@pytest.mark.parametrize("words", ["_", "%", "\\", "%%%"])
def test_what_means_anything_in_sql_finds_nobody(acme: int, words: str) -> None:
    add(acme, "1", "Anna Bos", "a@example.nl")
    assert ids(words) == []


@pytest.mark.parametrize("words", ["", "  ", "\0", "x" * (MAX_TEXT + 1), "a b c d e f g h i"])
def test_too_little_or_too_much_is_refused_in_a_sentence(acme: int, words: str) -> None:
    with pytest.raises(Problem):
        search(words)


def test_one_letter_is_no_name_and_two_begin_a_word(acme: int) -> None:
    add(acme, "1", "Bo Li")
    add(acme, "2", "Abo Oli")
    assert ids("b") == []
    assert ids("bo") == ["1"]
    assert ids("li bo") == ["1"]


def test_the_pages_of_many_hold_everybody_once(acme: int) -> None:
    for number in range(1, 8):
        add(acme, str(number), f"Jansen {number}")
    found, cursor = [], None
    while True:
        page = search("jansen", limit=3, cursor=cursor)
        found += [one["internal_id"] for one in page["items"]]
        if (cursor := page["next"]) is None:
            break
    assert found == [str(number) for number in range(1, 8)]


def test_too_many_are_told_and_not_listed_for_ever(acme: int) -> None:
    run_sql(
        "INSERT INTO person (tenant_id, internal_id, name)"
        " SELECT :t, n::text, 'Jansen ' || n FROM generate_series(1, :n) n",
        t=acme,
        n=MOST + 5,
    )
    assert search("jansen")["more_than"] == MOST
    assert search("jansen 1004")["more_than"] is None
    assert ids("jansen 1004") == ["1004"]


def test_only_people_of_tenants_that_one_may_see_are_found(two: tuple[int, int]) -> None:
    acme, borg = two
    add(acme, "80", "Anna Bos", "anna@example.nl")
    add(borg, "80", "Anna Bos", "anna@example.nl")
    assert len(search("anna")["items"]) == len(search("80")["items"]) == 2
    assert [one["tenant"] for one in search("anna", tenant="borg")["items"]] == ["borg"]
    with acting(Actor("viewer", Role.VIEWER, frozenset({"acme"}))):
        for words in ("anna bos", "80", "anna@example.nl"):
            assert [one["tenant"] for one in search(words)["items"]] == ["acme"]
        with pytest.raises(NotThere):
            search("anna", tenant="borg")
    with acting(Actor("nobody", Role.VIEWER, frozenset())):
        assert search("anna")["items"] == []


def test_who_is_erased_is_found_by_nothing_any_more(acme: int) -> None:
    add_enrollment(acme, "80")
    links.set_link("acme", "80", ACCOUNT, who="tester")
    kept_before = keep("Piet Jansen")
    links.remove("acme", "80", erase=True, who="tester", reason="asked")
    for words in ("80", "0080", "p80@example.nl", "piet jansen", ACCOUNT):
        assert ids(words) == []
    with pytest.raises(NotThere):
        kept(kept_before)
    assert scalar("SELECT reason FROM operator_action WHERE verb = 'links remove'") == "asked"


def test_the_reason_of_an_erasure_is_no_free_text_that_could_name_the_person(acme: int) -> None:
    add_enrollment(acme, "80")
    with pytest.raises(Problem, match="one of asked"):
        links.remove("acme", "80", erase=True, who="tester", reason="Piet Jansen asked")
    assert ids("80") == ["80"]


def test_a_kept_search_is_for_its_maker_and_for_an_hour(acme: int) -> None:
    one = keep("anna bos", "acme")
    assert kept(one.lower()) == {"text": "anna bos", "tenant": "acme"}
    with acting(Actor("other", Role.ADMIN)), pytest.raises(NotThere):
        kept(one)
    run_sql("UPDATE people_search SET created_at = now() - interval '61 minutes'")
    with pytest.raises(NotThere):
        kept(one)
    retention.apply()
    assert scalar("SELECT count(*) FROM people_search") == 0


# ---------------------------------------------------------------------------------------- without the trigram index


@pytest.fixture
def limited(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A database whose user may make tables and no extension, in force."""
    with new_database(postgres_url) as url:
        with psycopg.connect(url, autocommit=True) as connection:
            name = connection.info.dbname
            connection.execute(f'REVOKE CREATE ON DATABASE "{name}" FROM PUBLIC, CURRENT_USER'.encode())
        monkeypatch.setenv("KOPPELING_DATABASE_URL", url)
        monkeypatch.setenv("KOPPELING_SECRET_KEYS", SECRET_KEY)
        settings.get.cache_clear()
        upgrade(url)
        try:
            yield url
        finally:
            engine().dispose()
            settings.get.cache_clear()


def test_where_the_extension_may_not_be_made_names_are_found_by_their_beginning(limited: str) -> None:
    assert current(limited) == head()
    tenant = run_sql(
        """INSERT INTO tenant (slug, name, timezone, interval_seconds, afas, pluvo)
           VALUES ('acme', 'A', 'UTC', 3600, '{"member_id": "12345"}',
                   '{"organisation": "acme", "client_id": "koppeling"}') RETURNING id"""
    )
    add(tenant, "80", "Berg, Zoë van den", "z.berg@example.nl")
    assert ids("berg, zoe") == ["80"]
    assert search("BERG")["names"] == "beginnings"
    assert ids("80") == ids("Z.Berg@example.nl") == ["80"]
    assert ids("zoe") == []


def test_once_somebody_made_the_extension_the_statements_of_the_manual_make_words_findable(limited: str) -> None:
    with psycopg.connect(limited, autocommit=True) as connection:
        name = connection.info.dbname
        connection.execute(f'GRANT CREATE ON DATABASE "{name}" TO CURRENT_USER'.encode())
        manual = Path("docs/operations.md").read_text(encoding="utf-8")
        for statement in manual.partition("```sql\n")[2].partition("```")[0].split(";"):
            if statement.strip():
                connection.execute(statement.encode())
    assert search("zoe")["names"] == "words"
